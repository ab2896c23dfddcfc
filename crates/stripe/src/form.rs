//! Parameters as Stripe takes them: forms whose names nest by brackets (`items[0][price]=price_1`).

use serde::Serialize;
use serde_json::Value;

/// Parameters that have no form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// The parameters are no struct or map.
    #[error("parameters must be a struct or a map")]
    NotAnObject,
    /// A place of a list without a value: the others would move up.
    #[error("{0} is empty; leave it out or fill it")]
    EmptyElement(String),
    /// A number with a fraction would be a rounded one.
    #[error("{0} is a float; give exact decimals as text")]
    Float(String),
    /// A value that serde cannot express in JSON.
    #[error("parameters cannot be written: {0}")]
    Unwritable(String),
}

/// Names and values of a form, in a stable order. What is `None` is left out; an empty text is sent and, at Stripe,
/// unsets the field.
pub fn encode(parameters: &impl Serialize) -> Result<Vec<(String, String)>, FormError> {
    let value = serde_json::to_value(parameters).map_err(|error| FormError::Unwritable(error.to_string()))?;
    let mut pairs = Vec::new();
    match &value {
        Value::Object(_) | Value::Null => flatten("", &value, &mut pairs)?,
        _ => return Err(FormError::NotAnObject),
    }
    Ok(pairs)
}

/// A form as it travels, in a query or a body.
pub(crate) fn to_text(pairs: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn flatten(name: &str, value: &Value, pairs: &mut Vec<(String, String)>) -> Result<(), FormError> {
    match value {
        Value::Null => {}
        Value::Bool(flag) => pairs.push((name.to_owned(), flag.to_string())),
        Value::Number(number) if number.is_f64() => return Err(FormError::Float(name.to_owned())),
        Value::Number(number) => pairs.push((name.to_owned(), number.to_string())),
        Value::String(text) => pairs.push((name.to_owned(), text.clone())),
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                let (place, before) = (format!("{name}[{index}]"), pairs.len());
                flatten(&place, element, pairs)?;
                if pairs.len() == before {
                    return Err(FormError::EmptyElement(place));
                }
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                let place = if name.is_empty() { key.clone() } else { format!("{name}[{key}]") };
                flatten(&place, member, pairs)?;
            }
        }
    }
    Ok(())
}
