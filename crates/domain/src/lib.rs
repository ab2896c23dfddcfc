//! The rules of billing as pure functions.
