//! Customers.

use serde_json::json;

use super::cards::adopt;
use super::list::{created, page, same};
use super::{Call, Route, delete, get, post};
use crate::engine::{Cancel, Work, attach, cancel_now};
use crate::fault::{Answer, Fault};
use crate::http::{
    ADDRESS, Args, CREATED, METADATA, ONE, PAGE, Param, anything, integer, object, objects, one_of, text, texts,
    unsupported,
};
use crate::model::{Address, Customer, TaxId};

const FIELDS: &[Param] = &[
    ADDRESS,
    integer("balance"),
    unsupported("cash_balance"),
    text("description"),
    text("email"),
    text("invoice_prefix"),
    object(
        "invoice_settings",
        &[text("default_payment_method"), text("footer"), anything("custom_fields"), anything("rendering_options")],
    ),
    METADATA,
    text("name"),
    integer("next_invoice_sequence"),
    text("phone"),
    texts("preferred_locales"),
    anything("shipping"),
    object("tax", &[text("ip_address"), one_of("validate_location", &["deferred", "immediately", "auto"])]),
    one_of("tax_exempt", &["none", "exempt", "reverse"]),
];
const CREATE: &[Param] = &[
    text("payment_method"),
    text("test_clock"),
    objects("tax_id_data", &[text("type").required(), text("value").required()]),
];
const UPDATE: &[Param] = &[text("default_source")];
const LIST: &[Param] = &[CREATED, text("email"), text("test_clock")];

pub(super) const ROUTES: &[Route] = &[
    post("/v1/customers", &[FIELDS, CREATE, ONE], create),
    get("/v1/customers", &[LIST, PAGE], list),
    get("/v1/customers/:id", &[ONE], retrieve),
    post("/v1/customers/:id", &[FIELDS, UPDATE, ONE], update),
    delete("/v1/customers/:id", &[], remove),
];

fn create(work: &mut Work, call: &Call) -> Answer {
    let args = &call.args;
    let mut customer = Customer {
        id: work.id("cus_", 14),
        created: work.now,
        tax_exempt: "none".to_owned(),
        invoice_prefix: work.id("", 8).to_ascii_uppercase(),
        next_invoice_sequence: 1,
        ..Customer::default()
    };
    for tax in args.objects("tax_id_data") {
        customer.tax_ids.push(TaxId {
            id: work.long_id("txi_"),
            created: work.now,
            kind: tax.owned("type").unwrap_or_default(),
            value: tax.owned("value").unwrap_or_default(),
        });
    }
    apply(&mut customer, args);
    let id = customer.id.clone();
    work.state.customers.put(customer);
    if let Some(method) = args.text("payment_method") {
        let method = adopt(work, method, "payment_method")?;
        attach(work, &method, &id)?;
    }
    set_default(work, &id, args)?;
    let shown = work.customer_json(Work::find(&work.state.customers, &id)?);
    work.emit("customer.created", shown.clone());
    Ok(shown)
}

fn apply(customer: &mut Customer, args: &Args) {
    if args.has("address") {
        customer.address = (!args.unset("address")).then(|| address_of(&args.object("address")));
    }
    args.put_text("description", &mut customer.description);
    args.put_text("email", &mut customer.email);
    args.put_text("name", &mut customer.name);
    args.put_text("phone", &mut customer.phone);
    args.put_metadata(&mut customer.metadata);
    args.object("invoice_settings").put_text("footer", &mut customer.invoice_footer);
    customer.balance = args.integer("balance").unwrap_or(customer.balance);
    customer.next_invoice_sequence = args.integer("next_invoice_sequence").unwrap_or(customer.next_invoice_sequence);
    if let Some(prefix) = args.text("invoice_prefix") {
        prefix.clone_into(&mut customer.invoice_prefix);
    }
    if let Some(exempt) = args.text("tax_exempt") {
        exempt.clone_into(&mut customer.tax_exempt);
    }
    if args.has("preferred_locales") {
        customer.preferred_locales = args.texts("preferred_locales");
    }
    if args.has("shipping") {
        customer.shipping = args.raw("shipping");
    }
}

/// An address of parameters.
pub(super) fn address_of(args: &Args) -> Address {
    let country = args.text("country").map(str::to_ascii_uppercase);
    Address {
        line1: args.owned("line1"),
        line2: args.owned("line2"),
        postal_code: args.owned("postal_code"),
        city: args.owned("city"),
        state: args.owned("state"),
        country,
    }
}

/// The default card must be one of the customer's own.
fn set_default(work: &mut Work, id: &str, args: &Args) -> Result<(), Fault> {
    let settings = args.object("invoice_settings");
    if !settings.has("default_payment_method") {
        return Ok(());
    }
    let name = "invoice_settings[default_payment_method]";
    let method = settings.text("default_payment_method").map(|method| own_card(work, method, id, name)).transpose()?;
    work.state.customers.edit(id, |customer| customer.default_payment_method = method);
    Ok(())
}

/// The id of a card that is attached to this customer.
pub(super) fn own_card(work: &Work, method: &str, customer: &str, param: &str) -> Result<String, Fault> {
    let found = Work::named(&work.state.payment_methods, method, param)?;
    if found.customer.as_deref() == Some(customer) {
        return Ok(found.id.clone());
    }
    let message = format!(
        "The customer does not have a payment method with the ID {method}. The payment method must be attached to the \
         customer."
    );
    Err(Fault::invalid(message).code("resource_missing").param(param))
}

fn list(work: &mut Work, call: &Call) -> Answer {
    let rows = work.state.customers.iter().rev().filter(|customer| {
        !customer.deleted && same(call, "email", customer.email.as_deref()) && created(call, customer.created)
    });
    page(call, "/v1/customers", rows, |customer| work.customer_json(customer))
}

fn retrieve(work: &mut Work, call: &Call) -> Answer {
    Ok(work.customer_json(Work::find(&work.state.customers, call.id(0))?))
}

fn present(work: &Work, id: &str) -> Result<(), Fault> {
    let customer = Work::find(&work.state.customers, id)?;
    if customer.deleted { Err(Fault::missing("customer", id)) } else { Ok(()) }
}

fn update(work: &mut Work, call: &Call) -> Answer {
    let id = call.id(0);
    present(work, id)?;
    let before = work.customer_json(Work::find(&work.state.customers, id)?);
    work.state.customers.edit(id, |customer| apply(customer, &call.args));
    set_default(work, id, &call.args)?;
    let after = work.customer_json(Work::find(&work.state.customers, id)?);
    work.emit_change("customer.updated", &before, after.clone());
    Ok(after)
}

/// Deletes for good: subscriptions end at once.
fn remove(work: &mut Work, call: &Call) -> Answer {
    let id = call.id(0);
    present(work, id)?;
    let shown = work.customer_json(Work::find(&work.state.customers, id)?);
    let running: Vec<String> = (work.state.subscriptions.iter())
        .filter(|subscription| subscription.customer == id && !subscription.status.terminal())
        .map(|subscription| subscription.id.clone())
        .collect();
    for subscription in running {
        cancel_now(work, &subscription, Cancel::default())?;
    }
    work.state.customers.edit(id, |customer| customer.deleted = true);
    work.emit("customer.deleted", shown);
    Ok(json!({ "id": id, "object": "customer", "deleted": true }))
}
