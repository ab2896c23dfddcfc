//! Notices from their cause to their receivers: raised, handed out, mailed, posted.
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod deliveries;
mod endpoints;
mod fan_out;
mod invitations;
mod letters;
mod mails;
mod raising;
mod receiver;
mod samples;
mod smtp;
mod thresholds;
pub(crate) mod world;
