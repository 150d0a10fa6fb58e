//! Generations: start, follow, result, cancel, go on, make a part anew.

pub(super) mod control;
pub(super) mod events;
mod follow;
mod initiate;
pub(super) mod limits;
mod result;
pub(crate) mod status;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::courses::EXAMPLE_ID;
use super::error::{ApiError, ErrorCode};
use super::{Access, Call, Procedure, mutation, query, subscription};

/// What starting may fail with.
const START_ERRORS: [ErrorCode; 6] = [
    ErrorCode::TrialEnded,
    ErrorCode::NotFound,
    ErrorCode::Conflict,
    ErrorCode::GenerationActive,
    ErrorCode::ConcurrencyLimit,
    ErrorCode::GenerationNotStarted,
];

/// The rows of this file.
pub(super) fn procedures() -> Vec<Procedure> {
    let of_course = || json!({ "courseId": EXAMPLE_ID });
    vec![
        query(
            "generation.test",
            Access::Anyone,
            "Say that the service answers",
            test,
        )
        .example(json!({ "message": "hello" })),
        mutation(
            "generation.initiate",
            Access::Author,
            "Start a generation of a course, or make a course and start",
            initiate::initiate,
        )
        .fails(&START_ERRORS)
        .example(json!({ "courseId": EXAMPLE_ID, "idempotencyKey": "order-4711" })),
        query(
            "generation.getStatus",
            Access::Author,
            "Say where a generation stands",
            status::get_status,
        )
        .fails(&[ErrorCode::NotFound])
        .example(of_course()),
        subscription::<_, status::GenerationState, _>(
            "generation.onProgress",
            Access::Author,
            "Follow a generation until it ends",
            follow::follow,
        )
        .fails(&[ErrorCode::NotFound, ErrorCode::RateLimited])
        .example(of_course()),
        query(
            "generation.getResult",
            Access::Author,
            "Read what a generation has made",
            result::get_result,
        )
        .fails(&[ErrorCode::NotFound, ErrorCode::GenerationNotCompleted])
        .example(of_course()),
        mutation(
            "generation.cancel",
            Access::Author,
            "Cancel the active generation of a course",
            control::cancel,
        )
        .fails(&[ErrorCode::NotFound])
        .example(of_course()),
        mutation(
            "generation.retry",
            Access::Author,
            "Go on with a generation that failed or was cancelled, or with the open lessons of a complete course",
            control::retry,
        )
        .fails(&[
            ErrorCode::TrialEnded,
            ErrorCode::NotFound,
            ErrorCode::Conflict,
            ErrorCode::ConcurrencyLimit,
        ])
        .example(of_course()),
        mutation(
            "generation.approve",
            Access::Author,
            "Approve the structure, so that the lessons are written",
            control::approve,
        )
        .fails(&[ErrorCode::NotFound, ErrorCode::Conflict])
        .example(of_course()),
        mutation(
            "generation.regenerateSection",
            Access::Author,
            "Make one section anew; the others stay as they are",
            initiate::regenerate_section,
        )
        .fails(&START_ERRORS)
        .example(json!({ "courseId": EXAMPLE_ID, "sectionNumber": 2, "instruction": "More practice" })),
        mutation(
            "generation.regenerateLesson",
            Access::Author,
            "Write the text of one lesson anew",
            initiate::regenerate_lesson,
        )
        .fails(&START_ERRORS)
        .example(json!({ "courseId": EXAMPLE_ID, "lessonNumber": 5 })),
        mutation(
            "generation.regenerateStale",
            Access::Author,
            "Write the lessons anew that rest on documents which have changed",
            initiate::regenerate_stale,
        )
        .fails(&START_ERRORS)
        .example(of_course()),
    ]
}

/// What is to be echoed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TestInput {
    /// Any text.
    #[schemars(length(max = 1000))]
    message: Option<String>,
}

/// That the service answers.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ServiceTest")]
struct TestOutput {
    /// The message of the input.
    echo: Option<String>,
    /// The server's time.
    timestamp: DateTime<Utc>,
    /// The version of the program.
    version: &'static str,
}

async fn test(call: Call, input: TestInput) -> Result<TestOutput, ApiError> {
    Ok(TestOutput {
        echo: input.message,
        timestamp: call.service.clock.now(),
        version: env!("CARGO_PKG_VERSION"),
    })
}
