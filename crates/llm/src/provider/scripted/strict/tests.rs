//! A table: a request, a server, its answer.

use serde_json::{Value, json};

use super::*;

/// A request that every server takes, with this changed; null removes a field.
fn body(change: &Value) -> Value {
    let mut body = json!({
        "model": "m",
        "messages": [{ "role": "user", "content": "Answer with JSON." }],
        "max_tokens": 1_000,
    });
    for (field, value) in change.as_object().into_iter().flatten() {
        body[field] = value.clone();
    }
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    body
}

fn check(dialect: &str, change: &Value, expected: Option<(u16, &str)>) {
    let refusal = Dialect::named(dialect).unwrap().refusal(&body(change));
    let Some((status, words)) = expected else {
        assert_eq!(refusal, None, "{dialect}: {change}");
        return;
    };
    let refusal = refusal.unwrap_or_else(|| panic!("{dialect} takes {change}"));
    assert_eq!(refusal.status, status, "{dialect}: {}", refusal.body);
    assert!(
        refusal.body.to_string().contains(words),
        "{dialect}: {}",
        refusal.body
    );
}

fn turns(roles: &str) -> Value {
    let role = |letter: char| match letter {
        's' => "system",
        'u' => "user",
        _ => "assistant",
    };
    let messages: Vec<Value> = roles
        .chars()
        .map(|letter| json!({ "role": role(letter), "content": "json" }))
        .collect();
    json!({ "messages": messages })
}

fn format(schema: &Value) -> Value {
    json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "lesson", "strict": true, "schema": schema } } })
}

#[test]
fn every_server_takes_a_plain_request() {
    for dialect in DIALECTS {
        let change = if dialect.name == "openai_reasoning" {
            json!({ "max_tokens": null, "max_completion_tokens": 1_000 })
        } else {
            json!({})
        };
        check(dialect.name, &change, None);
    }
}

#[test]
fn names_are_unique() {
    for dialect in DIALECTS {
        let same = DIALECTS.iter().filter(|other| other.name == dialect.name);
        assert_eq!(same.count(), 1, "{}", dialect.name);
    }
    assert!(Dialect::named("nobody").is_none());
}

#[test]
fn seeds() {
    let seed = |seed: &Value| json!({ "seed": seed });
    let large = seed(&json!(15_245_678_901_234_567_890_u64));
    check("permissive", &large, None);
    check("strict", &seed(&json!(i32::MAX)), None);
    check(
        "strict",
        &seed(&json!(i64::from(i32::MAX) + 1)),
        Some((400, "Expected a value <= 2147483647")),
    );
    check(
        "strict",
        &seed(&json!(-1)),
        Some((400, "integer_below_min_value")),
    );
    check("openai", &large, Some((400, "integer_above_max_value")));
    check(
        "ollama",
        &large,
        Some((
            400,
            "cannot unmarshal number 15245678901234567890 into Go struct field ChatCompletionRequest.seed of type int",
        )),
    );
    check("vllm", &large, Some((400, "less_than_equal")));
    check("vllm", &seed(&json!(-1)), None);
    check(
        "gemini",
        &seed(&json!(5_000_000_000_u64)),
        Some((400, "TYPE_INT32")),
    );
    check("mistral", &seed(&json!(1)), Some((422, "extra_forbidden")));
    check("openrouter", &large, Some((400, "Provider returned error")));
    check("llamacpp", &large, None);
}

#[test]
fn limits_of_the_answer() {
    let zero = json!({ "max_tokens": 0 });
    check("strict", &zero, Some((400, "Expected a value >= 1")));
    check("permissive", &zero, None);
    check(
        "strict",
        &json!({ "max_tokens": null, "max_completion_tokens": 1 }),
        None,
    );
    check(
        "openai_reasoning",
        &json!({}),
        Some((400, "Use 'max_completion_tokens' instead")),
    );
    check(
        "mistral",
        &json!({ "max_tokens": null, "max_completion_tokens": 5 }),
        Some((422, "max_completion_tokens")),
    );
    check(
        "openai",
        &json!({ "max_tokens": 20_000 }),
        Some((400, "supports at most 16384 completion tokens")),
    );
    check(
        "groq",
        &json!({ "max_tokens": 9_000 }),
        Some((400, "less than or equal to `8192`")),
    );
    check(
        "azure",
        &json!({ "max_tokens": 8_192 }),
        Some((400, "at most 4096 completion tokens")),
    );
    check(
        "gemma",
        &json!({ "max_tokens": 8_192 }),
        Some((
            400,
            "maximum context length is 8192 tokens. However, you requested",
        )),
    );
    check(
        "gemini",
        &json!({ "max_tokens": 70_000 }),
        Some((400, "65537 (exclusive)")),
    );
}

#[test]
fn windows() {
    let long = json!({ "messages": [{ "role": "user", "content": "word ".repeat(20_000) }] });
    check("llamacpp", &long, Some((400, "exceed_context_size_error")));
    check(
        "lmstudio",
        &long,
        Some((400, "context length of only 16384 tokens")),
    );
    check("vllm", &long, None);
    check("ollama", &long, None);
    let longer = json!({ "messages": [{ "role": "user", "content": "word ".repeat(140_000) }] });
    check("openai", &longer, Some((400, "context_length_exceeded")));
    check(
        "groq",
        &longer,
        Some((400, "Please reduce the length of the messages or completion.")),
    );
    check(
        "openrouter",
        &longer,
        Some((400, "This endpoint's maximum context length is 131072 tokens")),
    );
    check("mistral", &longer, Some((400, "maximum context length")));
}

#[test]
fn sampling() {
    let warm = json!({ "temperature": 0.7, "max_tokens": null, "max_completion_tokens": 9 });
    check(
        "openai_reasoning",
        &warm,
        Some((400, "Only the default (1) value is supported")),
    );
    let one = json!({ "temperature": 1, "max_tokens": null, "max_completion_tokens": 9 });
    check("openai_reasoning", &one, None);
    let top_p = json!({ "top_p": 0.9, "max_tokens": null, "max_completion_tokens": 9 });
    check(
        "openai_reasoning",
        &top_p,
        Some((400, "'top_p' is not supported with this model")),
    );
    check(
        "mistral",
        &json!({ "temperature": 1.8 }),
        Some((422, "less than or equal to 1.5")),
    );
    check(
        "strict",
        &json!({ "temperature": 2.5 }),
        Some((400, "decimal_above_max_value")),
    );
    check(
        "openai",
        &json!({ "temperature": -1 }),
        Some((400, "decimal_below_min_value")),
    );
    check("ollama", &json!({ "temperature": 9 }), None);
}

#[test]
fn unknown_parameters() {
    let unknown = json!({ "reasoning_budget": 3 });
    check(
        "strict",
        &unknown,
        Some((400, "Unknown parameter: 'reasoning_budget'")),
    );
    check(
        "azure",
        &unknown,
        Some((400, "Unrecognized request argument supplied: reasoning_budget")),
    );
    check(
        "groq",
        &unknown,
        Some((400, "property 'reasoning_budget' is unsupported")),
    );
    check(
        "gemini",
        &unknown,
        Some((400, r#"Unknown name \"reasoning_budget\": Cannot find field."#)),
    );
    check("mistral", &unknown, Some((422, "Extra inputs are not permitted")));
    for taking in [
        "permissive",
        "ollama",
        "vllm",
        "gemma",
        "lmstudio",
        "llamacpp",
        "openrouter",
    ] {
        check(taking, &unknown, None);
    }
    let options = json!({ "stream": true, "stream_options": { "include_usage": true } });
    check("strict", &options, None);
    check("azure", &options, Some((400, "stream_options")));
    check("mistral", &options, Some((422, "stream_options")));
}

#[test]
fn conversations() {
    for (dialect, roles, expected) in [
        ("strict", "su", None),
        ("strict", "suau", None),
        ("strict", "", Some((400, "empty array"))),
        ("strict", "s", Some((400, "must alternate"))),
        ("strict", "suu", Some((400, "must alternate"))),
        ("strict", "sau", Some((400, "must alternate"))),
        ("strict", "sua", Some((400, "The last message must be"))),
        (
            "strict",
            "usu",
            Some((400, "only supported as the first message")),
        ),
        ("vllm", "suu", None),
        (
            "vllm_mistral",
            "suu",
            Some((
                400,
                "After the optional system message, conversation roles must alternate",
            )),
        ),
        ("vllm_mistral", "usau", Some((400, "System role not supported"))),
        ("vllm_mistral", "sua", Some((400, "Expected last role User"))),
        ("gemma", "su", Some((400, "System role not supported"))),
        ("gemma", "uau", None),
        ("mistral", "suu", None),
        ("mistral", "sua", Some((400, "invalid_request_message_order"))),
        ("openai", "suusa", None),
    ] {
        check(dialect, &turns(roles), expected);
    }
    let empty = json!({ "messages": [{ "role": "user", "content": " " }] });
    check("strict", &empty, Some((400, "Invalid 'messages[0].content'")));
}

#[test]
fn formats() {
    let object = json!({ "response_format": { "type": "json_object" } });
    check("strict", &object, None);
    check(
        "lmstudio",
        &object,
        Some((400, "'response_format.type' must be 'json_schema' or 'text'")),
    );
    let wordless = json!({ "messages": [{ "role": "user", "content": "hi" }], "response_format": { "type": "json_object" } });
    check("openai", &wordless, Some((400, "must contain the word 'json'")));
    check("vllm", &wordless, None);
    let schema =
        format(&json!({ "type": "object", "properties": {}, "required": [], "additionalProperties": false }));
    check("strict", &schema, None);
    check(
        "groq",
        &schema,
        Some((400, "does not support response format `json_schema`")),
    );
    check("azure", &schema, Some((400, "enabled only for api versions")));
    check(
        "gemini",
        &schema,
        Some((
            400,
            r#"Unknown name \"additionalProperties\" at 'generation_config.response_schema'"#,
        )),
    );
    let mut named = schema;
    named["response_format"]["json_schema"]["name"] = json!("a lesson");
    check("strict", &named, Some((400, "string does not match pattern")));
}

#[test]
fn schemas() {
    let open = format(&json!({ "type": "object", "properties": {} }));
    check(
        "strict",
        &open,
        Some((400, "In context=(), 'additionalProperties' is required")),
    );
    check("vllm", &open, None);
    let optional = json!({
        "type": "object", "additionalProperties": false, "required": ["a"],
        "properties": { "a": { "type": "array", "items": {
            "type": ["object", "null"], "additionalProperties": false, "required": [], "properties": { "b": { "type": "string" } },
        } } },
    });
    check(
        "openai",
        &format(&optional),
        Some((
            400,
            "In context=('properties', 'a', 'items'), 'required' is required",
        )),
    );
    check("openrouter", &format(&optional), Some((400, "Missing 'b'")));
    let with = |property: &Value| {
        format(&json!({
            "type": "object", "additionalProperties": false, "required": ["a"],
            "properties": { "a": property }, "$defs": { "A": { "type": "string" } },
        }))
    };
    check(
        "strict",
        &with(&json!({ "type": "string", "minLength": 3 })),
        Some((400, "'minLength' is not permitted")),
    );
    check(
        "llamacpp",
        &with(&json!({ "type": "string", "minLength": 3 })),
        None,
    );
    check(
        "vllm",
        &with(&json!({ "type": "number", "multipleOf": 3 })),
        Some((400, "not supported by xgrammar")),
    );
    check(
        "llamacpp",
        &with(&json!({ "not": {} })),
        Some((400, "JSON schema conversion failed")),
    );
    check("strict", &with(&json!({ "$ref": "#/$defs/A" })), None);
    check(
        "strict",
        &with(&json!({ "$ref": "#/$defs/B" })),
        Some((400, "definitions that exist")),
    );
    check(
        "strict",
        &with(&json!({ "$ref": "#/$defs/A", "description": "x" })),
        Some((400, "$ref cannot have keywords")),
    );
    check(
        "strict",
        &with(&json!({ "oneOf": [] })),
        Some((400, "'oneOf' is not permitted")),
    );
    check(
        "strict",
        &format(&json!({ "type": "array", "items": {} })),
        Some((400, "got 'type")),
    );
    let lax = json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "x", "schema": { "type": "object", "properties": {} } } } });
    check("strict", &lax, None);
}

#[test]
fn refusals_have_their_servers_shape() {
    let refused = |dialect: &str, change: Value| {
        Dialect::named(dialect)
            .unwrap()
            .refusal(&body(&change))
            .unwrap()
            .body
    };
    assert!(refused("gemini", json!({ "x": 1 })).is_array());
    assert!(
        refused(
            "lmstudio",
            json!({ "response_format": { "type": "json_object" } })
        )["error"]
            .is_string()
    );
    assert!(refused("mistral", json!({ "x": 1 }))["message"]["detail"].is_array());
    assert_eq!(refused("vllm", json!({ "seed": u64::MAX }))["error"]["code"], 400);
    let wrapped = refused("openrouter", json!({ "seed": u64::MAX }));
    assert!(
        wrapped["error"]["metadata"]["raw"]
            .as_str()
            .unwrap()
            .contains("seed")
    );
}

#[test]
fn embeddings_need_texts() {
    let check = |dialect: &str, body: Value, is_taken: bool| {
        let refusal = Dialect::named(dialect).unwrap().embeddings_refusal(&body);
        assert_eq!(refusal.is_none(), is_taken, "{dialect}: {body}");
    };
    check(
        "strict",
        json!({ "model": "e", "input": ["a", "b"], "task": "retrieval.query" }),
        true,
    );
    check("strict", json!({ "model": "e", "input": "a" }), true);
    check("strict", json!({ "model": "e", "input": ["a", ""] }), false);
    check("strict", json!({ "model": "e", "input": [] }), false);
    check(
        "strict",
        json!({ "model": "e", "input": ["a"], "prefix": "x" }),
        false,
    );
    check(
        "ollama",
        json!({ "model": "e", "input": ["a"], "prefix": "x" }),
        true,
    );
    check("permissive", json!({ "model": "e" }), true);
}
