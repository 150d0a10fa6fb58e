use super::*;
use crate::language::Language;
use crate::samples;
use crate::validation::Severity;

fn check(change: impl FnOnce(&mut LessonContent), expected: &[(Rule, Severity, &str)]) {
    let mut content = samples::lesson_content();
    change(&mut content);
    content.word_count = content.count_words();
    let lesson = samples::course(Language::English).sections[0].lessons[0].clone();
    let findings = validate_lesson_content(&content, &lesson, &ValidationContext::new(Language::English));
    let found: Vec<_> = findings
        .iter()
        // The sample is short for its minutes.
        .filter(|finding| (finding.rule, finding.severity) != (Rule::LessonLength, Severity::Warning))
        .map(|finding| (finding.rule, finding.severity, finding.path.as_str()))
        .collect();
    assert_eq!(found, expected, "{findings:#?}");
}

const ERROR: Severity = Severity::Error;
const WARNING: Severity = Severity::Warning;

#[test]
fn a_good_lesson_has_no_errors() {
    check(|_| {}, &[]);
}

#[test]
fn every_key_topic_is_covered_by_a_block() {
    check(
        |content| drop(content.blocks.remove(2)),
        &[(Rule::TopicUncovered, WARNING, "blocks")],
    );
    check(
        |content| content.blocks[2].title = "The key of a row".to_owned(),
        &[],
    );
}

#[test]
fn quiz_answers_fit_their_options() {
    check(
        |content| content.quiz[0].correct_answers = vec![3],
        &[(Rule::QuizAnswers, ERROR, "quiz[0].correct_answers[0]")],
    );
    check(
        |content| content.quiz[0].correct_answers = vec![0, 1],
        &[(Rule::QuizAnswers, ERROR, "quiz[0].correct_answers")],
    );
    check(
        |content| content.quiz[0].correct_answers.clear(),
        &[(Rule::QuizAnswers, ERROR, "quiz[0].correct_answers")],
    );
    check(
        |content| {
            content.quiz[0].question_type = QuestionType::MultipleChoice;
            content.quiz[0].correct_answers = vec![0, 1];
        },
        &[],
    );
    check(
        |content| content.quiz[1].options[2] = content.quiz[1].options[0].clone(),
        &[(Rule::Distinct, ERROR, "quiz[1].options[2]")],
    );
    check(
        |content| content.quiz[1].options = ["x = 1", "x == 1", "X = 1"].map(str::to_owned).to_vec(),
        &[],
    );
    check(
        |content| content.quiz[2].objective = 2,
        &[(Rule::QuizObjective, ERROR, "quiz[2].objective")],
    );
    check(
        |content| content.quiz.truncate(2),
        &[(Rule::Count, ERROR, "quiz")],
    );
}

#[test]
fn exercises_are_those_of_the_specification() {
    check(
        |content| drop(content.exercises.pop()),
        &[(Rule::ExerciseMismatch, ERROR, "exercises")],
    );
    check(
        |content| content.exercises[0].title = "Something else".to_owned(),
        &[(Rule::ExerciseMismatch, WARNING, "exercises[0].title")],
    );
    check(
        |content| content.exercises[0].exercise_type = crate::structure::ExerciseType::Quiz,
        &[(Rule::ExerciseMismatch, WARNING, "exercises[0].exercise_type")],
    );
}

#[test]
fn a_lesson_under_120_words_is_an_error() {
    check(
        |content| {
            for block in &mut content.blocks {
                block.body = "Rows, columns, types and keys of the shop in practice.".to_owned();
            }
            content.blocks[0].body.push_str(" Short.");
            content.blocks[1].body.push_str(" Brief.");
        },
        &[
            (Rule::LessonLength, ERROR, "blocks"),
            (Rule::SentenceRepeated, WARNING, "blocks[1].body"),
            (Rule::SentenceRepeated, WARNING, "blocks[2].body"),
        ],
    );
}

#[test]
fn repeated_sentences_are_told_and_repeated_code_and_calls_are_not() {
    check(
        |content| {
            content.summary =
                "A table is a set of rows that all have the same columns! Keep that.".to_owned();
        },
        &[(Rule::SentenceRepeated, WARNING, "summary")],
    );
    check(
        |content| {
            let code = "\n\nTry it yourself.\n\n```sql\nSELECT name FROM customers WHERE id = 7 AND name = 'Ada';\n```\n";
            content.blocks[0].body.push_str(code);
            content.blocks[1].body.push_str(code);
        },
        &[],
    );
}

#[test]
fn placeholders_and_other_languages_are_errors_also_in_lessons() {
    check(
        |content| content.summary = "TODO".to_owned(),
        &[(Rule::Placeholder, ERROR, "summary")],
    );
    check(
        |content| content.introduction = "  ".to_owned(),
        &[(Rule::Placeholder, ERROR, "introduction")],
    );
    check(
        |content| {
            content.exercises[1].solution =
                "Полный ответ называет таблицу, ключ и количество строк, которые вернул запрос.".to_owned();
        },
        &[(Rule::Language, WARNING, "exercises[1].solution")],
    );
    check(
        |content| {
            content.summary =
                "Таблица состоит из строк с одинаковыми столбцами, а ключ отличает одну строку от другой."
                    .to_owned();
        },
        &[(Rule::Language, ERROR, "summary")],
    );
}

#[test]
fn the_stated_word_count_is_the_counted_one() {
    let mut content = samples::lesson_content();
    content.word_count += 1;
    let lesson = samples::course(Language::English).sections[0].lessons[0].clone();
    let findings = validate_lesson_content(&content, &lesson, &ValidationContext::new(Language::English));
    assert!(
        findings
            .iter()
            .any(|finding| finding.rule == Rule::Totals && finding.is_error())
    );
}
