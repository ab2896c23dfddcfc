//! What usage costs in the running period, and how far it may.

pub mod add_alert;
pub mod get;
pub mod remove_alert;
pub mod remove_cap;
pub mod set_cap;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::caller::{ManageBilling, Permitted};
use crate::http::state::AppState;
use crate::storage::usage::spend::{AlertRow, CapRow};
use crate::usage::charges::FALLBACK_CURRENCY;
use crate::usage::spend::change::On;

/// A spend cap.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpendCap {
    /// The metric that it is about; null: all metrics together.
    #[schema(example = "tokens")]
    pub metric: Option<String>,
    /// What no accepted event takes the accrued overage above, in minor units of the catalog's currency.
    #[schema(example = 10_000)]
    pub amount_cents: i64,
    /// When its amount was set.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: jiff::Timestamp,
}

impl From<CapRow> for SpendCap {
    fn from(row: CapRow) -> Self {
        Self { metric: row.metric, amount_cents: row.amount_minor, updated_at: row.updated_at }
    }
}

/// A spend alert.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpendAlert {
    /// Its id.
    pub id: Uuid,
    /// The metric that it is about; null: all metrics together.
    #[schema(example = json!(null))]
    pub metric: Option<String>,
    /// The accrued overage at which it is told, in minor units of the catalog's currency.
    #[schema(example = 5_000)]
    pub amount_cents: i64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
}

impl From<AlertRow> for SpendAlert {
    fn from(row: AlertRow) -> Self {
        Self { id: row.id, metric: row.metric, amount_cents: row.amount_minor, created_at: row.created_at }
    }
}

/// Who changes the spend caps and alerts of which tenant.
fn on(permitted: &Permitted<ManageBilling>) -> On {
    On { actor: permitted.caller.actor, tenant_id: permitted.tenant_id }
}

/// What overage is charged in, lower case.
fn currency(state: &AppState) -> String {
    state.catalog.currency().map_or_else(|| FALLBACK_CURRENCY.to_owned(), |currency| currency.to_string())
}
