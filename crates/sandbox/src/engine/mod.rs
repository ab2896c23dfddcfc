//! The engine: what Stripe would do, as functions of a state and a time. No I/O, no clock, no chance.

mod checkout;
mod due;
mod finalize;
mod invoice;
mod items;
mod lines;
mod meters;
mod payment;
mod period;
pub(crate) mod preview;
mod price;
mod proration;
mod renewal;
mod schedule;
mod state;
mod subscribe;
mod subscription;
mod table;
mod tax;
mod update;
mod work;

pub(crate) use checkout::{Buyer, complete_session, expire_session};
pub(crate) use due::{next_due, run_due};
pub(crate) use finalize::{finalize, void};
pub(crate) use invoice::{NewInvoice, draft, line_of_item, refresh_tax};
pub(crate) use items::{NewItem, attach_item};
pub(crate) use lines::{day, money, rate, recount_drafts, stamp};
pub(crate) use payment::{Charge, Payment, attach, charge_fault, needs_confirmation, paid_out_of_band, pay, tokens};
pub(crate) use period::Calendar;
pub(crate) use price::{amount, exponent, round, unit_decimal};
pub(crate) use schedule::{begin_phases, cancel_schedule, release};
pub use state::DunningEnd;
pub(crate) use state::{Remembered, State};
pub(crate) use subscribe::{Behaviour, NewSubscription, subscribe};
pub(crate) use subscription::{Cancel, cancel_now, resume};
pub(crate) use table::Row;
pub(crate) use tax::{part as tax_part, rate_percent};
pub(crate) use update::{Change, ItemChange, Prorate, TrialEnd, update};
pub(crate) use work::{RequestInfo, Work};

#[cfg(test)]
mod tests;
