//! The quiz of a lesson by a small model: one question at a time, about a text that the learner has read.

use domain::language::Language;
use domain::lesson::{QuestionType, QuizQuestion};
use domain::limits;
use domain::validation::{Finding, Rule, Severity};
use domain::wording::stems;
use futures::future::try_join_all;
use serde::Deserialize;

use super::Asker;
use crate::data;
use crate::engine::Check;
use crate::error::PipelineError;
use crate::quality::{cosine, embed};
use crate::schema::{list, object};
use crate::vars::vars;
use crate::wording::folded;

/// Wrong answers of a question that are asked for, used at most and needed at least: small models repeat themselves.
const ASKED_WRONG_ANSWERS: usize = 4;
const USED_WRONG_ANSWERS: usize = 3;
const FEWEST_WRONG_ANSWERS: usize = 2;

/// What a learner has read, to be asked about.
#[derive(Clone, Copy)]
pub(super) struct Taught<'a> {
    pub(super) topic: &'a str,
    pub(super) text: &'a str,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Quiz {
    question: String,
    correct_answer: String,
    wrong_answers: Vec<String>,
    explanation: String,
}

impl Quiz {
    /// Whether it asks for what one of the `others` asks for: it has its words, its right answer or its explanation.
    fn repeats_one_of(&self, others: &[Self]) -> bool {
        let same = |one: &str, other: &str| folded(one) == folded(other);
        others.iter().any(|other| {
            same(&self.question, &other.question)
                || same(&self.correct_answer, &other.correct_answer)
                || same(&self.explanation, &other.explanation)
        })
    }

    /// Whether it has enough wrong answers that differ.
    fn is_clear(&self) -> bool {
        distinct_answers(&self.correct_answer, &self.wrong_answers).len() >= FEWEST_WRONG_ANSWERS
    }

    /// The right answers of the `others` that this question does not have.
    fn foreign_answers(&self, others: &[Self]) -> Vec<String> {
        let own = distinct_answers(&self.correct_answer, &self.wrong_answers);
        let right = others.iter().map(|other| &other.correct_answer);
        let all = distinct_answers(&self.correct_answer, own.iter().chain(right));
        all.into_iter().skip(own.len()).collect()
    }

    /// The question with the answers of others that are `lent` to it, each with its likeness to the right one; the most
    /// different come first. What the `text` says can be right here too, and is not lent. `None` if there are too few.
    fn with_lent(&self, mut lent: Vec<(f32, String)>, text: &str, language: Language) -> Option<Self> {
        let said = stems(text, language);
        lent.retain(|(_, answer)| {
            let words = stems(answer, language);
            words.intersection(&said).count() * 2 <= words.len()
        });
        lent.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut clear = self.clone();
        clear.wrong_answers = distinct_answers(&self.correct_answer, &self.wrong_answers);
        clear
            .wrong_answers
            .extend(lent.into_iter().map(|(_, answer)| answer));
        clear.wrong_answers.truncate(FEWEST_WRONG_ANSWERS);
        clear.is_clear().then_some(clear)
    }
}

/// The wrong answers that repeat neither the right one nor each other.
fn distinct_answers<'a>(right: &str, wrong: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    let mut seen = vec![folded(right)];
    let mut kept = Vec::new();
    for answer in wrong {
        let key = folded(answer);
        if !seen.contains(&key) {
            seen.push(key);
            kept.push(answer.clone());
        }
    }
    kept
}

impl Asker<'_> {
    /// A question about each of the texts, and further ones about the example where those are too few. Each serves one of so
    /// many `objectives` of the lesson.
    pub(super) async fn quiz(
        &self,
        texts: &[Taught<'_>],
        example: Taught<'_>,
        objectives: u32,
    ) -> Result<Vec<QuizQuestion>, PipelineError> {
        let first = texts
            .iter()
            .zip(1u32..)
            .map(|(&taught, number)| self.question(format!("lessons.quiz-{number}"), taught, &[], false));
        let first = try_join_all(first).await?;
        let mut texts = texts.to_vec();
        let mut quiz: Vec<Quiz> = Vec::new();
        for ((question, &taught), number) in first.into_iter().zip(&texts).zip(1u32..) {
            // They were asked for at once, and texts of one lesson overlap.
            let question = if question.repeats_one_of(&quiz) {
                let phase = format!("lessons.quiz-{number}-other");
                self.question(phase, taught, &quiz, false).await?
            } else {
                question
            };
            quiz.push(question);
        }
        while quiz.len() < limits::QUIZ_QUESTIONS.min {
            let phase = format!("lessons.quiz-{}-other", quiz.len() + 1);
            quiz.push(self.question(phase, example, &quiz, false).await?);
            texts.push(example);
        }
        for (place, &taught) in texts.iter().enumerate() {
            if !quiz[place].is_clear() {
                quiz[place] = self.clear(&quiz, place, taught).await?;
            }
        }
        let questions = quiz.into_iter().zip(0u32..);
        Ok(questions
            .map(|(question, place)| self.shuffled(question, place % objectives))
            .collect())
    }

    /// The question at a place of the quiz with enough wrong answers: those of other questions, or else it is asked again.
    async fn clear(&self, quiz: &[Quiz], place: usize, taught: Taught<'_>) -> Result<Quiz, PipelineError> {
        let question = &quiz[place];
        let others: Vec<Quiz> = [&quiz[..place], &quiz[place + 1..]].concat();
        let lent = question.foreign_answers(&others);
        let texts: Vec<String> = std::iter::once(&question.correct_answer)
            .chain(&lent)
            .cloned()
            .collect();
        let vectors = embed(self.run, &texts).await?;
        let mut vectors = vectors.iter();
        let right = vectors.next().map_or(&[][..], Vec::as_slice);
        let lent = vectors.map(|vector| cosine(vector, right)).zip(lent);
        let threshold = self.run.calibration().duplicate_threshold;
        let lent = lent.filter(|(likeness, _)| *likeness < threshold).collect();
        if let Some(clear) = question.with_lent(lent, taught.text, self.run.language()) {
            return Ok(clear);
        }
        let phase = format!("lessons.quiz-{}-clear", place + 1);
        self.question(phase, taught, &others, true).await
    }

    /// A question that the text answers. It repeats none of those that were `asked`, which it names to the model. If it
    /// `must_be_clear`, it has enough wrong answers.
    async fn question(
        &self,
        phase: String,
        taught: Taught<'_>,
        asked: &[Quiz],
        must_be_clear: bool,
    ) -> Result<Quiz, PipelineError> {
        let pieces = self.pieces;
        let shape = object([
            ("question", pieces.question(25, 130)),
            ("correct_answer", pieces.phrase(6, 90)),
            ("wrong_answers", list(pieces.phrase(6, 90), ASKED_WRONG_ANSWERS)),
            ("explanation", pieces.sentences_of(1, 1, 35, 190)),
        ]);
        let check: Check<'_> = Box::new(|value| {
            // Another shape is another rule's matter.
            let question = Quiz::deserialize(value).unwrap_or_default();
            let message = "must be wrong, and differ from the correct answer and from each other";
            let unclear = Finding::new(Rule::QuizAnswers, Severity::Error, "wrong_answers", message);
            let message = "must ask for something else than the other questions of the lesson";
            let repeated = Finding::new(Rule::QuizAnswers, Severity::Error, "question", message);
            let is_unclear = must_be_clear && !question.is_clear();
            let found = [
                is_unclear.then_some(unclear),
                question.repeats_one_of(asked).then_some(repeated),
            ];
            found.into_iter().flatten().collect()
        });
        let others: Vec<&String> = asked.iter().map(|question| &question.question).collect();
        let data = vars! { topic => taught.topic, text => taught.text, asked => others };
        match self.piece(&phase, "small_quiz", data, shape, Some(check)).await {
            // Small models cannot always tell wrong from right; the lesson's own topics always make a question.
            Err(PipelineError::Unusable { .. }) => Ok(self.question_on_topics(taught.topic)),
            answer => answer,
        }
    }

    /// The question as a learner sees it. The model always says the right answer first; the program decides where it stands.
    fn shuffled(&self, question: Quiz, objective: u32) -> QuizQuestion {
        let mut options = distinct_answers(&question.correct_answer, &question.wrong_answers);
        options.truncate(USED_WRONG_ANSWERS);
        let place = self
            .run
            .seed_for(&format!("{} {}", self.lesson_number, question.question));
        let place = usize::try_from(place % (options.len() as u64 + 1)).unwrap_or(0);
        options.insert(place, question.correct_answer);
        QuizQuestion {
            question_type: QuestionType::SingleChoice,
            question: question.question,
            options,
            correct_answers: vec![u32::try_from(place).unwrap_or(0)],
            explanation: question.explanation,
            objective,
        }
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

    fn quiz(question: &str, right: &str, wrong: &[&str], explanation: &str) -> Quiz {
        Quiz {
            question: question.to_owned(),
            correct_answer: right.to_owned(),
            wrong_answers: wrong.iter().map(|&answer| answer.to_owned()).collect(),
            explanation: explanation.to_owned(),
        }
    }

    #[test]
    fn questions_repeat_each_other_by_words_answer_or_explanation() {
        let asked = [quiz(
            "What does GROUP BY do?",
            "It makes groups.",
            &["It sorts."],
            "Rows of one value form a group.",
        )];
        let check = |words: &str, right: &str, explanation: &str, expected: bool| {
            let question = quiz(words, right, &[], explanation);
            assert_eq!(question.repeats_one_of(&asked), expected, "{words} {right}");
            assert!(!question.repeats_one_of(&[]));
        };
        check("What else?", "it makes groups", "Another reason.", true);
        check(
            "What else?",
            "It forms groups.",
            "Rows of one value form a group.",
            true,
        );
        check(
            "What does group by do?",
            "It forms groups.",
            "Another reason.",
            true,
        );
        check("What else?", "It sorts.", "Another reason.", false);
    }

    #[test]
    fn answers_of_other_questions_can_be_lent() {
        let asked = quiz(
            "What makes groups?",
            "GROUP BY",
            &["group by", "WHERE"],
            "It groups.",
        );
        assert!(!asked.is_clear());
        let others =
            ["Where", "ORDER BY", "Group By", "order by", "JOIN"].map(|right| quiz("?", right, &[], ""));
        assert_eq!(asked.foreign_answers(&others), ["ORDER BY", "JOIN"]);
        assert!(quiz("?", "GROUP BY", &["WHERE", "JOIN"], "").is_clear());
        let text = "GROUP BY makes groups of rows. COUNT counts the rows of a group.";
        let check = |lent: &[(f32, &str)], expected: Option<[&str; 2]>| {
            let lent = lent
                .iter()
                .map(|&(likeness, answer)| (likeness, answer.to_owned()))
                .collect();
            let clear = asked.with_lent(lent, text, Language::English);
            assert_eq!(
                clear.map(|clear| clear.wrong_answers),
                expected.map(|own| own.map(str::to_owned).to_vec())
            );
        };
        check(&[(0.8, "ORDER BY"), (0.7, "JOIN")], Some(["WHERE", "JOIN"]));
        check(
            &[(0.8, "ORDER BY"), (0.7, "Counting rows")],
            Some(["WHERE", "ORDER BY"]),
        );
        check(&[(0.7, "Counting rows")], None);
    }
}
