//! Rows about Stripe: customers and their leases, subscriptions, prices, the inbox of events, intents, mirrored
//! invoices, charges on their way.

pub mod charge_ways;
pub mod charges;
pub mod clock;
pub mod customers;
pub mod events;
pub mod invoices;
pub mod meter_prices;
pub mod operations;
pub mod prices;
pub mod subscriptions;
