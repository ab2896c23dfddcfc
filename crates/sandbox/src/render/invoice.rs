//! Invoices, their lines, invoice items.

use serde_json::{Value, json};

use super::customer::address_json;
use super::embedded;
use crate::engine::{Work, rate_percent, unit_decimal};
use crate::model::{Credited, Invoice, InvoiceItem, InvoiceStatus, Line};

/// Lines that an invoice has itself, as Stripe's; the rest is listed.
const EMBEDDED_LINES: usize = 10;

fn first_lines(lines: &[Value], url: &str) -> Value {
    let mut shown = embedded(lines.get(..EMBEDDED_LINES).unwrap_or(lines), url);
    shown["has_more"] = (lines.len() > EMBEDDED_LINES).into();
    shown
}

#[expect(clippy::unused_self, reason = "every object is shown in the same way, by the work")]
impl Work {
    pub(crate) fn invoice_json(&self, invoice: &Invoice) -> Value {
        let finalized = invoice.finalized_at.is_some();
        let page = format!("{}/i/{}", self.base_url, invoice.page);
        let lines: Vec<Value> = invoice.lines.iter().map(|line| self.line_json(line, invoice)).collect();
        let remaining = if invoice.status == InvoiceStatus::Paid { 0 } else { invoice.amount_due };
        let mut shown = json!({
            "id": invoice.id,
            "object": "invoice",
            "account_country": "US",
            "account_name": "Sandbox",
            "account_tax_ids": null,
            "amount_due": invoice.amount_due,
            "amount_overpaid": 0,
            "amount_paid": invoice.amount_paid,
            "amount_remaining": remaining,
            "amount_shipping": 0,
            "application": null,
            "attempt_count": invoice.attempt_count,
            "attempted": invoice.attempted,
            "auto_advance": invoice.auto_advance,
            "automatic_tax": {
                "disabled_reason": invoice.tax_disabled_reason,
                "enabled": invoice.automatic_tax,
                "liability": invoice.automatic_tax.then(|| json!({ "type": "self" })),
                "provider": invoice.automatic_tax.then_some("stripe"),
                "status": invoice.tax_status,
            },
            "automatically_finalizes_at": invoice.automatically_finalizes_at,
            "billing_reason": invoice.billing_reason,
            "collection_method": if invoice.sends_bill { "send_invoice" } else { "charge_automatically" },
            "created": invoice.created,
            "currency": invoice.currency,
            "custom_fields": null,
            "customer": invoice.customer,
            "customer_address": invoice.customer_address.as_ref().map(address_json),
            "customer_email": invoice.customer_email,
            "customer_name": invoice.customer_name,
            "customer_phone": invoice.customer_phone,
            "customer_shipping": null,
            "customer_tax_exempt": invoice.customer_tax_exempt,
            "customer_tax_ids": (invoice.customer_tax_ids.iter())
                .map(|(kind, value)| json!({ "type": kind, "value": value })).collect::<Vec<_>>(),
            "default_payment_method": invoice.default_payment_method,
            "default_source": null,
            "default_tax_rates": [],
            "description": invoice.description,
            "discounts": [],
            "due_date": invoice.due_date,
            "effective_at": invoice.effective_at,
            "ending_balance": invoice.ending_balance,
            "footer": invoice.footer,
            "from_invoice": null,
            "hosted_invoice_url": finalized.then(|| page.clone()),
            "invoice_pdf": finalized.then(|| format!("{page}/pdf")),
            "issuer": { "type": "self" },
            "last_finalization_error": invoice.last_finalization_error,
            "latest_revision": null,
            "lines": first_lines(&lines, &format!("/v1/invoices/{}/lines", invoice.id)),
            "livemode": false,
            "metadata": invoice.metadata,
            "next_payment_attempt": invoice.next_payment_attempt,
            "number": invoice.number,
            "on_behalf_of": null,
            "parent": parent(invoice),
            "payment_settings": {
                "default_mandate": null, "payment_method_options": null, "payment_method_types": null,
            },
        });
        self.more(invoice, &mut shown);
        shown
    }

    /// The second half of an invoice.
    fn more(&self, invoice: &Invoice, shown: &mut Value) {
        let rest = json!({
            "period_end": invoice.period_end,
            "period_start": invoice.period_start,
            "post_payment_credit_notes_amount": 0,
            "pre_payment_credit_notes_amount": 0,
            "receipt_number": null,
            "rendering": null,
            "shipping_cost": null,
            "shipping_details": null,
            "starting_balance": invoice.starting_balance,
            "statement_descriptor": null,
            "status": invoice.status.word(),
            "status_transitions": {
                "finalized_at": invoice.finalized_at,
                "marked_uncollectible_at": invoice.uncollectible_at,
                "paid_at": invoice.paid_at,
                "voided_at": invoice.voided_at,
            },
            "subtotal": invoice.subtotal(),
            "subtotal_excluding_tax": invoice.subtotal(),
            "test_clock": null,
            "total": invoice.total(),
            "total_discount_amounts": [],
            "total_excluding_tax": invoice.subtotal(),
            "total_pretax_credit_amounts": [],
            "total_taxes": self.taxes(invoice, invoice.tax(), invoice.subtotal()),
            "webhooks_delivered_at": invoice.webhooks_delivered_at,
        });
        if let (Some(members), Value::Object(rest)) = (shown.as_object_mut(), rest) {
            members.extend(rest);
        }
    }

    fn taxes(&self, invoice: &Invoice, tax: i64, taxable: i64) -> Value {
        if !invoice.automatic_tax || invoice.tax_status.as_deref() != Some("complete") {
            return json!([]);
        }
        let country = invoice.customer_address.as_ref().and_then(|address| address.country.as_deref());
        let rate = rate_percent(country, &invoice.customer_tax_exempt).unwrap_or(0);
        let place = country.unwrap_or("none").to_ascii_lowercase();
        json!([{
            "amount": tax,
            "tax_behavior": "exclusive",
            "tax_rate_details": { "tax_rate": format!("txr_sandbox_{place}_{rate}") },
            "taxability_reason": if rate > 0 { "standard_rated" } else { "not_collecting" },
            "taxable_amount": if rate > 0 { taxable } else { 0 },
            "type": "tax_rate_details",
        }])
    }

    pub(crate) fn line_json(&self, line: &Line, invoice: &Invoice) -> Value {
        json!({
            "id": line.id,
            "object": "line_item",
            "amount": line.amount,
            "currency": invoice.currency,
            "description": line.description,
            "discount_amounts": [],
            "discountable": !line.proration,
            "discounts": [],
            "invoice": invoice.id,
            "livemode": false,
            "metadata": line.metadata,
            "parent": line_parent(line),
            "period": { "end": line.period_end, "start": line.period_start },
            "pretax_credit_amounts": [],
            "pricing": self.pricing(line.price.as_deref(), line.unit_amount, line.amount, line.quantity),
            "quantity": line.quantity,
            "subscription": line.parent.subscription,
            "subtotal": line.amount,
            "taxes": self.taxes(invoice, line.tax, line.amount),
        })
    }

    fn pricing(
        &self,
        price: Option<&str>,
        unit: Option<rust_decimal::Decimal>,
        amount: i64,
        quantity: Option<i64>,
    ) -> Value {
        // Without a unit price (a proration, an amount of the caller's) the amount stands for one unit.
        let whole = (quantity.unwrap_or(1) == 1).then(|| amount.to_string());
        let unit = unit.map(unit_decimal).or(whole);
        match price.and_then(|price| self.state.prices.get(price)) {
            Some(price) => json!({
                "price_details": { "price": price.id, "product": price.product },
                "type": "price_details",
                "unit_amount_decimal": unit,
            }),
            None => Value::Null,
        }
    }

    pub(crate) fn invoice_item_json(&self, item: &InvoiceItem) -> Value {
        let parent = item.subscription.as_ref().map(|subscription| {
            json!({
                "subscription_details": {
                    "subscription": subscription,
                    "subscription_item": item.subscription_item,
                },
                "type": "subscription_details",
            })
        });
        let mut shown = json!({
            "id": item.id,
            "object": "invoiceitem",
            "amount": item.amount,
            "currency": item.currency,
            "customer": item.customer,
            "date": item.date,
            "description": item.description,
            "discountable": item.discountable,
            "discounts": [],
            "invoice": item.invoice,
            "livemode": false,
            "metadata": item.metadata,
            "net_amount": item.amount,
            "parent": parent,
            "period": { "end": item.period_end, "start": item.period_start },
            "pricing": self.pricing(item.price.as_deref(), item.unit_amount, item.amount, Some(item.quantity)),
            "proration": item.proration,
            "quantity": item.quantity,
            "tax_rates": [],
            "test_clock": null,
        });
        if let (true, Some(members)) = (item.proration, shown.as_object_mut()) {
            members.insert("proration_details".to_owned(), json!({ "discount_amounts": [] }));
        }
        shown
    }
}

fn parent(invoice: &Invoice) -> Value {
    match &invoice.subscription {
        None => Value::Null,
        Some(subscription) => json!({
            "quote_details": null,
            "subscription_details": {
                "metadata": invoice.subscription_metadata,
                "subscription": subscription,
            },
            "type": "subscription_details",
        }),
    }
}

fn proration_details(credited: Option<&Credited>) -> Value {
    let credited =
        credited.map(|credited| json!({ "invoice": credited.invoice, "invoice_line_items": credited.lines }));
    json!({ "credited_items": credited })
}

fn line_parent(line: &Line) -> Value {
    let details = proration_details(line.credited.as_ref());
    match (&line.parent.subscription_item, &line.parent.invoice_item) {
        (Some(item), invoice_item) => json!({
            "invoice_item_details": null,
            "subscription_item_details": {
                "invoice_item": invoice_item,
                "proration": line.proration,
                "proration_details": details,
                "subscription": line.parent.subscription,
                "subscription_item": item,
            },
            "type": "subscription_item_details",
        }),
        (None, Some(invoice_item)) => json!({
            "invoice_item_details": {
                "invoice_item": invoice_item,
                "proration": line.proration,
                "proration_details": details,
                "subscription": line.parent.subscription,
            },
            "subscription_item_details": null,
            "type": "invoice_item_details",
        }),
        (None, None) => Value::Null,
    }
}
