//! What an answer is worth: read, mended, checked, and compared with its brief.

use domain::validation::Finding;
use llm::repair::{FieldFailure, RepairLayer, RepairOutcome, Repairer, failing_fields};
use llm::response::FinishReason;
use serde_json::{Value, json};
use store::model_call::ACCEPTED;

use super::Question;
use super::compose::Asked;
use super::fields::{OffendingField, Place, Problem, merged, misfits};
use crate::attempts::Standing;
use crate::context::Run;
use crate::error::PipelineError;
use crate::quality;

/// A parsed answer and what stands against it.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) value: Value,
    pub(super) standing: Standing,
    pub(super) similarity: Option<f64>,
    pub(super) problems: Vec<Problem>,
    /// Pointers of what may be missing because the answer was cut; they are among the problems.
    pub(super) open: Vec<String>,
}

impl Candidate {
    /// What stands against it, as sentences.
    pub(super) fn messages(&self) -> Vec<String> {
        self.problems
            .iter()
            .map(|problem| problem.message.clone())
            .collect()
    }

    /// The same where these open places count as closed.
    pub(super) fn without_open(&self, is_closed: impl Fn(&str) -> bool) -> Self {
        let mut candidate = self.clone();
        candidate.open.retain(|pointer| !is_closed(pointer));
        candidate.problems.retain(|problem| {
            problem
                .place
                .as_ref()
                .is_none_or(|place| !is_closed(&place.pointer))
        });
        candidate
    }
}

/// What became of an answer.
pub(super) struct Evaluated {
    pub(super) layer: Option<RepairLayer>,
    /// The error is a problem to tell the model.
    pub(super) candidate: Result<Candidate, String>,
    /// Whether the text ends before the answer does.
    pub(super) ending: Ending,
}

/// How the text of an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// With the answer.
    Whole,
    /// In its middle.
    Cut,
}

/// What the call log says of an answer.
pub(crate) struct Verdict {
    pub(crate) layer: Option<RepairLayer>,
    pub(crate) outcome: &'static str,
    pub(crate) problem: Option<String>,
}

impl Verdict {
    pub(super) fn of(evaluated: &Result<Evaluated, PipelineError>) -> Self {
        let evaluated = match evaluated {
            Ok(evaluated) => evaluated,
            Err(error) => {
                return Self {
                    layer: None,
                    outcome: "unchecked",
                    problem: Some(error.to_string()),
                };
            }
        };
        let (outcome, problem) = match &evaluated.candidate {
            Err(problem) => ("invalid_json", Some(problem.clone())),
            Ok(candidate) => {
                let outcome = match candidate.standing {
                    standing if standing.is_accepted() => ACCEPTED,
                    standing if standing.misfits > 0 || standing.errors > 0 => "rule_broken",
                    _ => "quality_low",
                };
                (outcome, candidate.messages().into_iter().next())
            }
        };
        Self {
            layer: evaluated.layer,
            outcome: match evaluated.ending {
                Ending::Whole => outcome,
                Ending::Cut => "cut",
            },
            problem,
        }
    }
}

impl Run {
    /// Parses, repairs, merges and checks an answer. One that was cut is not compared with its brief: its end is
    /// still to come.
    pub(super) async fn evaluate(
        &self,
        question: &Question<'_>,
        text: &str,
        finish: FinishReason,
        asked: &Asked,
        best: Option<&Candidate>,
    ) -> Result<Evaluated, PipelineError> {
        let read = Repairer::new(&asked.schema)
            .and_then(|repairer| repairer.repair(text).map(|found| (repairer, found)));
        let (mending, repaired) = match read {
            Ok(read) => read,
            Err(error) => {
                let (problem, ending) = match finish {
                    FinishReason::Length => (CUT.to_owned(), Ending::Cut),
                    FinishReason::Stop | FinishReason::ContentFilter | FinishReason::Other => {
                        (error.to_string(), Ending::Whole)
                    }
                };
                return Ok(Evaluated {
                    layer: None,
                    candidate: Err(problem),
                    ending,
                });
            }
        };
        let open = open_after_cut(&asked.schema, &repaired, finish);
        let ending = if open.is_empty() {
            Ending::Whole
        } else {
            Ending::Cut
        };
        let (layer, mut value, open) = match best {
            Some(best) if !asked.fields.is_empty() => {
                let value = merged(&best.value, &asked.fields, &repaired.value);
                let open = still_open(best, &asked.fields, &repaired.value, &open, ending);
                (RepairLayer::Model, value, open)
            }
            _ => (repaired.layer, repaired.value, open),
        };
        if let Some(mend) = &question.mend {
            mend(&mut value);
        }
        let failures = if asked.fields.is_empty() {
            // It was asked for the whole, by the question's own schema.
            mending.failing_fields(&value)
        } else {
            failures(question, &value)
        };
        let candidate = self.weighed(question, value, failures, open).await?;
        Ok(Evaluated {
            layer: Some(layer),
            candidate: Ok(candidate),
            ending,
        })
    }

    /// A candidate to which nothing more is to come, checked as a whole.
    pub(super) async fn closed(
        &self,
        question: &Question<'_>,
        candidate: Candidate,
        layer: Option<RepairLayer>,
    ) -> Result<Evaluated, PipelineError> {
        let failures = failures(question, &candidate.value);
        let candidate = self
            .weighed(question, candidate.value, failures, Vec::new())
            .await?;
        Ok(Evaluated {
            layer,
            candidate: Ok(candidate),
            ending: Ending::Whole,
        })
    }

    /// Holds a value against the schema, then the rules, then the brief.
    async fn weighed(
        &self,
        question: &Question<'_>,
        value: Value,
        failures: Vec<FieldFailure>,
        open: Vec<String>,
    ) -> Result<Candidate, PipelineError> {
        let mut problems = misfits(&value, failures);
        problems.extend(
            open.iter()
                .filter_map(|pointer| lost(&question.schema, &value, pointer)),
        );
        let mut standing = Standing {
            misfits: problems.len(),
            errors: 0,
            margin: None,
        };
        let mut similarity = None;
        if standing.misfits == 0 {
            problems = broken_rules(question, &value);
            standing.errors = problems.len();
        }
        if problems.is_empty()
            && let Some(gate) = &question.gate
        {
            let score = quality::similarity(self, &gate.brief, &(gate.digest)(&value)).await?;
            let threshold = quality::threshold_in(self.language(), gate.threshold);
            similarity = Some(score);
            standing.margin = Some(score - threshold);
            if score < threshold {
                let brief = &gate.brief;
                problems.push(Problem::of_the_whole(format!(
                    "the text is not close enough to what was asked for (similarity {score:.2}, needed {threshold:.2}); keep to: {brief}"
                )));
            }
        }
        Ok(Candidate {
            value,
            standing,
            similarity,
            problems,
            open,
        })
    }
}

/// What a model is told of an answer that was cut before anything of it could be read.
const CUT: &str = "the answer was cut off before its end; say it more briefly";

/// The rules that a value breaks, and the instructions that it says back.
fn broken_rules(question: &Question<'_>, value: &Value) -> Vec<Problem> {
    let mut problems: Vec<Problem> = question
        .check
        .iter()
        .flat_map(|check| check(value))
        .filter(Finding::is_error)
        .map(|finding| {
            let pointer = crate::schema::pointer(&finding.path);
            let message = finding.to_string();
            match value.pointer(&pointer) {
                Some(_) => Problem::at(pointer, &question.schema, message),
                None => Problem::of_the_whole(message),
            }
        })
        .collect();
    if problems.is_empty()
        && let Some(echo) = question.prompt.own_words.echo_in(value)
    {
        problems.push(Problem::of_the_whole(format!(
            "\"{echo}\" are words of the instructions: write what they ask for"
        )));
    }
    problems
}

/// What the question's schema rejects of a value.
fn failures(question: &Question<'_>, value: &Value) -> Vec<FieldFailure> {
    failing_fields(&question.schema, value).unwrap_or_else(|error| {
        vec![FieldFailure {
            path: String::new(),
            schema: Value::Bool(true),
            message: error.to_string(),
        }]
    })
}

/// Whether the text ended inside the value, so that something which the schema knows may be lost.
pub(super) fn was_truncated(repaired: &RepairOutcome) -> bool {
    repaired.is_cut()
}

/// Pointers of what a cut text may lack; none if the answer is whole. A text that only lost its last brackets is.
fn open_after_cut(schema: &Value, repaired: &RepairOutcome, finish: FinishReason) -> Vec<String> {
    if !was_truncated(repaired) {
        return Vec::new();
    }
    let mut open: Vec<String> = repaired
        .missing
        .iter()
        .filter(|pointer| place_of(schema, pointer).is_some())
        .cloned()
        .collect();
    // What a field lost is told by the field; keys that no schema knows are no loss.
    let is_inside = !open.is_empty();
    if is_inside || finish == FinishReason::Length {
        // What comes after the cut was not begun, and nobody would miss it where it is optional.
        let properties = schema.get("properties").and_then(Value::as_object);
        let unbegun = properties.into_iter().flat_map(|properties| properties.keys());
        open.extend(
            unbegun
                .filter(|key| repaired.value.get(key.as_str()).is_none())
                .map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1")))
                .filter(|pointer| !repaired.missing.contains(pointer)),
        );
    }
    open
}

/// The place at a pointer that may end with what follows a list.
fn place_of(schema: &Value, pointer: &str) -> Option<Place> {
    let shape = match pointer.strip_suffix("/-") {
        Some(list) => json!({ "type": "array", "items": crate::schema::at(schema, list)?.get("items")? }),
        None => crate::schema::at(schema, pointer)?,
    };
    Some(Place {
        pointer: pointer.to_owned(),
        schema: shape,
    })
}

/// What a cut answer lost, as a problem; `None` where it is there by now.
fn lost(schema: &Value, value: &Value, pointer: &str) -> Option<Problem> {
    let mut place = place_of(schema, pointer)?;
    let message = match pointer.strip_suffix("/-") {
        Some(list) => {
            let items = value.pointer(list)?.as_array()?.len();
            let shape = crate::schema::at(schema, list)?;
            let limit = |name: &str| shape.get(name).and_then(Value::as_u64);
            // Below its least number the list lacks certain items, which are asked for by themselves; a full one lacks none.
            let is_short = limit("minItems").is_some_and(|least| (items as u64) < least);
            let room = limit("maxItems").map(|most| most.saturating_sub(items as u64));
            if is_short || room == Some(0) {
                return None;
            }
            if let Some(room) = room {
                place.schema["maxItems"] = room.into();
            }
            format!(
                "{}: the answer was cut off after {items} items of this list; give those that follow, or an empty list",
                list.trim_start_matches('/')
            )
        }
        None if value.pointer(pointer).is_some() => return None,
        None => format!(
            "{}: the answer was cut off before it",
            pointer.trim_start_matches('/')
        ),
    };
    Some(Problem {
        place: Some(place),
        message,
    })
}

/// What is still open of a candidate after some of its fields were answered, in whole or in part.
fn still_open(
    best: &Candidate,
    fields: &[OffendingField],
    answer: &Value,
    open_in_answer: &[String],
    ending: Ending,
) -> Vec<String> {
    let came = |field: &OffendingField| ending == Ending::Whole || answer.get(&field.key).is_some();
    let mut open: Vec<String> = best
        .open
        .iter()
        .filter(|pointer| {
            !fields
                .iter()
                .any(|field| field.pointer == **pointer && came(field))
        })
        .cloned()
        .collect();
    for pointer in open_in_answer {
        let mut steps = pointer.splitn(3, '/').skip(1);
        let (Some(key), Some(rest)) = (steps.next(), steps.next()) else {
            continue;
        };
        let Some(field) = fields.iter().find(|field| field.key == key) else {
            continue;
        };
        match field.pointer.strip_suffix("/-") {
            // The rest of a list lacks a rest of its own; its items' places moved when they were appended.
            Some(_) if rest == "-" => open.push(field.pointer.clone()),
            Some(_) => {}
            None => open.push(format!("{}/{rest}", field.pointer)),
        }
    }
    open.sort_unstable();
    open.dedup();
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Value {
        json!({ "type": "object", "additionalProperties": false, "required": ["title", "quiz", "summary"], "properties": {
            "title": { "type": "string" },
            "quiz": { "type": "array", "items": { "type": "object", "required": ["question", "why"], "properties": {
                "question": { "type": "string" }, "why": { "type": "string" } } } },
            "summary": { "type": "string" },
            "reading": { "type": "array", "items": { "type": "string" } } } })
    }

    #[test]
    fn cut_answer_says_what_it_may_lack() {
        let check = |text: &str, finish: FinishReason, expected: &[&str]| {
            let repaired = llm::repair::repair(text, &schema()).unwrap();
            let mut open = open_after_cut(&schema(), &repaired, finish);
            // What is required is found by the schema.
            open.retain(|pointer| !["/summary", "/quiz"].contains(&pointer.as_str()));
            assert_eq!(open, expected, "{text} {:?}", repaired.missing);
        };
        let whole = r#"{"title": "Bees", "quiz": [{"question": "Why?", "why": "So."}], "summary": "All.", "reading": []}"#;
        for finish in [FinishReason::Stop, FinishReason::Length] {
            check(whole, finish, &[]);
            check(&whole[..whole.len() - 1], finish, &[]);
            check(
                r#"{"title": "Bees", "quiz": [{"question": "Why?", "why": "So."}"#,
                finish,
                &["/quiz/-", "/reading"],
            );
            check(
                r#"{"title": "Bees", "quiz": [{"question": "Why?", "why": "So."}, {"question": "Wh"#,
                finish,
                &["/quiz/-", "/quiz/1", "/quiz/1/question", "/reading"],
            );
            check(
                r#"{"title": "Bees", "quiz": [{"question": "Why?", "why": "So."}], "summary": "Al"#,
                finish,
                &["/reading"],
            );
        }
        check(
            r#"{"title": "Bees", "quiz": [{"question": "Why?", "why": "So."}], "summary": "All.", "rea"#,
            FinishReason::Length,
            &["/reading"],
        );
        check(
            r#"{"title": "Bees", "quiz": [{"question": "Why?", "why": "So."}], "summary": "All.", "reading": [], "x": "the the the"#,
            FinishReason::Stop,
            &[],
        );
    }
}
