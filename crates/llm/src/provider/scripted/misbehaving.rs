//! A script that goes wrong now and then, as real providers do.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Script, ScriptedReply};
use crate::error::ProviderError;
use crate::request::Request;
use crate::response::FinishReason;

/// How often each thing goes wrong, 0 to 1. The sum must not exceed 1; the rest goes well.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// 429 with `Retry-After: 1`.
    pub rate_limited: f64,
    /// 500.
    pub server_error: f64,
    /// Silence until the caller gives up.
    pub timeout: f64,
    /// `choices: []`.
    pub empty: f64,
    /// The stream breaks off.
    pub broken_stream: f64,
    /// The answer ends in the middle, with finish reason `length`.
    pub truncated: f64,
    /// The answer stands in a code fence between two sentences.
    pub fenced: f64,
    /// Valid JSON of another shape.
    pub wrong_shape: f64,
}

impl Faults {
    /// Something goes wrong in about a third of the calls, everything at least sometimes.
    pub const ROUGH_DAY: Self = Self {
        rate_limited: 0.06,
        server_error: 0.05,
        timeout: 0.02,
        empty: 0.02,
        broken_stream: 0.03,
        truncated: 0.05,
        fenced: 0.08,
        wrong_shape: 0.03,
    };
}

/// The wait that a scripted 429 asks for.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// `script` with faults. The same seed and order of calls give the same faults.
pub fn misbehaving(script: Script, seed: u64, faults: Faults) -> Script {
    Arc::new(move |request: &Request, call: usize| {
        let mut rng = StdRng::seed_from_u64(seed ^ (call as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut dice = rng.random::<f64>();
        let mut happens = |probability: f64| {
            let hit = (0.0..probability).contains(&dice);
            dice -= probability;
            hit
        };
        if happens(faults.rate_limited) {
            return ScriptedReply::error(ProviderError::RateLimited {
                retry_after: Some(RETRY_AFTER),
                message: "slow down".to_owned(),
            });
        }
        if happens(faults.server_error) {
            let message = "scripted failure".to_owned();
            return ScriptedReply::error(ProviderError::Server {
                status: 500,
                message,
                retry_after: None,
            });
        }
        if happens(faults.timeout) {
            // One that hangs says nothing for longer than anybody waits.
            return script(request, call).after(request.idle_timeout + Duration::from_secs(1));
        }
        if happens(faults.empty) {
            return ScriptedReply::error(ProviderError::Empty);
        }
        if happens(faults.broken_stream) {
            return ScriptedReply::error(ProviderError::BrokenStream {
                reason: "scripted break".to_owned(),
            });
        }
        let damage: fn(&str, &mut StdRng) -> (String, FinishReason) = if happens(faults.truncated) {
            truncated
        } else if happens(faults.fenced) {
            fenced
        } else if happens(faults.wrong_shape) {
            wrong_shape
        } else {
            return script(request, call);
        };
        let mut reply = script(request, call);
        if let Ok(answer) = &mut reply.outcome {
            (answer.text, answer.finish_reason) = damage(&answer.text, &mut rng);
        }
        reply
    })
}

fn truncated(text: &str, rng: &mut StdRng) -> (String, FinishReason) {
    let letters: Vec<char> = text.chars().collect();
    let kept = letters.len() * rng.random_range(30..98) / 100;
    (
        letters[..kept.max(1).min(letters.len())].iter().collect(),
        FinishReason::Length,
    )
}

fn fenced(text: &str, _rng: &mut StdRng) -> (String, FinishReason) {
    let wrapped = format!(
        "Sure! Here is what you asked for:\n\n```json\n{text}\n```\n\nLet me know if you need changes."
    );
    (wrapped, FinishReason::Stop)
}

fn wrong_shape(_text: &str, _rng: &mut StdRng) -> (String, FinishReason) {
    (
        r#"{"result": {"status": "done", "items": []}}"#.to_owned(),
        FinishReason::Stop,
    )
}
