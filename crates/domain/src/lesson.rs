//! Lesson contents: the text that the learner reads (data model 2.5).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::structure::ExerciseType;
use crate::wording::is_unspaced;

/// Where a lesson's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LessonStatus {
    /// Not begun.
    Pending,
    /// Being written.
    Generating,
    /// Written and checked.
    Completed,
    /// Written, but below the quality threshold.
    NeedsReview,
    /// Could not be written.
    Failed,
}

impl LessonStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Generating,
        Self::Completed,
        Self::NeedsReview,
        Self::Failed,
    ];

    /// The name in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Generating => "generating",
            Self::Completed => "completed",
            Self::NeedsReview => "needs_review",
            Self::Failed => "failed",
        }
    }
}

/// The written text of one lesson.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LessonContent {
    /// Why the lesson matters and what it brings, Markdown.
    #[schemars(length(min = 1))]
    pub introduction: String,
    /// The explanations; every key topic of the specification is covered.
    #[schemars(length(min = 1))]
    pub blocks: Vec<ContentBlock>,
    /// Worked examples.
    pub examples: Vec<WorkedExample>,
    /// The specification's exercises, worked out.
    pub exercises: Vec<WorkedExercise>,
    /// Questions on the lesson.
    #[schemars(length(min = limits::QUIZ_QUESTIONS.min, max = limits::QUIZ_QUESTIONS.max))]
    pub quiz: Vec<QuizQuestion>,
    /// What to remember, Markdown.
    #[schemars(length(min = 1))]
    pub summary: String,
    /// Where to read on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_reading: Vec<String>,
    /// Words of introduction, blocks, examples and summary.
    pub word_count: u32,
    /// How good it is.
    pub quality: LessonQuality,
    /// Where it stands.
    pub status: LessonStatus,
}

/// One explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContentBlock {
    /// Its heading.
    #[schemars(length(min = 1))]
    pub title: String,
    /// Markdown.
    #[schemars(length(min = 1))]
    pub body: String,
    /// Ids of the document chunks that it rests on.
    #[serde(default)]
    pub citations: Vec<String>,
}

/// A worked example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkedExample {
    /// Its heading.
    #[schemars(length(min = 1))]
    pub title: String,
    /// Markdown.
    #[schemars(length(min = 1))]
    pub body: String,
}

/// An exercise of the specification with everything that is needed to do and to grade it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkedExercise {
    /// The kind, as in the specification.
    pub exercise_type: ExerciseType,
    /// The title, as in the specification.
    #[schemars(length(min = 1))]
    pub title: String,
    /// What to do, step by step, Markdown.
    #[schemars(length(min = 1))]
    pub instructions: String,
    /// Help for those who are stuck.
    #[serde(default)]
    pub hints: Vec<String>,
    /// The solution, or how to grade what the learner made, Markdown.
    #[schemars(length(min = 1))]
    pub solution: String,
}

/// How many answers of a question are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QuestionType {
    /// Exactly one.
    SingleChoice,
    /// One or more.
    MultipleChoice,
}

/// A question of a quiz.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuizQuestion {
    /// The kind.
    pub question_type: QuestionType,
    /// The question.
    #[schemars(length(min = 1))]
    pub question: String,
    /// The possible answers, distinct.
    #[schemars(length(min = 2, max = 8))]
    pub options: Vec<String>,
    /// Indexes into `options`, from 0.
    #[schemars(length(min = 1))]
    pub correct_answers: Vec<u32>,
    /// Why they are right.
    #[schemars(length(min = 1))]
    pub explanation: String,
    /// Index into the lesson's objectives, from 0: what the question tests.
    pub objective: u32,
}

/// How good a lesson's text is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LessonQuality {
    /// Similarity of the text to its specification on the reference scale, 0 to 1; `None` without an embedding model.
    pub score: Option<f64>,
    /// What was checked.
    pub checks: Vec<QualityCheck>,
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QualityCheck {
    /// A stable name, for example `length` or `topics_covered`.
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// What was found, as a sentence.
    pub detail: String,
}

/// Letters of a script without spaces that take the time of one word in 1/10 letters: about 1.7 in Chinese and
/// Japanese text (the ratio of character to word counts in parallel corpora), 4 in Thai.
const HAN_LETTERS_A_WORD_TENTHS: usize = 17;
const THAI_LETTERS_A_WORD_TENTHS: usize = 40;

/// Words of a text as reading time counts them: runs without spaces that hold a letter or a digit. Scripts that
/// write no spaces are counted by their letters.
pub fn count_words(text: &str) -> usize {
    let mut words = 0;
    let (mut han_letters, mut thai_letters) = (0_usize, 0_usize);
    for run in text.split_whitespace() {
        let mut has_spaced_letters = false;
        for letter in run.chars().filter(|letter| letter.is_alphanumeric()) {
            match letter {
                '\u{e00}'..='\u{eff}' => thai_letters += 1,
                letter if is_unspaced(letter) => han_letters += 1,
                _ => has_spaced_letters = true,
            }
        }
        words += usize::from(has_spaced_letters);
    }
    words
        + (han_letters * 10).div_ceil(HAN_LETTERS_A_WORD_TENTHS)
        + (thai_letters * 10).div_ceil(THAI_LETTERS_A_WORD_TENTHS)
}

impl LessonContent {
    /// Counts the words that the learner reads (introduction, blocks, examples, summary).
    pub fn count_words(&self) -> u32 {
        let texts = std::iter::once(&self.introduction)
            .chain(self.blocks.iter().flat_map(|block| [&block.title, &block.body]))
            .chain(
                self.examples
                    .iter()
                    .flat_map(|example| [&example.title, &example.body]),
            )
            .chain(std::iter::once(&self.summary));
        u32::try_from(texts.map(|text| count_words(text)).sum::<usize>()).unwrap_or(u32::MAX)
    }
}
