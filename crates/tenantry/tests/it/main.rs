//! Integration tests.

mod billing;
mod isolation;
mod support;
mod tenancy;
mod tidy;
