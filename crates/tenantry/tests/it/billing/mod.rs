//! The plan catalog's file.
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod catalog_file;
mod catalog_push;
mod meter_push;
