//! Invoices.

use serde_json::{Value, json};

use super::cards::adopt;
use super::customers::own_card;
use super::list::{created, page, same};
use super::subscription_params::{BILLING_MODE, ITEMS, PRORATION, PRORATION_DATE, TRIAL_END};
use super::{Call, Route, delete, get, post};
use crate::engine::{
    Charge, NewInvoice, Payment, Work, charge_fault, draft, finalize as finalize_now, paid_out_of_band, pay as pay_now,
    preview, refresh_tax, void as void_now,
};
use crate::fault::{Answer, Fault};
use crate::http::{
    Args, CREATED, Kind, METADATA, ONE, PAGE, Param, anything, boolean, integer, object, one_of, param, text, time,
    unsupported,
};
use crate::model::{Invoice, InvoiceStatus};
use crate::render::embedded;

const FIELDS: &[Param] = &[
    anything("account_tax_ids"),
    boolean("auto_advance"),
    object("automatic_tax", &[boolean("enabled").required(), anything("liability")]),
    time("automatically_finalizes_at"),
    one_of("collection_method", &["charge_automatically", "send_invoice"]),
    anything("custom_fields"),
    integer("days_until_due"),
    text("default_payment_method"),
    unsupported("default_tax_rates"),
    text("description"),
    unsupported("discounts"),
    time("due_date"),
    time("effective_at"),
    text("footer"),
    METADATA,
    anything("payment_settings"),
    anything("rendering"),
    text("statement_descriptor"),
];
const CREATE: &[Param] = &[
    text("currency"),
    text("customer"),
    one_of("pending_invoice_items_behavior", &["exclude", "include"]),
    text("subscription"),
];
const LIST: &[Param] = &[
    one_of("collection_method", &["charge_automatically", "send_invoice"]),
    CREATED,
    text("customer"),
    param("due_date", Kind::Range),
    one_of("status", &["draft", "open", "paid", "uncollectible", "void"]),
    text("subscription"),
];
const PAY: &[Param] =
    &[boolean("forgive"), boolean("off_session"), boolean("paid_out_of_band"), text("payment_method")];
const PREVIEW: &[Param] = &[
    object("automatic_tax", &[boolean("enabled").required(), anything("liability")]),
    text("currency"),
    text("customer"),
    unsupported("customer_details"),
    unsupported("discounts"),
    unsupported("invoice_items"),
    one_of("preview_mode", &["next", "recurring"]),
    text("subscription"),
    object(
        "subscription_details",
        &[
            param("billing_cycle_anchor", Kind::TimeOr(&["now", "unchanged"])),
            BILLING_MODE,
            param("cancel_at", Kind::TimeOr(&["min_period_end", "max_period_end"])),
            boolean("cancel_at_period_end"),
            boolean("cancel_now"),
            unsupported("default_tax_rates"),
            ITEMS,
            PRORATION,
            PRORATION_DATE,
            boolean("resume_at"),
            time("start_date"),
            TRIAL_END,
        ],
    ),
];

pub(super) const ROUTES: &[Route] = &[
    post("/v1/invoices/create_preview", &[PREVIEW, ONE], create_preview),
    post("/v1/invoices", &[FIELDS, CREATE, ONE], create),
    get("/v1/invoices", &[LIST, PAGE], list),
    get("/v1/invoices/:id", &[ONE], retrieve),
    post("/v1/invoices/:id", &[FIELDS, ONE], update),
    delete("/v1/invoices/:id", &[], remove),
    get("/v1/invoices/:id/lines", &[PAGE], lines),
    post("/v1/invoices/:id/finalize", &[&[boolean("auto_advance")], ONE], finalize),
    post("/v1/invoices/:id/pay", &[PAY, ONE], pay),
    post("/v1/invoices/:id/void", &[ONE], void),
    post("/v1/invoices/:id/send", &[ONE], send),
    post("/v1/invoices/:id/mark_uncollectible", &[ONE], uncollectible),
];

fn shown(work: &Work, id: &str) -> Answer {
    Ok(work.invoice_json(&work.invoice(id)?))
}

fn create(work: &mut Work, call: &Call) -> Answer {
    let args = &call.args;
    let subscription = args.text("subscription").map(|id| Work::named(&work.state.subscriptions, id, "subscription"));
    let subscription = subscription.transpose()?.cloned();
    let customer = args.owned("customer").or(subscription.as_ref().map(|found| found.customer.clone()));
    let Some(customer) = customer else {
        let message = "Missing required param: customer.";
        return Err(Fault::invalid(message).code("parameter_missing").param("customer"));
    };
    let owner = work.customer(&customer, "customer")?;
    if subscription.as_ref().is_some_and(|found| found.customer != customer) {
        return Err(Fault::invalid("The subscription belongs to another customer.").param("subscription"));
    }
    let currency = (args.owned("currency").map(|currency| currency.to_ascii_lowercase()))
        .or(subscription.as_ref().map(|found| found.currency.clone()))
        .or(owner.currency.clone())
        .unwrap_or_else(|| "usd".to_owned());
    let send = args.is("collection_method", "send_invoice");
    let days = args.integer("days_until_due").map(|days| work.now + days * 86_400);
    if send && days.is_none() && !args.has("due_date") {
        let message = "If invoice collection method is send_invoice, you must specify days_until_due or due_date.";
        return Err(Fault::invalid(message).code("parameter_missing").param("days_until_due"));
    }
    let method = args.text("default_payment_method").map(str::to_owned);
    let auto_advance = args.boolean("auto_advance").unwrap_or(false);
    let new = NewInvoice {
        customer,
        subscription: subscription.map(|found| found.id),
        reason: "manual",
        currency,
        period: (work.now, work.now),
        auto_advance,
        finalizes_at: auto_advance.then(|| args.integer("automatically_finalizes_at").unwrap_or(work.now + 3600)),
        sends_bill: send,
        due_date: args.integer("due_date").or(days),
        automatic_tax: args.object("automatic_tax").boolean("enabled") == Some(true),
        default_payment_method: method,
        description: args.owned("description"),
        footer: args.owned("footer"),
        metadata: args.metadata(),
        with_pending: args.is("pending_invoice_items_behavior", "include"),
        ..NewInvoice::default()
    };
    let id = draft(work, new)?;
    shown(work, &id)
}

fn list(work: &mut Work, call: &Call) -> Answer {
    let rows = work.state.invoices.iter().rev().filter(|invoice| {
        let collected = if invoice.sends_bill { "send_invoice" } else { "charge_automatically" };
        same(call, "customer", Some(&invoice.customer))
            && same(call, "subscription", invoice.subscription.as_deref())
            && same(call, "status", Some(invoice.status.word()))
            && same(call, "collection_method", Some(collected))
            && created(call, invoice.created)
    });
    page(call, "/v1/invoices", rows, |invoice| work.invoice_json(invoice))
}

fn retrieve(work: &mut Work, call: &Call) -> Answer {
    shown(work, call.id(0))
}

fn update(work: &mut Work, call: &Call) -> Answer {
    let id = call.id(0);
    let args = &call.args;
    let invoice = work.invoice(id)?;
    let finalized = invoice.status != InvoiceStatus::Draft;
    let fixed = |name: &&String| {
        !matches!(name.as_str(), "auto_advance" | "metadata" | "default_payment_method" | "payment_settings" | "expand")
    };
    if let Some(name) = args.0.keys().find(fixed).filter(|_| finalized) {
        let message = "Finalized invoices can't be updated in this way: only auto_advance, metadata and the payment \
                       method can be changed.";
        return Err(Fault::invalid(message).code("invoice_not_editable").param(name.clone()));
    }
    let now = work.now;
    work.change_invoice(id, |invoice| apply(invoice, args, now))?;
    if !finalized {
        refresh_tax(work, id)?;
    }
    shown(work, id)
}

fn apply(invoice: &mut Invoice, args: &Args, now: i64) {
    args.put_text("description", &mut invoice.description);
    args.put_text("footer", &mut invoice.footer);
    args.put_text("default_payment_method", &mut invoice.default_payment_method);
    args.put_metadata(&mut invoice.metadata);
    if let Some(enabled) = args.object("automatic_tax").boolean("enabled") {
        invoice.automatic_tax = enabled;
    }
    if let Some(days) = args.integer("days_until_due") {
        invoice.due_date = Some(now + days * 86_400);
    }
    invoice.due_date = args.integer("due_date").or(invoice.due_date);
    invoice.effective_at = args.integer("effective_at").or(invoice.effective_at);
    if let Some(advance) = args.boolean("auto_advance") {
        let draft = invoice.status == InvoiceStatus::Draft;
        invoice.auto_advance = advance;
        let at = invoice.automatically_finalizes_at.unwrap_or(now + 3600);
        invoice.automatically_finalizes_at = (advance && draft).then_some(at);
    }
    if let Some(at) = args.integer("automatically_finalizes_at") {
        invoice.automatically_finalizes_at = Some(at);
    }
}

fn remove(work: &mut Work, call: &Call) -> Answer {
    let invoice = work.invoice(call.id(0))?;
    if invoice.status != InvoiceStatus::Draft || invoice.subscription.is_some() {
        let message = "You can only delete draft invoices that were not made by a subscription.";
        return Err(Fault::invalid(message).code("invoice_not_editable"));
    }
    let items: Vec<String> = invoice.lines.iter().filter_map(|line| line.parent.invoice_item.clone()).collect();
    for item in items {
        work.state.invoice_items.edit(&item, |item| item.invoice = None);
    }
    let gone = work.invoice_json(&invoice);
    work.state.invoices.remove(&invoice.id);
    work.emit("invoice.deleted", gone);
    Ok(json!({ "id": invoice.id, "object": "invoice", "deleted": true }))
}

fn lines(work: &mut Work, call: &Call) -> Answer {
    let invoice = work.invoice(call.id(0))?;
    let url = format!("/v1/invoices/{}/lines", invoice.id);
    page(call, &url, invoice.lines.iter(), |line| work.line_json(line, &invoice))
}

impl crate::engine::Row for crate::model::Line {
    const NOUN: &'static str = "line item";

    fn id(&self) -> &str {
        &self.id
    }
}

fn finalize(work: &mut Work, call: &Call) -> Answer {
    let id = call.id(0);
    work.invoice(id)?;
    if let Some(advance) = call.args.boolean("auto_advance") {
        work.state.invoices.edit(id, |invoice| invoice.auto_advance = advance);
    }
    finalize_now(work, id)?;
    let now = work.now;
    work.state.invoices.edit(id, |invoice| {
        // Collection that goes on by itself begins an hour later.
        let goes_on = invoice.auto_advance && invoice.status == InvoiceStatus::Open && !invoice.sends_bill;
        invoice.next_payment_attempt = goes_on.then_some(now + 3600);
    });
    shown(work, id)
}

fn pay(work: &mut Work, call: &Call) -> Answer {
    let id = call.id(0);
    let args = &call.args;
    let invoice = work.invoice(id)?;
    if invoice.status == InvoiceStatus::Draft {
        finalize_now(work, id)?;
        if work.invoice(id)?.status == InvoiceStatus::Paid {
            return shown(work, id);
        }
    }
    if args.boolean("paid_out_of_band") == Some(true) {
        if work.invoice(id)?.status != InvoiceStatus::Open {
            return Err(Fault::invalid("Invoice is already paid").code("invoice_already_paid"));
        }
        paid_out_of_band(work, id)?;
        return shown(work, id);
    }
    let method = match args.text("payment_method") {
        Some(method) => {
            let method = adopt(work, method, "payment_method")?;
            Some(own_card(work, &method, &invoice.customer, "payment_method")?)
        }
        None => None,
    };
    let charge = pay_now(work, id, &Payment { method, ..Payment::default() })?;
    if charge == Charge::Paid {
        return shown(work, id);
    }
    // The attempt has happened, with its events: only a customer without a card is as if nothing was asked.
    let fault = charge_fault(work, &work.invoice(id)?, charge, "invoice_payment_intent_requires_action");
    Err(if charge == Charge::NoMethod { fault } else { fault.keep() })
}

fn void(work: &mut Work, call: &Call) -> Answer {
    void_now(work, call.id(0))?;
    shown(work, call.id(0))
}

fn send(work: &mut Work, call: &Call) -> Answer {
    let id = call.id(0);
    if work.invoice(id)?.status == InvoiceStatus::Draft {
        finalize_now(work, id)?;
    }
    work.emit_invoice("invoice.sent", id)?;
    shown(work, id)
}

fn uncollectible(work: &mut Work, call: &Call) -> Answer {
    let id = call.id(0);
    if work.invoice(id)?.status != InvoiceStatus::Open {
        return Err(Fault::invalid("You can only mark open invoices uncollectible.").code("invoice_not_editable"));
    }
    let now = work.now;
    work.change_invoice(id, |invoice| {
        invoice.status = InvoiceStatus::Uncollectible;
        invoice.uncollectible_at = Some(now);
        invoice.next_payment_attempt = None;
        invoice.auto_advance = false;
    })?;
    work.emit_invoice("invoice.marked_uncollectible", id)?;
    shown(work, id)
}

/// What a change would bill, or the next renewal: computed by doing it and forgetting it.
fn create_preview(work: &mut Work, call: &Call) -> Answer {
    let args = &call.args;
    let Some(id) = args.text("subscription") else {
        let message = "The sandbox previews invoices of existing subscriptions: send `subscription`.";
        return Err(Fault::invalid(message).code("parameter_missing").param("subscription"));
    };
    let subscription = Work::named(&work.state.subscriptions, id, "subscription")?.clone();
    if args.text("customer").is_some_and(|customer| customer != subscription.customer) {
        return Err(Fault::invalid("The subscription belongs to another customer.").param("customer"));
    }
    let details = args.object("subscription_details");
    let mut trial = work.clone();
    let invoice = if details.boolean("cancel_now") == Some(true) {
        preview::cancellation(&mut trial, id, details.integer("proration_date"))?
    } else {
        if details.0.keys().any(|name| name != "billing_mode") {
            let mut change = details.clone();
            // Prorations only: what is charged now, or waits for the renewal, is decided by the behavior sent.
            change.0.insert("payment_behavior".to_owned(), Value::from("default_incomplete"));
            super::subscriptions::apply(&mut trial, id, &change)?;
        }
        preview::invoice(work, &mut trial, id)?
    };
    let mut shown = trial.invoice_json(&invoice);
    if let Some(members) = shown.as_object_mut() {
        let upcoming = format!("upcoming_{}", invoice.id);
        members.insert("id".to_owned(), upcoming.clone().into());
        members.insert("status".to_owned(), "draft".into());
        // All of them: there is nothing yet whose lines could be listed.
        let lines: Vec<Value> = invoice.lines.iter().map(|line| trial.line_json(line, &invoice)).collect();
        members.insert("lines".to_owned(), embedded(&lines, &format!("/v1/invoices/{upcoming}/lines")));
        for name in ["number", "hosted_invoice_url", "invoice_pdf", "effective_at", "ending_balance"] {
            members.insert(name.to_owned(), Value::Null);
        }
    }
    Ok(shown)
}
