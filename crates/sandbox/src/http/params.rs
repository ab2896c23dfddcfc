//! Parameter tables: what an endpoint takes, and the check of a request against it.
//!
//! A name that the table does not know is refused at every depth, as Stripe does. What comes out is JSON with
//! numbers and booleans; null stands for an empty string, which asks to unset a value.

use serde_json::{Map, Value};

use super::form::{Fields, Node, in_order};
use crate::fault::Fault;

/// The largest number: twelve digits, as Stripe's largest amounts have. What is computed from a few of them fits.
const MOST: i64 = 999_999_999_999;
/// The last second of the calendar, at the end of the year 9999.
const LATEST: i64 = 253_402_207_199;

/// A parameter of an endpoint or of an object within.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Param {
    name: &'static str,
    kind: Kind,
    required: bool,
}

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Text,
    Integer,
    Decimal,
    Boolean,
    OneOf(&'static [&'static str]),
    /// A Unix time, or one of these words.
    TimeOr(&'static [&'static str]),
    /// An integer or a word.
    IntegerOr(&'static [&'static str]),
    /// A Unix time, or bounds (`gt`, `gte`, `lt`, `lte`).
    Range,
    Object(&'static [Param]),
    Objects(&'static [Param]),
    Texts,
    Pairs,
    /// Accepted and kept without looking into it: nothing here depends on it.
    Anything,
    /// A parameter of Stripe's that would change what happens, and that the sandbox does not have: refused, so that
    /// nothing is left out silently.
    Unsupported,
}

impl Param {
    pub(crate) const fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

pub(crate) const fn param(name: &'static str, kind: Kind) -> Param {
    Param { name, kind, required: false }
}

pub(crate) const fn text(name: &'static str) -> Param {
    param(name, Kind::Text)
}

pub(crate) const fn integer(name: &'static str) -> Param {
    param(name, Kind::Integer)
}

pub(crate) const fn boolean(name: &'static str) -> Param {
    param(name, Kind::Boolean)
}

pub(crate) const fn time(name: &'static str) -> Param {
    param(name, Kind::TimeOr(&[]))
}

pub(crate) const fn one_of(name: &'static str, words: &'static [&'static str]) -> Param {
    param(name, Kind::OneOf(words))
}

pub(crate) const fn object(name: &'static str, fields: &'static [Param]) -> Param {
    param(name, Kind::Object(fields))
}

pub(crate) const fn objects(name: &'static str, fields: &'static [Param]) -> Param {
    param(name, Kind::Objects(fields))
}

pub(crate) const fn texts(name: &'static str) -> Param {
    param(name, Kind::Texts)
}

pub(crate) const fn anything(name: &'static str) -> Param {
    param(name, Kind::Anything)
}

pub(crate) const fn unsupported(name: &'static str) -> Param {
    param(name, Kind::Unsupported)
}

pub(crate) const METADATA: Param = param("metadata", Kind::Pairs);
pub(crate) const EXPAND: Param = texts("expand");
pub(crate) const CREATED: Param = param("created", Kind::Range);

/// The lists of parameters of an endpoint, joined: its own, and those that many share.
pub(crate) type Tables = &'static [&'static [Param]];

/// What every list endpoint takes.
pub(crate) const PAGE: &[Param] = &[integer("limit"), text("starting_after"), text("ending_before"), EXPAND];
/// An address.
pub(crate) const ADDRESS: Param = object(
    "address",
    &[text("city"), text("country"), text("line1"), text("line2"), text("postal_code"), text("state")],
);

/// What every other endpoint takes.
pub(crate) const ONE: &[Param] = &[EXPAND];

/// Checks a request against the tables of its endpoint.
pub(crate) fn check(tables: Tables, fields: Fields) -> Result<Map<String, Value>, Fault> {
    let known: Vec<&Param> = tables.iter().flat_map(|table| table.iter()).collect();
    check_fields(&known, fields, "")
}

fn check_fields(known: &[&Param], fields: Fields, within: &str) -> Result<Map<String, Value>, Fault> {
    let mut unknown = Vec::new();
    let mut checked = Map::new();
    for (name, node) in fields {
        let full = full_name(within, &name);
        match known.iter().find(|param| param.name == name) {
            Some(param) => {
                checked.insert(name, value(param, node, &full)?);
            }
            None => unknown.push(full),
        }
    }
    if let Some(first) = unknown.first() {
        let plural = if unknown.len() > 1 { "parameters" } else { "parameter" };
        let message = format!("Received unknown {plural}: {}", unknown.join(", "));
        return Err(Fault::invalid(message).code("parameter_unknown").param(first.clone()));
    }
    for param in known.iter().filter(|param| param.required) {
        if checked.get(param.name).is_none_or(Value::is_null) {
            let full = full_name(within, param.name);
            let missing = Fault::invalid(format!("Missing required param: {full}."));
            return Err(missing.code("parameter_missing").param(full));
        }
    }
    Ok(checked)
}

fn full_name(within: &str, name: &str) -> String {
    if within.is_empty() { name.to_owned() } else { format!("{within}[{name}]") }
}

fn value(param: &Param, node: Node, full: &str) -> Result<Value, Fault> {
    if matches!(&node, Node::Text(text) if text.is_empty()) {
        return empty(param, full);
    }
    match (param.kind, node) {
        (Kind::Unsupported, _) => {
            let message = format!("The sandbox does not support the parameter {full}.");
            Err(Fault::invalid(message).code("not_in_sandbox").param(full))
        }
        (Kind::Anything, node) => Ok(free(node)),
        (Kind::Object(fields), Node::Map(below)) => {
            Ok(Value::Object(check_fields(&fields.iter().collect::<Vec<_>>(), below, full)?))
        }
        (Kind::Objects(fields), Node::Map(below)) => elements(fields, below, full),
        (Kind::Texts, Node::Map(below)) => in_order(below)
            .into_iter()
            .map(|(name, node)| plain(node, &full_name(full, &name)).map(Value::String))
            .collect::<Result<_, _>>()
            .map(Value::Array),
        (Kind::Pairs, Node::Map(below)) => pairs(below, full),
        (Kind::Range, Node::Map(below)) => {
            let bounds = [time("gt"), time("gte"), time("lt"), time("lte")];
            Ok(Value::Object(check_fields(&bounds.iter().collect::<Vec<_>>(), below, full)?))
        }
        (Kind::Object(_) | Kind::Pairs, Node::Text(_)) => Err(Fault::invalid("Invalid object").param(full)),
        (Kind::Objects(_) | Kind::Texts, Node::Text(_)) => Err(Fault::invalid("Invalid array").param(full)),
        (kind, Node::Text(text)) => scalar(kind, text, full),
        (_, Node::Map(_)) => Err(Fault::invalid(format!("Invalid string: {full} is given as an object")).param(full)),
    }
}

/// An empty string asks to unset the value; numbers, booleans and choices cannot be unset.
fn empty(param: &Param, full: &str) -> Result<Value, Fault> {
    if param.required || matches!(param.kind, Kind::Integer | Kind::Boolean | Kind::OneOf(_) | Kind::Range) {
        let message = format!(
            "You passed an empty string for '{full}'. We assume empty values are an attempt to unset a parameter; \
             however '{full}' cannot be unset. You should remove '{full}' from your request or supply a non-empty value."
        );
        return Err(Fault::invalid(message).code("parameter_invalid_empty").param(full));
    }
    Ok(Value::Null)
}

fn elements(fields: &[Param], below: Fields, full: &str) -> Result<Value, Fault> {
    let known: Vec<&Param> = fields.iter().collect();
    let element = |(name, node): (String, Node)| {
        let within = full_name(full, &name);
        match node {
            Node::Map(map) => check_fields(&known, map, &within).map(Value::Object),
            Node::Text(_) => Err(Fault::invalid("Invalid object").param(within)),
        }
    };
    in_order(below).into_iter().map(element).collect::<Result<_, _>>().map(Value::Array)
}

/// Metadata: at most 50 keys of 40 characters with values of 500.
fn pairs(below: Fields, full: &str) -> Result<Value, Fault> {
    let mut map = Map::new();
    for (name, node) in below {
        let within = full_name(full, &name);
        let text = plain(node, &within)?;
        if name.chars().count() > 40 {
            let message = format!("Metadata key '{name}' is too long: at most 40 characters.");
            return Err(Fault::invalid(message).param(within));
        }
        if text.chars().count() > 500 {
            let message = "Metadata values can have up to 500 characters.";
            return Err(Fault::invalid(message).param(within));
        }
        map.insert(name, if text.is_empty() { Value::Null } else { text.into() });
    }
    if map.len() > 50 {
        return Err(Fault::invalid("Metadata can have up to 50 keys.").param(full));
    }
    Ok(Value::Object(map))
}

fn plain(node: Node, full: &str) -> Result<String, Fault> {
    match node {
        Node::Text(text) => Ok(text),
        Node::Map(_) => Err(Fault::invalid(format!("Invalid string: {full} is given as an object")).param(full)),
    }
}

fn scalar(kind: Kind, text: String, full: &str) -> Result<Value, Fault> {
    let bad_integer =
        |text: &str| Fault::invalid(format!("Invalid integer: {text}")).code("parameter_invalid_integer").param(full);
    match kind {
        Kind::Integer => integer_of(&text).ok_or_else(|| bad_integer(&text)),
        Kind::Boolean => match text.as_str() {
            "true" => Ok(true.into()),
            "false" => Ok(false.into()),
            _ => Err(Fault::invalid(format!("Invalid boolean: {text}")).param(full)),
        },
        Kind::OneOf(words) if words.contains(&text.as_str()) => Ok(text.into()),
        Kind::OneOf(words) => {
            Err(Fault::invalid(format!("Invalid {full}: must be one of {}", either(words))).param(full))
        }
        Kind::TimeOr(words) | Kind::IntegerOr(words) if words.contains(&text.as_str()) => Ok(text.into()),
        Kind::TimeOr(_) | Kind::Range => match text.parse::<i64>() {
            Ok(seconds) if (0..=LATEST).contains(&seconds) => Ok(seconds.into()),
            _ => Err(Fault::invalid("Invalid timestamp: must be an integer Unix timestamp").param(full)),
        },
        Kind::IntegerOr(_) => integer_of(&text).ok_or_else(|| bad_integer(&text)),
        Kind::Decimal => match text.parse::<rust_decimal::Decimal>() {
            Ok(number) if number.scale() <= 12 && number.abs() <= MOST.into() => {
                Ok(number.normalize().to_string().into())
            }
            _ => Err(Fault::invalid(format!("Invalid decimal: {text}")).code("parameter_invalid_decimal").param(full)),
        },
        _ => Ok(text.into()),
    }
}

fn integer_of(text: &str) -> Option<Value> {
    text.parse::<i64>().ok().filter(|number| (-MOST..=MOST).contains(number)).map(Value::from)
}

fn either(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [one, other] => format!("{one} or {other}"),
        [before @ .., last] => format!("{}, or {last}", before.join(", ")),
    }
}

fn free(node: Node) -> Value {
    match node {
        Node::Text(text) => text.into(),
        Node::Map(map) if map.keys().all(|name| name.parse::<usize>().is_ok()) => {
            in_order(map).into_iter().map(|(_, node)| free(node)).collect::<Vec<_>>().into()
        }
        Node::Map(map) => Value::Object(map.into_iter().map(|(name, node)| (name, free(node))).collect()),
    }
}
