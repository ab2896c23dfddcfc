//! What checks of requests and of answers have in common.

use serde_json::Value;

/// The alternatives of a schema; itself, where it has none.
pub(crate) fn alternatives(schema: &Value) -> Option<&Vec<Value>> {
    schema.get("anyOf").or_else(|| schema.get("oneOf"))?.as_array()
}

pub(crate) fn kind(schema: &Value) -> &str {
    schema.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// The words that a schema allows.
pub(crate) fn words(schema: &Value) -> Option<Vec<&str>> {
    Some(schema.get("enum")?.as_array()?.iter().filter_map(Value::as_str).collect())
}

pub(crate) fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// What is wrong with the length or the form of a text.
pub(crate) fn text_problem(schema: &Value, text: &str) -> Option<String> {
    let longest = schema.get("maxLength").and_then(Value::as_u64);
    if let Some(longest) = longest
        && text.chars().count() as u64 > longest
    {
        return Some(format!("is longer than {longest} characters"));
    }
    match schema.get("format").and_then(Value::as_str) {
        Some("currency") if text.len() != 3 || !text.bytes().all(|byte| byte.is_ascii_lowercase()) => {
            Some(format!("{text:?} is no currency in small letters"))
        }
        Some("decimal") if !is_decimal(text) => Some(format!("{text:?} is no decimal")),
        _ => None,
    }
}

/// Digits, perhaps with a sign and with up to 12 places.
pub(crate) fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, places) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(places) && places.len() <= 12
}
