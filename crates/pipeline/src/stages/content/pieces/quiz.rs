//! The quiz of a lesson by a small model: one question at a time, about a text that the learner has read.

use domain::lesson::{QuestionType, QuizQuestion};
use domain::validation::{Finding, Rule, Severity};
use serde::Deserialize;

use super::Asker;
use crate::data;
use crate::engine::Check;
use crate::error::PipelineError;
use crate::schema::{list, object};
use crate::vars::vars;
use crate::wording::folded;

/// Wrong answers of a question that are asked for, used at most and needed at least: small models repeat themselves.
const ASKED_WRONG_ANSWERS: usize = 4;
const USED_WRONG_ANSWERS: usize = 3;
const FEWEST_WRONG_ANSWERS: usize = 2;

#[derive(Deserialize)]
struct Quiz {
    question: String,
    correct_answer: String,
    wrong_answers: Vec<String>,
    explanation: String,
}

/// The wrong answers that repeat neither the right one nor each other.
fn distinct_answers(right: &str, wrong: Vec<String>) -> Vec<String> {
    let mut seen = vec![folded(right)];
    let mut kept = Vec::new();
    for answer in wrong {
        let key = folded(&answer);
        if !seen.contains(&key) {
            seen.push(key);
            kept.push(answer);
        }
    }
    kept
}

/// Whether a question asks for what was `asked` before: it has the right answer or the explanation of one of those.
pub(super) fn repeats(asked: &[QuizQuestion], right: &str, explanation: &str) -> bool {
    let (right, explanation) = (folded(right), folded(explanation));
    asked
        .iter()
        .any(|other| folded(right_answer(other)) == right || folded(&other.explanation) == explanation)
}

/// The right answer of a question that has one.
pub(super) fn right_answer(question: &QuizQuestion) -> &str {
    let place = question.correct_answers.first();
    let answer = place.and_then(|&place| question.options.get(place as usize));
    answer.map_or("", String::as_str)
}

impl Asker<'_> {
    /// A question that the text answers. It repeats none of those that were `asked`, which it names to the model.
    pub(super) async fn question(
        &self,
        number: u32,
        topic: &str,
        text: &str,
        objective: u32,
        asked: &[QuizQuestion],
    ) -> Result<QuizQuestion, PipelineError> {
        let pieces = self.pieces;
        let shape = object([
            ("question", pieces.question(25, 130)),
            ("correct_answer", pieces.phrase(6, 90)),
            ("wrong_answers", list(pieces.phrase(6, 90), ASKED_WRONG_ANSWERS)),
            ("explanation", pieces.sentences_of(1, 1, 35, 190)),
        ]);
        let check: Check<'_> = Box::new(|value| {
            let right = value["correct_answer"].as_str().unwrap_or_default();
            let wrong = data::texts(&value["wrong_answers"]);
            let enough = distinct_answers(right, wrong).len() >= FEWEST_WRONG_ANSWERS;
            let message = "must be wrong, and differ from the correct answer and from each other";
            let unclear = Finding::new(Rule::QuizAnswers, Severity::Error, "wrong_answers", message);
            let explanation = value["explanation"].as_str().unwrap_or_default();
            let message = "must ask for something else than the other questions of the lesson";
            let repeated = Finding::new(Rule::QuizAnswers, Severity::Error, "question", message);
            let is_repeated = repeats(asked, right, explanation);
            let found = [(!enough).then_some(unclear), is_repeated.then_some(repeated)];
            found.into_iter().flatten().collect()
        });
        let others: Vec<&String> = asked.iter().map(|question| &question.question).collect();
        let phase = match asked {
            [] => format!("lessons.quiz-{number}"),
            _ => format!("lessons.quiz-{number}-other"),
        };
        let data = vars! { topic, text, asked => others };
        let answer: Quiz = match self.piece(&phase, "small_quiz", data, shape, Some(check)).await {
            Ok(answer) => answer,
            // Small models cannot always tell wrong from right; the lesson's own topics always make a question.
            Err(PipelineError::Unusable { .. }) => self.question_on_topics(topic),
            Err(error) => return Err(error),
        };
        let mut options = distinct_answers(&answer.correct_answer, answer.wrong_answers);
        options.truncate(USED_WRONG_ANSWERS);
        // The model always says the right answer first; the program decides where it stands.
        let place = self
            .run
            .seed_for(&format!("{} {}", self.lesson_number, answer.question));
        let place = usize::try_from(place % (options.len() as u64 + 1)).unwrap_or(0);
        options.insert(place, answer.correct_answer);
        Ok(QuizQuestion {
            question_type: QuestionType::SingleChoice,
            question: answer.question,
            options,
            correct_answers: vec![u32::try_from(place).unwrap_or(0)],
            explanation: answer.explanation,
            objective,
        })
    }

    /// Which of these topics belongs to the lesson? The others belong to other lessons.
    fn question_on_topics(&self, topic: &str) -> Quiz {
        let labels = data::labels(self.run.language());
        let others = self.other_topics.len().max(1);
        let start = usize::try_from(self.run.seed_for(topic)).unwrap_or(0) % others;
        let wrong_answers = self
            .other_topics
            .iter()
            .cycle()
            .skip(start)
            .take(ASKED_WRONG_ANSWERS.min(others))
            .cloned()
            .collect();
        Quiz {
            question: format!("{} “{}”?", labels.which_topic, self.lesson_title),
            correct_answer: topic.to_owned(),
            wrong_answers,
            explanation: format!("“{topic}” {}", labels.is_taught_here),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_repeat_each_other_by_answer_or_explanation() {
        let asked = [QuizQuestion {
            question_type: QuestionType::SingleChoice,
            question: "What does GROUP BY do?".to_owned(),
            options: vec!["It sorts.".to_owned(), "It makes groups.".to_owned()],
            correct_answers: vec![1],
            explanation: "Rows of one value form a group.".to_owned(),
            objective: 0,
        }];
        let check = |right: &str, explanation: &str, expected: bool| {
            assert_eq!(repeats(&asked, right, explanation), expected, "{right}");
        };
        check("it makes groups", "Another reason.", true);
        check("It forms groups.", "Rows of one value form a group.", true);
        check("It sorts.", "Another reason.", false);
        assert!(!repeats(
            &[],
            "It makes groups.",
            "Rows of one value form a group."
        ));
    }
}
