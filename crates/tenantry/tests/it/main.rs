//! Integration tests.

mod billing;
mod isolation;
mod metering;
mod support;
mod tenancy;
mod tidy;
