//! The schemas of inputs and outputs under one roof. Inputs say what is taken, outputs what is given: where a type is
//! both and the two differ, the input's has a name of its own.

use std::collections::BTreeSet;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::SCHEMAS_AT;
use crate::procedures::Procedure;
use crate::procedures::error::ErrorCode;
use crate::procedures::input::bound_integers;

/// All component schemas.
pub(super) struct Schemas {
    components: Map<String, Value>,
    outputs: Vec<(&'static str, Value)>,
}

impl Schemas {
    /// The schemas of these procedures.
    pub(super) fn of(registry: &[Procedure]) -> Self {
        let mut giving = generator(SchemaSettings::for_serialize);
        let outputs = registry
            .iter()
            .map(|procedure| (procedure.name, (procedure.output)(&mut giving).to_value()))
            .collect();
        let mut components = giving.take_definitions(true);
        components
            .iter_mut()
            .for_each(|(_, schema)| bound_integers(schema));
        let mut taking = generator(|settings| settings);
        let mut inputs: Map<String, Value> = registry
            .iter()
            .map(|procedure| (input_name(procedure), (procedure.input)(&mut taking).to_value()))
            .collect();
        inputs.extend(taking.take_definitions(true));
        inputs.iter_mut().for_each(|(_, schema)| bound_integers(schema));
        let differing: BTreeSet<String> = inputs
            .iter()
            .filter(|(name, schema)| components.get(*name).is_some_and(|given| given != *schema))
            .map(|(name, _)| name.clone())
            .collect();
        for (name, mut schema) in inputs {
            rename(&mut schema, &differing);
            let name = if differing.contains(&name) {
                taken_name(&name)
            } else {
                name
            };
            components.insert(name, schema);
        }
        components.insert("Error".to_owned(), error_schema());
        Self { components, outputs }
    }

    /// A reference to the input of a procedure.
    #[expect(clippy::unused_self, reason = "references belong to these schemas")]
    pub(super) fn input_reference(&self, procedure: &Procedure) -> Value {
        json!({ "$ref": format!("{SCHEMAS_AT}{}", input_name(procedure)) })
    }

    /// The output of a procedure: a reference where its type has a name.
    pub(super) fn output_reference(&self, procedure: &Procedure) -> Value {
        let found = self.outputs.iter().find(|(name, _)| *name == procedure.name);
        found.map_or(Value::Bool(true), |(_, schema)| schema.clone())
    }

    /// The fields of a procedure's input.
    pub(super) fn fields(&self, procedure: &Procedure) -> impl Iterator<Item = (&String, &Value)> {
        let schema = self.components.get(&input_name(procedure));
        let fields = schema.and_then(|schema| schema.get("properties")?.as_object());
        fields.into_iter().flatten()
    }

    /// The fields without which a procedure cannot be called.
    pub(super) fn required(&self, procedure: &Procedure) -> Vec<&str> {
        let schema = self.components.get(&input_name(procedure));
        let names = schema.and_then(|schema| schema.get("required")?.as_array());
        names.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Whether a procedure cannot be called with nothing.
    pub(super) fn wants_anything(&self, procedure: &Procedure) -> bool {
        let schema = self.components.get(&input_name(procedure));
        !self.required(procedure).is_empty() || schema.is_some_and(|schema| schema.get("anyOf").is_some())
    }

    /// Everything, by name.
    pub(super) fn into_components(self) -> Map<String, Value> {
        let mut sorted: Vec<_> = self.components.into_iter().collect();
        sorted.sort_by(|one, other| one.0.cmp(&other.0));
        sorted.into_iter().collect()
    }
}

fn generator(contract: impl FnOnce(SchemaSettings) -> SchemaSettings) -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    contract(settings).into_generator()
}

/// `GenerationInitiateInput` of `generation.initiate`.
fn input_name(procedure: &Procedure) -> String {
    let words = procedure.name.split('.').flat_map(|word| {
        let mut letters = word.chars();
        letters
            .next()
            .into_iter()
            .flat_map(char::to_uppercase)
            .chain(letters)
            .collect::<Vec<_>>()
    });
    let mut name: String = words.collect();
    name.push_str("Input");
    name
}

/// The name of a type where it is taken.
fn taken_name(name: &str) -> String {
    format!("{name}Given")
}

/// Points references to types whose input differs to those inputs.
fn rename(schema: &mut Value, differing: &BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get_mut("$ref") {
                let renamed = reference
                    .strip_prefix(SCHEMAS_AT)
                    .filter(|name| differing.contains(*name))
                    .map(|name| format!("{SCHEMAS_AT}{}", taken_name(name)));
                if let Some(renamed) = renamed {
                    *reference = renamed;
                }
            }
            for (_, inner) in fields.iter_mut() {
                rename(inner, differing);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| rename(inner, differing)),
        _ => {}
    }
}

/// A schema for a parameter: what is left out is null already.
pub(super) fn without_null(schema: &Value) -> Value {
    let mut schema = schema.clone();
    let Some(fields) = schema.as_object_mut() else {
        return schema;
    };
    if let Some(Value::Array(kinds)) = fields.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            let only = only.clone();
            fields.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(words)) = fields.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
        if let [only] = choices.as_slice() {
            let only = only.clone();
            fields.remove("anyOf");
            if let Value::Object(only) = only {
                fields.extend(only);
            }
        }
    }
    fields.retain(|name, value| name != "default" || !value.is_null());
    schema
}

/// What every error looks like.
fn error_schema() -> Value {
    let codes: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    json!({
        "title": "Error",
        "description": "Why a call was not answered.",
        "type": "object",
        "required": ["code", "message", "requestId"],
        "properties": {
            "code": { "description": "A stable word for programs.", "type": "string", "enum": codes },
            "message": { "description": "A sentence for people.", "type": "string" },
            "details": {
                "description": "Anything else for programs. With INVALID_INPUT: `fields`, a list of {field, message, rule?, limit?, value?}.",
                "type": "object",
            },
            "requestId": { "description": "The id of the request, for the operator.", "type": "string" },
        },
    })
}
