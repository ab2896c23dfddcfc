//! Reading forms whose names nest by brackets. Written apart from the client's writing of them, on purpose.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Violation;

/// A parameter as it was sent: a text, or members by name. Whether members are a list, the schema says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sent {
    Text(String),
    Members(BTreeMap<String, Sent>),
}

/// A form, or a query, as JSON: all values are texts, and members that are called 0, 1, 2 are a list.
pub fn decode(form: &str) -> Result<Value, Violation> {
    parse(form).map(|members| to_json(Sent::Members(members)))
}

pub(crate) fn parse(form: &str) -> Result<BTreeMap<String, Sent>, Violation> {
    let mut root = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(form.as_bytes()) {
        let path = segments(&name).ok_or_else(|| Violation::new(&name, "the brackets do not match"))?;
        insert(&mut root, &path, value.into_owned()).map_err(|problem| Violation::new(&name, problem))?;
    }
    Ok(root)
}

/// `a[b][0]` as `a`, `b`, `0`.
fn segments(name: &str) -> Option<Vec<&str>> {
    let Some(open) = name.find('[') else {
        return (!name.is_empty() && !name.contains(']')).then(|| vec![name]);
    };
    let (first, mut rest) = name.split_at(open);
    if first.is_empty() || first.contains(']') {
        return None;
    }
    let mut found = vec![first];
    while !rest.is_empty() {
        let (inside, behind) = rest.strip_prefix('[')?.split_once(']')?;
        if inside.contains('[') {
            return None;
        }
        found.push(inside);
        rest = behind;
    }
    Some(found)
}

fn insert(members: &mut BTreeMap<String, Sent>, path: &[&str], value: String) -> Result<(), &'static str> {
    let Some((first, rest)) = path.split_first() else { return Err("has no name") };
    // `a[]=x` stands behind what is there.
    let name = if first.is_empty() { members.len().to_string() } else { (*first).to_owned() };
    if rest.is_empty() {
        return match members.insert(name, Sent::Text(value)) {
            None => Ok(()),
            Some(_) => Err("is sent twice"),
        };
    }
    match members.entry(name).or_insert_with(|| Sent::Members(BTreeMap::new())) {
        Sent::Members(inner) => insert(inner, rest, value),
        Sent::Text(_) => Err("is sent both as a value and with members"),
    }
}

/// Members as the elements of a list: called 0, 1, 2 and so on without a gap.
pub(crate) fn elements(members: &BTreeMap<String, Sent>) -> Option<Vec<&Sent>> {
    (0..members.len()).map(|index| members.get(&index.to_string())).collect()
}

fn to_json(sent: Sent) -> Value {
    match sent {
        Sent::Text(text) => Value::String(text),
        Sent::Members(members) => match elements(&members) {
            Some(elements) if !elements.is_empty() => elements.into_iter().cloned().map(to_json).collect(),
            _ => Value::Object(members.into_iter().map(|(name, inner)| (name, to_json(inner))).collect()),
        },
    }
}
