//! The HTTP interface: who asks, what they may do, one file for each endpoint.
//!
//! Handlers read through `storage` and change through operations; the only place that knows status codes is
//! `problem`.

mod around;
pub mod auth;
pub mod caller;
pub mod extract;
pub mod key_limiter;
pub mod limiter;
pub mod log_query;
mod observe;
pub mod openapi;
pub mod overrides;
pub mod page;
pub mod posted;
pub mod problem;
mod problems_from;
pub mod refusals;
pub mod router;
pub mod routes;
pub mod security;
pub mod state;
pub mod team;
pub mod words;
