//! Invoice payments: what was paid, or is to be paid, on an invoice.

use jiff::Timestamp;
use serde::Serialize;

use super::shared::PaymentIntent;
use crate::invoices::Invoice;
use crate::open_enum::open_enum;
use crate::read::{has_id, object};
use crate::request::request;
use crate::{AnyObject, Expandable, List as Page};

open_enum! {
    /// How a payment stands.
    InvoicePaymentStatus {
        /// To be paid.
        Open = "open",
        /// Paid.
        Paid = "paid",
        /// Nothing comes of it.
        Canceled = "canceled",
    }
}

object! {
    /// A payment on an invoice. It names no customer and no subscription: the invoice does.
    InvoicePayment {
        /// Its id, `inpay_…`.
        id: String,
        /// Live, not test.
        livemode: bool,
        /// The invoice.
        invoice: Expandable<Invoice>,
        /// How it stands.
        status: InvoicePaymentStatus,
        /// Minor units that were paid; None while it is open; may be less than the invoice.
        amount_paid: Option<i64>,
        /// Minor units that are asked for.
        amount_requested: Option<i64>,
        /// Three letters, lower case.
        currency: Option<String>,
        /// It is the one that the invoice waits for.
        is_default: bool,
        /// What pays.
        payment: Option<Payment>,
        /// When it became what it is.
        status_transitions: Option<PaymentTransitions>,
        /// When it was made.
        created: Option<Timestamp>,
    }
}

object! {
    /// What pays: one of these.
    Payment {
        /// Which.
        kind = "type": Option<String>,
        /// A payment intent.
        payment_intent: Option<Expandable<PaymentIntent>>,
        /// A charge of the older kind.
        charge: Option<Expandable<AnyObject>>,
        /// A payment that was made elsewhere.
        payment_record: Option<Expandable<AnyObject>>,
    }
}

object! {
    /// When a payment became what it is.
    PaymentTransitions {
        /// When it was paid.
        paid_at: Option<Timestamp>,
        /// When it was given up.
        canceled_at: Option<Timestamp>,
    }
}

has_id!(InvoicePayment);

/// Lists the payments of an invoice.
#[derive(Debug, Clone, Default, Serialize)]
pub struct List<'a> {
    /// Only those of this invoice.
    pub invoice: Option<&'a str>,
    /// Only those that stand so.
    pub status: Option<InvoicePaymentStatus>,
    /// Objects of a page, 1 to 100.
    pub limit: Option<u8>,
    /// Begin behind this id.
    pub starting_after: Option<&'a str>,
    /// End before this id.
    pub ending_before: Option<&'a str>,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(List<'_>: Get "/v1/invoice_payments" [] -> Page<InvoicePayment>);
