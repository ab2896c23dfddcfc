//! What others call when something happened.

pub mod stripe;
