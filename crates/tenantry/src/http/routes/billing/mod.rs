//! Plans, subscriptions, invoices, and what needs Stripe.

pub mod asking;
pub mod cancel;
pub mod charges;
pub mod checkout;
pub mod downgrade;
pub mod events;
pub mod explain;
pub mod invoices;
pub mod operation;
pub mod plans;
pub mod portal;
pub mod preview;
pub mod resume;
pub mod spend;
pub mod subscription;
pub mod upgrade;
