//! Tenantry, the billing backend for multi-tenant SaaS.
//!
//! `http`, `worker` and `cli` call operations (`tenancy`, `billing`, `usage`, `notices`), which call `storage` and the
//! `tenantry-domain` crate. Only `storage` names SQL. Nobody calls up.

pub mod billing;
pub mod cli;
pub mod config;
pub mod deployment;
pub mod env;
pub mod http;
pub mod notices;
pub mod server;
pub mod storage;
pub mod stripe_sync;
pub mod tenancy;
pub mod usage;
pub mod worker;
