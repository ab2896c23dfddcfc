//! Answers against the document.

use serde_json::{Map, Value};

use crate::check::{alternatives, kind, required, text_problem, words};
use crate::differences::answer_difference;
use crate::{Spec, Violation};

impl Spec {
    /// What is wrong with an answer: what must be there and is not, or has another type, another word, another length.
    /// Fields that the document does not have are allowed.
    pub fn check_response(&self, method: &str, path: &str, status: u16, body: &Value) -> Vec<Violation> {
        self.response(method, path, status, body, false)
    }

    /// The same, and fields that the document does not have are violations.
    pub fn check_response_strictly(&self, method: &str, path: &str, status: u16, body: &Value) -> Vec<Violation> {
        self.response(method, path, status, body, true)
    }

    /// What is wrong with an object by itself, such as the one in an event. What it is, its `object` says.
    pub fn check_object(&self, object: &Value) -> Vec<Violation> {
        let name = object["object"].as_str().unwrap_or_default();
        let schema = serde_json::json!({"$ref": format!("#/components/schemas/{name}")});
        if self.referenced(&schema).is_none() {
            return vec![Violation::new("object", format!("the document has no {name:?}"))];
        }
        let mut walk = Walk { spec: self, strict: false, found: Vec::new() };
        walk.value(&schema, object, "", name);
        walk.found
    }

    fn response(&self, method: &str, path: &str, status: u16, body: &Value, strict: bool) -> Vec<Violation> {
        let path = path.split('?').next().unwrap_or_default();
        let Some(operation) = self.operation(method, path) else {
            return vec![Violation::new(path, format!("the document has no {method} of this path"))];
        };
        let answers = &operation.definition["responses"];
        let answer = answers.get(status.to_string()).or_else(|| answers.get("default"));
        // Everything that is no success is an error, also where the document lumps it together.
        let Some(schema) = answer.and_then(|answer| answer["content"]["application/json"].get("schema")) else {
            return vec![Violation::new(path, format!("the document has no answer with status {status}"))];
        };
        let mut walk = Walk { spec: self, strict, found: Vec::new() };
        walk.value(schema, body, "", "");
        walk.found
    }
}

struct Walk<'a> {
    spec: &'a Spec,
    strict: bool,
    found: Vec<Violation>,
}

impl Walk<'_> {
    fn say(&mut self, place: &str, problem: impl Into<String>) {
        self.found.push(Violation::new(if place.is_empty() { "the answer" } else { place }, problem));
    }

    /// `owner` is the name of the schema that the place belongs to.
    fn value(&mut self, schema: &Value, value: &Value, place: &str, owner: &str) {
        if let Some((name, schema)) = self.spec.referenced(schema) {
            return self.value(schema, value, place, name);
        }
        if value.is_null() && schema.get("nullable") == Some(&Value::Bool(true)) {
            return;
        }
        if let Some(alternatives) = alternatives(schema) {
            return self.one_of(alternatives, value, place, owner);
        }
        match (kind(schema), value) {
            ("object", Value::Object(members)) => self.object(schema, members, place, owner),
            ("array", Value::Array(elements)) => {
                for (index, element) in elements.iter().enumerate() {
                    self.value(&schema["items"], element, &format!("{place}[{index}]"), owner);
                }
            }
            ("string", Value::String(text)) => self.text(schema, text, place, owner),
            ("integer", Value::Number(number)) if number.is_i64() || number.is_u64() => {}
            ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) | ("", _) => {}
            (kind, _) => self.say(place, format!("is {}, not {kind}", name_of(value))),
        }
    }

    /// The alternative that fits, or what is wrong with the one that is meant.
    fn one_of(&mut self, schemas: &[Value], value: &Value, place: &str, owner: &str) {
        let tried = schemas.iter().map(|schema| {
            let mut walk = Walk { spec: self.spec, strict: self.strict, found: Vec::new() };
            let is_meant = is_meant(self.spec.referenced(schema).map_or(schema, |(_, schema)| schema), value);
            if is_meant {
                walk.value(schema, value, place, owner);
            } else {
                walk.say(place, format!("is {} of another type", name_of(value)));
            }
            (!walk.found.is_empty(), !is_meant, walk.found)
        });
        let best = tried.min_by_key(|(fails, other, found)| (*fails, *other, found.len()));
        self.found.extend(best.into_iter().flat_map(|(_, _, found)| found));
    }

    fn object(&mut self, schema: &Value, members: &Map<String, Value>, place: &str, owner: &str) {
        let dotted = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
        let others = schema.get("additionalProperties").filter(|schema| schema.is_object());
        for (name, value) in members {
            match (schema["properties"].get(name), others) {
                (Some(schema), _) => self.value(schema, value, &dotted(name), &format!("{owner}.{name}")),
                (None, Some(schema)) => self.value(schema, value, &dotted(name), owner),
                // A schema without properties says nothing about what is in it.
                (None, None) if self.strict && schema.get("properties").is_some() => {
                    if answer_difference(owner, name).is_none() {
                        self.say(&dotted(name), "is unknown");
                    }
                }
                (None, None) => {}
            }
        }
        for name in required(schema) {
            if !members.contains_key(name) && answer_difference(owner, name).is_none() {
                self.say(&dotted(name), "is missing");
            }
        }
    }

    fn text(&mut self, schema: &Value, text: &str, place: &str, owner: &str) {
        if let Some(words) = words(schema) {
            let (owner, field) = owner.rsplit_once('.').unwrap_or((owner, ""));
            let pinned = answer_difference(owner, field).is_some_and(|difference| difference.words.contains(&text));
            if !words.contains(&text) && !pinned {
                self.say(place, format!("{text:?} is none of {}", words.join(", ")));
            }
            return;
        }
        if let Some(problem) = text_problem(schema, text) {
            self.say(place, problem);
        }
    }
}

/// Whether a value is what a schema of an alternative is about: an object says itself what it is.
fn is_meant(schema: &Value, value: &Value) -> bool {
    if alternatives(schema).is_some() {
        return true;
    }
    let name = value["object"].as_str();
    let names = words(&schema["properties"]["object"]);
    let other = name.zip(names).is_some_and(|(name, names)| !names.contains(&name));
    let is_deleted = required(schema).any(|name| name == "deleted");
    !other && (!is_deleted || value["deleted"] == true) && (kind(schema) == "object") == value.is_object()
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
