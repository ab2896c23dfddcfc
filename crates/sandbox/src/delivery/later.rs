//! Payloads of a later API version than the one that was asked for: what a reader must survive.

use serde_json::{Map, Value, json};

/// The version that such payloads claim to be of.
const LATER: &str = "2026-10-28.endive";

/// Members whose type or values change. Ids, kinds and types of events stay: without them nothing could be read.
const KEPT: &[&str] = &["id", "object", "type", "livemode", "api_version"];

/// Makes an event one of a later version.
pub(super) fn transform(event: &mut Value) {
    if let Some(members) = event.as_object_mut() {
        members.insert("api_version".to_owned(), LATER.into());
        members.insert("context".to_owned(), json!({ "workspace": "wsp_future" }));
        if let Some(object) = members.get_mut("data").and_then(|data| data.get_mut("object")) {
            change(object);
        }
    }
}

fn change(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut().filter(|(name, _)| !KEPT.contains(&name.as_str())) {
                reshape(name, member);
                change(member);
            }
            if members.contains_key("object") {
                add(members);
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(change),
        _ => {}
    }
}

/// Unknown words, objects in the place of ids, texts in the place of numbers, null in the place of lists.
fn reshape(name: &str, member: &mut Value) {
    let changed = match (name, &*member) {
        ("customer" | "latest_invoice" | "subscription", Value::String(id)) => json!({ "id": id, "deleted": null }),
        ("status" | "billing_reason" | "collection_method", Value::String(word)) => json!(format!("{word}_v2")),
        ("quantity" | "amount_paid" | "billing_cycle_anchor", Value::Number(number)) => json!(number.to_string()),
        ("cancel_at_period_end", Value::Bool(_))
        | ("discounts" | "default_tax_rates" | "customer_tax_ids", Value::Array(_)) => Value::Null,
        _ => return,
    };
    *member = changed;
}

fn add(members: &mut Map<String, Value>) {
    members.insert("lifecycle".to_owned(), json!({ "stage": "unheard_of", "since": [1, { "of": null }] }));
    members.insert("revision".to_owned(), json!(7));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_types_stay_and_shapes_change_at_every_depth() {
        let object = json!({
            "id": "sub_1", "object": "subscription", "status": "active", "customer": "cus_1",
            "items": { "object": "list", "data": [{ "id": "si_1", "object": "subscription_item", "quantity": 2 }] },
        });
        let mut event = json!({ "id": "evt_1", "type": "customer.subscription.updated", "data": { "object": object } });
        transform(&mut event);
        let object = &event["data"]["object"];
        assert_eq!((&event["type"], &object["id"]), (&json!("customer.subscription.updated"), &json!("sub_1")));
        assert_eq!(object["customer"]["id"], "cus_1");
        assert_eq!(object["status"], "active_v2");
        assert_eq!(object["items"]["data"][0]["quantity"], "2");
        assert_eq!(object["items"]["data"][0]["revision"], 7);
    }
}
