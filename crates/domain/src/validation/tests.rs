use super::*;
use crate::samples;

/// Changes a good course in one way and looks for a finding of `rule` at `path`; nothing else may be an error.
fn check(language: Language, change: impl FnOnce(&mut CourseStructure), expected: &[(Rule, Severity, &str)]) {
    let mut course = samples::course(language);
    change(&mut course);
    let findings = validate_structure(&course, &ValidationContext::new(language));
    for (rule, severity, path) in expected {
        let is_found = findings.iter().any(|finding| {
            (finding.rule, finding.severity, finding.path.as_str()) == (*rule, *severity, *path)
        });
        assert!(is_found, "{rule} at {path} is missing in {findings:#?}");
    }
    let unexpected: Vec<_> = findings
        .iter()
        .filter(|finding| finding.severity != Severity::Info)
        .filter(|finding| {
            !expected
                .iter()
                .any(|(rule, _, path)| finding.rule == *rule && finding.path.starts_with(path))
        })
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
}

fn check_both(change: impl Fn(&mut CourseStructure), expected: &[(Rule, Severity, &str)]) {
    check(Language::English, &change, expected);
    check(Language::Russian, &change, expected);
}

const ERROR: Severity = Severity::Error;
const WARNING: Severity = Severity::Warning;
const TITLE: &str = "sections[0].lessons[0].lesson_title";
const OBJECTIVE: &str = "sections[0].lessons[0].lesson_objectives[0]";
const TOPIC: &str = "sections[0].lessons[0].key_topics[0]";

fn first(course: &mut CourseStructure) -> &mut Lesson {
    &mut course.sections[0].lessons[0]
}

#[test]
fn good_courses_have_no_finding() {
    for language in [Language::English, Language::Russian] {
        let findings = validate_structure(&samples::course(language), &ValidationContext::new(language));
        assert!(findings.is_empty(), "{findings:#?}");
    }
}

#[test]
fn lengths_and_counts_are_checked_at_both_ends() {
    check_both(
        |course| "Курс SQL".clone_into(&mut course.course_title),
        &[(Rule::Length, ERROR, "course_title")],
    );
    check_both(
        |course| course.course_description.truncate(0),
        &[(Rule::Placeholder, ERROR, "course_description")],
    );
    check_both(
        |course| course.course_overview = "1".repeat(10_001),
        &[(Rule::Length, ERROR, "course_overview")],
    );
    check_both(
        |course| course.course_tags.truncate(4),
        &[(Rule::Count, ERROR, "course_tags")],
    );
    check_both(
        |course| course.learning_outcomes.truncate(2),
        &[(Rule::Count, ERROR, "learning_outcomes")],
    );
    check_both(
        |course| course.assessment_strategy.practical_projects = 11,
        &[(Rule::Range, ERROR, "assessment_strategy.practical_projects")],
    );
    check_both(
        |course| course.sections[1].learning_objectives.clear(),
        &[(Rule::Count, ERROR, "sections[1].learning_objectives")],
    );
    check_both(
        |course| first(course).key_topics.truncate(1),
        &[(Rule::Count, ERROR, "sections[0].lessons[0].key_topics")],
    );
    check_both(
        |course| first(course).practical_exercises.truncate(2),
        &[(Rule::Count, ERROR, "sections[0].lessons[0].practical_exercises")],
    );
    check_both(
        |course| first(course).practical_exercises[0].exercise_description = "x".repeat(1501),
        &[(
            Rule::Length,
            ERROR,
            "sections[0].lessons[0].practical_exercises[0].exercise_description",
        )],
    );
}

#[test]
fn lengths_count_characters_after_trimming() {
    let with_title = |title: String| {
        let mut course = samples::course(Language::Russian);
        course.course_title = title;
        validate_metadata(&course, &ValidationContext::new(Language::Russian))
    };
    // Ten Cyrillic letters are twenty bytes.
    assert!(with_title("Шитьё дома".to_owned()).is_empty());
    assert_eq!(with_title(format!("   {}   ", "Шитьё дом")).len(), 1);
}

#[test]
fn messages_say_field_value_limit_and_what_to_do() {
    let mut course = samples::course(Language::English);
    "SQL".clone_into(&mut course.course_title);
    let findings = validate_metadata(&course, &ValidationContext::new(Language::English));
    assert_eq!(
        feedback(&findings, 5),
        "- course_title: has 3 characters, at least 10 are needed: say it more fully"
    );
}

#[test]
fn a_course_has_ten_lessons_in_all() {
    let nine = |course: &mut CourseStructure| {
        course.sections[2].lessons.truncate(1);
        course.renumber();
    };
    check_both(nine, &[(Rule::Count, ERROR, "sections")]);
    let ten = |course: &mut CourseStructure| {
        course.sections[2].lessons.truncate(2);
        course.renumber();
    };
    check_both(ten, &[]);
}

#[test]
fn numbers_run_through_the_course_and_durations_are_sums() {
    check_both(
        |course| course.sections[1].lessons[0].lesson_number = 1,
        &[(Rule::Numbering, ERROR, "sections[1].lessons[0].lesson_number")],
    );
    check_both(
        |course| course.sections[1].section_number = 3,
        &[(Rule::Numbering, ERROR, "sections[1].section_number")],
    );
    check_both(
        |course| course.sections[1].estimated_duration_minutes += 1,
        &[(Rule::Totals, ERROR, "sections[1].estimated_duration_minutes")],
    );
    check_both(
        |course| course.estimated_duration_hours = f64::NAN,
        &[(Rule::Totals, ERROR, "estimated_duration_hours")],
    );
    check_both(
        |course| course.estimated_duration_hours = 4.0,
        &[(Rule::Totals, ERROR, "estimated_duration_hours")],
    );
}

#[test]
fn equal_titles_and_topics_are_errors_whatever_their_case_and_punctuation() {
    check(
        Language::English,
        |course| course.sections[2].lessons[1].lesson_title = "Rows, Columns & keys!".replace('&', "and"),
        &[(Rule::TitleRepeated, ERROR, "sections[2].lessons[1].lesson_title")],
    );
    check(
        Language::Russian,
        |course| "«строки, столбцы и ключи»".clone_into(&mut course.sections[2].lessons[1].lesson_title),
        &[(Rule::TitleRepeated, ERROR, "sections[2].lessons[1].lesson_title")],
    );
    check(
        Language::English,
        |course| "Primary Keys in practice.".clone_into(&mut course.sections[1].lessons[0].key_topics[2]),
        &[(Rule::TopicRepeated, ERROR, "sections[1].lessons[0].key_topics[2]")],
    );
    // Languages whose names differ by a sign only are different topics.
    check(
        Language::English,
        |course| {
            let signs = ["Reading C code", "Reading C++ code", "Reading C# code"];
            first(course).key_topics = signs.map(str::to_owned).to_vec();
        },
        &[],
    );
    check_both(
        |course| course.course_tags[1] = "SQL!".to_owned(),
        &[(Rule::Distinct, ERROR, "course_tags[1]")],
    );
}

#[test]
fn a_section_is_checked_against_titles_used_elsewhere() {
    let course = samples::course(Language::English);
    let elsewhere = TitleIndex::of_sections(&course.sections[..2]);
    let ctx = ValidationContext::new(Language::English);
    assert!(validate_section(&course.sections[2], &ctx, &elsewhere).is_empty());
    let mut section = course.sections[2].clone();
    section.lessons[0].lesson_title = "Filtering with where".to_owned();
    let findings = validate_section(&section, &ctx, &elsewhere);
    assert_eq!(
        (findings[0].rule, findings[0].path.as_str()),
        (Rule::TitleRepeated, "lessons[0].lesson_title")
    );
    assert!(
        findings[0].message.contains("Questions to one table"),
        "{}",
        findings[0].message
    );
    assert_eq!(elsewhere.titles().len(), 8);
    assert_eq!(elsewhere.topics().len(), 24);
    assert_eq!(validate_lesson(&section.lessons[0], &ctx, &elsewhere).len(), 1);
    assert_eq!(
        elsewhere.place_of_topic("having AGAINST where"),
        Some("section 'Questions to several tables'")
    );
}

#[test]
fn unmeasurable_objectives_are_errors() {
    let english = |objective: &str, rule, severity| {
        check(
            Language::English,
            |course| first(course).lesson_objectives[0] = objective.to_owned(),
            &[(rule, severity, OBJECTIVE)],
        );
    };
    english(
        "Understand how tables store rows",
        Rule::ObjectiveUnmeasurable,
        ERROR,
    );
    english(
        "Students will be familiar with primary keys",
        Rule::ObjectiveUnmeasurable,
        ERROR,
    );
    english("Tables and their primary keys", Rule::ObjectiveVerb, WARNING);
    english("Describe primary keys", Rule::ObjectiveShort, ERROR);
    let russian = |objective: &str, rule, severity| {
        check(
            Language::Russian,
            |course| first(course).lesson_objectives[0] = objective.to_owned(),
            &[(rule, severity, OBJECTIVE)],
        );
    };
    russian(
        "Понимать, как таблица хранит строки",
        Rule::ObjectiveUnmeasurable,
        ERROR,
    );
    russian(
        "Студент будет знать виды ключей",
        Rule::ObjectiveUnmeasurable,
        ERROR,
    );
    russian("Таблицы и их первичные ключи", Rule::ObjectiveVerb, WARNING);
    russian("Описать первичные ключи", Rule::ObjectiveShort, ERROR);
}

#[test]
fn a_lesson_needs_one_objective_with_an_action_verb() {
    check(
        Language::English,
        |course| first(course).lesson_objectives = vec!["Tables and their primary keys".to_owned()],
        &[
            (Rule::ObjectiveVerb, WARNING, OBJECTIVE),
            (
                Rule::ObjectiveVerb,
                ERROR,
                "sections[0].lessons[0].lesson_objectives",
            ),
        ],
    );
    // No verb list, no check.
    let mut lesson = samples::course(Language::English).sections[0].lessons[0].clone();
    lesson.lesson_objectives = vec!["Die Tabelle und ihre Schlüssel".to_owned()];
    let findings = validate_lesson(
        &lesson,
        &ValidationContext::new(Language::German),
        &TitleIndex::default(),
    );
    assert!(
        findings.iter().all(|finding| finding.rule != Rule::ObjectiveVerb),
        "{findings:#?}"
    );
}

#[test]
fn single_generic_topics_are_errors_and_topics_that_contain_the_word_are_not() {
    let topic = |language, topic: &str, expected: &[(Rule, Severity, &str)]| {
        check(
            language,
            |course| first(course).key_topics[0] = topic.to_owned(),
            expected,
        );
    };
    let generic = &[(Rule::TopicGeneric, ERROR, TOPIC)];
    topic(Language::English, "Introduction", generic);
    topic(Language::English, "Overview:", generic);
    topic(Language::Russian, "Введение", generic);
    topic(Language::Russian, "ОБЗОР", generic);
    topic(Language::English, "Introduction to Rust", &[]);
    topic(Language::English, "Recursion", &[]);
    topic(Language::Russian, "Введение в алгебру", &[]);
    topic(Language::Russian, "Рекурсия", &[]);
}

#[test]
fn minutes_fit_topics_and_objectives() {
    // Three topics and two objectives need 9 minutes and take beginners 45.
    let minutes = |minutes: u32, difficulty: DifficultyLevel| {
        let mut lesson = samples::course(Language::English).sections[0].lessons[0].clone();
        lesson.estimated_duration_minutes = minutes;
        let ctx = ValidationContext {
            difficulty,
            ..ValidationContext::new(Language::English)
        };
        let findings = validate_lesson(&lesson, &ctx, &TitleIndex::default());
        findings
            .iter()
            .map(|finding| (finding.rule, finding.severity))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        minutes(8, DifficultyLevel::Beginner),
        [(Rule::LessonTime, WARNING)]
    );
    assert_eq!(minutes(9, DifficultyLevel::Beginner), []);
    assert_eq!(minutes(45, DifficultyLevel::Beginner), []);
    assert_eq!(
        minutes(46, DifficultyLevel::Beginner),
        [(Rule::Range, ERROR), (Rule::LessonTime, WARNING)]
    );
    assert_eq!(minutes(46, DifficultyLevel::Intermediate), [(Rule::Range, ERROR)]);
    assert_eq!(
        minutes(2, DifficultyLevel::Beginner),
        [(Rule::Range, ERROR), (Rule::LessonTime, WARNING)]
    );
}

#[test]
fn placeholders_are_errors_wherever_they_stand() {
    let title = |language, title: &str, is_placeholder: bool| {
        let expected = [(Rule::Placeholder, ERROR, TITLE)];
        check(
            language,
            |course| first(course).lesson_title = title.to_owned(),
            if is_placeholder { &expected } else { &[] },
        );
    };
    title(Language::English, "TODO: find a title", true);
    title(Language::English, "Build a TODO list app", false);
    title(Language::Russian, "[название]", true);
    title(Language::Russian, "Привет, {{name}}!", true);
    check(
        Language::Russian,
        |course| {
            course.sections[0].lessons[0].practical_exercises[1].exercise_description =
                "[вставьте описание задания]".to_owned();
        },
        &[(
            Rule::Placeholder,
            ERROR,
            "sections[0].lessons[0].practical_exercises[1].exercise_description",
        )],
    );
}

#[test]
fn texts_in_another_language_are_errors() {
    let english = samples::course(Language::English);
    check(
        Language::Russian,
        |course| course.course_overview = english.course_overview.clone(),
        &[(Rule::Language, ERROR, "course_overview")],
    );
    let russian = samples::course(Language::Russian);
    check(
        Language::English,
        |course| course.course_overview = russian.course_overview.clone(),
        &[(Rule::Language, ERROR, "course_overview")],
    );
}

#[test]
fn the_users_outcomes_stand_among_the_courses() {
    let findings = |own: &str, outcome: &str| {
        let mut course = samples::course(Language::English);
        course.learning_outcomes[0] = outcome.to_owned();
        let own = [own.to_owned()];
        let ctx = ValidationContext {
            user_outcomes: &own,
            ..ValidationContext::new(Language::English)
        };
        validate_structure(&course, &ctx)
    };
    let taken = "Write queries that filter, sort and summarise one table";
    assert!(findings(taken, taken).is_empty());
    assert!(findings("write Queries that filter, sort and summarise one table.", taken).is_empty());
    assert!(findings("Sort one table", taken).is_empty());
    let missing = findings("Tune slow queries with an index", taken);
    assert_eq!(
        (missing[0].rule, missing[0].path.as_str()),
        (Rule::UserOutcomeMissing, "learning_outcomes")
    );
    assert!(missing[0].is_error() && missing[0].message.contains("Tune slow queries"));
    // The author's own wish is a constraint, whatever its verb; the model's is not.
    let wish = "Understand how a database finds rows";
    assert!(findings(wish, wish).is_empty());
    let unmeasurable = findings("Sort one table", "Understand how to sort one table of rows");
    assert_eq!(
        (unmeasurable[0].rule, unmeasurable[0].severity),
        (Rule::ObjectiveUnmeasurable, WARNING)
    );
}

#[test]
fn levels_that_never_rise_are_worth_a_remark() {
    let mut course = samples::course(Language::English);
    course.sections.reverse();
    course.renumber();
    let findings = validate_structure(&course, &ValidationContext::new(Language::English));
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!(
        (findings[0].rule, findings[0].severity),
        (Rule::BloomFlat, Severity::Info)
    );
    let mut course = samples::course(Language::English);
    for lesson in &mut course.sections[1].lessons {
        lesson.lesson_objectives = vec!["Describe the tables of the shop".to_owned()];
    }
    let findings = validate_structure(&course, &ValidationContext::new(Language::English));
    assert!(
        findings
            .iter()
            .any(|finding| finding.rule == Rule::BloomSingleLevel && finding.path == "sections[1]")
    );
}

#[test]
fn near_duplicates_are_warnings_at_the_later_place() {
    let labels = [
        ("a".to_owned(), "Inner joins".to_owned()),
        ("b".to_owned(), "Joining with INNER JOIN".to_owned()),
        ("c".to_owned(), "Baking bread".to_owned()),
        ("d".to_owned(), "inner joins!".to_owned()),
    ];
    let similarity = |left: usize, right: usize| if left != 2 && right != 2 { 0.97 } else { 0.2 };
    let findings = near_duplicate_findings(&labels, similarity, 0.95);
    let paths: Vec<_> = findings.iter().map(|finding| finding.path.as_str()).collect();
    // `d` equals `a`, which is an error of another rule, but is also near `b`.
    assert_eq!(paths, ["b", "d"]);
    assert!(findings.iter().all(|finding| finding.severity == WARNING));
}

#[test]
fn outcomes_that_no_lesson_serves_are_named() {
    let outcomes = ["Weld aluminium".to_owned(), "Bake bread".to_owned()];
    let findings = outcome_coverage_findings(
        &outcomes,
        3,
        |outcome, lesson| if outcome == 1 && lesson == 2 { 0.9 } else { 0.1 },
        0.8,
    );
    assert_eq!(findings.len(), 1);
    assert!(findings[0].message.contains("Weld aluminium"));
    assert_eq!(outcome_coverage_findings(&outcomes, 0, |_, _| 1.0, 0.8).len(), 2);
}

#[test]
fn big_courses_are_advised_against_and_allowed() {
    let mut course = samples::course(Language::English);
    let mut extra = course.sections[0].clone();
    extra.lessons.truncate(1);
    for number in 0..48 {
        let mut section = extra.clone();
        section.lessons[0].lesson_title = format!("Another lesson number {number}");
        section.lessons[0].key_topics = vec![
            format!("First subject {number}"),
            format!("Second subject {number}"),
        ];
        course.sections.push(section);
    }
    course.renumber();
    let findings = validate_structure(&course, &ValidationContext::new(Language::English));
    assert!(!has_errors(&findings), "{findings:#?}");
    assert!(
        findings
            .iter()
            .any(|finding| finding.rule == Rule::Size && finding.path == "sections")
    );
}

#[test]
fn exercises_are_checked_like_all_texts() {
    check_both(
        |course| {
            let mut exercise = first(course).practical_exercises[0].clone();
            "TBD".clone_into(&mut exercise.exercise_title);
            first(course).practical_exercises.push(exercise);
        },
        &[
            (
                Rule::Length,
                ERROR,
                "sections[0].lessons[0].practical_exercises[3].exercise_title",
            ),
            (
                Rule::Placeholder,
                ERROR,
                "sections[0].lessons[0].practical_exercises[3].exercise_title",
            ),
        ],
    );
}
