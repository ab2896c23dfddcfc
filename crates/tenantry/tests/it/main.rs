//! Integration tests.

mod api;
mod billing;
mod isolation;
mod metering;
mod processes;
mod support;
mod tenancy;
mod tidy;
