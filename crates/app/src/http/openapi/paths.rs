//! The addresses that are not procedures under their own names.

use formats::export::Format;
use serde_json::{Map, Value, json};

use super::schemas::Schemas;
use super::{add_errors, security};
use crate::procedures::documents::UPLOAD_ERRORS;
use crate::procedures::error::ErrorCode;
use crate::procedures::{self, Access, Procedure};

/// Errors that every address with a caller may have.
const COMMON: [ErrorCode; 6] = [
    ErrorCode::Unauthenticated,
    ErrorCode::Forbidden,
    ErrorCode::InsufficientScope,
    ErrorCode::Timeout,
    ErrorCode::Internal,
    ErrorCode::Unavailable,
];

/// Adds them.
pub(super) fn add_others(paths: &mut Map<String, Value>, schemas: &Schemas) {
    if let Ok(initiate) = procedures::find("generation.initiate") {
        let mut like = same_as(
            initiate,
            schemas,
            "generate",
            "Start a generation (path of an earlier interface)",
        );
        like["requestBody"] = super::body(initiate, schemas);
        paths.insert("/api/coursegen/generate".to_owned(), json!({ "post": like }));
    }
    if let Ok(status) = procedures::find("generation.getStatus") {
        let mut like = same_as(
            status,
            schemas,
            "checkStatus",
            "Where a generation stands (path of an earlier interface)",
        );
        like["parameters"] = json!([slug()]);
        paths.insert(
            "/api/courses/{slug}/check-status".to_owned(),
            json!({ "get": like }),
        );
    }
    if let Ok(cancel) = procedures::find("generation.cancel") {
        let mut like = same_as(
            cancel,
            schemas,
            "cancel",
            "Cancel a generation (path of an earlier interface)",
        );
        like["parameters"] = json!([slug()]);
        paths.insert("/api/courses/{slug}/cancel".to_owned(), json!({ "post": like }));
    }
    if let Ok(upload) = procedures::find("generation.uploadFile") {
        paths.insert(
            "/api/courses/{slug}/files/{name}".to_owned(),
            json!({ "put": upload_operation(upload, schemas) }),
        );
    }
    if let Ok(export) = procedures::find("courses.export") {
        paths.insert(
            "/api/courses/{slug}/export/{format}".to_owned(),
            json!({ "get": download_operation(export) }),
        );
    }
    paths.insert(
        "/healthz".to_owned(),
        health("Whether the process runs", &["200"]),
    );
    paths.insert(
        "/readyz".to_owned(),
        health("Whether requests can be answered", &["200", "503"]),
    );
}

fn slug() -> Value {
    json!({
        "name": "slug",
        "in": "path",
        "required": true,
        "description": "The course's name in addresses, or its id.",
        "schema": { "type": "string", "minLength": 1 },
    })
}

/// The same procedure behind another address.
fn same_as(procedure: &Procedure, schemas: &Schemas, id: &str, summary: &str) -> Value {
    let mut responses = super::responses(procedure, schemas);
    if let Some(responses) = responses.as_object_mut() {
        let mut codes = procedure.all_errors();
        codes.push(ErrorCode::NotFound);
        add_errors(responses, &codes);
    }
    json!({
        "operationId": id,
        "tags": ["compatibility"],
        "summary": summary,
        "description": format!("The same as `{}`.", procedure.name),
        "security": security(procedure.access),
        "responses": responses,
    })
}

fn upload_operation(upload: &Procedure, schemas: &Schemas) -> Value {
    let mut responses = Map::new();
    let content = json!({ "application/json": { "schema": schemas.output_reference(upload) } });
    responses.insert(
        "201".to_owned(),
        json!({ "description": "Stored.", "content": content }),
    );
    let codes: Vec<ErrorCode> = UPLOAD_ERRORS
        .iter()
        .chain(&COMMON)
        .copied()
        .chain([ErrorCode::LengthRequired, ErrorCode::Malformed])
        .collect();
    add_errors(&mut responses, &codes);
    json!({
        "operationId": "putFile",
        "tags": ["generation"],
        "summary": "Add a document to a course, streaming",
        "description": "The body is the file itself; its type is `Content-Type`.",
        "security": security(Access::Author),
        "parameters": [slug(), {
            "name": "name",
            "in": "path",
            "required": true,
            "description": "The name of the file with its ending.",
            "schema": { "type": "string", "minLength": 1 },
        }],
        "requestBody": { "required": true, "content": { "application/octet-stream": { "schema": {} } } },
        "responses": responses,
    })
}

fn download_operation(export: &Procedure) -> Value {
    let mut responses = Map::new();
    let content: Map<String, Value> = Format::ALL
        .iter()
        .map(|format| (format.media_type().to_owned(), json!({ "schema": {} })))
        .collect();
    responses.insert(
        "200".to_owned(),
        json!({ "description": "The file, as an attachment with its name.", "content": content }),
    );
    let mut codes = export.all_errors();
    codes.push(ErrorCode::NotFound);
    add_errors(&mut responses, &codes);
    let names: Vec<&str> = Format::ALL.iter().map(|format| format.as_str()).collect();
    json!({
        "operationId": "downloadExport",
        "tags": ["courses"],
        "summary": "Write a course as a file, and send the file itself",
        "description": format!("`{}` without JSON around the file.", export.name),
        "security": security(export.access),
        "parameters": [slug(), {
            "name": "format",
            "in": "path",
            "required": true,
            "description": "The kind of file.",
            "schema": { "type": "string", "enum": names },
        }],
        "responses": responses,
    })
}

fn health(summary: &str, statuses: &[&str]) -> Value {
    let schema = json!({
        "type": "object",
        "required": ["status"],
        "properties": { "status": { "type": "string" }, "version": { "type": "string" } },
    });
    let responses: Map<String, Value> = statuses
        .iter()
        .map(|status| {
            let content = json!({ "application/json": { "schema": schema } });
            (
                (*status).to_owned(),
                json!({ "description": "The state.", "content": content }),
            )
        })
        .collect();
    json!({ "get": {
        "operationId": summary.to_lowercase().replace(' ', "_"),
        "tags": ["operation"],
        "summary": summary,
        "security": [],
        "responses": responses,
    } })
}
