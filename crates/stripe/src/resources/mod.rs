//! Stripe's resources: a module for each, with its calls and what they answer.

pub mod checkout_sessions;
pub mod customers;
pub mod events;
pub mod invoice_items;
pub mod invoice_lines;
pub mod invoice_payments;
pub mod invoices;
pub mod meters;
pub mod payment_methods;
pub mod portal;
pub mod prices;
pub mod products;
pub mod schedules;
pub mod shared;
pub mod subscriptions;
