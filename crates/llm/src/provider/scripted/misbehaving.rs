//! A script that goes wrong now and then, as real providers do.

mod damage;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

use super::delivery::{Delivery, Oddity, Page, Usage};
use super::{Grade, Script, ScriptedAnswer, ScriptedReply};
use crate::error::ProviderError;
use crate::request::{Request, Role};
use crate::response::FinishReason;

pub use self::damage::{DRAFT, FORMULA};

/// One way in which a call goes wrong, or an answer comes oddly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// 429 with `Retry-After` in seconds.
    SlowDown,
    /// 429 with `retry-after-ms`.
    SlowDownMillis,
    /// 429 that says only in words how long to wait.
    SlowDownInWords,
    /// 500.
    ServerError,
    /// 502 with a page of HTML.
    BadGateway,
    /// 503 of a server that loads its model.
    Loading,
    /// 529, as Anthropic's.
    Overloaded,
    /// Silence, then the connection closes.
    Silence,
    /// `choices: []`.
    NoChoices,
    /// An answer without text.
    Empty,
    /// An error object in an answer with status 200.
    ErrorInside,
    /// The stream breaks off; nothing is billed.
    BreaksOff,
    /// The stream breaks off after the usage was reported.
    BreaksOffBilled,
    /// All tokens go into a thought, which is billed.
    ThoughtOnly,
    /// The answer ends in the middle, with finish reason `length`.
    Cut,
    /// The answer ends in the middle, with finish reason `stop`.
    CutUnsaid,
    /// Valid JSON of another shape.
    WrongShape,
    /// The content is declined (400 `content_filter`).
    Declined,
    /// The answer stands in a code fence between two sentences.
    Fenced,
    /// The answer stands between sentences with brackets of their own.
    Prose,
    /// A thought with a draft of the answer comes first, in one of many tags.
    DraftFirst,
    /// The answer is a field of another object.
    Wrapped,
    /// Keys in camel case.
    CamelCase,
    /// TeX in a text, its backslashes not escaped.
    Formula,
    /// A byte order mark before the text.
    MarkedText,
    /// The whole answer, sent oddly.
    Odd(Oddity),
}

/// Faults and how often each happens, 0 to 1. The sum must not exceed 1; the rest goes well.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults(Vec<(Fault, f64)>);

/// How long a scripted server is silent before it closes, and how long it keeps a finished stream open: longer than a
/// hasty client waits, short enough for tests with hundreds of calls.
const SILENCE: Duration = Duration::from_secs(2);

/// Every kind, with its weight among all.
const EVERYTHING: [(Fault, f64); 37] = [
    (Fault::SlowDown, 3.0),
    (Fault::SlowDownMillis, 3.0),
    (Fault::SlowDownInWords, 3.0),
    (Fault::ServerError, 3.0),
    (Fault::BadGateway, 3.0),
    (Fault::Loading, 3.0),
    (Fault::Overloaded, 3.0),
    (Fault::Silence, 2.0),
    (Fault::NoChoices, 2.0),
    (Fault::Empty, 2.0),
    (Fault::ErrorInside, 3.0),
    (Fault::BreaksOff, 3.0),
    (Fault::BreaksOffBilled, 4.0),
    (Fault::ThoughtOnly, 2.0),
    (Fault::Cut, 5.0),
    (Fault::CutUnsaid, 4.0),
    (Fault::WrongShape, 3.0),
    // Rare: a course is still a course with one lesson that was declined, but not with three.
    (Fault::Declined, 0.3),
    (Fault::Fenced, 5.0),
    (Fault::Prose, 4.0),
    (Fault::DraftFirst, 6.0),
    (Fault::Wrapped, 3.0),
    (Fault::CamelCase, 3.0),
    (Fault::Formula, 4.0),
    (Fault::MarkedText, 2.0),
    (Fault::Odd(Oddity::ByteOrderMark), 2.0),
    (Fault::Odd(Oddity::EventsAsJson), 2.0),
    (Fault::Odd(Oddity::EventsAsText), 2.0),
    (Fault::Odd(Oddity::EventsUntyped), 2.0),
    (Fault::Odd(Oddity::WholeAsEvents), 2.0),
    (Fault::Odd(Oddity::NoDone), 2.0),
    (Fault::Odd(Oddity::StaysOpen(SILENCE)), 2.0),
    (Fault::Odd(Oddity::ContentParts), 2.0),
    (Fault::Odd(Oddity::UsageNull), 2.0),
    (Fault::Odd(Oddity::UsageTypes), 2.0),
    (Fault::Odd(Oddity::ThoughtBeside), 2.0),
    (Fault::Odd(Oddity::EmptyError), 2.0),
];

impl Faults {
    /// Nothing goes wrong.
    pub const NONE: Self = Self(Vec::new());

    /// This happens in every call.
    pub fn only(fault: Fault) -> Self {
        Self(vec![(fault, 1.0)])
    }

    /// Something goes wrong in about a third of the calls, everything of the older kinds at least sometimes.
    pub fn rough_day() -> Self {
        Self(vec![
            (Fault::SlowDown, 0.06),
            (Fault::ServerError, 0.05),
            (Fault::Silence, 0.02),
            (Fault::NoChoices, 0.02),
            (Fault::BreaksOff, 0.03),
            (Fault::Cut, 0.05),
            (Fault::Fenced, 0.08),
            (Fault::WrongShape, 0.03),
        ])
    }

    /// All kinds mixed, in this share of the calls.
    pub fn everything(share: f64) -> Self {
        Self(EVERYTHING.to_vec()).scaled(share)
    }

    /// The same without one kind; the others happen as often as before.
    #[must_use]
    pub fn without(mut self, fault: Fault) -> Self {
        self.0.retain(|(kind, _)| *kind != fault);
        self
    }

    /// The same kinds in the same proportions, in this share of the calls.
    #[must_use]
    pub fn scaled(mut self, share: f64) -> Self {
        let sum: f64 = self.0.iter().map(|(_, weight)| weight).sum();
        for (_, weight) in &mut self.0 {
            *weight *= share / sum;
        }
        self
    }

    fn pick(&self, mut dice: f64) -> Option<Fault> {
        for (fault, probability) in &self.0 {
            if dice < *probability {
                return Some(*fault);
            }
            dice -= probability;
        }
        None
    }
}

/// `script` with faults. The same seed and order of calls give the same faults.
///
/// An answer that was cut is remembered: a conversation that ends with its beginning gets the rest, as a model that is
/// asked to go on gives it.
pub fn misbehaving(script: Script, seed: u64, faults: Faults) -> Script {
    let cut = CutAnswers::default();
    Arc::new(move |request: &Request, call: usize| {
        if let Some(rest) = cut.rest(request) {
            return rest;
        }
        let mut rng = StdRng::seed_from_u64(seed ^ (call as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let Some(fault) = faults.pick(rng.random::<f64>()) else {
            return script(request, call);
        };
        let reply = if let Some(reply) = failure_of(fault, &mut rng) {
            reply
        } else {
            spoiled(fault, script(request, call), &mut rng, &cut)
        };
        tracing::debug!(call, ?fault, "scripted fault");
        reply
    })
}

/// The failure of a call that no answer is needed for.
fn failure_of(fault: Fault, rng: &mut StdRng) -> Option<ScriptedReply> {
    let millis = rng.random_range(200..1_500_u64);
    let wait = Duration::from_millis(millis);
    let server = |status: u16, message: &str| ProviderError::Server {
        status,
        message: message.to_owned(),
        retry_after: None,
    };
    let slow_down = |retry_after: Duration| ProviderError::RateLimited {
        retry_after: Some(retry_after),
        message: "slow down".to_owned(),
    };
    let limit = |message: String| {
        let error =
            json!({ "message": message, "type": "tokens", "param": null, "code": "rate_limit_exceeded" });
        Page::json(429, &json!({ "error": error }))
    };
    let (error, delivery) = match fault {
        Fault::SlowDown => (
            slow_down(Duration::from_secs(1)),
            Delivery::Page(
                limit("Rate limit reached for requests".to_owned()).with_header("retry-after", "1"),
            ),
        ),
        Fault::SlowDownMillis => (
            slow_down(wait),
            Delivery::Page(limit("slow down".to_owned()).with_header("retry-after-ms", millis.to_string())),
        ),
        Fault::SlowDownInWords => (
            slow_down(wait),
            Delivery::Page(limit(format!(
                "Rate limit reached for model `scripted` on tokens per minute (TPM): Limit 6000, Used 5900, Requested 3000. Please try again in {:.2}s.",
                wait.as_secs_f64()
            ))),
        ),
        Fault::ServerError => (server(500, "scripted failure"), Delivery::Regular),
        Fault::BadGateway => {
            let page = Page {
                status: 502,
                content_type: "text/html",
                headers: Vec::new(),
                body: "<html><h1>502 Bad Gateway</h1><center>cloudflare</center></html>".to_owned(),
            };
            (server(502, ""), Delivery::Page(page))
        }
        Fault::Loading => {
            let error = json!({ "code": 503, "message": "Loading model", "type": "unavailable_error" });
            (
                server(503, "Loading model"),
                Delivery::Page(Page::json(503, &json!({ "error": error }))),
            )
        }
        Fault::Overloaded => {
            let body =
                json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
            (server(529, "Overloaded"), Delivery::Page(Page::json(529, &body)))
        }
        Fault::Silence => (
            ProviderError::Timeout { after: SILENCE },
            Delivery::Silence(SILENCE),
        ),
        Fault::NoChoices => (ProviderError::Empty, Delivery::Regular),
        Fault::ErrorInside => {
            let body = json!({ "error": { "message": "Provider returned error", "code": 502, "metadata": { "raw": "upstream connect error", "provider_name": "Upstream" } } });
            (
                server(502, "Provider returned error"),
                Delivery::Page(Page::json(200, &body)),
            )
        }
        Fault::Declined => {
            let message = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.";
            let error = json!({ "message": message, "type": null, "param": "prompt", "code": "content_filter", "status": 400, "innererror": { "code": "ResponsibleAIPolicyViolation" } });
            let page = Page::json(400, &json!({ "error": error }));
            (
                ProviderError::Filtered {
                    message: message.to_owned(),
                },
                Delivery::Page(page),
            )
        }
        _ => return None,
    };
    Some(ScriptedReply::error(error).delivered(delivery))
}

/// A good reply, spoiled.
fn spoiled(fault: Fault, mut reply: ScriptedReply, rng: &mut StdRng, cut: &CutAnswers) -> ScriptedReply {
    let Ok(answer) = &mut reply.outcome else {
        return reply;
    };
    let broken = |answer: &ScriptedAnswer, usage: Usage| {
        let begun = ScriptedAnswer {
            text: answer.text.chars().take(BEGUN_LETTERS).collect(),
            ..answer.clone()
        };
        let error = ProviderError::BrokenStream {
            reason: "scripted break".to_owned(),
        };
        ScriptedReply::error(error).delivered(Delivery::BreaksOff { begun, usage })
    };
    match fault {
        Fault::BreaksOff => return broken(answer, Usage::Missing),
        Fault::BreaksOffBilled => return broken(answer, Usage::Reported),
        Fault::ThoughtOnly => {
            let thought = answer.clone();
            return ScriptedReply::error(ProviderError::Empty).delivered(Delivery::ThoughtOnly { thought });
        }
        Fault::Empty => {
            answer.text.clear();
            reply.grade = Grade::Spoiled;
        }
        Fault::Cut | Fault::CutUnsaid => {
            cut.remember(answer.clone());
            answer.text = damage::cut(&answer.text, rng);
            if fault == Fault::Cut {
                answer.finish_reason = FinishReason::Length;
            }
            reply.grade = Grade::Spoiled;
        }
        Fault::WrongShape => {
            damage::WRONG_SHAPE.clone_into(&mut answer.text);
            reply.grade = Grade::Spoiled;
        }
        Fault::Odd(oddity) => reply.delivery = Delivery::Odd(oddity),
        Fault::Fenced => answer.text = damage::fenced(&answer.text),
        Fault::Prose => answer.text = damage::prose(&answer.text),
        Fault::DraftFirst => answer.text = damage::draft_first(&answer.text, rng),
        Fault::Wrapped => answer.text = damage::wrapped(&answer.text, rng),
        Fault::CamelCase => answer.text = damage::camel_case(&answer.text),
        Fault::Formula => answer.text = damage::with_formula(&answer.text),
        Fault::MarkedText => answer.text.insert(0, '\u{feff}'),
        _ => {}
    }
    reply
}

/// Letters that come before a stream breaks off.
const BEGUN_LETTERS: usize = 200;
/// Answers that were cut and may be asked for the rest.
const REMEMBERED: usize = 200;

/// Answers that were cut, as they were before.
#[derive(Debug, Default)]
struct CutAnswers(Mutex<Vec<ScriptedAnswer>>);

impl CutAnswers {
    fn remember(&self, whole: ScriptedAnswer) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() == REMEMBERED {
            answers.remove(0);
        }
        answers.push(whole);
    }

    /// The rest of a cut answer, where the conversation has its beginning as the model's last turn.
    fn rest(&self, request: &Request) -> Option<ScriptedReply> {
        let mut turns = request.messages.iter().rev();
        let begun = turns.find(|message| message.role == Role::Assistant)?;
        let begun = begun.content.as_str();
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = answers.iter().rev().find(|whole| {
            begun.len() > BEGUN_LETTERS && begun.len() < whole.text.len() && whole.text.starts_with(begun)
        })?;
        let rest = ScriptedAnswer {
            text: whole.text[begun.len()..].to_owned(),
            ..whole.clone()
        };
        Some(ScriptedReply {
            outcome: Ok(rest),
            ..ScriptedReply::text("")
        })
    }
}
