//! A lesson's text by a large model: one call.

use domain::lesson::{
    ContentBlock, LessonContent, LessonQuality, LessonStatus, QuizQuestion, WorkedExample, WorkedExercise,
};
use domain::limits;
use domain::quality::CONTENT_THRESHOLD;
use domain::stage::Stage;
use domain::structure::Lesson;
use domain::validation::{
    Finding, Rule, Severity, ValidationContext, drop_repeated_sentences, validate_lesson_content,
};
use llm::route::Work;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Brief, Written, mend};
use crate::attempts::Patience;
use crate::context::Run;
use crate::data;
use crate::engine::{Check, Gate, Mend, Question};
use crate::error::PipelineError;
use crate::schema;
use crate::sources::{Sources, render_with_sources};
use crate::vars::vars;

/// Tokens a word takes at most, over the languages of courses.
const TOKENS_A_WORD: usize = 4;
/// Tokens of exercises, quiz and JSON around the text.
const TOKENS_AROUND: usize = 4000;
/// The longest answer that is asked for (generation 3.3).
const LESSON_OUTPUT_TOKENS: usize = 30_000;

/// A lesson's text as a model writes it: nothing that is computed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Draft {
    #[schemars(length(min = 1))]
    introduction: String,
    #[schemars(length(min = 1))]
    blocks: Vec<BlockDraft>,
    examples: Vec<WorkedExample>,
    exercises: Vec<WorkedExercise>,
    #[schemars(length(min = limits::QUIZ_QUESTIONS.min, max = limits::QUIZ_QUESTIONS.max))]
    quiz: Vec<QuizQuestion>,
    #[schemars(length(min = 1))]
    summary: String,
    #[serde(default)]
    further_reading: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BlockDraft {
    #[schemars(length(min = 1))]
    title: String,
    #[schemars(length(min = 1))]
    body: String,
    /// Labels of sources.
    #[serde(default)]
    citations: Vec<String>,
}

impl Draft {
    fn into_content(self, sources: &Sources) -> LessonContent {
        let block = |draft: BlockDraft| {
            let (citations, unknown) = sources.resolve(&draft.citations);
            if !unknown.is_empty() {
                tracing::info!(labels = ?unknown, "a block cites what was not shown: left out");
            }
            ContentBlock {
                title: draft.title,
                body: draft.body,
                citations,
            }
        };
        let mut content = LessonContent {
            introduction: self.introduction,
            blocks: self.blocks.into_iter().map(block).collect(),
            examples: self.examples,
            exercises: self.exercises,
            quiz: self.quiz,
            summary: self.summary,
            further_reading: self.further_reading,
            word_count: 0,
            quality: LessonQuality::default(),
            status: LessonStatus::Generating,
        };
        drop_repeated_sentences(&mut content);
        content.word_count = content.count_words();
        content
    }
}

/// Every rule on an answer.
pub(super) fn validate(
    answer: &serde_json::Value,
    lesson: &Lesson,
    sources: &Sources,
    rules: &ValidationContext<'_>,
) -> Vec<Finding> {
    match serde_json::from_value::<Draft>(answer.clone()) {
        Ok(draft) => validate_lesson_content(&draft.into_content(sources), lesson, rules),
        Err(error) => vec![Finding::new(Rule::Count, Severity::Error, "", error.to_string())],
    }
}

/// Writes one lesson.
///
/// # Errors
/// Whatever keeps it from being written.
pub(super) async fn lesson(run: &Run, brief: &Brief<'_>) -> Result<Written, PipelineError> {
    let lesson = brief.lesson;
    let others: Vec<&str> = brief
        .structure
        .lessons()
        .map(|(_, other)| other.lesson_title.as_str())
        .filter(|title| *title != lesson.lesson_title)
        .collect();
    let analysis = data::analysis(brief.analysis);
    let data = vars! {
        course => brief.course(run),
        guidance => analysis.get_attr("guidance").unwrap_or_default(),
        section => data::section(brief.section),
        lesson => data::lesson(lesson),
        other_lessons => others,
        words => brief.words(),
        present => brief.present(run).map(as_markdown),
    };
    let (prompt, sources) = render_with_sources(run, "content_lesson", &data, &brief.wanted()).await?;
    let shape = shape_for(lesson, &sources);
    let rules = run.rules();
    let shown = &sources;
    let language = run.language();
    let mend: Mend<'_> = Box::new(move |value| mend::mend(value, lesson, language));
    let check: Check<'_> = Box::new(move |value| validate(value, lesson, shown, &rules));
    let gate = Gate {
        brief: brief.text(),
        digest: Box::new(|value| {
            serde_json::from_value::<Draft>(value.clone())
                .map_or_else(|_| String::new(), |draft| digest(&draft.into_content(shown)))
        }),
        threshold: CONTENT_THRESHOLD,
    };
    let tokens = (brief.words() * TOKENS_A_WORD + TOKENS_AROUND).min(LESSON_OUTPUT_TOKENS);
    let question = Question {
        stage: Stage::Content,
        phase: "lessons".to_owned(),
        batch: lesson.lesson_number,
        work: Work::Lesson,
        complexity: None,
        prompt,
        hint: None,
        shape: "lesson",
        schema: shape,
        max_output_tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
        temperature: None,
        mend: Some(mend),
        check: Some(check),
        gate: Some(gate),
        ignores_earlier_rounds: brief.needs_review,
        // A text that is there already is not given up for one that breaks rules.
        patience: match brief.present(run) {
            Some(_) => Patience::AllAttempts,
            None => Patience::KeepBest,
        },
    };
    let answer = run.ask(question).await?;
    let draft: Draft = serde_json::from_value(answer.value).map_err(|cause| PipelineError::Shape {
        what: format!("lesson {}", lesson.lesson_number),
        cause,
    })?;
    Ok(Written {
        content: draft.into_content(&sources),
        similarity: answer.similarity,
        needs_review: answer.needs_review,
        sources,
    })
}

/// The shape of an answer with the exercises of the specification.
pub(super) fn shape_for(lesson: &Lesson, sources: &Sources) -> serde_json::Value {
    let mut shape = shape(sources);
    let exercises = lesson.practical_exercises.len();
    shape["properties"]["exercises"]["minItems"] = exercises.into();
    shape["properties"]["exercises"]["maxItems"] = exercises.into();
    shape
}

/// The answer's shape: without sources there is nothing to cite.
fn shape(sources: &Sources) -> serde_json::Value {
    let mut shape = schema::of::<Draft>();
    let block = &mut shape["properties"]["blocks"]["items"];
    if sources.is_empty() {
        if let Some(properties) = block["properties"].as_object_mut() {
            properties.remove("citations");
        }
    } else if let Some(required) = block["required"].as_array_mut() {
        required.push("citations".into());
    }
    shape
}

/// A lesson's text as its author sees it, without exercises and quiz: those are remade from the specification.
fn as_markdown(content: &LessonContent) -> String {
    let blocks = content.blocks.iter().map(|block| (&block.title, &block.body));
    let examples = content
        .examples
        .iter()
        .map(|example| (&example.title, &example.body));
    let parts = blocks
        .chain(examples)
        .map(|(title, body)| format!("## {title}\n\n{body}"));
    std::iter::once(content.introduction.clone())
        .chain(parts)
        .chain([content.summary.clone()])
        .collect::<Vec<_>>()
        .join("\n\n")
}

/// What of a lesson is compared with its specification: its beginning and its headings.
pub(super) fn digest(content: &LessonContent) -> String {
    let titles: Vec<&str> = content.blocks.iter().map(|block| block.title.as_str()).collect();
    format!(
        "{} {}. {}",
        content.introduction,
        titles.join(". "),
        content.summary
    )
}
