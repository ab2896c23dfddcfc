//! `GET /api/billing/charges`

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenantry_domain::quantity::Quantity;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::http::caller::{Permitted, ViewBilling};
use crate::http::extract::Query;
use crate::http::page::{Page, PageQuery};
use crate::http::problem::Problem;
use crate::http::refusals::ReadRefusals;
use crate::http::routes::usage::report::ReportPeriod;
use crate::http::state::AppState;
use crate::storage::StoreError;
use crate::storage::usage::recorded::{self, ChargeRow};
use crate::usage::explain::plan_versions;
use crate::usage::month::Month;

/// Which charges.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChargesQuery {
    /// A month (UTC) such as `2026-10`: charges for periods that begin in it.
    #[param(pattern = "^[0-9]{4}-[0-9]{2}$", example = "2026-10")]
    pub period: Option<String>,
    /// Rows on the page, 1 to 200.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<String>,
    /// `nextCursor` of the page before.
    #[param(pattern = "^[A-Za-z0-9_-]+$")]
    pub cursor: Option<String>,
}

/// What the overage of one metric in one period was charged with, or adjusted by.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChargeView {
    /// Its id.
    pub id: Uuid,
    /// The metric.
    #[schema(example = "tokens")]
    pub metric: String,
    /// The period that it is for.
    pub period: ReportPeriod,
    /// 0 for the closing of the period, then one more for each adjustment.
    #[schema(example = 0)]
    pub sequence: i32,
    /// `unbilled`, or `billed` once it is on an invoice.
    #[schema(example = "billed")]
    pub state: String,
    /// ISO 4217, lower case.
    #[schema(example = "usd")]
    pub currency: String,
    /// Minor units of the currency; negative gives back.
    #[schema(example = 1250)]
    pub amount_cents: i64,
    /// Quantity above what was included, when it was made.
    #[schema(example = "500")]
    pub overage: String,
    /// The versions of plans that price it, in order.
    pub plans: Vec<PlanVersion>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A version of a plan; it never changes.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanVersion {
    /// The plan.
    #[schema(example = "pro")]
    pub plan_id: String,
    /// Its version, from 1.
    #[schema(example = 1)]
    pub version: i32,
}

impl TryFrom<&ChargeRow> for ChargeView {
    type Error = StoreError;

    fn try_from(row: &ChargeRow) -> Result<Self, StoreError> {
        let plans = plan_versions(row)?;
        Ok(Self {
            id: row.id,
            metric: row.metric.clone(),
            period: ReportPeriod { start: row.period_start, end: row.period_end },
            sequence: row.sequence,
            state: row.state.clone(),
            currency: row.currency.clone(),
            amount_cents: row.amount_minor,
            overage: Quantity::from_decimal(row.overage).to_string(),
            plans: plans.into_iter().map(|(plan_id, version)| PlanVersion { plan_id, version }).collect(),
            created_at: row.created_at,
        })
    }
}

/// List charges
///
/// What closed periods were charged with above what their plans include, and what later usage and corrections adjusted,
/// the newest first. `GET /api/billing/charges/{chargeId}/explain` has the arithmetic of each. Needs `viewBilling`.
#[utoipa::path(
    get, path = "/api/billing/charges", tag = "billing", operation_id = "listCharges",
    params(ChargesQuery),
    responses((status = 200, body = Page<ChargeView>), ReadRefusals),
    security(("bearer" = [])),
)]
pub async fn charges(
    State(state): State<AppState>,
    permitted: Permitted<ViewBilling>,
    Query(query): Query<ChargesQuery>,
) -> Result<Json<Page<ChargeView>>, Problem> {
    let month = query.period.as_deref().map(str::parse::<Month>).transpose();
    let month = month.map_err(|error| Problem::invalid("period", error.to_string()))?;
    let page = PageQuery { limit: query.limit, cursor: query.cursor };
    let (after, limit) = (page.after()?, page.fetch()?);
    let starts = (month.map(|month| month.start), month.map(|month| month.end));
    let tx = permitted.caller.read(&state, "list_charges", permitted.tenant_id).await?;
    let rows = recorded::charges(&tx, &[permitted.tenant_id], starts, after, limit).await?;
    tx.rollback().await?;
    let views = rows.iter().map(ChargeView::try_from).collect::<Result<Vec<ChargeView>, StoreError>>()?;
    Ok(Json(Page::of(views, &page, |view| (view.created_at, view.id), std::convert::identity)?))
}
