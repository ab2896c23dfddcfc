//! Invoice items: amounts that wait for an invoice, or were put on a draft.

use rust_decimal::Decimal;

use super::invoice::{line_of_item, refresh_tax};
use super::work::Work;
use crate::fault::Fault;
use crate::model::{Credited, Invoice, InvoiceItem, InvoiceStatus, Metadata, Time};

/// An item to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewItem {
    pub(crate) customer: String,
    pub(crate) subscription: Option<String>,
    pub(crate) subscription_item: Option<String>,
    pub(crate) amount: i64,
    pub(crate) unit_amount: Option<Decimal>,
    pub(crate) quantity: i64,
    pub(crate) currency: String,
    pub(crate) description: Option<String>,
    pub(crate) period: (Time, Time),
    pub(crate) metadata: Metadata,
    pub(crate) proration: bool,
    pub(crate) credited: Option<Credited>,
    pub(crate) price: Option<String>,
}

impl NewItem {
    /// Makes it, pending.
    pub(super) fn make(self, work: &mut Work) -> InvoiceItem {
        let item = InvoiceItem {
            id: work.long_id("ii_"),
            date: work.now,
            customer: self.customer,
            subscription: self.subscription,
            subscription_item: self.subscription_item,
            amount: self.amount,
            unit_amount: self.unit_amount,
            quantity: self.quantity,
            currency: self.currency,
            description: self.description,
            period_start: self.period.0,
            period_end: self.period.1,
            metadata: self.metadata,
            discountable: !self.proration,
            proration: self.proration,
            credited: self.credited,
            price: self.price,
            invoice: None,
        };
        work.state.invoice_items.put(item.clone());
        let shown = work.invoice_item_json(&item);
        work.emit("invoiceitem.created", shown);
        item
    }
}

/// Makes an item and, when an invoice is named, puts it on that draft.
pub(crate) fn attach_item(work: &mut Work, new: NewItem, invoice: Option<&str>) -> Result<InvoiceItem, Fault> {
    let Some(id) = invoice else { return Ok(new.make(work)) };
    let invoice = Work::named(&work.state.invoices, id, "invoice")?.clone();
    fits(&new, &invoice)?;
    let mut item = new.make(work);
    item.invoice = Some(invoice.id.clone());
    work.state.invoice_items.put(item.clone());
    let line = line_of_item(work, &item);
    work.change_invoice(&invoice.id, |invoice| invoice.lines.push(line))?;
    refresh_tax(work, &invoice.id)?;
    Ok(item)
}

fn fits(new: &NewItem, invoice: &Invoice) -> Result<(), Fault> {
    if invoice.status != InvoiceStatus::Draft {
        let message = format!(
            "Invoice {} is no longer editable: items can be added to drafts only. Its status is {}.",
            invoice.id,
            invoice.status.word()
        );
        return Err(Fault::invalid(message).code("invoice_not_editable").param("invoice"));
    }
    if invoice.customer != new.customer {
        let message = format!("The invoice {} does not belong to the customer {}.", invoice.id, new.customer);
        return Err(Fault::invalid(message).param("invoice"));
    }
    if invoice.currency != new.currency {
        let message = format!(
            "The currency of the invoice item ({}) differs from that of the invoice ({}).",
            new.currency, invoice.currency
        );
        return Err(Fault::invalid(message).param("currency"));
    }
    Ok(())
}
