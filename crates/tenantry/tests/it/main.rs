//! Integration tests.

mod support;
mod tenancy;
