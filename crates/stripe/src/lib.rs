//! A small typed client of Stripe's API. It knows Stripe and no tenant.
//!
//! Every call is a struct in the module of its resource; its answer is a type that keeps the JSON it was read from and
//! does not mind what it does not know. A POST cannot be sent without an [`IdempotencyKey`] of the caller's.

mod client;
mod error;
mod form;
mod idempotency;
mod list;
mod open_enum;
mod read;
mod request;
mod resources;
mod retry;
pub mod signature;

pub use client::{API_VERSION, Client, ClientError, ClientSettings, Jitter};
pub use error::{Refusal, StripeError};
pub use form::{FormError, encode};
pub use idempotency::{IdempotencyKey, InvalidIdempotencyKey};
pub use list::{List, Pages};
pub use read::{AnyObject, Deleted, Expandable, FromJson, Object, ReadError};
pub use request::{CALLS, Call, Delete, Get, Post, Request, Verb};
pub use resources::*;
