use std::path::{Path, PathBuf};

use super::*;
use crate::samples;

fn check(objective: &str, language: Language, lemma: &str, level: Option<BloomLevel>) {
    let verb = first_verb(objective, language).unwrap_or_else(|| panic!("no verb in '{objective}'"));
    assert_eq!(
        (verb.lemma.as_str(), verb.level, verb.banned),
        (lemma, level, false),
        "{objective}"
    );
}

fn check_banned(objective: &str, language: Language, lemma: &str) {
    let verb = first_verb(objective, language).unwrap_or_else(|| panic!("no verb in '{objective}'"));
    assert!(verb.banned && verb.level.is_none(), "{objective}: {verb:?}");
    assert_eq!(verb.lemma, lemma, "{objective}");
}

#[test]
fn english_verbs_are_found_in_all_their_forms() {
    use BloomLevel::{Analyze, Apply, Create, Evaluate, Remember, Understand};
    let check = |objective, lemma, level| check(objective, Language::English, lemma, Some(level));
    check("Explain the role of keys", "explain", Understand);
    check("explains the role of keys", "explain", Understand);
    check("Explaining the role of keys", "explain", Understand);
    check("Analyze a data set", "analyze", Analyze);
    check("Analyse a data set", "analyze", Analyze);
    check("Analysing a data set", "analyze", Analyze);
    check("Analyzes a data set", "analyze", Analyze);
    check("Categorise the errors", "categorize", Analyze);
    check("Summarising a chapter in own words", "summarize", Understand);
    check("Classifies the species of birds", "classify", Analyze);
    check("Planning a small garden", "plan", Create);
    check("Debugging a recursive function", "debug", Analyze);
    check("Formatting numbers for a report", "format", Apply);
    check("Opening a file for reading", "open", Apply);
    check("Using loops to count words", "use", Apply);
    check("Assesses the risks of a plan", "assess", Evaluate);
    check("List five kinds of clouds", "list", Remember);
    check("Re-evaluate the result of a test", "evaluate", Evaluate);
    check("**Describe** the process of dyeing", "describe", Understand);
    check("1. Describe the process of dyeing", "describe", Understand);
    check("- Describe the process of dyeing", "describe", Understand);
    check("Compare/contrast two poems", "compare", Analyze);
}

#[test]
fn english_lead_ins_are_passed_over() {
    use BloomLevel::{Analyze, Apply, Create, Understand};
    let check = |objective, lemma, level| check(objective, Language::English, lemma, Some(level));
    check(
        "By the end of this lesson, you will be able to configure a router",
        "configure",
        Apply,
    );
    check(
        "By the end of this lesson you will be able to configure a router",
        "configure",
        Apply,
    );
    check(
        "After completing this section, learners can compare two offers",
        "compare",
        Analyze,
    );
    check(
        "Upon completion, the student will design a poster",
        "design",
        Create,
    );
    check(
        "Students will be able to correctly and safely operate a lathe",
        "operate",
        Apply,
    );
    check("Learners can describe the water cycle", "describe", Understand);
    check(
        "The learner should describe the water cycle",
        "describe",
        Understand,
    );
    check("Correctly apply the chain rule", "apply", Apply);
    check("Successfully multiply two matrices", "multiply", Apply);
    check("Multiply two matrices by hand", "multiply", Apply);
    check("To describe the water cycle", "describe", Understand);
    check(
        "Given a table of sales, calculate the yearly growth",
        "calculate",
        Apply,
    );
    check("Objective 2: Describe the water cycle", "describe", Understand);
    check("Ability to describe the water cycle", "describe", Understand);
    check("You will describe the water cycle", "describe", Understand);
}

#[test]
fn english_verbs_that_no_test_can_measure_are_banned() {
    let check = |objective, lemma| check_banned(objective, Language::English, lemma);
    check("Understand the water cycle", "understand");
    check("understanding the water cycle", "understand");
    check("Know the names of the planets", "know");
    check("Learn how to weld aluminium", "learn");
    check("Learning the basics of welding", "learn");
    check("Appreciate the music of Bach", "appreciate");
    check("Be aware of common risks", "be aware of");
    check("Students should be aware of common risks", "be aware of");
    check("Be familiar with the tools", "be familiar with");
    check("Become familiar with the tools", "become familiar with");
    check("Grasp the idea of recursion", "grasp");
    check("Realise the value of tests", "realize");
    check(
        "By the end of this lesson, you will understand recursion",
        "understand",
    );
    check(
        "By the end of this lesson you will fully understand recursion",
        "understand",
    );
    check("Learners will be able to understand recursion", "understand");
    check("Gain an understanding of recursion", "gain an understanding of");
    check(
        "Develop an understanding of recursion",
        "develop an understanding of",
    );
    check("To understand and apply recursion", "understand");
    check("1) Know the names of the planets", "know");
}

#[test]
fn english_words_that_only_contain_a_banned_verb_are_not_banned() {
    let check = |objective: &str| {
        let verb = first_verb(objective, Language::English).expect("a word");
        assert!(!verb.banned, "{objective}: {verb:?}");
    };
    check("Understated humour in film: compare two scenes");
    check("Knowledge graphs: build one from text");
    check("Knownness of brands in the market");
    check("Learnability of interfaces: evaluate two forms");
    check("Learning rates: compare three schedules");
    check("Explain why people understand maps");
    check("Teach others to know their rights");
    check("Develop a web service in Rust");
    check("Build a model of the solar system");
    check("Identify what a reader must know first");
}

#[test]
fn unknown_openings_have_no_level() {
    check(
        "Recursion in practice and theory",
        Language::English,
        "recursion",
        None,
    );
    check(
        "Рекурсия в теории и на практике",
        Language::Russian,
        "рекурсия",
        None,
    );
    check("The design of small databases", Language::English, "the", None);
    assert_eq!(first_verb("Explicar el ciclo del agua", Language::Spanish), None);
    assert_eq!(first_verb(" ... ", Language::English), None);
}

#[test]
fn russian_verbs_are_found_in_all_their_forms() {
    use BloomLevel::{Analyze, Apply, Create, Evaluate, Remember, Understand};
    let check = |objective: &str, lemma: &str, level| check(objective, Language::Russian, lemma, Some(level));
    for form in [
        "Спроектировать",
        "Спроектируйте",
        "спроектирует",
        "спроектируют",
        "Спроектируем",
        "спроектируй",
    ] {
        check(&format!("{form} схему базы данных"), "спроектировать", Create);
    }
    check("Объяснить разницу между стеком и кучей", "объяснить", Understand);
    check("Объясните разницу между стеком и кучей", "объяснить", Understand);
    check("Объясняет разницу между стеком и кучей", "объяснять", Understand);
    check("Опишите круговорот воды", "описать", Understand);
    check("Описывать круговорот воды", "описывать", Understand);
    check("Создаст простой сайт", "создать", Create);
    check("Создают простой сайт", "создать", Create);
    check("Составьте план проекта", "составить", Create);
    check("Напишет эссе о городе", "написать", Create);
    check("Пишет эссе о городе", "писать", Create);
    check("Оцените риски проекта", "оценить", Evaluate);
    check("Обоснует выбор алгоритма", "обосновать", Evaluate);
    check("Сравнивает два алгоритма сортировки", "сравнивать", Analyze);
    check("Разберёт пример договора", "разобрать", Analyze);
    check("Перечислите виды облаков", "перечислить", Remember);
    check("Назовёт столицы стран Европы", "назвать", Remember);
    check("Применит формулу к задаче", "применить", Apply);
    check("Воспользуется формулой для расчёта", "воспользоваться", Apply);
    check("Проведите опрос пользователей", "провести", Apply);
    check("Выберите подходящий тип диаграммы", "выбрать", Remember);
}

#[test]
fn russian_lead_ins_are_passed_over() {
    use BloomLevel::{Analyze, Apply, Understand};
    let check = |objective: &str, lemma: &str, level| check(objective, Language::Russian, lemma, Some(level));
    check("Уметь настраивать сервер", "настраивать", Apply);
    check("Студент сможет настроить сервер", "настроить", Apply);
    check(
        "К концу урока студент сможет объяснить, как работает сервер",
        "объяснить",
        Understand,
    );
    check(
        "После завершения урока вы сможете сравнить два подхода",
        "сравнить",
        Analyze,
    );
    check(
        "После изучения раздела, слушатели смогут сравнить два подхода",
        "сравнить",
        Analyze,
    );
    check("Научиться настраивать сервер", "настраивать", Apply);
    check("Самостоятельно настроить сервер", "настроить", Apply);
    check("Правильно и безопасно настроить сервер", "настроить", Apply);
    check("Цель: описать круговорот воды", "описать", Understand);
    check("1. Описать круговорот воды", "описать", Understand);
    check(
        "Обучающийся должен уметь описать круговорот воды",
        "описать",
        Understand,
    );
}

#[test]
fn russian_verbs_that_no_test_can_measure_are_banned() {
    let check = |objective, lemma| check_banned(objective, Language::Russian, lemma);
    check("Понимать круговорот воды", "понимать");
    check("Понять круговорот воды", "понять");
    check("Поймёт круговорот воды", "понять");
    check("Знать названия планет", "знать");
    check("Знает названия планет", "знать");
    check("Изучить основы сварки", "изучить");
    check("Изучать основы сварки", "изучать");
    check("Осознавать риски проекта", "осознавать");
    check("Осознает риски проекта", "осознавать");
    check("Усваивать материал раздела", "усваивать");
    check("Познакомиться с инструментами", "познакомиться");
    check("Разбираться в видах договоров", "разбираться");
    check("Студент будет знать названия планет", "знать");
    check("К концу урока студент сможет понимать рекурсию", "понимать");
    check("Быть в курсе новостей отрасли", "быть в курсе");
    check("Иметь представление о рынке труда", "иметь представление");
    check("Понимание принципов рекурсии", "понимание");
}

#[test]
fn russian_words_that_only_contain_a_banned_verb_are_not_banned() {
    let check = |objective: &str| {
        let verb = first_verb(objective, Language::Russian).expect("a word");
        assert!(!verb.banned, "{objective}: {verb:?}");
    };
    check("Знаковые системы: сравнить две культуры");
    check("Знаменитые опыты: описать три из них");
    check("Понятийный аппарат социологии");
    check("Признать ошибки и исправить расчёт");
    check("Распознать виды облаков на снимке");
    check("Объяснить, что нужно знать пилоту");
    check("Изученные методы применить к задаче");
    check("Разобрать пример договора аренды");
}

#[test]
fn every_form_of_a_pattern_verb_is_known_at_its_level() {
    for language in [Language::English, Language::Russian] {
        let verbs = measurable_verbs(language);
        assert!(verbs.len() >= 40, "{language:?} has {}", verbs.len());
        for (verb, level) in verbs {
            let found = first_verb(&format!("{verb} x"), language).and_then(|verb| verb.level);
            assert_eq!(found, Some(*level), "{verb}");
        }
        for level in BloomLevel::ALL {
            assert!(
                verbs.iter().filter(|(_, its_level)| *its_level == level).count() >= 6,
                "{level:?}"
            );
        }
    }
    assert!(measurable_verbs(Language::German).is_empty());
}

#[test]
fn lists_have_well_over_eighty_verbs_a_language() {
    let count = |verbs: &[(BloomLevel, &str)]| {
        verbs
            .iter()
            .map(|(_, list)| list.split_whitespace().count())
            .sum::<usize>()
    };
    assert!(count(en::VERBS) > 300, "{}", count(en::VERBS));
    assert!(count(ru::VERBS) > 300, "{}", count(ru::VERBS));
}

#[test]
fn no_measurable_verb_is_banned() {
    for (language, levels) in [(Language::English, en::VERBS), (Language::Russian, ru::VERBS)] {
        for entry in levels.iter().flat_map(|(_, entries)| entries.split_whitespace()) {
            let infinitive = entry.split(':').next().unwrap_or(entry);
            let verb = first_verb(infinitive, language).expect("a word");
            assert!(!verb.banned && verb.level.is_some(), "{infinitive}: {verb:?}");
        }
    }
}

#[test]
fn profile_counts_lesson_objectives_by_section() {
    let course = samples::course(Language::English);
    let profile = bloom_profile(&course, Language::English);
    assert_eq!(profile.sections.len(), 3);
    assert_eq!(profile.course.recognized() + profile.course.unrecognized, 24);
    assert_eq!(profile.course.unrecognized, 0);
    let means: Vec<_> = profile
        .sections
        .iter()
        .filter_map(|counts| counts.mean_level())
        .collect();
    assert!(means[0] < means[1] && means[1] < means[2], "{means:?}");
    let german = bloom_profile(&course, Language::German);
    assert_eq!(german.course.unrecognized, 24);
    assert_eq!(german.course.mean_level(), None);
}

/// The folder of objectives by human authors: `COURSEWRIGHT_TEST_DATA`, else `shared/data` beside the workspace.
#[expect(clippy::disallowed_methods, reason = "a test looks for its data")]
fn test_data() -> Option<PathBuf> {
    let named = std::env::var_os("COURSEWRIGHT_TEST_DATA").map(PathBuf::from);
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    Some(named.unwrap_or_else(beside).join("openstax")).filter(|folder| folder.is_dir())
}

fn human_objectives(folder: &Path) -> Vec<String> {
    fn collect(value: &serde_json::Value, objectives: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(fields) => {
                for (name, field) in fields {
                    match field.as_array().filter(|_| name == "objectives") {
                        Some(list) => {
                            objectives
                                .extend(list.iter().filter_map(|text| text.as_str().map(str::to_owned)));
                        }
                        None => collect(field, objectives),
                    }
                }
            }
            serde_json::Value::Array(entries) => entries.iter().for_each(|entry| collect(entry, objectives)),
            _ => {}
        }
    }
    let mut objectives = Vec::new();
    for entry in std::fs::read_dir(folder)
        .expect("the folder can be read")
        .flatten()
    {
        if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let text = std::fs::read_to_string(entry.path()).expect("the file can be read");
            collect(&serde_json::from_str(&text).expect("JSON"), &mut objectives);
        }
    }
    objectives
}

#[test]
#[expect(clippy::print_stderr, reason = "the figures are the purpose of the test")]
fn objectives_of_human_authors_are_recognised_and_not_rejected() {
    let Some(folder) = test_data() else {
        eprintln!("skipped: no folder of human objectives (set COURSEWRIGHT_TEST_DATA)");
        return;
    };
    let objectives = human_objectives(&folder);
    assert!(objectives.len() > 500, "{} objectives", objectives.len());
    let verbs: Vec<_> = objectives
        .iter()
        .map(|text| (text, first_verb(text, Language::English)))
        .collect();
    let banned: Vec<_> = verbs
        .iter()
        .filter(|(_, verb)| verb.as_ref().is_some_and(|verb| verb.banned))
        .collect();
    let unknown: Vec<_> = verbs
        .iter()
        .filter(|(_, verb)| {
            !verb
                .as_ref()
                .is_some_and(|verb| verb.banned || verb.level.is_some())
        })
        .map(|(text, _)| *text)
        .collect();
    let falsely_banned = banned
        .iter()
        .filter(|(text, _)| !text.to_lowercase().starts_with("understand "))
        .count();
    let recognized = 1.0 - unknown.len() as f64 / objectives.len() as f64;
    eprintln!(
        "{} human objectives: first verb recognised {:.1} %, banned {}, falsely banned {falsely_banned}; unknown: {unknown:?}",
        objectives.len(),
        recognized * 100.0,
        banned.len(),
    );
    assert!(recognized > 0.95);
    assert_eq!(falsely_banned, 0);

    let short = objectives
        .iter()
        .filter(|text| crate::lesson::count_words(text) < 4)
        .count();
    eprintln!("{short} have fewer than four words");
    let mut false_rejects = Vec::new();
    for (text, verb) in &verbs {
        let ctx = crate::validation::ValidationContext::new(Language::English);
        let mut lesson = samples::course(Language::English).sections[0].lessons[0].clone();
        lesson.lesson_objectives.push((*text).clone());
        let findings =
            crate::validation::validate_lesson(&lesson, &ctx, &crate::validation::TitleIndex::default());
        let errors: Vec<_> = findings
            .iter()
            .filter(|finding| finding.is_error())
            // Fewer than four words or fifteen characters are rejected by the data model's own limits.
            .filter(|finding| {
                !matches!(
                    finding.rule,
                    crate::validation::Rule::ObjectiveShort | crate::validation::Rule::Length
                )
            })
            .collect();
        if !errors.is_empty() && !verb.as_ref().is_some_and(|verb| verb.banned) {
            false_rejects.push(format!("{text}: {errors:?}"));
        }
    }
    let share = false_rejects.len() as f64 / objectives.len() as f64;
    eprintln!("false rejects {:.2} %: {false_rejects:?}", share * 100.0);
    assert!(share < 0.005);
}
