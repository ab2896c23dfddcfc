//! The wire: forms, parameters, answers, idempotency, expansion.

mod args;
mod expand;
mod form;
mod idempotency;
mod params;
mod service;

pub(crate) use args::Args;
pub(crate) use params::{
    ADDRESS, CREATED, Kind, METADATA, ONE, PAGE, Param, Tables, anything, boolean, integer, object, objects, one_of,
    param, text, texts, time, unsupported,
};
pub(crate) use service::{Raw, Reply, answer};
