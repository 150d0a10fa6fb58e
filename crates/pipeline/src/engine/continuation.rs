//! An answer that was cut is never taken for a whole one: the model is asked to go on, then asked with more room, then for
//! what is missing in smaller parts. Every part is a call of its own that is paid for, counted and kept.

use std::collections::BTreeMap;

use llm::response::FinishReason;

use super::compose::Asked;
use super::evaluate::{Candidate, Ending, Evaluated, Verdict};
use super::fields::{OffendingField, offending_fields};
use super::join::joined;
use super::{Effort, Kept, Paid, Question};
use crate::attempts::Rung;
use crate::context::Run;
use crate::error::PipelineError;

/// Parts of one answer, at most: 40 of 1500 characters, the smallest limit that a server was seen with, hold the longest
/// lesson.
const MOST_PARTS: u32 = 40;
/// How often the room for an answer is doubled.
const MOST_DOUBLINGS: u32 = 2;
/// How often what follows in one list is asked for: a model that always finds another item is not cut any more.
const MOST_RESTS: u32 = 2;

/// One attempt at a question.
pub(super) struct Attempt<'a, 'q> {
    pub(super) question: &'a Question<'q>,
    pub(super) key: &'a str,
    /// From 1, in its round.
    pub(super) number: u32,
    pub(super) step: Rung,
    pub(super) asked: &'a Asked,
    pub(super) best: Option<&'a Candidate>,
    /// What is kept of its first call.
    pub(super) kept: Option<Kept>,
}

/// An answer whose end is missing.
struct CutAnswer {
    text: String,
    finish: FinishReason,
    evaluated: Evaluated,
}

impl Run {
    /// The answer of an attempt, complete if that can be had.
    pub(super) async fn answered(
        &self,
        mut attempt: Attempt<'_, '_>,
        effort: &mut Effort,
    ) -> Result<Evaluated, PipelineError> {
        let kept = attempt.kept.take();
        let attempt = &attempt;
        let Attempt {
            question,
            key,
            number,
            step,
            asked,
            ..
        } = *attempt;
        let paid = self.paid_answer(question, key, number, step, asked, kept).await?;
        let first = self.taken(attempt, asked, paid, None, effort).await?;
        // A small model is asked for pieces that are short and whose length its grammar bounds.
        if first.evaluated.ending == Ending::Whole || self.is_small() {
            return Ok(first.evaluated);
        }
        let mut cut = first;
        for way in [Way::GoOn, Way::MoreRoom, Way::SmallerParts] {
            tracing::info!(what = question.name(), ?way, "the answer was cut");
            cut = match way {
                Way::GoOn => Box::pin(self.gone_on(attempt, cut, effort)).await?,
                Way::MoreRoom => Box::pin(self.with_more_room(attempt, cut, effort)).await?,
                Way::SmallerParts => Box::pin(self.in_smaller_parts(attempt, cut, effort)).await?,
            };
            if cut.evaluated.ending == Ending::Whole {
                break;
            }
        }
        Ok(cut.evaluated)
    }

    /// Asks for the rest until it is there or does not come nearer.
    async fn gone_on(
        &self,
        attempt: &Attempt<'_, '_>,
        mut cut: CutAnswer,
        effort: &mut Effort,
    ) -> Result<CutAnswer, PipelineError> {
        if cut.evaluated.candidate.is_err() {
            // Thoughts, or nothing: there is nothing to go on with.
            return Ok(cut);
        }
        for part in 1..=MOST_PARTS {
            let asked = self.compose_rest(attempt.asked, &cut.text)?;
            let Some(paid) = self.part(attempt, "rest", part, &asked).await? else {
                return Ok(cut);
            };
            let finish = paid.answer.finish_reason;
            let Some(text) = joined(&asked.schema, &cut.text, &paid.answer.text, finish) else {
                self.left_aside(attempt, &paid, effort).await?;
                return Ok(cut);
            };
            cut = self.taken(attempt, &asked, paid, Some(text), effort).await?;
            if cut.evaluated.ending == Ending::Whole {
                break;
            }
        }
        Ok(cut)
    }

    /// Asks the same again with twice the room, as far as the model has it.
    async fn with_more_room(
        &self,
        attempt: &Attempt<'_, '_>,
        mut cut: CutAnswer,
        effort: &mut Effort,
    ) -> Result<CutAnswer, PipelineError> {
        let Attempt {
            question,
            step,
            asked,
            ..
        } = *attempt;
        let limit = self.models().card_for(question.work, step.escalation).max_output;
        let mut room = asked.max_output_tokens;
        for doubling in 1..=MOST_DOUBLINGS {
            if cut.finish != FinishReason::Length || room >= limit {
                break;
            }
            room = room.saturating_mul(2).min(limit);
            let roomier = Asked {
                messages: asked.messages.clone(),
                schema: asked.schema.clone(),
                fields: asked.fields.clone(),
                max_output_tokens: room,
                form: asked.form,
            };
            let Some(paid) = self.part(attempt, "room", doubling, &roomier).await? else {
                break;
            };
            let before = extent(&cut.evaluated);
            let answer = self.taken(attempt, &roomier, paid, None, effort).await?;
            let is_whole = answer.evaluated.ending == Ending::Whole;
            if !is_whole && extent(&answer.evaluated) <= before {
                // It is not our limit that cuts.
                break;
            }
            cut = answer;
            if is_whole {
                break;
            }
        }
        Ok(cut)
    }

    /// Asks for the fields that are missing, fewer at once where even these are cut.
    async fn in_smaller_parts(
        &self,
        attempt: &Attempt<'_, '_>,
        mut cut: CutAnswer,
        effort: &mut Effort,
    ) -> Result<CutAnswer, PipelineError> {
        let mut at_once = usize::MAX;
        let mut rests: BTreeMap<String, u32> = BTreeMap::new();
        for part in 1..=MOST_PARTS {
            let Ok(candidate) = &cut.evaluated.candidate else {
                return Ok(cut);
            };
            let asked_enough = |pointer: &str| rests.get(pointer).is_some_and(|&asked| asked >= MOST_RESTS);
            let state = candidate.without_open(asked_enough);
            let mut fields = offending_fields(&state.problems);
            if fields.is_empty() {
                cut.evaluated = self.closed(attempt.question, state, cut.evaluated.layer).await?;
                return Ok(cut);
            }
            // What is missing comes before what may be missing.
            fields.sort_by_key(OffendingField::is_rest);
            fields.truncate(at_once);
            for field in fields.iter().filter(|field| field.is_rest()) {
                *rests.entry(field.pointer.clone()).or_default() += 1;
            }
            let asked = self.compose_fields(attempt.question, &state.value, fields)?;
            let Some(paid) = self.part(attempt, "piece", part, &asked).await? else {
                return Ok(cut);
            };
            let smaller = Attempt {
                asked: &asked,
                best: Some(&state),
                kept: None,
                ..*attempt
            };
            let answer = self.taken(&smaller, &asked, paid, None, effort).await?;
            let is_answered = answer.evaluated.ending == Ending::Whole;
            if extent(&answer.evaluated) > extent(&cut.evaluated) || is_answered {
                if !is_answered {
                    at_once = answered_fields(&asked, &state, &answer.evaluated).max(1);
                }
                let is_stuck = is_answered && extent(&answer.evaluated) <= extent(&cut.evaluated);
                cut = answer;
                if is_stuck && misfits(&cut.evaluated) >= state.standing.misfits {
                    return Ok(cut);
                }
            } else if asked.fields.len() > 1 {
                at_once = asked.fields.len() / 2;
            } else {
                return Ok(cut);
            }
            if misfits(&cut.evaluated) == 0 {
                break;
            }
        }
        Ok(cut)
    }

    /// Takes an answer that was paid for: checks it, together with what came before it if it is a rest, and writes it
    /// down. It is written even if it could not be compared.
    async fn taken(
        &self,
        attempt: &Attempt<'_, '_>,
        asked: &Asked,
        paid: Paid,
        joined: Option<String>,
        effort: &mut Effort,
    ) -> Result<CutAnswer, PipelineError> {
        effort.note(&paid.answer);
        let finish = paid.answer.finish_reason;
        let text = joined.unwrap_or_else(|| paid.answer.text.clone());
        let question = attempt.question;
        let evaluated = self.evaluate(question, &text, finish, asked, attempt.best).await;
        self.record_answer(question, attempt.number, &paid, &Verdict::of(&evaluated))
            .await?;
        Ok(CutAnswer {
            text,
            finish,
            evaluated: evaluated?,
        })
    }

    /// Writes down a part that was paid for and brought nothing.
    async fn left_aside(
        &self,
        attempt: &Attempt<'_, '_>,
        paid: &Paid,
        effort: &mut Effort,
    ) -> Result<(), PipelineError> {
        effort.note(&paid.answer);
        let verdict = Verdict {
            layer: None,
            outcome: "no_progress",
            problem: Some("the answer that was cut did not go on".to_owned()),
        };
        self.record_answer(attempt.question, attempt.number, paid, &verdict)
            .await
    }

    /// One further call for an attempt; `None` where this call cannot be made but others can.
    async fn part(
        &self,
        attempt: &Attempt<'_, '_>,
        kind: &str,
        number: u32,
        asked: &Asked,
    ) -> Result<Option<Paid>, PipelineError> {
        let key = format!("{}-{}-{kind}", attempt.key, attempt.number);
        let kept = self
            .find_kept(attempt.question, &format!("{key}-{number}"))
            .await?;
        let paid = self
            .paid_answer(attempt.question, &key, number, attempt.step, asked, kept)
            .await;
        match paid {
            Ok(paid) => Ok(Some(paid)),
            Err(error) if error.is_of_one_piece() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What is tried with an answer that was cut, in this order.
#[derive(Clone, Copy, Debug)]
enum Way {
    GoOn,
    MoreRoom,
    SmallerParts,
}

/// How many fields of an answer are missing or wrong.
fn misfits(evaluated: &Evaluated) -> usize {
    evaluated
        .candidate
        .as_ref()
        .map_or(usize::MAX, |candidate| candidate.standing.misfits)
}

/// How much of an answer is there, in bytes.
fn extent(evaluated: &Evaluated) -> usize {
    evaluated
        .candidate
        .as_ref()
        .map_or(0, |candidate| candidate.value.to_string().len())
}

/// How many of the fields that were asked for have changed.
fn answered_fields(asked: &Asked, before: &Candidate, after: &Evaluated) -> usize {
    let Ok(after) = &after.candidate else { return 0 };
    asked
        .fields
        .iter()
        .filter(|field| {
            let place = field.pointer.trim_end_matches("/-");
            before.value.pointer(place) != after.value.pointer(place)
        })
        .count()
}
