use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};
use tenantry_stripe::{FormError, encode};
use tenantry_stripe_spec::decode;

fn pairs(value: &Value) -> Vec<String> {
    encode(value).unwrap().into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

#[test]
fn names_nest_by_brackets() {
    let value = json!({
        "items": [{"price": "p1", "quantity": 2}, {"id": "si_1", "deleted": true}],
        "metadata": {"tenant_id": "t", "gone": ""},
        "expand": ["a", "b"],
        "amount": -5,
        "left_out": null,
        "none": [],
        "nothing": {},
        "automatic_tax": {"enabled": false, "liability": null},
    });
    let due = [
        "amount=-5",
        "automatic_tax[enabled]=false",
        "expand[0]=a",
        "expand[1]=b",
        "items[0][price]=p1",
        "items[0][quantity]=2",
        "items[1][deleted]=true",
        "items[1][id]=si_1",
        "metadata[gone]=",
        "metadata[tenant_id]=t",
    ];
    assert_eq!(pairs(&value), due);
    assert!(pairs(&Value::Null).is_empty());
}

#[derive(Serialize)]
struct Keyed {
    map: BTreeMap<(u8, u8), u8>,
}

#[test]
fn what_would_be_changed_on_its_way_is_refused() {
    let refused = |value: Value| encode(&value).unwrap_err();
    assert_eq!(refused(json!({"a": {"b": 0.1}})), FormError::Float("a[b]".to_owned()));
    assert_eq!(refused(json!({"a": ["x", null, "z"]})), FormError::EmptyElement("a[1]".to_owned()));
    assert_eq!(refused(json!({"a": [{}]})), FormError::EmptyElement("a[0]".to_owned()));
    assert_eq!(refused(json!(["a"])), FormError::NotAnObject);
    assert_eq!(refused(json!("a")), FormError::NotAnObject);
    let keyed = Keyed { map: [((1, 2), 3)].into() };
    assert!(matches!(encode(&keyed), Err(FormError::Unwritable(_))));
}

/// Values without what has no form: an empty list or object, nothing at all.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Value::from),
            members(inner).prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    })
}

/// Members whose names are not numbers, as they would make a list, and have no brackets, as those nest.
fn members(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = BTreeMap<String, Value>> {
    prop::collection::btree_map("[^\\[\\]0-9][^\\[\\]]{0,8}", inner, 1..4)
}

/// The same with all values as the texts that a form has.
pub(crate) fn as_texts(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(text),
        Value::Array(elements) => elements.iter().map(as_texts).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), as_texts(value))).collect(),
        other => json!(other.to_string()),
    }
}

proptest! {
    #[test]
    fn a_form_comes_back_as_what_it_was(members in members(value())) {
        let value: Value = members.into_iter().collect();
        let escape = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs = encode(&value).unwrap().into_iter().map(|(name, value)| [escape(&name), escape(&value)].join("="));
        let form = pairs.collect::<Vec<_>>().join("&");
        prop_assert_eq!(decode(&form).unwrap(), as_texts(&value));
    }
}
