//! `GET /models` in each server's own shape.

use serde_json::{Value, json};

use super::super::strict::{Dialect, ModelList};

/// The id of the only model.
const MODEL: &str = "scripted";

/// The list of models as the server of this dialect gives it.
pub(super) fn list(dialect: &Dialect) -> Value {
    let window = dialect.window_tokens();
    let mut model =
        json!({ "id": MODEL, "object": "model", "created": 1_700_000_000, "owned_by": "scripted" });
    let more = match dialect.models {
        ModelList::OpenAi => json!({}),
        ModelList::Vllm => {
            json!({ "root": MODEL, "parent": null, "max_model_len": window, "permission": [] })
        }
        ModelList::Mistral => json!({
            "capabilities": { "completion_chat": true, "completion_fim": false, "function_calling": true },
            "max_context_length": window,
            "aliases": [],
        }),
        ModelList::Google => json!({ "id": format!("models/{MODEL}"), "owned_by": "google" }),
        ModelList::Groq => {
            json!({ "active": true, "context_window": window, "max_completion_tokens": 8_192 })
        }
        ModelList::LlamaCpp => json!({
            "owned_by": "llamacpp",
            "meta": { "n_vocab": 128_000, "n_ctx_train": window, "n_embd": 4_096, "n_params": 8_000_000_000_u64, "size": 5_000_000_000_u64 },
        }),
        ModelList::OpenRouter => json!({
            "name": "Scripted",
            "context_length": window,
            "architecture": { "modality": "text->text", "tokenizer": "GPT" },
            "pricing": { "prompt": "0", "completion": "0" },
            "top_provider": { "context_length": window, "max_completion_tokens": 16_384, "is_moderated": false },
            "supported_parameters": ["max_tokens", "temperature", "seed", "response_format", "structured_outputs"],
        }),
        ModelList::Azure => json!({
            "status": "succeeded",
            "lifecycle_status": "generally-available",
            "capabilities": { "chat_completion": true, "completion": false, "embeddings": false, "inference": true },
        }),
    };
    for (field, value) in more.as_object().into_iter().flatten() {
        model[field] = value.clone();
    }
    let mut list = json!({ "data": [model] });
    if dialect.models != ModelList::OpenRouter {
        list["object"] = json!("list");
    }
    list
}
