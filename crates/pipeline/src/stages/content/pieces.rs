//! A lesson's text by a small model: introduction, blocks, example, exercises, quiz and summary one by one.

mod quiz;

use std::collections::HashSet;

use domain::lesson::{
    ContentBlock, LessonContent, LessonQuality, LessonStatus, WorkedExample, WorkedExercise,
};
use domain::limits;
use domain::stage::Stage;
use domain::structure::Exercise;
use futures::future::try_join_all;
use llm::route::Work;
use minijinja::Value;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use self::quiz::Taught;
use super::tidy::{sentences, tidy};
use super::{Brief, Written};
use crate::attempts::Patience;
use crate::context::Run;
use crate::data;
use crate::engine::{Check, Question};
use crate::error::PipelineError;
use crate::schema::{Pieces, list, object};
use crate::sources::{Sources, Wanted, excerpt};
use crate::vars::vars;
use crate::wording::folded;

/// Tokens of the longest answer to a small question.
const PIECE_OUTPUT_TOKENS: u32 = 700;
/// Pieces of documents that a block is written from, and the tokens of them that its question shows: of a window of 4096
/// the answer and the instructions need most, and every token of a question is time on a CPU.
const PIECES_A_BLOCK: usize = 2;
const EXCERPT_TOKENS: u32 = 200;
#[derive(Deserialize)]
struct Text {
    text: String,
}

#[derive(Deserialize)]
struct Block {
    explanation: String,
    how_it_works: String,
    key_points: Vec<String>,
    common_mistake: String,
}

#[derive(Deserialize)]
struct Example {
    title: String,
    situation: String,
    what_happens: String,
}

#[derive(Deserialize)]
struct Solution {
    steps: Vec<String>,
    hint: String,
    good_answer: String,
}

/// An exercise as the learner reads it: what to do, then the steps. Small models like to write the task, the hint and the
/// solution again as steps; those are left out, and so is a list that only one step is left of.
fn instructions(description: &str, solution: &Solution) -> String {
    let beside = [description, &solution.hint, &solution.good_answer];
    let mut said: HashSet<String> = beside.into_iter().flat_map(sentences).map(folded).collect();
    let steps: Vec<&str> = solution
        .steps
        .iter()
        .map(|step| without_number(step))
        .filter(|step| !is_aside(step) && said.insert(folded(step)))
        .collect();
    match steps.as_slice() {
        [] => description.to_owned(),
        [only] => format!("{description} {only}"),
        several => {
            let lines = several
                .iter()
                .zip(1..)
                .map(|(step, number)| format!("{number}. {step}"));
            format!("{description}\n\n{}", lines.collect::<Vec<_>>().join("\n"))
        }
    }
}

/// A step without a number of its own: `Step 2: Mark it.` stands in a numbered list.
fn without_number(step: &str) -> &str {
    let numbered = step.strip_prefix("Step ").and_then(|rest| rest.split_once(": "));
    match numbered {
        Some((number, rest)) if number.parse::<u8>().is_ok() => rest,
        _ => step,
    }
}

/// Whether a step tells of the hint or of the solution instead of what to do. The embedded models, which do that, write
/// English only.
fn is_aside(step: &str) -> bool {
    let step = step.to_lowercase();
    ["hint:", "good answer:", "a good answer "]
        .iter()
        .any(|opening| step.starts_with(opening))
}

/// Asks the pieces of a lesson's text.
struct Asker<'a> {
    run: &'a Run,
    lesson_number: u32,
    lesson_title: &'a str,
    /// Whether its text needs a review: the same pieces would make the same text.
    needs_review: bool,
    /// Key topics of the course's other lessons.
    other_topics: Vec<String>,
    context: Value,
    pieces: Pieces,
}

/// Writes one lesson.
///
/// # Errors
/// Whatever keeps a piece from being written.
pub(super) async fn lesson(run: &Run, brief: &Brief<'_>) -> Result<Written, PipelineError> {
    let lesson = brief.lesson;
    let about = vars! {
        course => brief.course(run), section => data::section(brief.section), lesson => data::lesson(lesson),
    };
    let others = brief
        .structure
        .lessons()
        .filter(|(_, other)| other.lesson_number != lesson.lesson_number);
    let other_topics = others
        .flat_map(|(_, other)| other.key_topics.iter().cloned())
        .collect();
    let ask = Asker {
        run,
        lesson_number: lesson.lesson_number,
        lesson_title: &lesson.lesson_title,
        needs_review: brief.needs_review,
        other_topics,
        context: about,
        pieces: Pieces::new(run.language()),
    };
    let topics = lesson.key_topics.iter().zip(1..);
    let sources = try_join_all(lesson.key_topics.iter().map(|topic| ask.sources(brief, topic))).await?;
    let (introduction, blocks, example, exercises) = tokio::try_join!(
        ask.introduction(),
        try_join_all(
            topics
                .clone()
                .zip(&sources)
                .map(|((topic, number), sources)| ask.block(number, topic, sources))
        ),
        ask.example(),
        try_join_all(
            lesson
                .practical_exercises
                .iter()
                .zip(1..)
                .map(|(exercise, number)| ask.exercise(number, exercise))
        ),
    )?;
    let objectives = u32::try_from(lesson.lesson_objectives.len()).unwrap_or(1).max(1);
    let texts: Vec<Taught<'_>> = lesson
        .key_topics
        .iter()
        .zip(&blocks)
        .take(limits::QUIZ_QUESTIONS.max)
        .map(|(topic, block)| Taught {
            topic,
            text: &block.body,
        })
        .collect();
    let on_example = Taught {
        topic: &lesson.lesson_title,
        text: &example.body,
    };
    let (quiz, summary) = tokio::try_join!(ask.quiz(&texts, on_example, objectives), ask.summary())?;
    let mut content = LessonContent {
        introduction,
        blocks,
        examples: vec![example],
        exercises,
        quiz,
        summary,
        further_reading: Vec::new(),
        word_count: 0,
        quality: LessonQuality::default(),
        status: LessonStatus::Generating,
    };
    tidy(&mut content);
    let mut shown = Sources::default();
    for of_topic in sources {
        shown.extend(of_topic);
    }
    Ok(Written {
        content,
        similarity: None,
        needs_review: false,
        sources: shown,
    })
}

impl Asker<'_> {
    async fn introduction(&self) -> Result<String, PipelineError> {
        let shape = object([("text", self.pieces.sentences_of(3, 3, 35, 190))]);
        let answer: Text = self
            .piece(
                "lessons.introduction",
                "small_introduction",
                vars! {},
                shape,
                None,
            )
            .await?;
        Ok(answer.text)
    }

    /// The pieces of documents on a topic; none without documents.
    async fn sources(&self, brief: &Brief<'_>, topic: &str) -> Result<Sources, PipelineError> {
        let wanted = Wanted {
            work: Work::Lesson,
            queries: vec![
                format!("{}: {topic}", brief.lesson.lesson_title),
                topic.to_owned(),
            ],
            preferred: &[],
            most: PIECES_A_BLOCK,
        };
        let room = self.run.models().budget_for(Work::Lesson, 0).context_beside(0);
        Sources::find(self.run, &wanted, room).await
    }

    /// What a block's question shows of its pieces: a small window has room for little.
    fn excerpt(&self, topic: &str, sources: &Sources) -> String {
        let count = |text: &str| self.run.models().count_tokens(Work::Lesson, 0, text);
        let about = format!("{} {topic}", self.lesson_title);
        let pieces = sources.pieces();
        let share = EXCERPT_TOKENS / u32::try_from(pieces.len()).unwrap_or(1).max(1);
        let excerpts = pieces
            .iter()
            .map(|source| excerpt(&source.chunk.text, &about, share, &count));
        excerpts.collect::<Vec<_>>().join("\n")
    }

    async fn block(
        &self,
        number: u32,
        topic: &str,
        sources: &Sources,
    ) -> Result<ContentBlock, PipelineError> {
        let pieces = self.pieces;
        let shape = object([
            ("explanation", pieces.sentences_of(2, 2, 45, 210)),
            ("how_it_works", pieces.sentences_of(3, 3, 40, 190)),
            ("key_points", list(pieces.sentences_of(1, 1, 30, 140), 3)),
            ("common_mistake", pieces.sentences_of(1, 1, 35, 190)),
        ]);
        let data = vars! { topic, source => self.excerpt(topic, sources) };
        let phase = format!("lessons.block-{number}");
        let answer: Block = self.piece(&phase, "small_block", data, shape, None).await?;
        let points: Vec<String> = answer
            .key_points
            .iter()
            .map(|point| format!("- {point}"))
            .collect();
        let mistake = data::labels(self.run.language()).common_mistake;
        let body = format!(
            "{}\n\n{}\n\n{}\n\n**{mistake}.** {}",
            answer.explanation,
            answer.how_it_works,
            points.join("\n"),
            answer.common_mistake
        );
        Ok(ContentBlock {
            title: topic.to_owned(),
            body,
            citations: Vec::new(),
        })
    }

    async fn example(&self) -> Result<WorkedExample, PipelineError> {
        let pieces = self.pieces;
        let shape = object([
            ("title", pieces.phrase(12, 60)),
            ("situation", pieces.sentences_of(2, 2, 40, 180)),
            ("what_happens", pieces.sentences_of(3, 3, 40, 180)),
        ]);
        let answer: Example = self
            .piece("lessons.example", "small_example", vars! {}, shape, None)
            .await?;
        Ok(WorkedExample {
            title: answer.title,
            body: format!("{}\n\n{}", answer.situation, answer.what_happens),
        })
    }

    async fn exercise(&self, number: u32, exercise: &Exercise) -> Result<WorkedExercise, PipelineError> {
        let pieces = self.pieces;
        let shape = object([
            ("steps", list(pieces.sentences_of(1, 1, 25, 140), 3)),
            ("hint", pieces.sentences_of(1, 1, 25, 110)),
            ("good_answer", pieces.sentences_of(1, 2, 35, 170)),
        ]);
        let data = vars! {
            exercise => vars! { title => exercise.exercise_title, description => exercise.exercise_description },
        };
        let phase = format!("lessons.exercise-{number}");
        let answer: Solution = self
            .piece(&phase, "small_exercise_solution", data, shape, None)
            .await?;
        Ok(WorkedExercise {
            exercise_type: exercise.exercise_type,
            title: exercise.exercise_title.clone(),
            instructions: instructions(&exercise.exercise_description, &answer),
            hints: vec![answer.hint],
            solution: answer.good_answer,
        })
    }

    async fn summary(&self) -> Result<String, PipelineError> {
        let shape = object([("text", self.pieces.sentences_of(3, 3, 35, 190))]);
        let answer: Text = self
            .piece("lessons.summary", "small_summary", vars! {}, shape, None)
            .await?;
        Ok(answer.text)
    }

    async fn piece<T: DeserializeOwned>(
        &self,
        phase: &str,
        prompt: &str,
        data: Value,
        schema: serde_json::Value,
        check: Option<Check<'_>>,
    ) -> Result<T, PipelineError> {
        let data = minijinja::context! { ..data, ..self.context.clone() };
        // Only quiz questions are checked beyond their shape, and the lesson's topics can take their place.
        let patience = if check.is_some() {
            Patience::WhileModelsDiffer
        } else {
            Patience::AllAttempts
        };
        self.run
            .ask_for(Question {
                stage: Stage::Content,
                phase: phase.to_owned(),
                batch: self.lesson_number,
                work: Work::Lesson,
                complexity: None,
                prompt: self.run.prompts().render(prompt, &data)?,
                hint: None,
                shape: "answer",
                schema,
                max_output_tokens: PIECE_OUTPUT_TOKENS,
                temperature: None,
                mend: None,
                check,
                gate: None,
                ignores_earlier_rounds: self.needs_review,
                patience,
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_say_again_what_stands_beside_them_are_left_out() {
        let task = "Choose a place that is sheltered from the wind.";
        let check = |steps: &[&str], expected: &str| {
            let solution = Solution {
                steps: steps.iter().map(|step| (*step).to_owned()).collect(),
                hint: "Look for a hedge.".to_owned(),
                good_answer: "It faces south. It is near water.".to_owned(),
            };
            assert_eq!(instructions(task, &solution), expected);
        };
        check(
            &[
                "Step 1: Walk around the garden at noon.",
                "Mark three places on a plan.",
            ],
            "Choose a place that is sheltered from the wind.\n\n1. Walk around the garden at noon.\n2. Mark three places on a plan.",
        );
        check(
            &[task, "Hint: Look for a tree.", "Mark three places on a plan."],
            "Choose a place that is sheltered from the wind. Mark three places on a plan.",
        );
        check(
            &[
                "Look for a hedge.",
                "It is near water.",
                "A good answer names the place.",
            ],
            task,
        );
    }
}
