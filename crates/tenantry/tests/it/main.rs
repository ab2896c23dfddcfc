//! Integration tests.

mod tenancy;
