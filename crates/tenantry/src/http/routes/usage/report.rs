//! `GET /api/usage/report`

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenantry_domain::quantity::Quantity;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::LimitView;
use crate::http::caller::ViewUsage;
use crate::http::extract::Query;
use crate::http::problem::Problem;
use crate::http::refusals::UsageReadRefusals;
use crate::http::state::AppState;
use crate::http::team::Shared;
use crate::storage::tenants;
use crate::usage::groups::{Group, GroupBy, Selection};
use crate::usage::report::{self, MetricUsage, Report};

/// Name of the entry for usage that named no user.
const NOBODY: &str = "none";

/// The span of a report.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReportQuery {
    /// A whole UTC hour or a bound of a period; default: the start of the current period.
    #[param(value_type = Option<String>, format = DateTime)]
    pub from: Option<String>,
    /// The same, not included; default: the end of the current period.
    #[param(value_type = Option<String>, format = DateTime)]
    pub to: Option<String>,
    /// One metric only.
    pub metric: Option<String>,
    /// `day`, `user`, `metric`, or a dimension that the plan catalog declares, such as `model`: `groups` has the sums by it.
    #[param(example = "day")]
    pub group_by: Option<String>,
}

/// A usage report.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReportBody {
    /// The tenant.
    pub tenant: ReportTenant,
    /// What it covers.
    pub period: ReportPeriod,
    /// Plan, and limits of the period in which the span ends.
    pub subscription: ReportSubscription,
    /// Use by metric.
    pub usage: BTreeMap<String, MetricUsageView>,
    /// All of it at a glance.
    pub summary: ReportSummary,
    /// With `groupBy`: the same use by it, by metric and key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<GroupView>>,
}

/// A part of what was used.
#[derive(Debug, Serialize, ToSchema)]
pub struct GroupView {
    /// The metric.
    #[schema(example = "tokens")]
    pub metric: String,
    /// The day in UTC as `YYYY-MM-DD`, the user's id, the metric, or the dimension's value; null for what has none.
    #[schema(example = "2026-11-24")]
    pub key: Option<String>,
    /// Sum of amounts.
    #[schema(example = "250")]
    pub total: String,
    /// Number of events, corrections included.
    #[schema(example = 250)]
    pub count: i64,
}

/// The tenant of a report.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReportTenant {
    /// Its id.
    pub id: Uuid,
    /// `user` or `organization`.
    #[schema(example = "organization")]
    pub r#type: String,
    /// For people.
    #[schema(example = "Acme")]
    pub name: String,
}

/// A half-open span of time.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReportPeriod {
    /// First instant.
    #[schema(value_type = String, format = DateTime)]
    pub start: jiff::Timestamp,
    /// First instant after it.
    #[schema(value_type = String, format = DateTime)]
    pub end: jiff::Timestamp,
}

/// The subscription of a report.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportSubscription {
    /// The plan.
    #[schema(example = "pro")]
    pub plan_id: String,
    /// As Stripe names it.
    #[schema(example = "active")]
    pub status: String,
    /// Where each metric stands in the period in which the span ends.
    pub limits: BTreeMap<String, LimitView>,
}

/// Use of one metric.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricUsageView {
    /// What events make: `sum`, `max`, `last`, `unique`, `peak` or `percentile`.
    #[schema(example = "sum")]
    pub aggregation: &'static str,
    /// What that is: the sum of amounts, or another figure.
    #[schema(example = "250")]
    pub total: String,
    /// Number of events, corrections included.
    #[schema(example = 250)]
    pub count: i64,
    /// Sum by user id; `none` for events that named no user. Empty where the metric is no sum: figures of users do not
    /// add up.
    #[schema(example = json!({ "none": "250" }))]
    pub by_user: BTreeMap<String, String>,
}

/// A report at a glance.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportSummary {
    /// Metrics that were used.
    pub total_metrics: usize,
    /// Sum over all metrics, whatever their units.
    #[schema(example = "250")]
    pub total_usage: String,
    /// Users who used something.
    pub unique_users: usize,
}

/// Get a report
///
/// Who used what between two instants, with plan, limits and accrued overage of the current period; with `groupBy` also
/// by day, by user, or by what events say of themselves. All of it is one moment's. A dimension that was declared just
/// now may be refused for earlier spans until they are summed by it. Needs `viewUsage`; with `X-Team-Id` it has what the
/// caller used, nothing of what it costs, and no groups by dimension.
#[utoipa::path(
    get, path = "/api/usage/report", tag = "usage", operation_id = "getUsageReport",
    params(ReportQuery),
    responses((status = 200, body = ReportBody), UsageReadRefusals),
    security(("bearer" = [])),
)]
pub async fn report(
    State(state): State<AppState>,
    shared: Shared<ViewUsage>,
    Query(query): Query<ReportQuery>,
) -> Result<Json<ReportBody>, Problem> {
    let (from, to) = (super::bound("from", query.from.as_deref())?, super::bound("to", query.to.as_deref())?);
    let tenant_id = shared.tenant_id;
    if let Some(metric) = &query.metric {
        super::declared(&state, metric)?;
    }
    let group_by = query.group_by.as_deref().map(str::parse::<GroupBy>).transpose();
    let group_by = group_by.map_err(|error| Problem::invalid("groupBy", error.to_string()))?;
    let selection = Selection { metric: query.metric.as_deref(), group_by: group_by.as_ref() };
    let tx = shared.read(&state, "get_usage_report").await?;
    let tenant = tenants::get(&tx, tenant_id).await?;
    let found =
        report::report(&tx, (tenant_id, shared.only_user()), (from, to), selection, state.env.clock.now()).await;
    tx.rollback().await?;
    let tenant = tenant.ok_or_else(Problem::not_found)?;
    let tenant = ReportTenant { id: tenant.id, r#type: tenant.kind, name: tenant.name };
    let mut body = view(tenant, &found?);
    if !shared.sees_money() {
        body.subscription.limits.values_mut().for_each(LimitView::hide_money);
    }
    Ok(Json(body))
}

/// The report as it is sent; also what the command line prints.
pub fn view(tenant: ReportTenant, report: &Report) -> ReportBody {
    let usage: BTreeMap<String, MetricUsageView> =
        report.usage.iter().map(|(metric, used)| (metric.clone(), used.into())).collect();
    let total: Quantity = report.usage.values().map(|used| used.total).sum();
    ReportBody {
        tenant,
        period: ReportPeriod { start: report.from, end: report.to },
        subscription: ReportSubscription {
            plan_id: report.current.subscription.plan_id.clone(),
            status: report.current.subscription.status.clone(),
            limits: report.current.limits.iter().map(|(metric, limit)| (metric.clone(), limit.into())).collect(),
        },
        summary: ReportSummary {
            total_metrics: usage.len(),
            total_usage: total.to_string(),
            unique_users: report.unique_users,
        },
        usage,
        groups: report.groups.as_ref().map(|groups| groups.iter().map(GroupView::from).collect()),
    }
}

impl From<&Group> for GroupView {
    fn from(group: &Group) -> Self {
        Self {
            metric: group.metric.clone(),
            key: group.key.clone(),
            total: group.total.to_string(),
            count: group.count,
        }
    }
}

impl From<&MetricUsage> for MetricUsageView {
    fn from(used: &MetricUsage) -> Self {
        let by_user = used.by_user.iter().map(|(user, amount)| {
            (user.map_or_else(|| NOBODY.to_owned(), |user| user.to_string()), amount.to_string())
        });
        Self {
            aggregation: used.aggregation.name(),
            total: used.total.to_string(),
            count: used.count,
            by_user: by_user.collect(),
        }
    }
}
