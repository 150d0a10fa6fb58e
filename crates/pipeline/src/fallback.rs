//! What operators hear of answers that another model gave than the first choice (service 4.7).

use llm::gateway::AttemptRecord;
use llm::route::RouteReason;
use serde_json::{Value, json};
use store::metric::Event;

/// Why another model counts as a fallback: a complex section is given to another one by plan.
const FALLBACKS: [RouteReason; 3] = [
    RouteReason::Overflow,
    RouteReason::ProviderDown,
    RouteReason::ValidationFailure,
];

/// The events of the calls that led to one answer, the last of which brought it.
pub(crate) fn events(calls: &[AttemptRecord]) -> Vec<(Event, Value)> {
    let Some(answered) = calls.last().filter(|call| FALLBACKS.contains(&call.reason)) else {
        return Vec::new();
    };
    let facts = json!({ "model": answered.model, "reason": answered.reason.as_str() });
    let mut events = vec![(Event::ModelFallback, facts)];
    if answered.reason == RouteReason::ProviderDown {
        // Without a failed call here, an earlier one has opened the breaker.
        let silent = calls.iter().rev().find(|call| call.outcome != "ok");
        let facts = json!({
            "model": silent.map(|silent| &silent.model),
            "provider": silent.map(|silent| &silent.provider),
            "code": silent.map(|silent| silent.outcome),
            "answered_by": answered.model,
        });
        events.push((Event::ProviderDown, facts));
    }
    events
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::usage::TokenUsage;
    use llm::pricing::Cost;
    use llm::route::Work;

    use super::*;

    fn call(model: &str, reason: RouteReason, outcome: &'static str) -> AttemptRecord {
        AttemptRecord {
            work: Work::Lesson,
            model: model.to_owned(),
            provider: format!("{model}'s"),
            upstream: None,
            attempt: 1,
            reason,
            usage: TokenUsage::default(),
            cost: Cost::FREE,
            latency: Duration::ZERO,
            finish_reason: None,
            outcome,
            error: None,
        }
    }

    #[track_caller]
    fn check(calls: &[AttemptRecord], expected: &[Event]) -> Vec<(Event, Value)> {
        let told = events(calls);
        let kinds: Vec<Event> = told.iter().map(|(event, _)| *event).collect();
        assert_eq!(kinds, expected);
        told
    }

    #[test]
    fn a_provider_that_is_down_is_told_although_another_answered() {
        check(&[], &[]);
        check(&[call("small", RouteReason::Default, "ok")], &[]);
        let tried_again = [
            call("small", RouteReason::Default, "server_error"),
            call("small", RouteReason::Default, "ok"),
        ];
        check(&tried_again, &[]);
        check(
            &[call("large", RouteReason::Overflow, "ok")],
            &[Event::ModelFallback],
        );

        let both = [Event::ModelFallback, Event::ProviderDown];
        let down = [
            call("small", RouteReason::Default, "server_error"),
            call("strong", RouteReason::ProviderDown, "ok"),
        ];
        let told = check(&down, &both);
        assert_eq!(
            told[1].1,
            json!({ "model": "small", "provider": "small's", "code": "server_error", "answered_by": "strong" })
        );
        let breaker_open = [call("strong", RouteReason::ProviderDown, "ok")];
        assert_eq!(check(&breaker_open, &both)[1].1["model"], Value::Null);
    }
}
