//! What the deployment decides about billing through Stripe.

use jiff::SignedDuration;
use secrecy::SecretString;

/// When an upgrade is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpgradeCharge {
    /// At once; a payment that fails changes nothing.
    Now,
    /// With the next invoice.
    NextInvoice,
}

/// What overage of a paid month becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverageBilling {
    /// Invoice items with our amounts.
    Items,
    /// Quantities of Stripe's meters, which Stripe prices.
    Meter,
}

/// What the deployment decides.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address of the host application, where checkout and portal lead back to; without a slash at its end.
    pub app_url: String,
    /// Secrets of the webhook endpoint; more than one while one is rolled.
    pub webhook_secrets: Vec<SecretString>,
    /// How long an overdue payment keeps the plan's limits.
    pub payment_grace: SignedDuration,
    /// When an upgrade is charged.
    pub upgrade_charge: UpgradeCharge,
    /// What overage of a paid month becomes.
    pub overage_billing: OverageBilling,
    /// Whether Stripe computes taxes.
    pub automatic_tax: bool,
    /// Whether checkout asks for the billing address.
    pub collect_address: bool,
    /// Whether checkout asks for tax ids.
    pub collect_tax_ids: bool,
}
