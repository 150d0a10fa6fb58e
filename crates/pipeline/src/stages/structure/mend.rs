//! What still breaks a rule when the parts are put together is written anew, text by text.

use domain::stage::Stage;
use domain::structure::{CourseStructure, Lesson};
use domain::validation::{Finding, Rule, Severity, TitleIndex, validate_section, validate_structure};
use llm::route::Work;
use serde_json::json;

use super::pieces::field_shape;
use crate::attempts::Patience;
use crate::context::Run;
use crate::data;
use crate::engine::{Check, Question};
use crate::error::PipelineError;
use crate::schema;
use crate::vars::vars;
use crate::wording::folded;

/// Rounds of mending: a new text may break another rule.
const ROUNDS: u32 = 3;
/// Another text is wanted than the likeliest.
const REPLACEMENT_TEMPERATURE: f32 = 0.9;
/// Tokens of the longest replacement.
const REPLACEMENT_OUTPUT_TOKENS: u32 = 1500;

/// What of a structure is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// The section at this place, from 0: all others are as their author wants them.
    Section(usize),
}

/// Mends every text of the part that breaks a rule of severity error. A text that no model could mend stays, and the quality
/// report says what is wrong with it.
///
/// # Errors
/// [`PipelineError::InvalidStructure`] if lessons cannot be written of what is left, and whatever keeps a call from being
/// made.
pub(crate) async fn mend(
    run: &Run,
    structure: &mut CourseStructure,
    part: Part,
) -> Result<(), PipelineError> {
    for round in 1..=ROUNDS {
        let errors = errors(run, structure, part);
        if errors.is_empty() {
            return Ok(());
        }
        for (finding, place) in errors.iter().zip(1u32..) {
            tracing::info!(
                path = finding.path,
                rule = finding.rule.as_str(),
                message = finding.message,
                "mending"
            );
            replace(run, structure, finding, round * 1000 + place).await?;
        }
    }
    let (fatal, left): (Vec<Finding>, Vec<Finding>) = errors(run, structure, part)
        .into_iter()
        .partition(|finding| is_fatal(finding.rule));
    for finding in left {
        tracing::warn!(
            path = finding.path,
            message = finding.message,
            "left for the author"
        );
    }
    match fatal.first() {
        None => Ok(()),
        Some(first) => Err(PipelineError::InvalidStructure {
            count: fatal.len(),
            first: format!("{}: {}", first.path, first.message),
        }),
    }
}

/// Whether a course that breaks the rule has another form than all that comes later expects.
const fn is_fatal(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::Count | Rule::Range | Rule::Numbering | Rule::Totals | Rule::SectionPrerequisites
    )
}

fn errors(run: &Run, structure: &CourseStructure, part: Part) -> Vec<Finding> {
    let mut errors = match part {
        Part::Whole => validate_structure(structure, &run.rules()),
        Part::Section(place) => of_section(run, structure, place),
    };
    errors.retain(Finding::is_error);
    // One text may break several rules; it is written anew once a round.
    errors.dedup_by(|a, b| a.path == b.path);
    errors
}

/// The findings of one section, repeats of other sections' titles and topics included, with paths from the whole.
fn of_section(run: &Run, structure: &CourseStructure, place: usize) -> Vec<Finding> {
    let Some(section) = structure.sections.get(place) else {
        return Vec::new();
    };
    let others = structure.sections.iter().enumerate();
    let elsewhere = TitleIndex::of_sections(others.filter(|(other, _)| *other != place).map(|(_, of)| of));
    validate_section(section, &run.rules(), &elsewhere)
        .into_iter()
        .map(|finding| Finding {
            path: match finding.path.as_str() {
                "" => format!("sections[{place}]"),
                path => format!("sections[{place}].{path}"),
            },
            ..finding
        })
        .collect()
}

async fn replace(
    run: &Run,
    structure: &mut CourseStructure,
    finding: &Finding,
    batch: u32,
) -> Result<(), PipelineError> {
    let mut value = serde_json::to_value(&*structure).map_err(|cause| PipelineError::Shape {
        what: "the structure".to_owned(),
        cause,
    })?;
    let pointer = schema::pointer(&finding.path);
    let Some(text) = value
        .pointer(&pointer)
        .and_then(serde_json::Value::as_str)
        .map(str::to_owned)
    else {
        // A count or a number: no single text to write anew.
        return Ok(());
    };
    let field = pointer
        .split('/')
        .rfind(|part| part.parse::<usize>().is_err())
        .unwrap_or_default()
        .to_owned();
    let indexes: Vec<usize> = pointer.split('/').filter_map(|part| part.parse().ok()).collect();
    let section = indexes
        .first()
        .filter(|_| pointer.starts_with("/sections/"))
        .and_then(|&i| structure.sections.get(i));
    let lesson = section.and_then(|section| {
        indexes
            .get(1)
            .filter(|_| pointer.contains("/lessons/"))
            .and_then(|&i| section.lessons.get(i))
    });
    let data = vars! {
        course => data::course(run),
        section => section.map_or_else(|| vars! { title => structure.course_title }, data::section),
        lesson => lesson.map(data::lesson),
        text => text,
        field => field.replace('_', " "),
        problem => finding.message,
    };
    let (prompt, shape) = if run.is_small() {
        ("small_replacement", field_shape(run, &field))
    } else {
        let whole = schema::of::<CourseStructure>();
        (
            "structure_replacement",
            schema::at(&whole, &pointer).unwrap_or_else(|| json!({ "type": "string" })),
        )
    };
    let taken = others(&value, &field, &text);
    let check: Check<'_> = Box::new(move |answer| {
        let text = folded(answer["text"].as_str().unwrap_or_default());
        let repeats = taken.iter().any(|other| folded(other) == text);
        let message = "this text stands elsewhere in the course already; write another one";
        repeats
            .then(|| Finding::new(Rule::Distinct, Severity::Error, "text", message))
            .into_iter()
            .collect()
    });
    let question = Question {
        stage: Stage::Structure,
        phase: format!("validation.{field}"),
        batch,
        work: Work::Repair,
        complexity: None,
        prompt: run.prompts().render(prompt, &data)?,
        hint: None,
        shape: "replacement",
        schema: schema::object([("text", shape)]),
        max_output_tokens: REPLACEMENT_OUTPUT_TOKENS,
        temperature: Some(REPLACEMENT_TEMPERATURE),
        mend: None,
        check: Some(check),
        gate: None,
        ignores_earlier_rounds: false,
        patience: Patience::WhileModelsDiffer,
    };
    let replacement = match run.ask(question).await {
        Ok(answer) => answer.value["text"].clone(),
        // The next round may do better; what remains is reported at the end.
        Err(error) if error.is_of_one_piece() => match narrowed(&field, &text, lesson) {
            Some(text) => text.into(),
            None => return Ok(()),
        },
        Err(error) => return Err(error),
    };
    if let Some(place) = value.pointer_mut(&pointer) {
        *place = replacement;
    }
    *structure = serde_json::from_value(value).map_err(|cause| PipelineError::Shape {
        what: "the mended structure".to_owned(),
        cause,
    })?;
    structure.renumber();
    Ok(())
}

/// A topic or title that stands elsewhere too, narrowed to its lesson: what a small model cannot say in other words.
fn narrowed(field: &str, text: &str, lesson: Option<&Lesson>) -> Option<String> {
    let lesson = lesson?;
    match field {
        "key_topics" => Some(format!("{text}: {}", lesson.lesson_title)),
        "lesson_title" => Some(format!("{text}: {}", lesson.key_topics.first()?)),
        _ => None,
    }
}

/// All texts of the same field in the course, but the one that is replaced.
fn others(structure: &serde_json::Value, field: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    collect(structure, field, &mut found);
    let mut skipped = false;
    found.retain(|other| {
        let skip = !skipped && other == text;
        skipped |= skip;
        !skip
    });
    found
}

fn collect(value: &serde_json::Value, field: &str, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                match value {
                    serde_json::Value::String(text) if key == field => found.push(text.clone()),
                    serde_json::Value::Array(items) if key == field => {
                        found.extend(items.iter().filter_map(|item| item.as_str().map(str::to_owned)));
                    }
                    _ => collect(value, field, found),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, field, found)),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}
