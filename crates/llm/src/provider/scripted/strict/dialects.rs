//! The table of servers.

use super::schema::{Closed, SchemaRules};
use super::wording::Wording;
use super::{Cost, Dialect, JsonWord, LimitField, ModelList, Order, Seeds, SystemRole, Temperatures, Window};

/// Parameters of a chat completion that `OpenAI` names (its API reference).
const OPENAI_PARAMETERS: &[&str] = &[
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "response_format",
    "stop",
    "n",
    "user",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning_effort",
    "verbosity",
    "store",
    "metadata",
    "service_tier",
    "modalities",
    "prediction",
];

/// Mistral's own (its API reference): `random_seed`, and no field for the usage of a stream, which it always reports.
const MISTRAL_PARAMETERS: &[&str] = &[
    "model",
    "messages",
    "stream",
    "max_tokens",
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "random_seed",
    "response_format",
    "stop",
    "n",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "prediction",
    "prompt_mode",
    "safe_prompt",
    "metadata",
];

/// What Gemini's compatible endpoint translates.
const GEMINI_PARAMETERS: &[&str] = &[
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "response_format",
    "stop",
    "n",
    "user",
    "tools",
    "tool_choice",
    "reasoning_effort",
    "extra_body",
];

/// Parameters of embeddings; `task` is Jina's.
pub(super) const EMBEDDING_PARAMETERS: &[&str] =
    &["model", "input", "encoding_format", "dimensions", "user", "task"];

const ALL_FORMATS: &[&str] = &["text", "json_object", "json_schema"];

/// Keywords that strict mode refused when it was new; later models take some of them.
const STRICT_SCHEMA: SchemaRules = SchemaRules {
    closed: Closed::WhereStrict,
    boolean_items: true,
    refused: &[
        "allOf",
        "oneOf",
        "not",
        "if",
        "then",
        "else",
        "default",
        "format",
        "pattern",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minItems",
        "maxItems",
        "uniqueItems",
        "prefixItems",
        "contains",
        "minProperties",
        "maxProperties",
        "patternProperties",
        "propertyNames",
        "dependentRequired",
        "dependentSchemas",
        "unevaluatedProperties",
    ],
};

/// What vLLM does not give to xgrammar (`has_xgrammar_unsupported_json_features`).
const XGRAMMAR: SchemaRules = SchemaRules {
    closed: Closed::Never,
    boolean_items: true,
    refused: &[
        "multipleOf",
        "uniqueItems",
        "contains",
        "minContains",
        "maxContains",
        "patternProperties",
        "propertyNames",
    ],
};

/// What `response_schema` of Gemini does not know.
const GEMINI_SCHEMA: SchemaRules = SchemaRules {
    closed: Closed::Never,
    boolean_items: true,
    refused: &[
        "additionalProperties",
        "$ref",
        "$defs",
        "definitions",
        "const",
        "oneOf",
        "allOf",
        "not",
        "$schema",
        "exclusiveMinimum",
        "exclusiveMaximum",
    ],
};

/// What llama.cpp makes no grammar of (`json-schema-to-grammar`).
const LLAMA_SCHEMA: SchemaRules = SchemaRules {
    closed: Closed::Never,
    boolean_items: false,
    refused: &["not", "if", "patternProperties", "contains"],
};

const ANY_SCHEMA: SchemaRules = SchemaRules {
    closed: Closed::Never,
    boolean_items: true,
    refused: &[],
};

/// Takes everything, as `OpenAI` would say it.
pub(super) const PERMISSIVE: Dialect = Dialect {
    name: "permissive",
    cost: Cost::Reported,
    models: ModelList::OpenAi,
    seeds: Seeds::Any,
    limit: LimitField::Either,
    temperatures: Temperatures::Any,
    unsupported: &[],
    known: None,
    formats: ALL_FORMATS,
    schema: ANY_SCHEMA,
    json_word: JsonWord::NotNeeded,
    system: SystemRole::Anywhere,
    order: Order::Any,
    most_output: None,
    window: Window::Unchecked,
    wording: Wording::OpenAi,
};

pub(super) const STRICT: Dialect = Dialect {
    name: "strict",
    seeds: Seeds::Between(0, i32::MAX as i64),
    temperatures: Temperatures::Between(0.0, 2.0),
    known: Some(OPENAI_PARAMETERS),
    schema: STRICT_SCHEMA,
    json_word: JsonWord::Needed,
    system: SystemRole::First,
    order: Order::Alternating,
    ..PERMISSIVE
};

/// api.openai.com with a model of the gpt-4o family.
const OPENAI: Dialect = Dialect {
    name: "openai",
    cost: Cost::Untold,
    seeds: Seeds::Between(i64::MIN, i64::MAX),
    temperatures: Temperatures::Between(0.0, 2.0),
    known: Some(OPENAI_PARAMETERS),
    schema: STRICT_SCHEMA,
    json_word: JsonWord::Needed,
    most_output: Some(16_384),
    window: Window::Prompt(128_000),
    ..PERMISSIVE
};

/// api.openai.com with a model that thinks: o1 and later, gpt-5.
const OPENAI_REASONING: Dialect = Dialect {
    name: "openai_reasoning",
    limit: LimitField::Completion,
    temperatures: Temperatures::OnlyDefault,
    unsupported: &[
        "top_p",
        "frequency_penalty",
        "presence_penalty",
        "logprobs",
        "logit_bias",
    ],
    most_output: Some(100_000),
    window: Window::Prompt(200_000),
    ..OPENAI
};

/// Ollama: what it does not know it ignores; a long prompt is cut without a word.
const OLLAMA: Dialect = Dialect {
    name: "ollama",
    cost: Cost::Untold,
    seeds: Seeds::Between(i64::MIN, i64::MAX),
    wording: Wording::Ollama,
    ..PERMISSIVE
};

/// vLLM with a template that takes every conversation.
const VLLM: Dialect = Dialect {
    name: "vllm",
    cost: Cost::Untold,
    models: ModelList::Vllm,
    seeds: Seeds::Between(i64::MIN, i64::MAX),
    temperatures: Temperatures::Between(0.0, 1_000.0),
    schema: XGRAMMAR,
    window: Window::PromptAndAnswer(32_768),
    wording: Wording::Vllm,
    ..PERMISSIVE
};

/// vLLM with the template of a Mistral model.
const VLLM_MISTRAL: Dialect = Dialect {
    name: "vllm_mistral",
    system: SystemRole::First,
    order: Order::Alternating,
    ..VLLM
};

/// vLLM with the template of Gemma: no system's role, and a small window.
const GEMMA: Dialect = Dialect {
    name: "gemma",
    system: SystemRole::Nowhere,
    order: Order::Alternating,
    window: Window::PromptAndAnswer(8_192),
    ..VLLM
};

/// api.mistral.ai.
const MISTRAL: Dialect = Dialect {
    name: "mistral",
    cost: Cost::Untold,
    models: ModelList::Mistral,
    temperatures: Temperatures::Between(0.0, 1.5),
    known: Some(MISTRAL_PARAMETERS),
    order: Order::UserLast,
    window: Window::PromptAndAnswer(131_072),
    wording: Wording::Mistral,
    ..PERMISSIVE
};

/// Gemini's compatible endpoint.
const GEMINI: Dialect = Dialect {
    name: "gemini",
    cost: Cost::Untold,
    models: ModelList::Google,
    seeds: Seeds::Between(i32::MIN as i64, i32::MAX as i64),
    temperatures: Temperatures::Between(0.0, 2.0),
    known: Some(GEMINI_PARAMETERS),
    schema: GEMINI_SCHEMA,
    most_output: Some(65_536),
    wording: Wording::Google,
    ..PERMISSIVE
};

/// api.groq.com with a model that does not hold to schemas.
const GROQ: Dialect = Dialect {
    name: "groq",
    cost: Cost::Untold,
    models: ModelList::Groq,
    seeds: Seeds::Between(i64::MIN, i64::MAX),
    temperatures: Temperatures::Between(0.0, 2.0),
    unsupported: &["logprobs", "top_logprobs", "logit_bias"],
    known: Some(OPENAI_PARAMETERS),
    formats: &["text", "json_object"],
    json_word: JsonWord::Needed,
    most_output: Some(8_192),
    window: Window::Prompt(131_072),
    wording: Wording::Groq,
    ..PERMISSIVE
};

/// LM Studio: a schema or nothing.
const LMSTUDIO: Dialect = Dialect {
    name: "lmstudio",
    cost: Cost::Untold,
    formats: &["text", "json_schema"],
    window: Window::Prompt(16_384),
    wording: Wording::LmStudio,
    ..PERMISSIVE
};

/// llama.cpp's server.
const LLAMACPP: Dialect = Dialect {
    name: "llamacpp",
    cost: Cost::Untold,
    models: ModelList::LlamaCpp,
    schema: LLAMA_SCHEMA,
    window: Window::Prompt(16_384),
    wording: Wording::LlamaCpp,
    ..PERMISSIVE
};

/// openrouter.ai: reports the cost, ignores what it does not know, and hands on what the provider behind it refuses.
const OPENROUTER: Dialect = Dialect {
    name: "openrouter",
    models: ModelList::OpenRouter,
    seeds: Seeds::Between(i64::MIN, i64::MAX),
    temperatures: Temperatures::Between(0.0, 2.0),
    schema: STRICT_SCHEMA,
    window: Window::PromptAndAnswer(131_072),
    wording: Wording::OpenRouter,
    ..PERMISSIVE
};

/// Azure with an API version from before schemas and before the usage of streams.
const AZURE: Dialect = Dialect {
    name: "azure",
    models: ModelList::Azure,
    unsupported: &[
        "stream_options",
        "max_completion_tokens",
        "reasoning_effort",
        "store",
        "metadata",
    ],
    formats: &["text", "json_object"],
    most_output: Some(4_096),
    wording: Wording::Azure,
    ..OPENAI
};

/// All dialects, the default of tests first.
pub static DIALECTS: &[&Dialect] = &[
    &STRICT,
    &PERMISSIVE,
    &OPENAI,
    &OPENAI_REASONING,
    &OLLAMA,
    &VLLM,
    &VLLM_MISTRAL,
    &GEMMA,
    &MISTRAL,
    &GEMINI,
    &GROQ,
    &LMSTUDIO,
    &LLAMACPP,
    &OPENROUTER,
    &AZURE,
];
