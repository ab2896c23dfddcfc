//! Requests against the document. Strict: what the document does not name is a violation, at every depth.

use serde_json::Value;

use crate::check::{alternatives, is_decimal, kind, required, text_problem, words};
use crate::differences::{Because, RequestDifference, request_difference, required_by_pinned};
use crate::document::Operation;
use crate::form::{self, Sent};
use crate::{Spec, Violation};

impl Spec {
    /// What is wrong with a request: its method, its path, and its form body or query as it travels. Parameters of a
    /// DELETE may come either way.
    pub fn check_request(&self, method: &str, path: &str, parameters: &str) -> Vec<Violation> {
        let Some(operation) = self.operation(method, path) else {
            return vec![Violation::new(path, format!("the document has no {method} of this path"))];
        };
        let sent = match form::parse(parameters) {
            Ok(members) => Sent::Members(members),
            Err(violation) => return vec![violation],
        };
        let mut walk = Walk { operation: &operation.name, found: Vec::new() };
        walk.path(&operation);
        walk.value(&parameters_of(&operation), &sent, &Place::root());
        walk.found
    }
}

/// All parameters of an operation but those of its path, as one schema of an object.
fn parameters_of(operation: &Operation<'_>) -> Value {
    let body = operation.definition["requestBody"]["content"]["application/x-www-form-urlencoded"].get("schema");
    let mut schema = body.cloned().unwrap_or_else(|| serde_json::json!({"type": "object", "properties": {}}));
    let queries = operation.definition["parameters"].as_array().into_iter().flatten();
    for query in queries.filter(|parameter| parameter["in"] == "query") {
        let Some(name) = query["name"].as_str() else { continue };
        schema["properties"][name] = query["schema"].clone();
        if query["required"] == true {
            let mut names: Vec<&str> = required(&schema).collect();
            names.push(name);
            schema["required"] = serde_json::json!(names);
        }
    }
    schema
}

/// Where a parameter is: as it is sent, and as differences name it.
struct Place {
    /// `phases[0][items][1][price]`.
    sent: String,
    /// `phases[].items[].price`.
    pattern: String,
}

impl Place {
    fn root() -> Self {
        Self { sent: String::new(), pattern: String::new() }
    }

    fn member(&self, name: &str) -> Self {
        if self.sent.is_empty() {
            return Self { sent: name.to_owned(), pattern: name.to_owned() };
        }
        Self { sent: format!("{}[{name}]", self.sent), pattern: format!("{}.{name}", self.pattern) }
    }

    fn element(&self, index: usize) -> Self {
        Self { sent: format!("{}[{index}]", self.sent), pattern: format!("{}[]", self.pattern) }
    }
}

struct Walk<'a> {
    operation: &'a str,
    found: Vec<Violation>,
}

impl Walk<'_> {
    fn say(&mut self, place: &Place, problem: impl Into<String>) {
        self.found.push(Violation::new(if place.sent.is_empty() { "the form" } else { &place.sent }, problem));
    }

    fn path(&mut self, operation: &Operation<'_>) {
        let parameters = operation.definition["parameters"].as_array().into_iter().flatten();
        for parameter in parameters.filter(|parameter| parameter["in"] == "path") {
            let id = operation.ids.iter().find(|(name, _)| parameter["name"] == *name);
            if let Some((name, id)) = id
                && let Some(problem) = text_problem(&parameter["schema"], id)
            {
                self.found.push(Violation::new(name, problem));
            }
        }
    }

    fn value(&mut self, schema: &Value, sent: &Sent, place: &Place) {
        if let Some(alternatives) = alternatives(schema) {
            return self.one_of(alternatives, sent, place);
        }
        match (kind(schema), sent) {
            ("object", Sent::Members(_)) => self.object(schema, sent, place),
            ("array", Sent::Members(members)) => {
                let (Some(elements), Some(items)) = (form::elements(members), schema.get("items")) else {
                    return self.say(place, "is a list: its places are 0, 1, 2 and so on");
                };
                for (index, element) in elements.into_iter().enumerate() {
                    self.value(items, element, &place.element(index));
                }
            }
            ("object", Sent::Text(_)) => self.say(place, "has members; it is sent as a value"),
            ("array", Sent::Text(_)) => self.say(place, "is a list; it is sent as a value"),
            (_, Sent::Members(_)) => self.say(place, "is a value; it is sent with members"),
            (_, Sent::Text(text)) => self.text(schema, text, place),
        }
    }

    /// The alternative that fits, or what is wrong with the one that fits best.
    fn one_of(&mut self, alternatives: &[Value], sent: &Sent, place: &Place) {
        let shaped = |schema: &Value| ["object", "array"].contains(&kind(schema)) == matches!(sent, Sent::Members(_));
        let tried = alternatives.iter().map(|schema| {
            let mut walk = Walk { operation: self.operation, found: Vec::new() };
            walk.value(schema, sent, place);
            (walk.found.len(), !shaped(schema), walk.found)
        });
        let best = tried.min_by_key(|(count, other_shape, _)| (*count > 0, *other_shape, *count));
        self.found.extend(best.into_iter().flat_map(|(_, _, found)| found));
    }

    fn object(&mut self, schema: &Value, sent: &Sent, place: &Place) {
        let Sent::Members(members) = sent else { return };
        let known = schema.get("properties");
        let others = schema.get("additionalProperties").filter(|schema| schema.is_object());
        for (name, inner) in members {
            let at = place.member(name);
            match (request_difference(self.operation, &at.pattern), known.and_then(|known| known.get(name)), others) {
                (Some(RequestDifference { because: Because::NewerThanPinned, reason, .. }), ..) => {
                    self.say(&at, format!("is not in the pinned version: {reason}"));
                }
                (Some(RequestDifference { because: Because::OlderThanDocument(schema), .. }), ..) => {
                    match serde_json::from_str(schema) {
                        Ok(schema) => self.value(&schema, inner, &at),
                        Err(error) => self.say(&at, format!("the difference has no schema: {error}")),
                    }
                }
                (_, Some(schema), _) | (_, None, Some(schema)) => self.value(schema, inner, &at),
                (_, None, None) => self.say(&at, "is unknown"),
            }
        }
        let pinned = required_by_pinned(self.operation, &place.pattern);
        for name in required(schema).chain(pinned.iter().copied()) {
            if !members.contains_key(name) {
                self.say(&place.member(name), "is required");
            }
        }
    }

    fn text(&mut self, schema: &Value, text: &str, place: &Place) {
        if let Some(words) = words(schema) {
            let newer = request_difference(self.operation, &place.pattern).is_some_and(
                |difference| matches!(difference.because, Because::NewerWords(words) if words.contains(&text)),
            );
            if newer {
                self.say(place, format!("{text:?} is not in the pinned version"));
            } else if !words.contains(&text) {
                self.say(place, format!("{text:?} is none of {}", words.join(", ")));
            }
            return;
        }
        match kind(schema) {
            "integer" if !is_integer(text) => self.say(place, format!("{text:?} is no whole number")),
            "number" if !is_decimal(text) => self.say(place, format!("{text:?} is no number")),
            "boolean" if text != "true" && text != "false" => {
                self.say(place, format!("{text:?} is neither true nor false"));
            }
            "string" => {
                // An empty text unsets wherever Stripe allows it, and is checked by its alternative there.
                if let Some(problem) = text_problem(schema, text) {
                    self.say(place, problem);
                }
            }
            "integer" | "number" | "boolean" => {}
            other => self.say(place, format!("the document has a type that is not known here: {other:?}")),
        }
    }
}

/// A whole number as a program writes it.
fn is_integer(text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|number| number.to_string() == text)
}
