//! Invoices: what is to be paid, and what was.

mod preview;
mod requests;

use jiff::Timestamp;

use super::shared::{Address, AutomaticTax, CollectionMethod, Discount, Metadata, PaymentFailure, TaxId};
use crate::customers::Customer;
use crate::invoice_lines::{InvoiceLine, Tax};
use crate::invoice_payments::InvoicePayment;
use crate::open_enum::open_enum;
use crate::payment_methods::PaymentMethod;
use crate::read::{has_id, object};
use crate::subscriptions::Subscription;
use crate::{Expandable, List as Page};

pub use preview::{CreatePreview, PreviewAnchor, PreviewItem, SubscriptionDetailsParameters};
pub use requests::{Create, Finalize, List, Pay, PendingItems, Retrieve, Update, Void};

open_enum! {
    /// How an invoice stands.
    InvoiceStatus {
        /// Still changing.
        Draft = "draft",
        /// To be paid.
        Open = "open",
        /// Paid.
        Paid = "paid",
        /// Given up.
        Uncollectible = "uncollectible",
        /// Never to be paid.
        Void = "void",
    }
}

open_enum! {
    /// Why an invoice was made.
    BillingReason {
        /// A subscription began.
        SubscriptionCreate = "subscription_create",
        /// A period began.
        SubscriptionCycle = "subscription_cycle",
        /// A subscription changed.
        SubscriptionUpdate = "subscription_update",
        /// A subscription, in older versions.
        Subscription = "subscription",
        /// A threshold was reached.
        SubscriptionThreshold = "subscription_threshold",
        /// By hand or by a call.
        Manual = "manual",
        /// A preview.
        Upcoming = "upcoming",
        /// Items that waited.
        AutomaticPendingInvoiceItemInvoice = "automatic_pending_invoice_item_invoice",
        /// A quote was accepted.
        QuoteAccept = "quote_accept",
    }
}

object! {
    /// An invoice. Amounts are minor units.
    Invoice {
        /// Its id, `in_…`; a preview's begins with `upcoming_in_`.
        id: String,
        /// It was deleted, as only drafts can be.
        deleted: bool,
        /// Live, not test.
        livemode: bool,
        /// Its number, once it is final.
        number: Option<String>,
        /// How it stands.
        status: Option<InvoiceStatus>,
        /// Why it was made.
        billing_reason: Option<BillingReason>,
        /// How it is paid.
        collection_method: Option<CollectionMethod>,
        /// Stripe finalizes and collects it by itself.
        auto_advance: bool,
        /// Who pays.
        customer: Option<Expandable<Customer>>,
        /// Name then.
        customer_name: Option<String>,
        /// E-mail then.
        customer_email: Option<String>,
        /// Address then.
        customer_address: Option<Address>,
        /// Tax ids then.
        customer_tax_ids: Vec<TaxId>,
        /// `none`, `exempt` or `reverse`, then.
        customer_tax_exempt: Option<String>,
        /// Three letters, lower case.
        currency: String,
        /// Before discounts and tax.
        subtotal: i64,
        /// With discounts and tax.
        total: i64,
        /// Without tax.
        total_excluding_tax: Option<i64>,
        /// The taxes.
        total_taxes: Vec<Tax>,
        /// To be paid in all.
        amount_due: i64,
        /// Paid.
        amount_paid: i64,
        /// Still to be paid.
        amount_remaining: i64,
        /// The customer's balance before it.
        starting_balance: Option<i64>,
        /// The customer's balance behind it.
        ending_balance: Option<i64>,
        /// Discounts on it.
        discounts: Vec<Expandable<Discount>>,
        /// The first lines; see `invoice_lines::List` for all.
        lines: Page<InvoiceLine>,
        /// What it is for.
        parent: Option<InvoiceParent>,
        /// The subscription, where an older version has it; see [`Invoice::subscription_id`].
        subscription: Option<Expandable<Subscription>>,
        /// Payments, where they are expanded.
        payments: Option<Page<InvoicePayment>>,
        /// What it is paid with; None is the subscription's or the customer's.
        default_payment_method: Option<Expandable<PaymentMethod>>,
        /// What became of the tax.
        automatic_tax: Option<AutomaticTax>,
        /// Why it could not be finalized.
        last_finalization_error: Option<PaymentFailure>,
        /// How often payment was tried.
        attempt_count: Option<i64>,
        /// Payment was tried.
        attempted: bool,
        /// When payment is tried again.
        next_payment_attempt: Option<Timestamp>,
        /// When it has to be paid, where it was sent.
        due_date: Option<Timestamp>,
        /// Begin of the time that its usage is of.
        period_start: Option<Timestamp>,
        /// End of that time.
        period_end: Option<Timestamp>,
        /// When it became what it is.
        status_transitions: Option<InvoiceTransitions>,
        /// When Stripe will finalize it.
        automatically_finalizes_at: Option<Timestamp>,
        /// When webhooks about it were answered.
        webhooks_delivered_at: Option<Timestamp>,
        /// Stripe's page of it, where it can be paid.
        hosted_invoice_url: Option<String>,
        /// It as a file.
        invoice_pdf: Option<String>,
        /// Words for the customer.
        description: Option<String>,
        /// The caller's notes.
        metadata: Metadata,
        /// When it was made.
        created: Option<Timestamp>,
    }
}

object! {
    /// What an invoice is for.
    InvoiceParent {
        /// `subscription_details`, `quote_details` or what came since.
        kind = "type": Option<String>,
        /// The subscription.
        subscription_details: Option<SubscriptionDetails>,
    }
}

object! {
    /// The subscription that an invoice is for.
    SubscriptionDetails {
        /// The subscription.
        subscription: Expandable<Subscription>,
        /// Its notes when the invoice was finalized.
        metadata: Metadata,
        /// The instant that prorations were counted from.
        subscription_proration_date: Option<Timestamp>,
    }
}

object! {
    /// When an invoice became what it is.
    InvoiceTransitions {
        /// When it was finalized.
        finalized_at: Option<Timestamp>,
        /// When it was paid.
        paid_at: Option<Timestamp>,
        /// When it was given up.
        marked_uncollectible_at: Option<Timestamp>,
        /// When it was voided.
        voided_at: Option<Timestamp>,
    }
}

has_id!(Invoice);

impl Invoice {
    /// Id of the subscription that it is for.
    pub fn subscription_id(&self) -> Option<&str> {
        let details = self.subscription_details().map(|details| &details.subscription);
        details.or(self.subscription.as_ref()).map(Expandable::id)
    }

    /// The subscription that it is for, with its notes of then.
    pub fn subscription_details(&self) -> Option<&SubscriptionDetails> {
        self.parent.as_ref()?.subscription_details.as_ref()
    }
}
