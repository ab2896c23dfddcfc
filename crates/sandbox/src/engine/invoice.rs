//! Drafts of invoices.

use super::tax;
use super::work::Work;
use crate::fault::Fault;
use crate::model::{Invoice, InvoiceItem, InvoiceStatus, Line, LineParent, Metadata, Subscription, Time};

/// An invoice to be drafted.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own, as in Stripe's parameters")]
#[derive(Debug, Clone, Default)]
pub(crate) struct NewInvoice {
    pub(crate) customer: String,
    pub(crate) subscription: Option<String>,
    pub(crate) reason: &'static str,
    pub(crate) currency: String,
    pub(crate) lines: Vec<Line>,
    pub(crate) period: (Time, Time),
    pub(crate) auto_advance: bool,
    /// Finalized on its own at this time.
    pub(crate) finalizes_at: Option<Time>,
    pub(crate) sends_bill: bool,
    pub(crate) due_date: Option<Time>,
    pub(crate) automatic_tax: bool,
    pub(crate) default_payment_method: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) footer: Option<String>,
    pub(crate) metadata: Metadata,
    /// Pulls in the pending items.
    pub(crate) with_pending: bool,
}

impl NewInvoice {
    /// An invoice of a subscription, with the terms of the subscription.
    pub(super) fn of(subscription: &Subscription, reason: &'static str, now: Time) -> Self {
        let due = subscription.days_until_due.unwrap_or(30) * 86_400;
        Self {
            customer: subscription.customer.clone(),
            subscription: Some(subscription.id.clone()),
            reason,
            currency: subscription.currency.clone(),
            period: (now, now),
            auto_advance: true,
            sends_bill: subscription.sends_bill,
            due_date: subscription.sends_bill.then_some(now + due),
            automatic_tax: subscription.automatic_tax,
            description: subscription.description.clone(),
            with_pending: true,
            ..Self::default()
        }
    }
}

/// Makes a draft. Its customer's data are refreshed until it is finalized.
pub(crate) fn draft(work: &mut Work, new: NewInvoice) -> Result<String, Fault> {
    let id = work.long_id("in_");
    let subscription = new.subscription.as_ref().map(|id| work.subscription(id)).transpose()?;
    let invoice = Invoice {
        id: id.clone(),
        created: work.now,
        customer: new.customer,
        subscription: new.subscription,
        subscription_metadata: subscription.map(|found| found.metadata).unwrap_or_default(),
        status: InvoiceStatus::Draft,
        billing_reason: new.reason.to_owned(),
        sends_bill: new.sends_bill,
        currency: new.currency,
        lines: new.lines,
        number: None,
        auto_advance: new.auto_advance,
        attempt_count: 0,
        attempted: false,
        next_payment_attempt: new.finalizes_at.filter(|_| !new.sends_bill),
        automatically_finalizes_at: new.finalizes_at,
        period_start: new.period.0,
        period_end: new.period.1,
        automatic_tax: new.automatic_tax,
        tax_status: None,
        tax_disabled_reason: None,
        customer_address: None,
        customer_email: None,
        customer_name: None,
        customer_phone: None,
        customer_tax_exempt: "none".to_owned(),
        customer_tax_ids: Vec::new(),
        starting_balance: 0,
        ending_balance: None,
        amount_due: 0,
        amount_paid: 0,
        default_payment_method: new.default_payment_method,
        description: new.description,
        footer: new.footer,
        due_date: new.due_date,
        effective_at: None,
        finalized_at: None,
        paid_at: None,
        voided_at: None,
        uncollectible_at: None,
        last_finalization_error: serde_json::Value::Null,
        metadata: new.metadata,
        payment_intent: None,
        page: work.id("test_", 40),
        webhooks_delivered_at: None,
    };
    work.state.invoices.put(invoice);
    if new.with_pending {
        collect_pending(work, &id)?;
    }
    refresh(work, &id)?;
    work.emit_invoice("invoice.created", &id)?;
    Ok(id)
}

/// Puts the customer's pending items on a draft: those of its subscription and those of none.
pub(crate) fn collect_pending(work: &mut Work, id: &str) -> Result<(), Fault> {
    let invoice = work.invoice(id)?;
    let fits = |item: &&InvoiceItem| {
        item.invoice.is_none()
            && item.customer == invoice.customer
            && item.currency == invoice.currency
            && (item.subscription.is_none() || item.subscription == invoice.subscription)
    };
    let pending: Vec<InvoiceItem> = work.state.invoice_items.iter().filter(fits).cloned().collect();
    // Prorations come first, as on Stripe's invoices.
    let mut lines = Vec::new();
    for item in pending {
        lines.push(line_of_item(work, &item));
        work.state.invoice_items.edit(&item.id, |item| item.invoice = Some(id.to_owned()));
    }
    work.state.invoices.edit(id, |invoice| {
        lines.append(&mut invoice.lines);
        invoice.lines = lines;
    });
    Ok(())
}

/// The line that stands for an item.
pub(crate) fn line_of_item(work: &mut Work, item: &InvoiceItem) -> Line {
    Line {
        id: work.long_id("il_"),
        amount: item.amount,
        tax: 0,
        description: item.description.clone().unwrap_or_default(),
        quantity: Some(item.quantity),
        metadata: item.metadata.clone(),
        price: item.price.clone(),
        unit_amount: item.unit_amount,
        period_start: item.period_start,
        period_end: item.period_end,
        proration: item.proration,
        credited: item.credited.clone(),
        parent: LineParent {
            invoice_item: Some(item.id.clone()),
            subscription: item.subscription.clone(),
            subscription_item: item.subscription_item.clone(),
        },
    }
}

/// Recomputes a draft after its lines or its customer changed, and tells of it.
pub(crate) fn refresh_tax(work: &mut Work, id: &str) -> Result<(), Fault> {
    let before = work.invoice_json(&work.invoice(id)?);
    refresh(work, id)?;
    let after = work.invoice_json(&work.invoice(id)?);
    work.emit_change("invoice.updated", &before, after);
    Ok(())
}

/// Customer's data, taxes, and what would be due.
pub(super) fn refresh(work: &mut Work, id: &str) -> Result<(), Fault> {
    let mut invoice = work.invoice(id)?;
    let customer = Work::find(&work.state.customers, &invoice.customer)?;
    invoice.customer_address.clone_from(&customer.address);
    invoice.customer_email.clone_from(&customer.email);
    invoice.customer_name.clone_from(&customer.name);
    invoice.customer_phone.clone_from(&customer.phone);
    invoice.customer_tax_exempt.clone_from(&customer.tax_exempt);
    invoice.customer_tax_ids = customer.tax_ids.iter().map(|tax| (tax.kind.clone(), tax.value.clone())).collect();
    invoice.starting_balance = customer.balance;
    tax::apply(&mut invoice, customer);
    invoice.amount_due = (invoice.total() + invoice.starting_balance).max(0);
    work.state.invoices.put(invoice);
    Ok(())
}
