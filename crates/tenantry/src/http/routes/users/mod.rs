//! The signed-in user, and what the host application asks about users.

pub mod check_permission;
pub mod delete;
pub mod delete_me;
pub mod me;
pub mod provision;
