//! `tenantry usage report`

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use tenantry_domain::money::{Currency, Money};
use uuid::Uuid;

use crate::cli::output::table;
use crate::cli::{Failure, Session};
use crate::http::routes::usage::report::{ReportBody, ReportTenant, view};
use crate::storage::tenants;
use crate::usage::groups::{GroupBy, Selection};
use crate::usage::report;

#[derive(Debug, Args)]
pub(in crate::cli) struct Report {
    /// The tenant
    #[arg(long, value_name = "UUID")]
    tenant: Uuid,
    /// A whole UTC hour or a bound of a period, as in 2026-11-01T00:00:00Z [default: the current period's start]
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// The same, not included [default: the current period's end]
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    /// One metric only
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    /// Sums by day, user, metric, or a dimension of the plan catalog such as model
    #[arg(long, value_name = "WHAT")]
    group_by: Option<GroupBy>,
}

pub(super) async fn run(session: &Session, report: &Report) -> Result<ExitCode, Failure> {
    let body = session.on_database(async |opened| {
        let tx = opened.db.read_as_service("report_usage", &[report.tenant]).await?;
        let tenant = tenants::get(&tx, report.tenant).await?;
        let selection = Selection { metric: report.metric.as_deref(), group_by: report.group_by.as_ref() };
        let now = session.env.clock.now();
        let found = report::report(&tx, (report.tenant, None), (report.from, report.to), selection, now).await;
        tx.rollback().await?;
        let tenant = tenant.ok_or_else(|| Failure::usage(format!("--tenant: there is no tenant {}", report.tenant)))?;
        let found = found.map_err(|error| Failure::usage(error.to_string()))?;
        Ok(view(ReportTenant { id: tenant.id, r#type: tenant.kind, name: tenant.name }, &found))
    });
    let body = body.await?;
    session.out.print(&body, || text(&body))?;
    Ok(ExitCode::SUCCESS)
}

fn text(body: &ReportBody) -> String {
    let mut text = format!(
        "{} ({}) on plan {}, {}\nfrom {} to {}\n\n",
        body.tenant.name,
        body.tenant.id,
        body.subscription.plan_id,
        body.subscription.status,
        body.period.start,
        body.period.end
    );
    let limits = body.subscription.limits.iter().map(|(metric, limit)| {
        let or_unlimited = |quantity: &Option<String>| quantity.clone().unwrap_or_else(|| "unlimited".to_owned());
        let overage = match (limit.accrued_overage_cents, limit.currency.parse::<Currency>()) {
            (Some(minor), Ok(currency)) if limit.allow_overages => Money { minor, currency }.to_string(),
            _ => String::new(),
        };
        [
            metric.clone(),
            limit.total.clone(),
            or_unlimited(&limit.included),
            or_unlimited(&limit.remaining),
            limit.overage.clone(),
            overage,
        ]
    });
    text.push_str(&table(["metric", "used in period", "included", "remaining", "above", "accrued"], limits));
    text.push('\n');
    if let Some(groups) = &body.groups {
        let rows = groups.iter().map(|group| {
            let key = group.key.clone().unwrap_or_else(|| "none".to_owned());
            [group.metric.clone(), key, group.total.clone(), group.count.to_string()]
        });
        text.push_str(&table(["metric", "group", "used from - to", "events"], rows));
        return text;
    }
    let used = body.usage.iter().flat_map(|(metric, used)| {
        // What is no sum is told as a whole.
        let whole = used.by_user.is_empty().then(|| [metric.clone(), used.aggregation.to_owned(), used.total.clone()]);
        let by_user = used.by_user.iter().map(move |(user, amount)| [metric.clone(), user.clone(), amount.clone()]);
        by_user.chain(whole)
    });
    text.push_str(&table(["metric", "user", "used from - to"], used));
    text
}
