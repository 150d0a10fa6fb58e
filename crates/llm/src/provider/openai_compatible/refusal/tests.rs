//! Wordings of real servers and what follows from them.

use serde_json::json;

use super::super::failure::refusal_of;
use super::*;

/// A request with everything that we send.
fn body() -> Map<String, Value> {
    let body = json!({
        "model": "m",
        "messages": [{ "role": "system", "content": "s" }, { "role": "user", "content": "u" }],
        "stream": true, "stream_options": { "include_usage": true }, "max_tokens": 8192,
        "temperature": 0.7, "top_p": 0.9, "seed": 7, "usage": { "include": true },
        "provider": { "require_parameters": true },
        "response_format": { "type": "json_schema", "json_schema": { "strict": true } },
    });
    body.as_object().unwrap().clone()
}

fn shown(meaning: &Meaning) -> String {
    match meaning {
        Meaning::Adjust(adjustment) => adjustment.to_string(),
        Meaning::ShorterAnswer(tokens) => format!("this answer {tokens}"),
        Meaning::Window { tokens, prompt } => format!("window {tokens} prompt {prompt:?}"),
        Meaning::Unclear => "unclear".to_owned(),
        Meaning::Fail => "fail".to_owned(),
    }
}

fn refused(status: u16, answer: &str) -> Refusal {
    refusal_of(status, answer, None, str::to_owned)
}

fn check_with(body: &Map<String, Value>, status: u16, answer: &str, expected: &str) {
    let meaning = meaning(&refused(status, answer), body);
    assert_eq!(shown(&meaning), expected, "{status} {answer}");
}

/// An error object with a message alone.
fn said(message: &str) -> String {
    json!({ "error": { "message": message } }).to_string()
}

fn check(status: u16, message: &str, expected: &str) {
    check_with(&body(), status, &said(message), expected);
}

const WEAKER: &str = "answers are asked for as json_object";
const IN_WORDS: &str = "answers are asked for as schema in words";

#[test]
fn named_parameters_are_left_out() {
    let seed = "`seed` is left out";
    check(
        400,
        "Invalid JSON payload received. Unknown name \"seed\": Cannot find field.",
        seed,
    );
    check(
        400,
        "json: cannot unmarshal number 15245678901234567890 into Go struct field ChatCompletionRequest.seed of type int",
        seed,
    );
    check_with(
        &body(),
        422,
        r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","seed"],"msg":"Extra inputs are not permitted","input":1}]},"type":"invalid_request_error"}"#,
        seed,
    );
    check_with(
        &body(),
        422,
        r#"{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]}"#,
        "`stream_options` is left out",
    );
    check(
        400,
        "Unrecognized request argument supplied: stream_options",
        "`stream_options` is left out",
    );
    check(
        400,
        "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value is supported.",
        "`temperature` is left out",
    );
    check_with(
        &body(),
        400,
        r#"{"error":{"message":"Unsupported parameter","param":"top_p","code":"unsupported_parameter"}}"#,
        "`top_p` is left out",
    );
    check(
        400,
        "Unrecognized request arguments supplied: 'usage'",
        "`usage` is left out",
    );
    check(
        400,
        "'stream' must be false for this model",
        "`stream` is left out",
    );
    check_with(
        &body(),
        400,
        r#"{"error":{"message":"Extra field","param":"stream_options.include_usage"}}"#,
        "`stream_options` is left out",
    );
}

#[test]
fn options_that_a_proxy_adds_end_with_the_stream() {
    let mut body = body();
    body.remove("stream_options");
    let words = said(
        "litellm.BadRequestError: AzureException - Unrecognized request argument supplied: stream_options",
    );
    check_with(&body, 400, &words, "`stream` is left out");
    body.remove("stream");
    check_with(&body, 400, &words, "unclear");
}

#[test]
fn refused_bounds_of_answers_are_renamed_or_lowered() {
    check(
        400,
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "the answer's length is bounded by `max_completion_tokens`",
    );
    check(
        400,
        "max_tokens is too large: 8192. This model supports at most 4096 completion tokens, whereas you provided 8192.",
        "answers have at most 4096 tokens",
    );
    check(
        400,
        "`max_tokens` must be less than or equal to `4096`, the maximum value for `max_tokens` is less than the `context_window` for this model",
        "answers have at most 4096 tokens",
    );
    check(
        400,
        "Invalid max_tokens value, the valid range of max_tokens is [1, 8000]",
        "answers have at most 8000 tokens",
    );
    check(
        400,
        "max_tokens: 8192 > 4,096, which is the maximum allowed number of output tokens for m",
        "answers have at most 4096 tokens",
    );
    check(
        400,
        "Range of max_tokens should be [1,8000]",
        "answers have at most 8000 tokens",
    );
    check(
        400,
        "Unable to submit request because it has a maxOutputTokens value of 8192 but the supported range is from 1 (inclusive) to 8192 (exclusive). Update the value and try again.",
        "answers have at most 8191 tokens",
    );
    check(
        400,
        "The maximum tokens you requested exceeds the model limit of 4096. Try again with a max_tokens value that is lower than 4096.",
        "answers have at most 4096 tokens",
    );
    check_with(
        &body(),
        422,
        r#"{"detail":[{"type":"less_than_equal","loc":["body","max_tokens"],"msg":"Input should be less than or equal to 4096","input":8192,"ctx":{"le":4096}}]}"#,
        "answers have at most 4096 tokens",
    );
    // Numbers that stand beside no word for a limit are dates, versions and codes.
    let renamed = "the answer's length is bounded by `max_completion_tokens`";
    for message in [
        "litellm.UnsupportedParamsError: openai does not support parameters: ['max_tokens'], for model=gpt-5-2025-08-07.",
        "This model supports max_completion_tokens, not max_tokens, since api-version 2024-12-01",
        "'max_tokens' is not supported. Error 2048, request 1234 of m",
        "max_tokens must be greater than 1024",
    ] {
        check(400, message, renamed);
    }
    let mut newer = body();
    let limit = newer.remove("max_tokens").unwrap();
    newer.insert("max_completion_tokens".to_owned(), limit);
    check_with(
        &newer,
        422,
        r#"{"detail":[{"type":"extra_forbidden","loc":["body","max_completion_tokens"],"msg":"Extra inputs are not permitted"}]}"#,
        "the answer's length is bounded by `max_tokens`",
    );
}

#[test]
fn full_windows_are_read() {
    check(
        400,
        "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens (808 in the messages, 8192 in the completion). Please reduce the length of the messages or completion.",
        "window 4096 prompt Some(808)",
    );
    check(
        400,
        "'max_tokens' or 'max_completion_tokens' is too large: 8192. This model's maximum context length is 4096 tokens and your request has 1000 input tokens (8192 > 4096 - 1000).",
        "window 4096 prompt Some(1000)",
    );
    check_with(
        &body(),
        400,
        r#"{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error","n_prompt_tokens":5000,"n_ctx":4096}}"#,
        "window 4096 prompt Some(5000)",
    );
    check_with(
        &body(),
        413,
        r#"{"error":{"message":"Request too large for model `llama-3.1-8b-instant` in organization `o` on : Limit 6000, Requested 9012, please reduce your message size and try again.","type":"tokens","code":"rate_limit_exceeded"}}"#,
        "window 6000 prompt None",
    );
    check(
        400,
        "prompt is too long: 210000 tokens > 200000 maximum",
        "window 200000 prompt Some(210000)",
    );
    check(
        400,
        "The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).",
        "window 1048576 prompt None",
    );
    check(
        400,
        "Trying to keep the first 5200 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens, which is not enough.",
        "window 4096 prompt None",
    );
    // A code is no window.
    check_with(
        &body(),
        400,
        r#"{"object":"error","message":"Prompt contains 160907 tokens and 0 draft tokens, too large for model with 131072 maximum context length","type":"invalid_request_error","param":null,"code":"3051"}"#,
        "window 131072 prompt Some(160907)",
    );
    check_with(
        &body(),
        400,
        r#"{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"message\":\"The prompt exceeds the maximum context length\",\"type\":\"invalid_request_error\",\"code\":\"3051\"}"}}}"#,
        "unclear",
    );
    check(
        400,
        "input length and `max_tokens` exceed context limit: 199759 + 8192 > 200000, decrease input length or `max_tokens` and try again",
        "window 200000 prompt Some(199759)",
    );
    check(
        400,
        "Your prompt is too long for the 8192 token context window of m-2025-08-07",
        "window 8192 prompt None",
    );
    // A field is not believed more than a sentence, nor the prompt's length a window.
    check_with(
        &body(),
        400,
        r#"{"error":{"code":400,"message":"the request (5000 tokens) exceeds the available context size","type":"exceed_context_size_error","n_prompt_tokens":5000,"n_ctx":1}}"#,
        "unclear",
    );
}

#[test]
fn refused_schemas_step_down() {
    for message in [
        "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
        "The provided JSON schema contains features not supported by xgrammar.",
        "Failed to initialize samplers: failed to parse grammar",
        "The specified schema produces a constraint that has too many states for serving.",
        "Invalid JSON payload received. Unknown name \"additionalProperties\" at 'generation_config.response_schema': Cannot find field.",
        "Failed to compile json grammar: Unsupported: anyOf",
        "Invalid schema for response_format 'lesson': In context=(), 'required' is required to be supplied",
        "This response_format type is unavailable now",
        "\u{8be5}\u{6a21}\u{578b}\u{4e0d}\u{652f}\u{6301} response_format",
    ] {
        check(400, message, WEAKER);
    }
    check(
        404,
        "No endpoints found that can handle the requested parameters.",
        WEAKER,
    );
    check(500, "failed to parse grammar", WEAKER);
    check(500, "upstream timed out", "fail");
    let mut object = body();
    object.insert("response_format".to_owned(), json!({ "type": "json_object" }));
    check_with(
        &object,
        400,
        &said("'response_format.type' must be 'json_schema' or 'text'"),
        IN_WORDS,
    );
    let mut full = body();
    full.insert(
        "response_format".to_owned(),
        json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": {} } }),
    );
    check_with(
        &full,
        400,
        &said("Grammar error: Unimplemented keys: [\"pattern\"]"),
        "answers are asked for as json_schema",
    );
    let mut words = body();
    words.remove("response_format");
    check_with(&words, 400, &said("failed to parse grammar"), "unclear");
}

#[test]
fn models_without_a_system_role_are_told_in_the_question() {
    let fold = "the instructions go into the question, it has no system role";
    check(400, "System role not supported", fold);
    check(
        400,
        "Developer instruction is not enabled for models/gemma-3-27b-it",
        fold,
    );
    check(
        400,
        "Conversation roles must alternate user/assistant/user/assistant/...",
        fold,
    );
    check(
        400,
        "Only user and assistant roles are supported! The system message is not",
        fold,
    );
    // A parameter that is named is the reason, whatever else is said or repeated.
    let echo = json!({ "messages": [{ "role": "system", "content": "The system prompt" }], "seed": 7, "max_tokens": 8192 });
    let errors = json!([{ "type": "extra_forbidden", "loc": ["body", "top_p"], "msg": "Extra inputs are not permitted", "input": echo }]);
    let top_p = "`top_p` is left out";
    check_with(&body(), 422, &json!({ "detail": errors }).to_string(), top_p);
    check(
        400,
        &format!("1 validation error: 'top_p' {{'input': {echo}}}"),
        top_p,
    );
    check(400, "Unknown parameter 'top_p' beside the system message", top_p);
    check_with(
        &body(),
        400,
        r#"{"error":{"message":"Not allowed with max_tokens above 2048 output tokens and a system message","param":"seed"}}"#,
        "`seed` is left out",
    );
    let whole = json!([{ "type": "value_error", "loc": ["body"], "msg": "Value error", "input": echo }]);
    check_with(&body(), 400, &json!({ "detail": whole }).to_string(), "unclear");
    let mut folded = body();
    folded.insert("messages".to_owned(), json!([{ "role": "user", "content": "u" }]));
    check_with(&folded, 400, &said("System role not supported"), "unclear");
}

#[test]
fn what_no_other_way_of_asking_mends_fails() {
    check(
        400,
        "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "fail",
    );
    check(
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        "fail",
    );
    check(
        402,
        "This request requires more credits, or fewer max_tokens. You requested up to 8192 tokens, but can only afford 3200.",
        "this answer 3200",
    );
    check(402, "Insufficient Balance", "fail");
    check(
        401,
        "Incorrect API key provided: sk-abc***. response_format",
        "fail",
    );
    check(404, "The model `m` does not exist", "fail");
    check(400, "m is not a valid model ID", "fail");
    check(400, "Bad request", "unclear");
    check_with(&body(), 400, "<html>seed</html>", "fail");
}

#[test]
fn failures_are_told_apart() {
    let check = |status, answer: &str, code: &str| {
        let failure = failure(&refused(status, answer), "m", "host");
        assert_eq!(failure.code(), code, "{status} {answer}: {failure}");
    };
    check(
        400,
        &said(
            "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        ),
        "filtered",
    );
    check(
        403,
        r#"{"error":{"code":403,"message":"flagged","metadata":{"reasons":["violence"]}}}"#,
        "filtered",
    );
    check(
        400,
        r#"{"code":"data_inspection_failed","message":"Output data may contain inappropriate content."}"#,
        "filtered",
    );
    check(
        429,
        r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","code":"insufficient_quota"}}"#,
        "no_credit",
    );
    check(
        429,
        r#"{"error":{"code":429,"message":"You exceeded your current quota. Please retry in 39.5s.","status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"39s"}]}}"#,
        "rate_limited",
    );
    check(429, &said("Rate limit reached for requests"), "rate_limited");
    check(402, &said("Insufficient Balance"), "no_credit");
    check(401, &said("Incorrect API key provided"), "unauthorized");
    check(
        400,
        r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}"#,
        "unauthorized",
    );
    check(
        403,
        "<!DOCTYPE html><html><title>Just a moment...</title></html>",
        "foreign_answer",
    );
    check(404, "404 page not found", "foreign_answer");
    check(404, &said("The model `m` does not exist"), "unknown_model");
    check(405, r#"{"detail":"Method Not Allowed"}"#, "rejected");
    check(502, "<html><h1>502 Bad Gateway</h1></html>", "server_error");
    check(
        529,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
        "server_error",
    );
    check(
        413,
        "<html><title>413 Request Entity Too Large</title></html>",
        "rejected",
    );
    check(
        400,
        r#"{"error":{"message":"Failed to generate JSON.","code":"json_validate_failed"}}"#,
        "server_error",
    );
}
