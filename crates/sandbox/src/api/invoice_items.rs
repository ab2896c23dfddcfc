//! Invoice items.

use rust_decimal::Decimal;
use serde_json::json;

use super::list::{created, page, same};
use super::{Call, Route, delete, get, post};
use crate::engine::{NewItem, Work, amount, attach_item, exponent, line_of_item, refresh_tax, round};
use crate::fault::{Answer, Fault};
use crate::http::{
    Args, CREATED, Kind, METADATA, ONE, PAGE, Param, boolean, integer, object, one_of, param, text, time, unsupported,
};
use crate::model::{Invoice, InvoiceItem, InvoiceStatus, Time};

const FIELDS: &[Param] = &[
    integer("amount"),
    text("description"),
    boolean("discountable"),
    unsupported("discounts"),
    METADATA,
    object("period", &[time("end").required(), time("start").required()]),
    object("pricing", &[text("price")]),
    integer("quantity"),
    one_of("tax_behavior", &["exclusive", "inclusive", "unspecified"]),
    text("tax_code"),
    unsupported("tax_rates"),
    param("unit_amount_decimal", Kind::Decimal),
];
const CREATE: &[Param] =
    &[text("currency"), text("customer").required(), text("invoice"), unsupported("price_data"), text("subscription")];
const LIST: &[Param] = &[CREATED, text("customer"), text("invoice"), boolean("pending")];

pub(super) const ROUTES: &[Route] = &[
    post("/v1/invoiceitems", &[FIELDS, CREATE, ONE], create),
    get("/v1/invoiceitems", &[LIST, PAGE], list),
    get("/v1/invoiceitems/:id", &[ONE], retrieve),
    post("/v1/invoiceitems/:id", &[FIELDS, ONE], update),
    delete("/v1/invoiceitems/:id", &[], remove),
];

/// Amount, price of one, quantity, currency of the price, price.
struct Cost {
    amount: i64,
    unit_amount: Option<Decimal>,
    quantity: i64,
    currency: Option<String>,
    price: Option<String>,
}

fn cost(work: &Work, args: &Args) -> Result<Cost, Fault> {
    let quantity = args.integer("quantity").unwrap_or(1);
    let pricing = args.object("pricing");
    let given = [args.has("amount"), args.has("unit_amount_decimal"), pricing.has("price")];
    if given.iter().filter(|given| **given).count() > 1 {
        let message = "You may only specify one of these parameters: amount, unit_amount_decimal, pricing[price].";
        return Err(Fault::invalid(message).param("amount"));
    }
    if let Some(id) = pricing.text("price") {
        let price = Work::named(&work.state.prices, id, "pricing[price]")?;
        return Ok(Cost {
            amount: amount(price, quantity),
            unit_amount: price.unit_amount,
            quantity,
            currency: Some(price.currency.clone()),
            price: Some(price.id.clone()),
        });
    }
    let unit = args.text("unit_amount_decimal").and_then(|text| text.parse::<Decimal>().ok());
    if let Some(unit) = unit {
        let exact = unit.checked_mul(quantity.into()).unwrap_or(Decimal::MAX);
        return Ok(Cost { amount: round(exact), unit_amount: Some(unit), quantity, currency: None, price: None });
    }
    if args.has("quantity") && quantity != 1 {
        let message = "You may only specify one of these parameters: amount, quantity.";
        return Err(Fault::invalid(message).param("quantity"));
    }
    let Some(amount) = args.integer("amount") else {
        let message = "One of the following params is required: amount, unit_amount_decimal, pricing[price].";
        return Err(Fault::invalid(message).code("parameter_missing").param("amount"));
    };
    Ok(Cost { amount, unit_amount: None, quantity: 1, currency: None, price: None })
}

fn create(work: &mut Work, call: &Call) -> Answer {
    let args = &call.args;
    let customer = work.customer(args.text("customer").unwrap_or_default(), "customer")?.clone();
    let cost = cost(work, args)?;
    let subscription = match args.text("subscription") {
        Some(id) => Some(Work::named(&work.state.subscriptions, id, "subscription")?.clone()),
        None => None,
    };
    if subscription.as_ref().is_some_and(|found| found.customer != customer.id) {
        return Err(Fault::invalid("The subscription belongs to another customer.").param("subscription"));
    }
    let sent = args.owned("currency").map(|currency| currency.to_ascii_lowercase());
    let currency = cost.currency.or(sent).or(subscription.as_ref().map(|found| found.currency.clone()));
    let Some(currency) = currency.or(customer.currency) else {
        let message = "Missing required param: currency.";
        return Err(Fault::invalid(message).code("parameter_missing").param("currency"));
    };
    if exponent(&currency).is_none() {
        return Err(Fault::invalid(format!("Invalid currency: {currency}")).param("currency"));
    }
    let new = NewItem {
        customer: customer.id,
        subscription: subscription.map(|found| found.id),
        subscription_item: None,
        amount: cost.amount,
        unit_amount: cost.unit_amount,
        quantity: cost.quantity,
        currency,
        description: args.owned("description"),
        period: period(args, work.now)?,
        metadata: args.metadata(),
        proration: false,
        credited: None,
        price: cost.price,
    };
    let item = attach_item(work, new, args.text("invoice"))?;
    Ok(work.invoice_item_json(&item))
}

fn period(args: &Args, now: Time) -> Result<(Time, Time), Fault> {
    let period = args.object("period");
    let (start, end) = (period.integer("start").unwrap_or(now), period.integer("end").unwrap_or(now));
    if end < start {
        return Err(Fault::invalid("The period's end must not be before its start.").param("period[end]"));
    }
    Ok((start, end))
}

fn list(work: &mut Work, call: &Call) -> Answer {
    let rows = work.state.invoice_items.iter().rev().filter(|item| {
        same(call, "customer", Some(&item.customer))
            && same(call, "invoice", item.invoice.as_deref())
            && call.args.boolean("pending").is_none_or(|pending| item.invoice.is_none() == pending)
            && created(call, item.date)
    });
    page(call, "/v1/invoiceitems", rows, |item| work.invoice_item_json(item))
}

fn retrieve(work: &mut Work, call: &Call) -> Answer {
    Ok(work.invoice_item_json(Work::find(&work.state.invoice_items, call.id(0))?))
}

/// Pending, or on a draft; else nothing of it can change.
fn editable(work: &Work, id: &str) -> Result<(InvoiceItem, Option<Invoice>), Fault> {
    let item = Work::find(&work.state.invoice_items, id)?.clone();
    let invoice = item.invoice.as_ref().map(|invoice| work.invoice(invoice)).transpose()?;
    if invoice.as_ref().is_some_and(|invoice| invoice.status != InvoiceStatus::Draft) {
        let message = "This invoice item is attached to an invoice that is no longer editable.";
        return Err(Fault::invalid(message).code("invoice_not_editable"));
    }
    Ok((item, invoice))
}

fn update(work: &mut Work, call: &Call) -> Answer {
    let args = &call.args;
    let (mut item, invoice) = editable(work, call.id(0))?;
    if ["amount", "unit_amount_decimal", "quantity", "pricing"].iter().any(|name| args.has(name)) {
        let mut merged = args.clone();
        if !args.has("amount") && !args.has("unit_amount_decimal") && !args.has("pricing") {
            let unit = item.unit_amount.unwrap_or(Decimal::from(item.amount));
            merged.0.insert("unit_amount_decimal".to_owned(), unit.to_string().into());
        } else if !args.has("quantity") && !args.has("amount") {
            merged.0.insert("quantity".to_owned(), item.quantity.into());
        }
        let cost = cost(work, &merged)?;
        item.amount = cost.amount;
        item.unit_amount = cost.unit_amount;
        item.quantity = cost.quantity;
        item.price = cost.price;
    }
    args.put_text("description", &mut item.description);
    args.put_metadata(&mut item.metadata);
    item.discountable = args.boolean("discountable").unwrap_or(item.discountable);
    if args.has("period") {
        (item.period_start, item.period_end) = period(args, work.now)?;
    }
    work.state.invoice_items.put(item.clone());
    if let Some(invoice) = invoice {
        let line = line_of_item(work, &item);
        work.change_invoice(&invoice.id, |invoice| {
            for old in &mut invoice.lines {
                if old.parent.invoice_item.as_ref() == Some(&item.id) {
                    *old = crate::model::Line { id: old.id.clone(), ..line.clone() };
                }
            }
        })?;
        refresh_tax(work, &invoice.id)?;
    }
    Ok(work.invoice_item_json(&item))
}

fn remove(work: &mut Work, call: &Call) -> Answer {
    let (item, invoice) = editable(work, call.id(0))?;
    let shown = work.invoice_item_json(&item);
    work.state.invoice_items.remove(&item.id);
    if let Some(invoice) = invoice {
        work.change_invoice(&invoice.id, |invoice| {
            invoice.lines.retain(|line| line.parent.invoice_item.as_ref() != Some(&item.id));
        })?;
        refresh_tax(work, &invoice.id)?;
    }
    work.emit("invoiceitem.deleted", shown);
    Ok(json!({ "id": item.id, "object": "invoiceitem", "deleted": true }))
}
