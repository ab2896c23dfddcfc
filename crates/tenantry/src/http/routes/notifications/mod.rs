//! Notices of a tenant.

pub mod list;
