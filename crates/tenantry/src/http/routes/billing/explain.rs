//! `GET /api/billing/charges/{chargeId}/explain`

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use tenantry_domain::pricing::PriceLine;
use tenantry_domain::quantity::Quantity;
use utoipa::ToSchema;
use uuid::Uuid;

use super::charges::ChargeView;
use crate::http::caller::{Permitted, ViewBilling};
use crate::http::extract::Path;
use crate::http::problem::Problem;
use crate::http::refusals::ReadRefusals;
use crate::http::state::AppState;
use crate::storage::StoreError;
use crate::storage::usage::raw::EventRow;
use crate::tenancy::audit::hex;
use crate::usage::explain::{self, Events, ExplainedSegment, Explanation};

/// Events that get a digest within a request at the most; the command line has no such end.
const MOST_DIGESTED: i64 = 500_000;

/// A charge with all that it was reckoned from. Quantities and exact amounts are decimals in strings; an exact amount
/// without an end is a fraction such as `25/3`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChargeExplanation {
    /// The charge.
    pub charge: ChargeView,
    /// Total of the period when the charge was made.
    #[schema(example = "1500")]
    pub total: String,
    /// What each part of the period under one version of a plan added, in order.
    pub segments: Vec<SegmentView>,
    /// The sum of the segments' amounts in minor units, never less than 0; not rounded.
    #[schema(example = "1250")]
    pub sum: String,
    /// That sum in whole minor units, rounded once, half to even.
    #[schema(example = 1250)]
    pub rounded_cents: i64,
    /// What the charges before this one add up to.
    #[schema(example = 0)]
    pub charged_before_cents: i64,
    /// The one less the other: the amount of this charge.
    #[schema(example = 1250)]
    pub difference_cents: i64,
    /// Whether this arithmetic, done again now, comes to the amount of the charge.
    pub holds: bool,
    /// The events of the metric and period as they are now.
    pub events: EventsView,
    /// What came after the charge.
    pub current: CurrentView,
}

/// A part of a period under one version of a plan: the price of the total at its end less that at its start.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SegmentView {
    /// Position in the period, from 0.
    #[schema(example = 0)]
    pub sequence: i32,
    /// The plan that prices it.
    #[schema(example = "pro")]
    pub plan_id: String,
    /// And the version of it.
    #[schema(example = 1)]
    pub plan_version: i32,
    /// Total of the period when it began.
    #[schema(example = "0")]
    pub total_at_start: String,
    /// Total of the period when it ended.
    #[schema(example = "1500")]
    pub total_at_end: String,
    /// What the plan includes; null: unlimited, or the plan does not name the metric.
    #[schema(example = "1000")]
    pub included: Option<String>,
    /// `flat`, `graduated`, `volume` or `package`; null: use above what is included is not priced.
    #[schema(example = "flat")]
    pub mode: Option<&'static str>,
    /// The price of the total at its end, line by line.
    pub lines: Vec<LineView>,
    /// The price of the total at its start, which is taken off.
    pub lines_at_start: Vec<LineView>,
    /// What the segment adds in minor units; not rounded.
    #[schema(example = "1250")]
    pub amount: String,
}

/// A line of a price.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LineView {
    /// Units above included before it.
    #[schema(example = "0")]
    pub from: String,
    /// Units above included up to its end.
    #[schema(example = "500")]
    pub to: String,
    /// What is paid for: units, or whole packages.
    #[schema(example = "500")]
    pub units: String,
    /// Minor units for `per` units.
    #[schema(example = "2.5")]
    pub unit_price: String,
    /// Units that one rate buys.
    #[schema(example = 1)]
    pub per: u64,
    /// What it costs in minor units; not rounded.
    #[schema(example = "1250")]
    pub amount: String,
}

/// Events as they are now.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventsView {
    /// How many there are, corrections included.
    #[schema(example = 42)]
    pub count: i64,
    /// How many of them are corrections.
    #[schema(example = 0)]
    pub corrections: i64,
    /// What they add up to, or what else the metric's aggregation makes of them.
    #[schema(example = "1500")]
    pub total: String,
    /// The first, by timestamp and key.
    pub first: Option<EventView>,
    /// The last.
    pub last: Option<EventView>,
    /// SHA-256 in hexadecimal over a line for each event, by timestamp and then by the bytes of its key: timestamp, key,
    /// kind and amount with tabs between and a line break behind. Null: there are more than 500,000, or some were taken
    /// out of the table.
    #[schema(example = "7d594f3910100c33c0eb48f56fd6309eacf29f136b71fdad833a0a2051ecfa2f")]
    pub digest: Option<String>,
    /// Months (UTC) of the period whose events were taken out of the table; what is said here is of the rest.
    pub archived: Vec<String>,
}

/// An event at one end of those of a period.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    /// Its id.
    pub id: Uuid,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    /// Its idempotency key.
    #[schema(example = "req-7f3a")]
    pub idempotency_key: String,
}

/// What came after a charge.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CurrentView {
    /// Total that the events make now; null where some were taken out of the table.
    #[schema(example = "1500")]
    pub total: Option<String>,
    /// Whether that is the total that was charged; null where it is not known.
    pub is_same: Option<bool>,
    /// Charges of the same metric and period that came later.
    #[schema(example = 0)]
    pub later_adjustments: i64,
    /// What all charges of that metric and period add up to.
    #[schema(example = 1250)]
    pub charged_cents: i64,
}

/// Explain a charge
///
/// The arithmetic of a charge, line by line, from the inputs that it was made with: totals, versions of plans, tiers,
/// exact amounts, the sum, the rounding, what was charged before. Beside it the events of the period as they are now, with a
/// digest that can be made again from the tenant's export, and whether they still make the total that was charged. Needs
/// `viewBilling`.
#[utoipa::path(
    get, path = "/api/billing/charges/{chargeId}/explain", tag = "billing", operation_id = "explainCharge",
    params(("chargeId" = Uuid, Path, description = "The charge")),
    responses((status = 200, body = ChargeExplanation), ReadRefusals),
    security(("bearer" = [])),
)]
pub async fn explain(
    State(state): State<AppState>,
    permitted: Permitted<ViewBilling>,
    Path(id): Path<Uuid>,
) -> Result<Json<ChargeExplanation>, Problem> {
    let tx = permitted.caller.read(&state, "explain_charge", permitted.tenant_id).await?;
    let found = explain::explain(&tx, permitted.tenant_id, id, MOST_DIGESTED).await?;
    tx.rollback().await?;
    let found = found.ok_or_else(Problem::not_found)?;
    Ok(Json(view(&found)?))
}

/// An explanation as it is sent; also what the command line prints.
pub fn view(found: &Explanation) -> Result<ChargeExplanation, StoreError> {
    Ok(ChargeExplanation {
        charge: ChargeView::try_from(&found.charge)?,
        total: found.total.to_string(),
        segments: found.segments.iter().map(SegmentView::from).collect(),
        sum: found.sum.digits(),
        rounded_cents: found.rounded_minor,
        charged_before_cents: found.charged_before_minor,
        difference_cents: found.rounded_minor - found.charged_before_minor,
        holds: found.holds,
        events: EventsView::from(&found.events),
        current: CurrentView {
            total: found.since.total.map(|total| total.to_string()),
            is_same: found.since.total.map(|total| total == found.total),
            later_adjustments: found.since.adjustments,
            charged_cents: found.since.charged_minor,
        },
    })
}

impl From<&ExplainedSegment> for SegmentView {
    fn from(segment: &ExplainedSegment) -> Self {
        let overage = segment.terms.as_ref().and_then(|terms| terms.overage.as_ref());
        Self {
            sequence: segment.sequence,
            plan_id: segment.plan_id.clone(),
            plan_version: segment.plan_version,
            total_at_start: segment.total_at_start.to_string(),
            total_at_end: segment.total_at_end.to_string(),
            included: segment.included().map(|included| included.to_string()),
            mode: overage.map(|overage| overage.mode.as_str()),
            lines: segment.at_end.iter().map(LineView::from).collect(),
            lines_at_start: segment.at_start.iter().map(LineView::from).collect(),
            amount: segment.amount.digits(),
        }
    }
}

impl From<&PriceLine> for LineView {
    fn from(line: &PriceLine) -> Self {
        Self {
            from: line.from.to_string(),
            to: line.to.to_string(),
            units: line.units.to_string(),
            unit_price: line.unit_price.to_string(),
            per: line.per,
            amount: line.amount.digits(),
        }
    }
}

impl From<&Events> for EventsView {
    fn from(events: &Events) -> Self {
        let end = |event: &EventRow| EventView {
            id: event.id,
            timestamp: event.occurred_at,
            idempotency_key: event.key.clone(),
        };
        Self {
            count: events.count,
            corrections: events.corrections,
            total: Quantity::from_decimal(events.total).to_string(),
            first: events.first.as_ref().map(end),
            last: events.last.as_ref().map(end),
            digest: events.digest.map(|digest| hex(&digest)),
            archived: events.archived.clone(),
        }
    }
}
