//! What every reader of the document may rely on.

use std::collections::BTreeSet;

use super::*;

/// Every reference of a value.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                found.insert(reference.clone());
            }
            fields.values().for_each(|inner| references(inner, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| references(inner, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_one() {
    let document = make();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in &found {
        let target = document.pointer(reference.trim_start_matches('#'));
        assert!(target.is_some(), "{reference}");
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(jsonschema::meta::is_valid(schema), "{name}");
    }
}

#[test]
fn schemas_have_names_of_their_own_and_every_field_is_described() {
    let document = make();
    let mut faults = Vec::new();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        // A digit is what the generator adds where two types have one name.
        if name.ends_with(|letter: char| letter.is_ascii_digit()) {
            faults.push(name.clone());
        }
        for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
            let is_described = schema.get("description").is_some() || schema.get("$ref").is_some();
            if !is_described {
                faults.push(format!("{name}.{field}"));
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn every_procedure_is_documented_with_its_errors_and_an_example() {
    let document = make();
    for procedure in procedures::registry() {
        let path = &document["paths"][format!("/api/v1/{}", procedure.name)];
        let method = if procedure.kind == Kind::Mutation {
            "post"
        } else {
            "get"
        };
        let operation = &path[method];
        assert!(operation["responses"]["200"].is_object(), "{}", procedure.name);
        for code in procedure.all_errors() {
            let response = &operation["responses"][code.status().to_string()];
            let text = response["description"].as_str().unwrap_or_default();
            assert!(
                text.contains(code.as_str()),
                "{} {}",
                procedure.name,
                code.as_str()
            );
        }
        assert!(procedure.example.is_some(), "{} has no example", procedure.name);
        assert!(
            procedure.summary.ends_with(|letter: char| letter != '.'),
            "{}",
            procedure.name
        );
    }
}

#[test]
fn every_example_keeps_its_own_rule() {
    for procedure in procedures::registry() {
        let example = procedure.example.clone().unwrap_or(Value::Null);
        let kept = procedure.rule().check(&example);
        assert!(kept.is_ok(), "{}: {kept:?}", procedure.name);
    }
}
