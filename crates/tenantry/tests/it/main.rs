//! Integration tests.

mod billing;
mod support;
mod tenancy;
