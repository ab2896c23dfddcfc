//! Integration tests.

mod api;
mod billing;
mod isolation;
mod metering;
mod notices;
mod processes;
mod stripe;
mod support;
mod tenancy;
mod tidy;
