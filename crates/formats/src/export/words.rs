//! The words of an exported page around the course's own texts: Russian for Russian courses, else English.

use chrono::{DateTime, Datelike, Utc};
use domain::language::Language;
use domain::lesson::QualityCheck;
use domain::structure::{DifficultyLevel, ExerciseType};

/// Every word that an export adds to a course, in one language.
#[derive(Debug)]
pub(super) struct Words {
    /// ISO 639-1 of these words.
    pub code: &'static str,
    pub skip: &'static str,
    pub contents: &'static str,
    pub menu: &'static str,
    pub theme: &'static str,
    pub print: &'static str,
    pub to_top: &'static str,
    pub start: &'static str,
    pub resume: &'static str,
    pub overview: &'static str,
    pub lessons: &'static str,
    pub duration: &'static str,
    pub level: &'static str,
    pub audience: &'static str,
    pub language: &'static str,
    pub outcomes: &'static str,
    pub prerequisites: &'static str,
    pub no_prerequisites: &'static str,
    pub assessment: &'static str,
    pub tags: &'static str,
    pub section: &'static str,
    pub lesson: &'static str,
    pub section_objectives: &'static str,
    pub objectives: &'static str,
    pub topics: &'static str,
    pub example: &'static str,
    pub exercises: &'static str,
    pub hint: &'static str,
    pub hints: &'static str,
    pub solution: &'static str,
    pub quiz: &'static str,
    pub choose_one: &'static str,
    pub choose_all: &'static str,
    pub check: &'static str,
    pub again: &'static str,
    pub right: &'static str,
    pub wrong: &'static str,
    pub unanswered: &'static str,
    /// `{right}` and `{all}` are filled in by the page's script.
    pub score: &'static str,
    pub answer: &'static str,
    pub answers: &'static str,
    pub summary: &'static str,
    pub further_reading: &'static str,
    pub sources: &'static str,
    /// One of them, before its number.
    pub source: &'static str,
    pub back: &'static str,
    pub page: &'static str,
    pub pages: &'static str,
    pub grounding: &'static str,
    pub grounding_note: &'static str,
    pub unused_documents: &'static str,
    pub document: &'static str,
    pub used_parts: &'static str,
    pub unused_parts: &'static str,
    pub sentences: &'static str,
    pub unsupported: &'static str,
    pub previous: &'static str,
    pub next: &'static str,
    pub done: &'static str,
    pub close: &'static str,
    pub read: &'static str,
    /// `{done}` and `{all}` are filled in by the page's script.
    pub progress: &'static str,
    pub unwritten: &'static str,
    pub needs_review: &'static str,
    pub about: &'static str,
    pub made_on: &'static str,
    pub made_by: &'static str,
    pub word_total: &'static str,
    pub written: &'static str,
    pub quality: &'static str,
    pub hours_sign: &'static str,
    pub minutes_sign: &'static str,
    levels: [&'static str; 3],
    exercise_types: [&'static str; 7],
    months: [&'static str; 12],
    lesson_forms: Forms,
    project_forms: Forms,
    quiz_per_section: &'static str,
    final_exam: &'static str,
}

/// A noun after 1, 2 and 5.
type Forms = [&'static str; 3];

impl Words {
    /// The words for a course in `language`.
    pub(super) const fn of(language: Language) -> &'static Self {
        match language {
            Language::Russian => &RUSSIAN,
            _ => &ENGLISH,
        }
    }

    pub(super) const fn level_name(&self, level: DifficultyLevel) -> &'static str {
        match level {
            DifficultyLevel::Beginner => self.levels[0],
            DifficultyLevel::Intermediate => self.levels[1],
            DifficultyLevel::Advanced => self.levels[2],
        }
    }

    pub(super) const fn exercise_name(&self, kind: ExerciseType) -> &'static str {
        match kind {
            ExerciseType::SelfAssessment => self.exercise_types[0],
            ExerciseType::CaseStudy => self.exercise_types[1],
            ExerciseType::HandsOn => self.exercise_types[2],
            ExerciseType::Discussion => self.exercise_types[3],
            ExerciseType::Quiz => self.exercise_types[4],
            ExerciseType::Simulation => self.exercise_types[5],
            ExerciseType::Reflection => self.exercise_types[6],
        }
    }

    /// `6 h 15 min`.
    pub(super) fn minutes(&self, minutes: u32) -> String {
        let (hours, rest) = (minutes / 60, minutes % 60);
        match (hours, rest) {
            (0, _) => format!("{rest}\u{a0}{}", self.minutes_sign),
            (_, 0) => format!("{hours}\u{a0}{}", self.hours_sign),
            _ => format!(
                "{hours}\u{a0}{} {rest}\u{a0}{}",
                self.hours_sign, self.minutes_sign
            ),
        }
    }

    /// `24 lessons`.
    pub(super) fn lesson_count(&self, count: usize) -> String {
        format!("{count}\u{a0}{}", self.form(count, self.lesson_forms))
    }

    /// `12,345`, with the language's own separator.
    pub(super) fn number(&self, number: u64) -> String {
        let separator = if self.code == "ru" { '\u{a0}' } else { ',' };
        let digits = number.to_string();
        let mut grouped = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                grouped.push(separator);
            }
            grouped.push(digit);
        }
        grouped
    }

    /// `5 March 2026`.
    pub(super) fn date(&self, at: DateTime<Utc>) -> String {
        format!("{} {} {}", at.day(), self.months[at.month0() as usize], at.year())
    }

    /// What a course's assessment consists of, as phrases.
    pub(super) fn assessment_parts(&self, quizzes: bool, exam: bool, projects: u8) -> Vec<String> {
        let mut parts = Vec::new();
        if quizzes {
            parts.push(self.quiz_per_section.to_owned());
        }
        if projects > 0 {
            let form = self.form(usize::from(projects), self.project_forms);
            parts.push(format!("{projects}\u{a0}{form}"));
        }
        if exam {
            parts.push(self.final_exam.to_owned());
        }
        parts
    }

    fn form(&self, count: usize, forms: Forms) -> &'static str {
        let [one, few, many] = forms;
        if self.code != "ru" {
            return if count == 1 { one } else { many };
        }
        match (count % 10, count % 100) {
            (_, 11..=14) => many,
            (1, _) => one,
            (2..=4, _) => few,
            _ => many,
        }
    }
}

/// The details of the checks that failed: what a person who reviews the lesson should look at.
pub(super) fn failed_checks(checks: &[QualityCheck]) -> impl Iterator<Item = &str> {
    checks
        .iter()
        .filter(|check| !check.passed)
        .map(|check| check.detail.as_str())
}

static ENGLISH: Words = Words {
    code: "en",
    skip: "Skip to the course",
    contents: "Contents",
    menu: "Contents",
    theme: "Light or dark",
    print: "Print",
    to_top: "To the top",
    start: "Start the course",
    resume: "Continue where you left off",
    overview: "About this course",
    lessons: "Lessons",
    duration: "Time",
    level: "Level",
    audience: "For whom",
    language: "Language",
    outcomes: "What you will be able to do",
    prerequisites: "What you need before you start",
    no_prerequisites: "Nothing: everyone can start.",
    assessment: "How you are assessed",
    tags: "Topics",
    section: "Section",
    lesson: "Lesson",
    section_objectives: "After this section you can",
    objectives: "After this lesson you can",
    topics: "What it is about",
    example: "Example",
    exercises: "Exercises",
    hint: "Hint",
    hints: "Hints",
    solution: "Solution",
    quiz: "Check yourself",
    choose_one: "Choose one answer.",
    choose_all: "Choose all that apply.",
    check: "Check",
    again: "Try again",
    right: "Right.",
    wrong: "Not quite.",
    unanswered: "Choose an answer first.",
    score: "{right} of {all} right",
    answer: "Answer",
    answers: "Answers and solutions",
    summary: "In short",
    further_reading: "Read on",
    sources: "Sources",
    source: "Source",
    back: "Back to the text",
    page: "p.",
    pages: "pp.",
    grounding: "What this course rests on",
    grounding_note: "The sentences of every lesson were compared with the pieces of documents that it cites.",
    unused_documents: "No lesson uses these documents:",
    document: "Document",
    used_parts: "Pieces used",
    unused_parts: "What no lesson uses",
    sentences: "Sentences compared",
    unsupported: "Not borne out by the sources",
    previous: "Previous",
    next: "Next",
    done: "I have finished this lesson",
    close: "Close the lesson",
    read: "finished",
    progress: "{done} of {all} lessons finished",
    unwritten: "The text of this lesson is not written yet. This is its plan.",
    needs_review: "This lesson is waiting for a person to review it.",
    about: "About this edition",
    made_on: "Made on",
    made_by: "Made with",
    word_total: "Words",
    written: "Lessons written",
    quality: "Quality score",
    hours_sign: "h",
    minutes_sign: "min",
    levels: ["Beginner", "Intermediate", "Advanced"],
    exercise_types: [
        "Self-assessment",
        "Case study",
        "Hands-on",
        "Discussion",
        "Quiz",
        "Simulation",
        "Reflection",
    ],
    months: [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
    lesson_forms: ["lesson", "lessons", "lessons"],
    project_forms: ["practical project", "practical projects", "practical projects"],
    quiz_per_section: "a quiz in every section",
    final_exam: "a final exam",
};

static RUSSIAN: Words = Words {
    code: "ru",
    skip: "Перейти к курсу",
    contents: "Содержание",
    menu: "Содержание",
    theme: "Светлая или тёмная тема",
    print: "Печать",
    to_top: "К началу",
    start: "Начать курс",
    resume: "Продолжить с места остановки",
    overview: "О курсе",
    lessons: "Уроки",
    duration: "Время",
    level: "Уровень",
    audience: "Для кого",
    language: "Язык",
    outcomes: "Чему вы научитесь",
    prerequisites: "Что нужно знать заранее",
    no_prerequisites: "Ничего: начать может каждый.",
    assessment: "Как проверяются знания",
    tags: "Темы",
    section: "Раздел",
    lesson: "Урок",
    section_objectives: "После этого раздела вы сможете",
    objectives: "После этого урока вы сможете",
    topics: "О чём урок",
    example: "Пример",
    exercises: "Упражнения",
    hint: "Подсказка",
    hints: "Подсказки",
    solution: "Решение",
    quiz: "Проверьте себя",
    choose_one: "Выберите один ответ.",
    choose_all: "Выберите все верные ответы.",
    check: "Проверить",
    again: "Попробовать ещё раз",
    right: "Верно.",
    wrong: "Не совсем.",
    unanswered: "Сначала выберите ответ.",
    score: "Верно {right} из {all}",
    answer: "Ответ",
    answers: "Ответы и решения",
    summary: "Коротко",
    further_reading: "Что почитать",
    sources: "Источники",
    source: "Источник",
    back: "Назад к тексту",
    page: "с.",
    pages: "с.",
    grounding: "На чём основан курс",
    grounding_note: "Предложения каждого урока сопоставлены с фрагментами документов, на которые он ссылается.",
    unused_documents: "Ни один урок не использует эти документы:",
    document: "Документ",
    used_parts: "Использовано фрагментов",
    unused_parts: "Что не использует ни один урок",
    sentences: "Проверено предложений",
    unsupported: "Не подтверждается источниками",
    previous: "Назад",
    next: "Далее",
    done: "Урок пройден",
    close: "Закрыть урок",
    read: "пройден",
    progress: "Пройдено уроков: {done} из {all}",
    unwritten: "Текст этого урока ещё не написан. Ниже — его план.",
    needs_review: "Этот урок ждёт проверки человеком.",
    about: "Об этом издании",
    made_on: "Создано",
    made_by: "Чем создано",
    word_total: "Слов",
    written: "Написано уроков",
    quality: "Оценка качества",
    hours_sign: "ч",
    minutes_sign: "мин",
    levels: ["Начальный", "Средний", "Продвинутый"],
    exercise_types: [
        "Самопроверка",
        "Разбор случая",
        "Практика",
        "Обсуждение",
        "Тест",
        "Симуляция",
        "Рефлексия",
    ],
    months: [
        "января",
        "февраля",
        "марта",
        "апреля",
        "мая",
        "июня",
        "июля",
        "августа",
        "сентября",
        "октября",
        "ноября",
        "декабря",
    ],
    lesson_forms: ["урок", "урока", "уроков"],
    project_forms: [
        "практический проект",
        "практических проекта",
        "практических проектов",
    ],
    quiz_per_section: "тест в каждом разделе",
    final_exam: "итоговый экзамен",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn russian_nouns_follow_their_numbers() {
        let check = |count: usize, expected: &str| {
            assert_eq!(RUSSIAN.lesson_count(count), expected.replace(' ', "\u{a0}"));
        };
        check(1, "1 урок");
        check(2, "2 урока");
        check(5, "5 уроков");
        check(11, "11 уроков");
        check(12, "12 уроков");
        check(21, "21 урок");
        check(24, "24 урока");
        check(111, "111 уроков");
    }

    #[test]
    fn numbers_and_times_are_written_as_people_write_them() {
        assert_eq!(ENGLISH.number(1_234_567), "1,234,567");
        assert_eq!(ENGLISH.number(999), "999");
        assert_eq!(RUSSIAN.number(12_345), "12\u{a0}345");
        assert_eq!(ENGLISH.minutes(45), "45\u{a0}min");
        assert_eq!(ENGLISH.minutes(60), "1\u{a0}h");
        assert_eq!(RUSSIAN.minutes(150), "2\u{a0}ч 30\u{a0}мин");
    }
}
