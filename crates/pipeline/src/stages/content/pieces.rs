//! A lesson's text by a small model: introduction, blocks, example, exercises, quiz and summary one by one.

use std::collections::HashSet;

use domain::lesson::{
    ContentBlock, LessonContent, LessonQuality, LessonStatus, QuestionType, QuizQuestion, WorkedExample,
    WorkedExercise,
};
use domain::limits;
use domain::stage::Stage;
use domain::structure::Exercise;
use domain::validation::{Finding, Rule, Severity};
use futures::future::try_join_all;
use llm::route::Work;
use minijinja::Value;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::tidy::{Read, sentences, tidy};
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
/// Wrong answers of a question that are asked for, used at most and needed at least: small models repeat themselves.
const ASKED_WRONG_ANSWERS: usize = 4;
const USED_WRONG_ANSWERS: usize = 3;
const FEWEST_WRONG_ANSWERS: usize = 2;

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
fn repeats(asked: &[QuizQuestion], right: &str, explanation: &str) -> bool {
    let (right, explanation) = (folded(right), folded(explanation));
    asked
        .iter()
        .any(|other| folded(right_answer(other)) == right || folded(&other.explanation) == explanation)
}

/// The right answer of a question that has one.
fn right_answer(question: &QuizQuestion) -> &str {
    let place = question.correct_answers.first();
    let answer = place.and_then(|&place| question.options.get(place as usize));
    answer.map_or("", String::as_str)
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
        course => data::course(run), section => data::section(brief.section), lesson => data::lesson(lesson),
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
    let texts: Vec<(u32, &String, &String)> = topics
        .zip(&blocks)
        .take(limits::QUIZ_QUESTIONS.max)
        .map(|((topic, number), block)| (number, topic, &block.body))
        .collect();
    let questions = texts.iter().map(|&(number, topic, text)| {
        let objective = (number - 1) % objectives;
        ask.question(number, topic, text, objective, &[])
    });
    let (questions, summary) = tokio::try_join!(try_join_all(questions), ask.summary())?;
    let mut quiz: Vec<QuizQuestion> = Vec::new();
    for (question, &(number, topic, text)) in questions.into_iter().zip(&texts) {
        // They were asked for at once, and texts of one lesson overlap.
        let question = if repeats(&quiz, right_answer(&question), &question.explanation) {
            ask.question(number, topic, text, question.objective, &quiz)
                .await?
        } else {
            question
        };
        quiz.push(question);
    }
    // Two topics give two questions; a third is asked about the example.
    let mut number = u32::try_from(quiz.len()).unwrap_or(0);
    while quiz.len() < limits::QUIZ_QUESTIONS.min {
        number += 1;
        let objective = (number - 1) % objectives;
        let (title, text) = (&lesson.lesson_title, &example.body);
        quiz.push(ask.question(number, title, text, objective, &quiz).await?);
    }
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
    tidy(&mut content, &mut Read::default());
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

    /// A question that the text answers. It repeats none of those that were `asked`, which it names to the model.
    async fn question(
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
                check,
                gate: None,
                patience,
            })
            .await
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
