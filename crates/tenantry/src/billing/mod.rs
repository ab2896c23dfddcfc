//! Plans and what they cost.

pub mod catalog_file;
pub mod catalog_store;
