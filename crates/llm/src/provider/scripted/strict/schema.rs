//! What servers take of JSON Schema.

use serde_json::{Map, Value};

/// A server's part of JSON Schema.
#[derive(Debug)]
pub(super) struct SchemaRules {
    pub(super) closed: Closed,
    /// Whether the items of a list may be `true` or `false`.
    pub(super) boolean_items: bool,
    /// Keywords that it refuses wherever they stand.
    pub(super) refused: &'static [&'static str],
}

/// Whether objects have to be closed and to require all their properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// In schemas that are sent with `strict`.
    WhereStrict,
    Never,
}

/// What is wrong with a schema, and where.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SchemaFault {
    /// Keywords and names from the root.
    pub(super) path: Vec<String>,
    pub(super) problem: SchemaProblem,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum SchemaProblem {
    /// The root is no object.
    RootType(String),
    /// `additionalProperties` is not false.
    Open,
    /// A property is not required.
    Optional(String),
    /// The items of a list are `true` or `false`.
    BooleanItems,
    /// A keyword that the server does not know.
    Keyword(String),
    /// Something stands beside a reference.
    BesideReference(String),
    /// A reference to nothing.
    Dangling(String),
}

/// Keywords whose value is a schema, a list of schemas, or schemas by name.
const SCHEMAS_INSIDE: [&str; 3] = ["items", "additionalProperties", "not"];
const LISTS_INSIDE: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];
const NAMED_INSIDE: [&str; 3] = ["properties", "$defs", "definitions"];

impl SchemaRules {
    /// What the server has against this schema.
    pub(super) fn fault(&self, schema: &Value, is_strict: bool) -> Option<SchemaFault> {
        let is_closed = self.closed == Closed::WhereStrict && is_strict;
        if is_closed {
            let kind = schema.get("type").and_then(Value::as_str).unwrap_or("None");
            if kind != "object" {
                return Some(SchemaFault {
                    path: Vec::new(),
                    problem: SchemaProblem::RootType(kind.to_owned()),
                });
            }
        }
        let walk = Walk {
            root: schema,
            rules: self,
            is_closed,
        };
        walk.at(schema, &mut Vec::new())
    }
}

struct Walk<'a> {
    root: &'a Value,
    rules: &'a SchemaRules,
    is_closed: bool,
}

impl Walk<'_> {
    fn at(&self, schema: &Value, path: &mut Vec<String>) -> Option<SchemaFault> {
        let keywords = schema.as_object()?;
        if let Some(problem) = self.problem(keywords) {
            return Some(SchemaFault {
                path: path.clone(),
                problem,
            });
        }
        for keyword in SCHEMAS_INSIDE {
            let found = keywords
                .get(keyword)
                .and_then(|inner| self.inside(&[keyword], inner, path));
            if found.is_some() {
                return found;
            }
        }
        for keyword in LISTS_INSIDE {
            let list = keywords.get(keyword).and_then(Value::as_array);
            for (index, inner) in list.into_iter().flatten().enumerate() {
                let found = self.inside(&[keyword, &index.to_string()], inner, path);
                if found.is_some() {
                    return found;
                }
            }
        }
        for keyword in NAMED_INSIDE {
            let named = keywords.get(keyword).and_then(Value::as_object);
            for (name, inner) in named.into_iter().flatten() {
                let found = self.inside(&[keyword, name], inner, path);
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }

    fn inside(&self, steps: &[&str], schema: &Value, path: &mut Vec<String>) -> Option<SchemaFault> {
        let depth = path.len();
        path.extend(steps.iter().map(|step| (*step).to_owned()));
        let found = self.at(schema, path);
        path.truncate(depth);
        found
    }

    fn problem(&self, keywords: &Map<String, Value>) -> Option<SchemaProblem> {
        let refused = keywords
            .keys()
            .find(|keyword| self.rules.refused.contains(&keyword.as_str()));
        if let Some(keyword) = refused {
            return Some(SchemaProblem::Keyword(keyword.clone()));
        }
        if !self.rules.boolean_items && keywords.get("items").is_some_and(Value::is_boolean) {
            return Some(SchemaProblem::BooleanItems);
        }
        if !self.is_closed {
            return None;
        }
        if let Some(reference) = keywords.get("$ref").and_then(Value::as_str) {
            let beside = keywords
                .keys()
                .find(|keyword| !matches!(keyword.as_str(), "$ref" | "$defs" | "definitions"));
            let target = reference
                .strip_prefix('#')
                .and_then(|pointer| self.root.pointer(pointer));
            return match (beside, target) {
                (Some(keyword), _) => Some(SchemaProblem::BesideReference(keyword.clone())),
                (None, None) => Some(SchemaProblem::Dangling(reference.to_owned())),
                (None, Some(_)) => None,
            };
        }
        if !is_object(keywords) {
            return None;
        }
        if keywords.get("additionalProperties") != Some(&Value::Bool(false)) {
            return Some(SchemaProblem::Open);
        }
        let required = keywords.get("required").and_then(Value::as_array);
        let is_required =
            |name: &str| required.is_some_and(|required| required.iter().any(|required| required == name));
        let properties = keywords.get("properties").and_then(Value::as_object);
        let optional = properties.into_iter().flatten().map(|(name, _)| name);
        let mut optional = optional.filter(|name| !is_required(name));
        optional.next().map(|name| SchemaProblem::Optional(name.clone()))
    }
}

fn is_object(keywords: &Map<String, Value>) -> bool {
    let is_object = |kind: &Value| kind == "object";
    match keywords.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(is_object),
        Some(kind) => is_object(kind),
        None => keywords.contains_key("properties"),
    }
}
