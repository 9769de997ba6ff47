//! Checks a JSON value against a schema of the API's own description, so that a test reads it as a generated client would:
//! every property that is required is there, every property that is there is described, and each has its type.

use serde_json::{Map, Value};

/// What does not fit; empty when all does.
pub(super) fn misfits(value: &Value, schema: &Value, root: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(value, schema, root, "$", &mut found);
    found
}

fn check(value: &Value, schema: &Value, root: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(reference.trim_start_matches('#'));
        let target = target.unwrap_or_else(|| panic!("{reference} is not described"));
        return check(value, target, root, at, found);
    }
    for (word, is_enough) in [("oneOf", true), ("anyOf", true)] {
        if let Some(choices) = schema.get(word).and_then(Value::as_array) {
            let fits = choices.iter().any(|choice| misfits(value, choice, root).is_empty());
            if fits != is_enough {
                found.push(format!("{at}: fits none of {choices:?}: {value}"));
            }
            return;
        }
    }
    if schema.get("allOf").is_some() || schema.get("properties").is_some() {
        return check_object(value, schema, root, at, found);
    }
    let Some(kind) = schema.get("type") else { return };
    let kinds: Vec<&str> = match kind {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        other => panic!("a type is a word or a list: {other}"),
    };
    if !kinds.iter().any(|kind| is_a(value, kind)) {
        found.push(format!("{at}: {value} is none of {kinds:?}"));
    }
    if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
        for (index, item) in list.iter().enumerate() {
            check(item, items, root, &format!("{at}[{index}]"), found);
        }
    }
}

fn check_object(value: &Value, schema: &Value, root: &Value, at: &str, found: &mut Vec<String>) {
    let Some(object) = value.as_object() else {
        return found.push(format!("{at}: {value} is no object"));
    };
    let (mut properties, mut required) = (Map::new(), Vec::new());
    if schema.get("allOf").is_some() {
        check_parts(object, schema, root, at, found);
    }
    gather(schema, root, &mut properties, &mut required);
    for name in &required {
        if !object.contains_key(name) {
            found.push(format!("{at}.{name}: is not there"));
        }
    }
    for (name, value) in object {
        match properties.get(name) {
            Some(schema) => check(value, schema, root, &format!("{at}.{name}"), found),
            None => found.push(format!("{at}.{name}: is not described")),
        }
    }
}

/// Each part of an `allOf` is to fit by itself: one that allows nothing besides fits no object that has more.
fn check_parts(object: &Map<String, Value>, schema: &Value, root: &Value, at: &str, found: &mut Vec<String>) {
    for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        let reference = part.get("$ref").and_then(Value::as_str);
        let part = reference.map_or(part, |reference| {
            root.pointer(reference.trim_start_matches('#')).expect("it is described")
        });
        if part.get("additionalProperties") == Some(&Value::Bool(false)) {
            let (mut properties, mut required) = (Map::new(), Vec::new());
            gather(part, root, &mut properties, &mut required);
            let besides = object.keys().filter(|name| !properties.contains_key(*name));
            found.extend(besides.map(|name| format!("{at}.{name}: is forbidden by a part of its schema")));
        }
    }
}

/// The properties of an object and of everything that it is made of.
fn gather(schema: &Value, root: &Value, properties: &mut Map<String, Value>, required: &mut Vec<String>) {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(reference.trim_start_matches('#'));
        return gather(target.expect("it is described"), root, properties, required);
    }
    for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        gather(part, root, properties, required);
    }
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        properties.insert(name.clone(), property.clone());
    }
    let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    required.extend(names.filter_map(Value::as_str).map(str::to_owned));
}

fn is_a(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no JSON type"),
    }
}

#[test]
fn a_value_that_does_not_fit_is_found_out() {
    let root = serde_json::json!({"components": {"schemas": {
        "A": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}, "n": {"type": ["integer", "null"]}}},
        "B": {"allOf": [{"$ref": "#/components/schemas/A"}, {"type": "object", "required": ["x"], "properties": {"x": {"type": "array", "items": {"$ref": "#/components/schemas/A"}}}}]},
    }}});
    let schema = serde_json::json!({"$ref": "#/components/schemas/B"});
    let count = |value: Value| misfits(&value, &schema, &root).len();
    assert_eq!(count(serde_json::json!({"id": "1", "n": null, "x": [{"id": "2"}]})), 0);
    assert_eq!(count(serde_json::json!({"id": "1", "x": [{"id": 2}]})), 1, "wrong type inside");
    assert_eq!(count(serde_json::json!({"id": "1"})), 1, "required is missing");
    assert_eq!(count(serde_json::json!({"id": "1", "x": [], "y": 1})), 1, "not described");
    assert_eq!(count(serde_json::json!([])), 1, "no object");
    let closed = serde_json::json!({"allOf": [
        {"type": "object", "properties": {"id": {"type": "string"}}, "additionalProperties": false},
        {"type": "object", "properties": {"n": {"type": "integer"}}},
    ]});
    let value = serde_json::json!({"id": "1", "n": 1});
    assert_eq!(misfits(&value, &closed, &root).len(), 1, "a part that allows nothing besides");
}
