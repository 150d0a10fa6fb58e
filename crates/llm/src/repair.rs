//! JSON from what a model said (generation 3.5). Layers: 0 direct, 1 extraction, 2 structure, 3 coercion to the
//! schema. Nothing is invented and nothing dropped silently: what was cut off or cannot be told for certain is
//! reported as missing, and a reading with a text that the model did not write counts as none.

mod coerce;
mod encoded;
mod escapes;
mod extract;
mod failing;
mod follows;
mod guard;
mod known;
mod lines;
mod lists;
mod mathematics;
mod near;
mod numbers;
mod quoted;
mod shape;
mod tex;
mod thoughts;
mod tolerant;
mod wrappers;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use failing::FieldFailure;

/// Longer answers are refused: hostile or broken.
pub const LONGEST_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Deeper nesting is refused: a course needs 8 levels.
pub const DEEPEST_NESTING: usize = 100;
/// Notes beyond this are not kept.
const MOST_NOTES: usize = 200;

/// The highest layer that was needed (generation 3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepairLayer {
    /// 0: it was JSON of the right shape.
    Direct,
    /// 1: it stood in prose, a fence or behind thoughts.
    Extracted,
    /// 2: its syntax was mended.
    Structural,
    /// 3: values were fitted to the schema.
    Coerced,
    /// 4: failing fields were asked again. Set by the pipeline, never by [`Repairer`].
    Model,
}

impl RepairLayer {
    /// The word in the call log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Extracted => "extracted",
            Self::Structural => "structural",
            Self::Coerced => "coerced",
            Self::Model => "model",
        }
    }
}

/// What kind of change was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Text around the JSON was left out.
    Surroundings,
    /// Another JSON value in the answer fits worse and was left out.
    OtherValue,
    /// Quotes were added, replaced or escaped.
    Quotes,
    /// A comma or colon was added or removed.
    Separator,
    /// A bracket or brace was added, replaced or removed.
    Closer,
    /// A comment was removed.
    Comment,
    /// A literal or number was rewritten as JSON has it.
    Literal,
    /// A raw control character or wrong escape in a text was accepted.
    Escape,
    /// A control character was a backslash with its letter: `\frac`, `C:\new`.
    Backslash,
    /// A word that belongs to nothing was left out.
    StrayWord,
    /// The same key occurs twice with different values; the last one is kept.
    DuplicateKey,
    /// The answer was cut; what is not whole was dropped and is listed as missing.
    Truncated,
    /// The end of a text cannot be told for certain; it was dropped and is listed as missing.
    Doubtful,
    /// The model left something out (`...`); listed as missing.
    Elided,
    /// A key was renamed to the schema's.
    KeyRenamed,
    /// A key that the schema does not know was dropped.
    UnknownKey,
    /// `null` for an optional field was dropped.
    NullDropped,
    /// A value was turned into the schema's type.
    Retyped,
    /// A value was mapped to the nearest that the schema allows.
    NearestValue,
    /// A needless layer around the value was removed, or a list put around it.
    Rewrapped,
}

/// One change, for the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairNote {
    /// Where, as a JSON pointer; empty is the root.
    pub path: String,
    /// What kind.
    pub change: Change,
    /// What exactly, for example `Case study -> case_study`.
    pub detail: String,
}

/// A repaired answer.
#[derive(Clone, Debug, PartialEq)]
pub struct RepairOutcome {
    /// The value. Its shape may still break the schema: see [`Repairer::failing_fields`].
    pub value: Value,
    /// The highest layer that was needed.
    pub layer: RepairLayer,
    /// What was changed, in order.
    pub notes: Vec<RepairNote>,
    /// JSON pointers to what the answer should have but was cut off, left out or doubtful. A pointer that ends in
    /// `/-` is a list that may lack items, also in its middle where a text of it was doubtful. Places in lists are
    /// those of the answer, dropped items counted.
    pub missing: Vec<String>,
    is_cut: bool,
}

impl RepairOutcome {
    /// Whether the answer ended before the value did, so that something the schema knows may be lost. What is sure to
    /// be lost is in `missing`. Not so for a loop behind everything that was asked for.
    pub const fn is_cut(&self) -> bool {
        self.is_cut
    }
}

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RepairError {
    /// The schema itself is wrong.
    #[error("the schema is wrong: {0}")]
    Schema(String),
    /// The answer is longer than [`LONGEST_ANSWER_BYTES`].
    #[error("the answer is too long: {bytes} bytes")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The answer is nested deeper than [`DEEPEST_NESTING`].
    #[error("the answer is nested deeper than {DEEPEST_NESTING} levels")]
    TooDeep,
    /// There is no JSON of the right kind in it.
    #[error("there is no JSON of the right shape in the answer")]
    NoJson,
    /// It can be read in two ways that both fit.
    #[error("the answer's JSON is damaged and can be read in more than one way")]
    Ambiguous,
}

/// Repairs answers to one schema.
#[derive(Debug)]
pub struct Repairer {
    schema: Value,
    validator: jsonschema::Validator,
}

/// A value found in an answer and what was done to it so far.
#[derive(Clone, Debug)]
struct Draft {
    value: Value,
    layer: RepairLayer,
    notes: Vec<RepairNote>,
    missing: Vec<String>,
    /// What the answer's end took away, if it ended before the value did.
    cut: Option<Cut>,
    /// Whether the text ended where the value did: brackets added up.
    is_clean: bool,
    /// Where it begins in the answer: a later value is the answer, an earlier one a draft.
    start: usize,
    /// It stands beside others in a list that could not be read as one.
    is_listed: bool,
    /// It stands behind JSON that could not be read, and may be a part of it.
    is_part: bool,
}

/// What the end of an answer took away, as JSON pointers.
#[derive(Clone, Debug, Default)]
struct Cut {
    /// Objects that were open: fields may have followed.
    open: Vec<String>,
    /// What had begun, and lists that may have had more items.
    lost: Vec<String>,
}

impl Repairer {
    /// A repairer for answers that should follow `schema` (draft 2020-12).
    ///
    /// # Errors
    /// [`RepairError::Schema`] if it is not a JSON Schema.
    pub fn new(schema: &Value) -> Result<Self, RepairError> {
        let validator =
            jsonschema::validator_for(schema).map_err(|error| RepairError::Schema(error.to_string()))?;
        Ok(Self {
            schema: schema.clone(),
            validator,
        })
    }

    /// The value in `raw`, by the lowest layers that give one.
    ///
    /// # Errors
    /// [`RepairError`] if there is none that holds only what the model wrote, or if it can be read in two ways.
    pub fn repair(&self, raw: &str) -> Result<RepairOutcome, RepairError> {
        if raw.len() > LONGEST_ANSWER_BYTES {
            return Err(RepairError::TooLong { bytes: raw.len() });
        }
        let search = extract::drafts(raw);
        let mut drafts = search.drafts;
        for draft in &mut drafts {
            coerce::coerce(&self.schema, draft);
        }
        drafts.retain(|draft| {
            coerce::root_fits(&self.schema, &draft.value)
                && (!draft.is_part
                    || (known::lists_fields(&self.schema) && self.validator.is_valid(&draft.value)))
        });
        if drafts.is_empty() && search.is_too_deep {
            return Err(RepairError::TooDeep);
        }
        let draft = self.best(drafts)?;
        Ok(self.outcome(draft))
    }

    /// Which fields of `value` break the schema, with messages that a model or a person can act on.
    pub fn failing_fields(&self, value: &Value) -> Vec<FieldFailure> {
        failing::failing_fields(&self.schema, &self.validator, value)
    }

    /// Whether `value` follows the schema.
    pub fn is_valid(&self, value: &Value) -> bool {
        self.validator.is_valid(value)
    }

    /// The value that fits; of several the last one, since drafts come first.
    fn best(&self, drafts: Vec<Draft>) -> Result<Draft, RepairError> {
        let many = drafts.len() > 1;
        let rank = |draft: &Draft| {
            let errors = if many {
                self.validator.iter_errors(&draft.value).count()
            } else {
                0
            };
            // The one that fits, then the one that is whole, then the one that lost least.
            let lost = draft.missing.len() + draft.cut.as_ref().map_or(0, |cut| 1 + cut.lost.len());
            (errors, !draft.is_clean, lost)
        };
        let mut ranked: Vec<_> = drafts.into_iter().map(|draft| (rank(&draft), draft)).collect();
        ranked.sort_by_key(|(rank, draft)| (*rank, std::cmp::Reverse(draft.start)));
        self.prefer_damaged_answer(&mut ranked);
        let mut ranked = ranked.into_iter();
        let (best_rank, mut best) = ranked.next().ok_or(RepairError::NoJson)?;
        for (rank, other) in ranked {
            if rank != best_rank || other.value == best.value {
                continue;
            }
            // Two readings of damaged text that fit alike: neither can be trusted.
            let is_damaged = other.layer >= RepairLayer::Structural && best.layer >= RepairLayer::Structural;
            if (other.start == best.start && is_damaged) || (other.is_listed && best.is_listed) {
                return Err(RepairError::Ambiguous);
            }
        }
        best.notes.truncate(MOST_NOTES);
        Ok(best)
    }

    /// A whole value before one that is cut or lost something is a draft of it, though it fits better.
    fn prefer_damaged_answer<R>(&self, ranked: &mut [(R, Draft)]) {
        let Some((_, best)) = ranked.first() else { return };
        // `{"title": "...", ...}` behind the answer tells of its form.
        let is_sketch = |draft: &Draft| draft.notes.iter().any(|note| note.change == Change::Elided);
        let is_later_answer = |draft: &Draft| {
            draft.start > best.start
                && (draft.cut.is_some() || !draft.missing.is_empty())
                && !is_sketch(draft)
                && wrappers::holds_required(&self.schema, &draft.value)
        };
        let damaged = ranked.iter().position(|(_, draft)| is_later_answer(draft));
        if let Some(damaged) = damaged {
            ranked[..=damaged].rotate_right(1);
        }
    }

    /// What a cut answer lacks is missing, not wrong: fields that are not there join the list.
    fn outcome(&self, draft: Draft) -> RepairOutcome {
        let Draft {
            value,
            layer,
            notes,
            mut missing,
            cut,
            ..
        } = draft;
        let mut is_cut = false;
        if let Some(cut) = cut {
            let absent = known::absent_fields(&self.schema, &value, &cut);
            let mut lost = cut.lost;
            lost.extend(absent);
            is_cut = !lost.is_empty() || !known::lists_fields(&self.schema);
            missing.append(&mut lost);
            if is_cut {
                missing.extend(failing::absent_required(&self.validator, &value));
            }
        }
        missing.sort_unstable();
        missing.dedup();
        RepairOutcome {
            value,
            layer,
            notes,
            missing,
            is_cut,
        }
    }
}

/// [`Repairer::repair`] for a schema that is used once.
///
/// # Errors
/// As there.
pub fn repair(raw: &str, schema: &Value) -> Result<RepairOutcome, RepairError> {
    Repairer::new(schema)?.repair(raw)
}

/// [`Repairer::failing_fields`] for a schema that is used once.
///
/// # Errors
/// [`RepairError::Schema`] if `schema` is not a JSON Schema.
pub fn failing_fields(schema: &Value, value: &Value) -> Result<Vec<FieldFailure>, RepairError> {
    Ok(Repairer::new(schema)?.failing_fields(value))
}

/// `path` with one more step, escaped as a JSON pointer (RFC 6901).
fn child(path: &str, step: &str) -> String {
    format!("{path}/{}", step.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests;
