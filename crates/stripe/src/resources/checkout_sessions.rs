//! Checkout sessions: Stripe's page where a customer buys a subscription.

use jiff::Timestamp;
use jiff::fmt::serde::timestamp::second;
use serde::Serialize;

use super::shared::{
    AutomaticTax, AutomaticTaxParameters, BillingModeParameters, DiscountParameters, Metadata, ProrationBehavior,
    TimeRange,
};
use crate::customers::Customer;
use crate::invoices::Invoice;
use crate::open_enum::open_enum;
use crate::read::{has_id, object};
use crate::request::request;
use crate::subscriptions::Subscription;
use crate::{Expandable, List as Page};

open_enum! {
    /// What a session is for.
    Mode {
        /// One payment.
        Payment = "payment",
        /// A payment method for later.
        Setup = "setup",
        /// A subscription.
        Subscription = "subscription",
    }
}

open_enum! {
    /// How far a session is.
    SessionStatus {
        /// Done; a payment may still be under way.
        Complete = "complete",
        /// Too late.
        Expired = "expired",
        /// Waiting for the customer.
        Open = "open",
    }
}

open_enum! {
    /// How far a session's payment is.
    PaymentStatus {
        /// Nothing is to be paid, as in a trial.
        NoPaymentRequired = "no_payment_required",
        /// Paid.
        Paid = "paid",
        /// Not yet.
        Unpaid = "unpaid",
    }
}

open_enum! {
    /// Whether something is taken over or asked for.
    AutoOrNever {
        /// It is.
        Auto = "auto",
        /// It is not.
        Never = "never",
    }
}

open_enum! {
    /// Whether a payment method is asked for.
    PaymentMethodCollection {
        /// Always.
        Always = "always",
        /// Where something is to be paid now.
        IfRequired = "if_required",
    }
}

open_enum! {
    /// Whether the address is asked for.
    BillingAddressCollection {
        /// Where it is needed.
        Auto = "auto",
        /// Always.
        Required = "required",
    }
}

open_enum! {
    /// What becomes of a trial that ends without a payment method.
    MissingPaymentMethod {
        /// The subscription is cancelled.
        Cancel = "cancel",
        /// An invoice is made that stays open.
        CreateInvoice = "create_invoice",
        /// The subscription pauses.
        Pause = "pause",
    }
}

object! {
    /// A session.
    CheckoutSession {
        /// Its id, `cs_…`.
        id: String,
        /// Live, not test.
        livemode: bool,
        /// What it is for.
        mode: Option<Mode>,
        /// How far it is.
        status: Option<SessionStatus>,
        /// How far its payment is.
        payment_status: Option<PaymentStatus>,
        /// Where the customer goes; None once it is over.
        url: Option<String>,
        /// The caller's own reference.
        client_reference_id: Option<String>,
        /// Who buys.
        customer: Option<Expandable<Customer>>,
        /// What was bought; there once it is complete.
        subscription: Option<Expandable<Subscription>>,
        /// What was charged.
        invoice: Option<Expandable<Invoice>>,
        /// Three letters, lower case.
        currency: Option<String>,
        /// Minor units with tax and discounts.
        amount_total: Option<i64>,
        /// What became of the tax.
        automatic_tax: Option<AutomaticTax>,
        /// The caller's notes.
        metadata: Metadata,
        /// When it was made.
        created: Option<Timestamp>,
        /// When it will be over.
        expires_at: Option<Timestamp>,
    }
}

has_id!(CheckoutSession);

/// Something to buy.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LineItem<'a> {
    /// Id of the price.
    pub price: Option<&'a str>,
    /// How many. Not for metered prices.
    pub quantity: Option<u64>,
    /// Whether the customer may change how many.
    pub adjustable_quantity: Option<AdjustableQuantity>,
    /// Ids of fixed tax rates.
    pub tax_rates: Vec<&'a str>,
}

/// Whether a customer may change a quantity.
#[derive(Debug, Clone, Default, Serialize)]
pub struct AdjustableQuantity {
    /// It may.
    pub enabled: bool,
    /// At most.
    pub maximum: Option<u64>,
    /// At least.
    pub minimum: Option<u64>,
}

/// What the session writes back to the customer.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CustomerUpdate {
    /// The address; needed for taxes of a customer that exists.
    pub address: Option<AutoOrNever>,
    /// The name; needed for tax ids of a customer that exists.
    pub name: Option<AutoOrNever>,
}

/// Whether tax ids are asked for.
#[derive(Debug, Clone, Serialize)]
pub struct TaxIdCollection {
    /// They are.
    pub enabled: bool,
}

/// What becomes of a trial at its end.
#[derive(Debug, Clone, Serialize)]
pub struct TrialSettings {
    /// At its end.
    pub end_behavior: TrialEndBehavior,
}

/// What becomes of a trial at its end.
#[derive(Debug, Clone, Serialize)]
pub struct TrialEndBehavior {
    /// Without a payment method.
    pub missing_payment_method: MissingPaymentMethod,
}

/// What the subscription will be.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SubscriptionData<'a> {
    /// The rules of billing; better always sent, since Stripe's default changed.
    pub billing_mode: Option<BillingModeParameters>,
    /// When its periods begin.
    #[serde(with = "second::optional")]
    pub billing_cycle_anchor: Option<Timestamp>,
    /// What becomes of the time up to that.
    pub proration_behavior: Option<ProrationBehavior>,
    /// Words for the customer.
    pub description: Option<&'a str>,
    /// The caller's notes.
    pub metadata: Metadata,
    /// When the trial ends.
    #[serde(with = "second::optional")]
    pub trial_end: Option<Timestamp>,
    /// Days of trial; one of both.
    pub trial_period_days: Option<u32>,
    /// What becomes of the trial at its end.
    pub trial_settings: Option<TrialSettings>,
}

/// Makes a session.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Create<'a> {
    /// What it is for.
    pub mode: Option<Mode>,
    /// What is bought.
    pub line_items: Vec<LineItem<'a>>,
    /// Who buys.
    pub customer: Option<&'a str>,
    /// The e-mail to begin with, where there is no customer yet.
    pub customer_email: Option<&'a str>,
    /// What the session writes back to the customer.
    pub customer_update: Option<CustomerUpdate>,
    /// The caller's own reference.
    pub client_reference_id: Option<&'a str>,
    /// Where the customer comes back to after buying; `{CHECKOUT_SESSION_ID}` in it is replaced.
    pub success_url: Option<&'a str>,
    /// Where the customer comes back to without buying.
    pub cancel_url: Option<&'a str>,
    /// Three letters, lower case.
    pub currency: Option<&'a str>,
    /// When it will be over: 30 minutes to 24 hours from now.
    #[serde(with = "second::optional")]
    pub expires_at: Option<Timestamp>,
    /// Language of the page, such as `auto` or `de`.
    pub locale: Option<&'a str>,
    /// Promotion codes may be entered.
    pub allow_promotion_codes: Option<bool>,
    /// Discounts; not together with promotion codes.
    pub discounts: Vec<DiscountParameters<'a>>,
    /// Taxes.
    pub automatic_tax: Option<AutomaticTaxParameters>,
    /// Tax ids.
    pub tax_id_collection: Option<TaxIdCollection>,
    /// Whether the address is asked for.
    pub billing_address_collection: Option<BillingAddressCollection>,
    /// Whether a payment method is asked for.
    pub payment_method_collection: Option<PaymentMethodCollection>,
    /// Kinds of payment; empty leaves it to the dashboard.
    pub payment_method_types: Vec<&'a str>,
    /// What the subscription will be.
    pub subscription_data: Option<SubscriptionData<'a>>,
    /// The caller's notes on the session itself.
    pub metadata: Metadata,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Create<'_>: Post "/v1/checkout/sessions" [] -> CheckoutSession);

/// Gets a session.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Retrieve<'a> {
    /// The session.
    #[serde(skip)]
    pub id: &'a str,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Retrieve<'_>: Get "/v1/checkout/sessions/{session}" [id] -> CheckoutSession);

/// Lists sessions.
#[derive(Debug, Clone, Default, Serialize)]
pub struct List<'a> {
    /// Only those of this customer.
    pub customer: Option<&'a str>,
    /// Only those that made this subscription.
    pub subscription: Option<&'a str>,
    /// Only those that are so far.
    pub status: Option<SessionStatus>,
    /// Only those made then.
    pub created: Option<TimeRange>,
    /// Objects of a page, 1 to 100.
    pub limit: Option<u8>,
    /// Begin behind this id.
    pub starting_after: Option<&'a str>,
    /// End before this id.
    pub ending_before: Option<&'a str>,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(List<'_>: Get "/v1/checkout/sessions" [] -> Page<CheckoutSession>);

/// Ends an open session: its page says so, and nothing can be bought with it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Expire<'a> {
    /// The session.
    #[serde(skip)]
    pub id: &'a str,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Expire<'_>: Post "/v1/checkout/sessions/{session}/expire" [id] -> CheckoutSession);
