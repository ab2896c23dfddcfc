//! The security log.

pub mod events;
