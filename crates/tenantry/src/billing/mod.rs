//! The plan catalog, and what tenants ask for that needs Stripe.

pub mod catalog_file;
pub mod catalog_store;
pub mod operations;
pub mod plan_choice;
