//! `POST /api/usage/preview`

use axum::Json;
use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};
use tenantry_domain::permission::Permission;
use utoipa::ToSchema;

use super::Figures;
use super::batch::{BatchAnswer, NotAccepted};
use super::event::{EventBody, Frame};
use super::record::{Place, refuse_forbidden};
use super::report::ReportPeriod;
use super::spend::SpendFigures;
use crate::http::caller::{Permitted, ViewBilling};
use crate::http::extract;
use crate::http::problem::Problem;
use crate::http::refusals::UsagePreviewRefusals;
use crate::http::state::AppState;
use crate::tenancy::Actor;
use crate::usage::ingest::PeriodPreview;
use crate::usage::outcome::Outcome;

/// Events in one preview at the most: their counters are locked while it is made.
const MOST_EVENTS: usize = 1000;

/// Events to be looked at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UsagePreviewBody)]
pub struct PreviewBody<'a> {
    /// 1 to 1000 events of one tenant, as `POST /api/usage` takes them; decided in order.
    #[serde(borrow)]
    #[schema(min_items = 1, max_items = 1000)]
    pub events: Vec<EventBody<'a>>,
}

/// What events would do.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsagePreview {
    /// Events that would count.
    pub accepted: usize,
    /// Events that counted before, or come earlier here.
    pub duplicate: usize,
    /// Events that a limit would refuse.
    pub rejected: usize,
    /// Events whose key was used for other content.
    pub conflict: usize,
    /// Events with something wrong in them.
    pub invalid: usize,
    /// What would become of each event, by its index.
    pub results: Vec<PreviewedEvent>,
    /// Each metric and period that the events fall in.
    pub periods: Vec<PreviewedPeriod>,
}

/// What would become of an event.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreviewedEvent {
    /// Its index in `events`, from 0.
    pub index: usize,
    /// `accepted`, `duplicate`, `rejected`, `conflict` or `invalid`.
    #[schema(example = "accepted")]
    pub status: &'static str,
    /// Why it would not be accepted, as a stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "usage_limit_exceeded")]
    pub code: Option<&'static str>,
    /// The field at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'static str>,
    /// What is wrong, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Where the metric would stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figures: Option<Figures>,
    /// The spend cap that would refuse it, for those who may view billing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub spend: Option<SpendFigures>,
}

/// What the events would do to one metric in one period. Quantities are exact decimals in strings.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreviewedPeriod {
    /// The metric.
    #[schema(example = "tokens")]
    pub metric: String,
    /// The period.
    pub period: ReportPeriod,
    /// Whether it is closed: then a change is charged or credited at once.
    pub closed: bool,
    /// Whether it lies before the tenant was here: then it is priced for display and never billed.
    pub historic: bool,
    /// Used in the period before.
    #[schema(example = "1000")]
    pub total_before: String,
    /// And after.
    #[schema(example = "1250")]
    pub total_after: String,
    /// What the overage of the period costs before, in minor units of the currency.
    #[schema(example = 0)]
    pub cost_before_cents: i64,
    /// And after.
    #[schema(example = 625)]
    pub cost_after_cents: i64,
    /// The adjustment that would be written at once, negative where it gives back; null: the period is open, and what
    /// it costs is charged when it is closed.
    #[schema(example = 625)]
    pub adjustment_cents: Option<i64>,
    /// ISO 4217, lower case.
    #[schema(example = "usd")]
    pub currency: String,
}

/// Preview usage
///
/// What events would do, as `POST /api/usage` would decide them at this moment, with late usage and corrections
/// (`reverses`): per event what would become of it, per metric and period the totals and costs before and after, and the
/// adjustment that a closed period would get. Nothing is recorded. The events' counters are locked while it is made, so
/// there are at most 1000. Needs `viewBilling`, and `recordUsage` for usage, `manageBilling` for corrections.
#[utoipa::path(
    post, path = "/api/usage/preview", tag = "usage", operation_id = "previewUsage",
    request_body(content = PreviewBody, example = json!({ "events": [{ "reverses": "req-7f3a", "idempotencyKey": "undo-req-7f3a" }] })),
    responses((status = 200, body = UsagePreview), UsagePreviewRefusals),
    security(("bearer" = [])),
)]
pub async fn preview(
    State(state): State<AppState>,
    permitted: Permitted<ViewBilling>,
    request: Request,
) -> Result<Json<UsagePreview>, Problem> {
    let (caller, tenant_id) = (permitted.caller, permitted.tenant_id);
    let bytes = extract::body_bytes(request).await?;
    let body: PreviewBody<'_> = extract::parse_json(&bytes)?;
    if body.events.is_empty() || body.events.len() > MOST_EVENTS {
        return Err(Problem::invalid("events", format!("must have 1 to {MOST_EVENTS} events")));
    }
    let frame = Frame {
        tenant_id: Some(tenant_id),
        team_id: None,
        may_name_tenant: matches!(caller.actor, Actor::ServiceKey(_)),
        received_at: state.env.clock.now(),
        catalog: &state.catalog,
    };
    let (mut answer, mut places, mut events) = (Answer::default(), Vec::new(), Vec::new());
    for (index, event) in body.events.iter().enumerate() {
        match event.read(&frame) {
            Ok(event) => {
                places.push(index);
                events.push(event);
            }
            Err(invalid) => answer.add(index, Outcome::Invalid(invalid)),
        }
    }
    let preview = state.ingest.preview(caller.actor, &events).await?;
    let place = Place { tenant_id, team_id: None };
    for (index, outcome) in places.into_iter().zip(preview.outcomes) {
        match outcome {
            Outcome::Forbidden(needed) => return Err(refuse_forbidden(&state, &caller, place, needed).await),
            Outcome::Foreign => return Err(refuse_forbidden(&state, &caller, place, Permission::RecordUsage).await),
            outcome => answer.add(index, outcome),
        }
    }
    Ok(Json(answer.whole(preview.periods.into_iter().map(PreviewedPeriod::from).collect())))
}

/// The answer of `POST /api/usage` to the same events, and those that it would accept.
#[derive(Default)]
struct Answer {
    batch: BatchAnswer,
    accepted: Vec<PreviewedEvent>,
}

impl Answer {
    fn add(&mut self, index: usize, outcome: Outcome) {
        if let Outcome::Accepted(answer) = &outcome {
            let figures = Some(Figures::of(&answer.metric, &answer.standing));
            let accepted = PreviewedEvent {
                index,
                status: "accepted",
                code: None,
                field: None,
                message: None,
                figures,
                spend: None,
            };
            self.accepted.push(accepted);
        }
        self.batch.add(index, outcome);
    }

    fn whole(self, periods: Vec<PreviewedPeriod>) -> UsagePreview {
        let Self { batch, accepted: mut results } = self;
        let others =
            batch.results.into_iter().map(|NotAccepted { index, status, code, field, message, figures, spend }| {
                PreviewedEvent { index, status, code: Some(code), field, message, figures, spend }
            });
        results.extend(others);
        results.sort_by_key(|result| result.index);
        UsagePreview {
            accepted: batch.accepted,
            duplicate: batch.duplicate,
            rejected: batch.rejected,
            conflict: batch.conflict,
            invalid: batch.invalid,
            results,
            periods,
        }
    }
}

impl From<PeriodPreview> for PreviewedPeriod {
    fn from(period: PeriodPreview) -> Self {
        let PeriodPreview { metric, start, end, closed, historic, total, cost_minor, currency, adjustment_minor } =
            period;
        Self {
            metric,
            period: ReportPeriod { start, end },
            closed,
            historic,
            total_before: total[0].to_string(),
            total_after: total[1].to_string(),
            cost_before_cents: cost_minor[0],
            cost_after_cents: cost_minor[1],
            adjustment_cents: adjustment_minor,
            currency,
        }
    }
}
