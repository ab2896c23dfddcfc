//! `expand[]`: ids replaced by the objects that they stand for.

use serde_json::{Value, json};

use crate::engine::Work;
use crate::fault::Fault;
use crate::model::PaymentStatus;

/// How deep Stripe expands.
const DEEPEST: usize = 4;

/// Expands a path such as `data.customer` or `latest_invoice.payments`.
pub(super) fn expand(work: &Work, answer: &mut Value, path: &str) -> Result<(), Fault> {
    let parts: Vec<&str> = path.split('.').collect();
    let levels = parts.iter().filter(|part| **part != "data").count();
    if levels > DEEPEST {
        let message = format!("You cannot expand more than {DEEPEST} levels of a property. Property: {path}");
        return Err(Fault::invalid(message).param("expand"));
    }
    walk(work, answer, &parts, path)
}

fn walk(work: &Work, value: &mut Value, parts: &[&str], path: &str) -> Result<(), Fault> {
    let Some((first, rest)) = parts.split_first() else { return Ok(()) };
    match value {
        Value::Array(elements) => elements.iter_mut().try_for_each(|element| walk(work, element, parts, path)),
        Value::Object(members) => {
            if !members.contains_key(*first) {
                let made = include(work, members, first).ok_or_else(|| cannot(path))?;
                members.insert((*first).to_owned(), made);
            }
            let Some(member) = members.get_mut(*first) else { return Ok(()) };
            resolve(work, member, first, path, rest.is_empty())?;
            walk(work, member, rest, path)
        }
        _ => Ok(()),
    }
}

/// Replaces an id, or a list of them.
fn resolve(work: &Work, member: &mut Value, name: &str, path: &str, last: bool) -> Result<(), Fault> {
    match member {
        Value::String(id) => {
            let object = work.object_by_id(name, id).ok_or_else(|| cannot(path))?;
            *member = object;
            Ok(())
        }
        Value::Array(elements) => {
            for element in elements.iter_mut().filter(|element| element.is_string()) {
                resolve(work, element, name, path, last)?;
            }
            Ok(())
        }
        Value::Number(_) | Value::Bool(_) if last => Err(cannot(path)),
        _ => Ok(()),
    }
}

fn cannot(path: &str) -> Fault {
    Fault::invalid(format!("This property cannot be expanded ({path}).")).param("expand")
}

/// Members that are told only when asked for.
fn include(work: &Work, members: &serde_json::Map<String, Value>, name: &str) -> Option<Value> {
    let kind = members.get("object")?.as_str()?;
    let id = members.get("id")?.as_str()?;
    let state = &work.state;
    match (kind, name) {
        ("invoice", "payments") => {
            let of_it = state.invoice_payments.iter().filter(|payment| payment.invoice == id);
            let data: Vec<Value> = of_it.map(|payment| work.invoice_payment_json(payment)).collect();
            Some(list(&data, &format!("/v1/invoice_payments?invoice={id}")))
        }
        ("invoice", "confirmation_secret") => {
            let open = |payment: &&crate::model::InvoicePayment| {
                payment.invoice == id && payment.status == PaymentStatus::Open
            };
            let intent = state.invoice_payments.iter().find(open).map(|payment| payment.payment_intent.clone());
            let secret =
                intent.and_then(|intent| state.payment_intents.get(&intent)).map(|intent| &intent.client_secret);
            Some(secret.map_or(Value::Null, |secret| json!({ "client_secret": secret, "type": "payment_intent" })))
        }
        ("price", "tiers") => state.prices.get(id).map(|price| work.tiers_json(price)),
        ("price", "currency_options") => Some(Value::Null),
        ("checkout.session", "line_items") => state.sessions.get(id).map(|session| work.line_items_json(session)),
        ("customer", "tax_ids") => {
            let customer = state.customers.get(id)?;
            let data: Vec<Value> = customer.tax_ids.iter().map(|tax| work.tax_id_json(tax, id)).collect();
            Some(list(&data, &format!("/v1/customers/{id}/tax_ids")))
        }
        ("customer", "subscriptions") => {
            let of_it = state.subscriptions.iter().rev().filter(|row| row.customer == id && !row.status.terminal());
            let data: Vec<Value> = of_it.map(|row| work.subscription_json(row)).collect();
            Some(list(&data, &format!("/v1/customers/{id}/subscriptions")))
        }
        ("customer", "sources") => Some(list(&[], &format!("/v1/customers/{id}/sources"))),
        ("customer", "tax") => {
            let known = state.customers.get(id)?.country().is_some();
            let status = if known { "supported" } else { "unrecognized_location" };
            Some(json!({ "automatic_tax": status, "ip_address": null, "location": null, "provider": "stripe" }))
        }
        _ => None,
    }
}

fn list(data: &[Value], url: &str) -> Value {
    json!({ "object": "list", "data": data, "has_more": false, "url": url })
}
