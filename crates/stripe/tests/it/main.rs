//! The client over real HTTP, against Stripe's document and sample objects.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that cannot go on fails its test")]

mod answers;
mod attempts;
mod broken;
mod calls;
mod errors;
mod forms;
mod lists;
mod secrets;
mod signatures;
mod tolerance;
mod world;
