//! Plans and subscriptions.

pub mod plans;
pub mod subscription;
