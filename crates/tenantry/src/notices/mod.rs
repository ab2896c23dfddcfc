//! Notices: what tenants are told, by mail and by webhook.
//!
//! Whatever causes a notice calls [`raise`] in its own transaction: one row and one job, so that a notice is there
//! exactly if its cause is. A worker then finds out who is to be told (`fan_out`), and sends mails and webhooks with
//! no transaction open. It knows nothing of usage, plans or payments but what the notice says.

pub mod data;
pub mod fan_out;
pub mod kind;
pub mod mail;
mod outbound;
pub mod webhooks;

use jiff::Timestamp;
use uuid::Uuid;

use self::data::Data;
use crate::env::Env;
use crate::storage::notices::{self as rows, NewNotice};
use crate::storage::{StoreError, Tx};

pub use outbound::{Outbound, OutboundError, OutboundSettings};

/// Kind of the job that decides who is told of a notice. Its name stands in `storage/notices` too.
pub const FAN_OUT_NOTICE: &str = "fan_out_notice";
/// Kind of the job that sends a mail.
pub const SEND_MAIL: &str = "send_mail";
/// Kind of the job that attempts a delivery.
pub const DELIVER_WEBHOOK: &str = "deliver_webhook";

/// What is next for a mail or a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Finished,
    /// The same again at this time.
    Later(Timestamp),
}

/// Something to be told to a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Names the occasion within the kind: the same kind and key of a tenant are told once, however often they are
    /// raised. At most 300 characters.
    pub dedupe_key: String,
    /// What happened; it decides the kind.
    pub data: Data,
}

impl Notice {
    /// A notice about an occasion.
    pub fn new(dedupe_key: impl Into<String>, data: impl Into<Data>) -> Self {
        Self { dedupe_key: dedupe_key.into(), data: data.into() }
    }
}

/// Raises a notice in the transaction that causes it, which must be opened for the tenant. One round trip; false
/// where the same notice was raised before, and then nothing is written.
pub async fn raise(tx: &Tx, env: &Env, now: Timestamp, tenant_id: Uuid, notice: &Notice) -> Result<bool, StoreError> {
    let data = notice.data.to_json()?;
    let new = NewNotice {
        id: env.ids.uuid_v7(now),
        job_id: env.ids.uuid_v7(now),
        kind: notice.data.kind().as_str(),
        dedupe_key: &notice.dedupe_key,
        data: &data,
    };
    rows::raise(tx, tenant_id, &new, now).await
}
