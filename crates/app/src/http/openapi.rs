//! The OpenAPI 3.1 document, derived from the registry: what is documented is what is checked.

mod paths;
mod schemas;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::procedures::error::ErrorCode;
use crate::procedures::{self, Access, Kind, Procedure};
use schemas::Schemas;

/// Where component schemas stand.
pub(super) const SCHEMAS_AT: &str = "#/components/schemas/";

/// The document, made once.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(make().to_string()));

/// `GET /openapi.json`.
pub(super) async fn document() -> Response {
    let mut response = DOCUMENT.clone().into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The document.
pub(super) fn make() -> Value {
    let schemas = Schemas::of(procedures::registry());
    let mut paths = Map::new();
    for procedure in procedures::registry() {
        let method = if procedure.kind == Kind::Mutation {
            "post"
        } else {
            "get"
        };
        paths.insert(
            format!("/api/v1/{}", procedure.name),
            json!({ method: operation(procedure, &schemas) }),
        );
    }
    paths::add_others(&mut paths, &schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Coursewright",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Turns a title into a complete, well-taught course",
            "description": include_str!("openapi/introduction.md"),
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags(),
        "paths": paths,
        "components": {
            "schemas": schemas.into_components(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An access token of `auth.login`, a token of the identity provider, or an API key.",
                },
                "apiKey": { "type": "apiKey", "in": "header", "name": "x-api-key" },
            },
        },
    })
}

fn tags() -> Value {
    let mut names: Vec<&str> = Vec::new();
    for name in procedures::registry().iter().map(group) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
        .into_iter()
        .chain(["compatibility", "operation"])
        .map(|name| json!({ "name": name }))
        .collect()
}

/// `generation` of `generation.initiate`.
fn group(procedure: &Procedure) -> &'static str {
    procedure.name.split('.').next().unwrap_or(procedure.name)
}

fn operation(procedure: &Procedure, schemas: &Schemas) -> Value {
    let mut operation = json!({
        "operationId": procedure.name.replace('.', "_"),
        "tags": [group(procedure)],
        "summary": procedure.summary,
        "description": who(procedure),
        "x-procedure": { "name": procedure.name, "kind": kind(procedure.kind) },
        "responses": responses(procedure, schemas),
    });
    operation["security"] = security(procedure.access);
    if procedure.kind == Kind::Mutation {
        operation["requestBody"] = body(procedure, schemas);
    } else {
        operation["parameters"] = parameters(procedure, schemas);
    }
    operation
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Query => "query",
        Kind::Mutation => "mutation",
        Kind::Subscription => "subscription",
    }
}

fn who(procedure: &Procedure) -> &'static str {
    match procedure.access {
        Access::Anyone => "Anyone may call it.",
        Access::User => "Whoever is signed in may call it.",
        Access::Author => "Instructors, admins and superadmins may call it.",
        Access::Admin => "Admins and superadmins may call it.",
        Access::Superadmin => "Superadmins may call it.",
    }
}

/// An empty alternative says that credentials may be left out.
fn security(access: Access) -> Value {
    if access == Access::Anyone {
        json!([{}, { "bearer": [] }, { "apiKey": [] }])
    } else {
        json!([{ "bearer": [] }, { "apiKey": [] }])
    }
}

fn body(procedure: &Procedure, schemas: &Schemas) -> Value {
    let mut media = json!({ "schema": schemas.input_reference(procedure) });
    if let Some(example) = &procedure.example {
        media["example"] = example.clone();
    }
    let is_required = schemas.wants_anything(procedure);
    json!({ "required": is_required, "content": { "application/json": media } })
}

/// The fields of a query's input, one parameter each.
fn parameters(procedure: &Procedure, schemas: &Schemas) -> Value {
    let required = schemas.required(procedure);
    let mut list = Vec::new();
    for (name, schema) in schemas.fields(procedure) {
        let mut schema = schemas::without_null(schema);
        let description = schema
            .as_object_mut()
            .and_then(|fields| fields.remove("description"));
        let mut parameter = json!({
            "name": name,
            "in": "query",
            "required": required.contains(&name.as_str()),
            "schema": schema,
        });
        if let Some(description) = description {
            parameter["description"] = description;
        }
        let example = procedure.example.as_ref().and_then(|example| example.get(name));
        if let Some(example) = example {
            parameter["example"] = example.clone();
        }
        list.push(parameter);
    }
    if procedure.kind == Kind::Subscription {
        list.push(json!({
            "name": "Last-Event-ID",
            "in": "header",
            "required": false,
            "description": "Goes on after this event; what a browser's EventSource sends by itself.",
            "schema": { "type": "string", "pattern": "^[0-9]{1,18}$" },
        }));
    }
    Value::Array(list)
}

fn responses(procedure: &Procedure, schemas: &Schemas) -> Value {
    let output = schemas.output_reference(procedure);
    let content = if procedure.kind == Kind::Subscription {
        json!({ "text/event-stream": { "schema": { "type": "string" }, "x-event-schema": output } })
    } else {
        json!({ "application/json": { "schema": output } })
    };
    let mut responses = Map::new();
    responses.insert(
        "200".to_owned(),
        json!({ "description": "Done.", "headers": request_id(), "content": content }),
    );
    add_errors(&mut responses, &procedure.all_errors());
    Value::Object(responses)
}

fn request_id() -> Value {
    json!({ "x-request-id": { "description": "The id of the request.", "schema": { "type": "string" } } })
}

/// One response a status; its description names the codes.
pub(super) fn add_errors(responses: &mut Map<String, Value>, codes: &[ErrorCode]) {
    let mut by_status: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status()).or_default().push(*code);
    }
    for (status, codes) in by_status {
        let lines: Vec<String> = codes
            .iter()
            .map(|code| {
                let text = code.text();
                format!(
                    "`{}`: {}",
                    code.as_str(),
                    text.spoken(crate::procedures::words::Speech::English)
                )
            })
            .collect();
        let mut headers = request_id();
        if matches!(status, 429 | 503) || codes.contains(&ErrorCode::GenerationNotStarted) {
            headers["Retry-After"] = json!({
                "description": "Seconds after which trying again makes sense.",
                "schema": { "type": "integer" },
            });
        }
        responses.insert(
            status.to_string(),
            json!({
                "description": lines.join("\n\n"),
                "headers": headers,
                "content": { "application/json": { "schema": { "$ref": format!("{SCHEMAS_AT}Error") } } },
            }),
        );
    }
}
