//! One file for each endpoint: its doc, its types, its handler.

pub mod billing;
pub mod invitations;
pub mod keys;
pub mod members;
pub mod notifications;
pub mod ops;
pub mod security;
pub mod teams;
pub mod tenants;
pub mod usage;
pub mod users;
pub mod webhook_endpoints;
pub mod webhooks;
