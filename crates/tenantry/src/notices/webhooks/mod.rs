//! Outgoing webhooks, after the Standard Webhooks specification.
//!
//! `endpoints` says where they go, `sender` makes and signs one request, `delivery` takes a notice through its
//! attempts, `address` keeps all of it out of the inside of the network.

pub mod address;
pub mod delivery;
pub mod endpoints;
mod sender;

pub use address::UrlPolicy;
pub use sender::Sender;
