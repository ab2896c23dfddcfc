//! The customer portal: Stripe's page where customers see invoices and change what they pay with.

use jiff::Timestamp;
use serde::Serialize;

use super::shared::{Metadata, ProrationBehavior};
use crate::open_enum::open_enum;
use crate::read::{has_id, object};
use crate::request::request;
use crate::{Expandable, List as Page};

open_enum! {
    /// When a cancellation takes effect.
    CancelMode {
        /// At the end of the period.
        AtPeriodEnd = "at_period_end",
        /// At once.
        Immediately = "immediately",
    }
}

open_enum! {
    /// What the portal opens with.
    FlowKind {
        /// Another payment method.
        PaymentMethodUpdate = "payment_method_update",
        /// Cancelling.
        SubscriptionCancel = "subscription_cancel",
        /// Changing the plan.
        SubscriptionUpdate = "subscription_update",
        /// Confirming a change that is given.
        SubscriptionUpdateConfirm = "subscription_update_confirm",
    }
}

object! {
    /// What a portal offers.
    PortalConfiguration {
        /// Its id, `bpc_…`.
        id: String,
        /// It can be used.
        active: bool,
        /// It is taken where none is named.
        is_default: bool,
        /// Where customers go back to.
        default_return_url: Option<String>,
        /// The caller's notes.
        metadata: Metadata,
        /// When it was made.
        created: Option<Timestamp>,
    }
}

object! {
    /// One visit.
    PortalSession {
        /// Its id, `bps_…`.
        id: String,
        /// Where the customer goes; valid for some minutes.
        url: String,
        /// The customer.
        customer: String,
        /// Where the customer goes back to.
        return_url: Option<String>,
        /// What it offers.
        configuration: Option<Expandable<PortalConfiguration>>,
        /// When it was made.
        created: Option<Timestamp>,
    }
}

has_id!(PortalConfiguration, PortalSession);

/// What customers may change about themselves.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CustomerUpdateFeature<'a> {
    /// They may.
    pub enabled: bool,
    /// Of `address`, `email`, `name`, `phone`, `shipping`, `tax_id`.
    pub allowed_updates: Vec<&'a str>,
}

/// Something that is on or off.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Feature {
    /// On.
    pub enabled: bool,
}

/// How customers may cancel.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SubscriptionCancelFeature {
    /// They may.
    pub enabled: bool,
    /// When it takes effect.
    pub mode: Option<CancelMode>,
    /// What becomes of the time that was paid for.
    pub proration_behavior: Option<ProrationBehavior>,
}

/// How customers may change their plan.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SubscriptionUpdateFeature<'a> {
    /// They may.
    pub enabled: bool,
    /// Of `price`, `promotion_code`, `quantity`.
    pub default_allowed_updates: Vec<&'a str>,
    /// What they may change to.
    pub products: Vec<PortalProduct<'a>>,
    /// What becomes of the time that was paid for.
    pub proration_behavior: Option<ProrationBehavior>,
}

/// What customers may change to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PortalProduct<'a> {
    /// Id of the product.
    pub product: &'a str,
    /// Ids of its prices.
    pub prices: Vec<&'a str>,
}

/// What a portal offers.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Features<'a> {
    /// Changes of name, address and so on.
    pub customer_update: Option<CustomerUpdateFeature<'a>>,
    /// Old invoices.
    pub invoice_history: Option<Feature>,
    /// Another payment method.
    pub payment_method_update: Option<Feature>,
    /// Cancelling.
    pub subscription_cancel: Option<SubscriptionCancelFeature>,
    /// Changing the plan.
    pub subscription_update: Option<SubscriptionUpdateFeature<'a>>,
}

/// Words about the business.
#[derive(Debug, Clone, Default, Serialize)]
pub struct BusinessProfile<'a> {
    /// Above the page.
    pub headline: Option<&'a str>,
    /// Link to the privacy policy.
    pub privacy_policy_url: Option<&'a str>,
    /// Link to the terms.
    pub terms_of_service_url: Option<&'a str>,
}

/// Makes a configuration.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CreateConfiguration<'a> {
    /// What it offers. Required.
    pub features: Features<'a>,
    /// Words about the business.
    pub business_profile: Option<BusinessProfile<'a>>,
    /// Where customers go back to.
    pub default_return_url: Option<&'a str>,
    /// The caller's notes.
    pub metadata: Metadata,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(CreateConfiguration<'_>: Post "/v1/billing_portal/configurations" [] -> PortalConfiguration);

/// Changes a configuration.
#[derive(Debug, Clone, Default, Serialize)]
pub struct UpdateConfiguration<'a> {
    /// The configuration.
    #[serde(skip)]
    pub id: &'a str,
    /// It can be used.
    pub active: Option<bool>,
    /// What it offers.
    pub features: Option<Features<'a>>,
    /// Words about the business.
    pub business_profile: Option<BusinessProfile<'a>>,
    /// Where customers go back to.
    pub default_return_url: Option<&'a str>,
    /// The caller's notes.
    pub metadata: Metadata,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(UpdateConfiguration<'_>: Post "/v1/billing_portal/configurations/{configuration}" [id] -> PortalConfiguration);

/// Lists configurations.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ListConfigurations<'a> {
    /// Only those that can be used, or cannot.
    pub active: Option<bool>,
    /// Only the one that is taken where none is named, or the others.
    pub is_default: Option<bool>,
    /// Objects of a page, 1 to 100.
    pub limit: Option<u8>,
    /// Begin behind this id.
    pub starting_after: Option<&'a str>,
    /// End before this id.
    pub ending_before: Option<&'a str>,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(ListConfigurations<'_>: Get "/v1/billing_portal/configurations" [] -> Page<PortalConfiguration>);

/// The subscription that a flow is about.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FlowSubscription<'a> {
    /// Its id.
    pub subscription: &'a str,
}

/// What the portal opens with.
#[derive(Debug, Clone, Serialize)]
pub struct FlowData<'a> {
    /// Which flow.
    #[serde(rename = "type")]
    pub kind: FlowKind,
    /// For cancelling.
    pub subscription_cancel: Option<FlowSubscription<'a>>,
    /// For changing the plan.
    pub subscription_update: Option<FlowSubscription<'a>>,
}

/// Begins a visit.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CreateSession<'a> {
    /// The customer. Required.
    pub customer: &'a str,
    /// What it offers.
    pub configuration: Option<&'a str>,
    /// Where the customer goes back to.
    pub return_url: Option<&'a str>,
    /// Language of the page.
    pub locale: Option<&'a str>,
    /// What it opens with.
    pub flow_data: Option<FlowData<'a>>,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(CreateSession<'_>: Post "/v1/billing_portal/sessions" [] -> PortalSession);
