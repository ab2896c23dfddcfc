//! `tenantry charge`

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tenantry_domain::money::{Currency, Money};
use uuid::Uuid;

use super::output::table;
use super::{Failure, Session};
use crate::deployment::Deployment;
use crate::http::routes::billing::charges::ChargeView;
use crate::http::routes::billing::explain::{ChargeExplanation, LineView, SegmentView, view};
use crate::storage::usage::books;
use crate::storage::usage::recorded::{self, ChargeRow};
use crate::usage::explain;
use crate::usage::month::Month;
use crate::usage::recompute::{self, Recomputed, Scope};

/// Tenants, and charges of them, that are read at once.
const PAGE: i64 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum ChargeCommand {
    /// List charges, each tenant's newest first
    List {
        /// One tenant only
        #[arg(long, value_name = "UUID")]
        tenant: Option<Uuid>,
        /// Of periods that begin in this month (UTC)
        #[arg(long, value_name = "YYYY-MM")]
        period: Option<Month>,
    },
    /// Show where a charge comes from: totals, versions of plans, tiers, exact amounts, rounding, and its events
    Explain {
        /// The charge's id
        #[arg(value_name = "CHARGE-ID")]
        id: Uuid,
        /// Its tenant: saves looking for it
        #[arg(long, value_name = "UUID")]
        tenant: Option<Uuid>,
    },
    /// Reckon charges again from the raw events, to the cent; exits 1 where one is not the price of its events
    Recompute(Recompute),
}

#[derive(Debug, Args)]
pub(super) struct Recompute {
    /// The id of a charge, or `all`
    #[arg(value_name = "CHARGE-ID|all", required_unless_present_any = ["tenant", "period"], value_parser = which)]
    which: Option<Which>,
    /// All charges of a tenant
    #[arg(long, value_name = "UUID")]
    tenant: Option<Uuid>,
    /// All charges of periods that begin in this month (UTC)
    #[arg(long, value_name = "YYYY-MM")]
    period: Option<Month>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    Charge(Uuid),
}

fn which(text: &str) -> Result<Which, String> {
    if text == "all" {
        return Ok(Which::All);
    }
    text.parse().map(Which::Charge).map_err(|_| "must be the id of a charge, or all".to_owned())
}

pub(super) async fn run(session: &Session, command: &ChargeCommand) -> Result<ExitCode, Failure> {
    match command {
        ChargeCommand::List { tenant, period } => {
            let rows = session.on_database(async |opened| listed(opened, *tenant, *period).await).await?;
            print_list(session, &rows)?;
            Ok(ExitCode::SUCCESS)
        }
        ChargeCommand::Explain { id, tenant } => {
            let found = session.on_database(async |opened| explained(opened, *id, *tenant).await).await?;
            let mut value = serde_json::to_value(&found.1).map_err(|error| Failure::wrong(error.to_string()))?;
            value["tenantId"] = json!(found.0);
            session.out.print(&value, || text(found.0, &found.1))?;
            Ok(if found.1.holds { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
        ChargeCommand::Recompute(wanted) => recomputed(session, wanted).await,
    }
}

async fn listed(opened: &Deployment, only: Option<Uuid>, period: Option<Month>) -> Result<Vec<ChargeRow>, Failure> {
    let starts = (period.map(|month| month.start), period.map(|month| month.end));
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let tenants = if let Some(tenant) = only {
            vec![tenant]
        } else {
            let tx = opened.db.read_as_service("list_tenants", &[]).await?;
            let page = books::all_tenants(&tx, after, PAGE).await?;
            tx.rollback().await?;
            page
        };
        let Some(last) = tenants.last().copied() else { return Ok(rows) };
        let tx = opened.db.read_as_service("list_charges", &tenants).await?;
        for tenant in &tenants {
            let mut place = None;
            loop {
                let page = recorded::charges(&tx, &[*tenant], starts, place, PAGE).await?;
                place = page.last().map(|row| (row.created_at, row.id));
                rows.extend(page);
                if place.is_none() {
                    break;
                }
            }
        }
        tx.rollback().await?;
        after = Some(last);
        if only.is_some() {
            return Ok(rows);
        }
    }
}

fn print_list(session: &Session, rows: &[ChargeRow]) -> Result<(), Failure> {
    let mut data = Vec::with_capacity(rows.len());
    for row in rows {
        let view = ChargeView::try_from(row)?;
        let mut value = serde_json::to_value(view).map_err(|error| Failure::wrong(error.to_string()))?;
        value["tenantId"] = json!(row.tenant_id);
        data.push(value);
    }
    session.out.print(&json!({ "data": data }), || {
        let lines = rows.iter().map(|row| {
            [
                row.id.to_string(),
                row.tenant_id.to_string(),
                row.metric.clone(),
                format!("{} - {}", row.period_start, row.period_end),
                row.sequence.to_string(),
                money(row.amount_minor, &row.currency),
                row.state.clone(),
            ]
        });
        table(["charge", "tenant", "metric", "period", "sequence", "amount", "state"], lines)
    })
}

async fn explained(opened: &Deployment, id: Uuid, tenant: Option<Uuid>) -> Result<(Uuid, ChargeExplanation), Failure> {
    let nobody =
        || Failure::usage(format!("there is no charge {id}; `tenantry charge list` shows those that are there"));
    let tenant = explain::find(&opened.db, tenant, id).await?.ok_or_else(nobody)?.tenant_id;
    let tx = opened.db.read_as_service("explain_charge", &[tenant]).await?;
    let found = explain::explain(&tx, tenant, id, i64::MAX).await?;
    tx.rollback().await?;
    Ok((tenant, view(&found.ok_or_else(nobody)?)?))
}

async fn recomputed(session: &Session, wanted: &Recompute) -> Result<ExitCode, Failure> {
    let scope = match (wanted.which, wanted.tenant, wanted.period) {
        (Some(Which::Charge(id)), None, None) => Scope::Charge(id),
        (Some(_), tenant, period) if tenant.is_some() || period.is_some() => {
            return Err(Failure::usage("give the id of a charge or `all`, or --tenant and --period, not both"));
        }
        (_, tenant, period) => Scope::Periods(tenant, period),
    };
    let found = session.on_database(async |opened| Ok(recompute::recompute(&opened.db, scope).await?)).await?;
    let found = found.ok_or_else(|| Failure::usage("there is no charge of that id"))?;
    session.out.print(&recomputed_json(&found), || recomputed_text(&found))?;
    Ok(if found.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn recomputed_json(found: &Recomputed) -> Value {
    let differences: Vec<Value> = found
        .differences
        .iter()
        .map(|found| json!({ "tenantId": found.tenant_id, "book": found.book, "detail": found.detail }))
        .collect();
    json!({
        "counters": found.counters,
        "events": found.events,
        "archived": found.archived,
        "differences": differences,
    })
}

fn recomputed_text(found: &Recomputed) -> String {
    let mut text = String::new();
    for found in &found.differences {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}  {}", found.tenant_id, found.detail);
    }
    let verdict = match found.differences.len() {
        0 => "the charges are the price of the events".to_owned(),
        1 => "1 difference".to_owned(),
        many => format!("{many} differences"),
    };
    let plural = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let (counters, events) = (plural(found.counters, "closed counter"), plural(found.events, "event"));
    let _ = writeln!(text, "{counters}, {events}: {verdict}");
    for (month, count) in &found.archived {
        let _ = writeln!(text, "{} not reckoned: events of {month} are archived", plural(*count, "counter"));
    }
    text
}

fn money(minor: i64, currency: &str) -> String {
    match currency.parse::<Currency>() {
        Ok(currency) => Money { minor, currency }.to_string(),
        Err(_) => format!("{minor} minor units of {currency}"),
    }
}

fn text(tenant: Uuid, found: &ChargeExplanation) -> String {
    let charge = &found.charge;
    let currency = &charge.currency;
    let kind = if charge.sequence == 0 { "closing".to_owned() } else { format!("adjustment {}", charge.sequence) };
    let mut text = format!(
        "charge {}: {} for {}, {}\ntenant {tenant}, {kind} of the period from {} to {}\n",
        charge.id,
        money(charge.amount_cents, currency),
        charge.metric,
        charge.state,
        charge.period.start,
        charge.period.end
    );
    for segment in &found.segments {
        text.push_str(&segment_text(segment));
    }
    // Writing to a String cannot fail.
    let _ = writeln!(text, "\nsum of the exact amounts   {} minor units of {currency}", found.sum);
    let _ = writeln!(text, "rounded once, half to even {}", money(found.rounded_cents, currency));
    let _ = writeln!(text, "charged before             {}", money(found.charged_before_cents, currency));
    let _ = writeln!(text, "this charge                {}", money(found.difference_cents, currency));
    if !found.holds {
        let _ = writeln!(text, "this is NOT what the charge says: its inputs and its plan versions do not make it");
    }
    text.push_str(&events_text(found));
    text
}

fn segment_text(segment: &SegmentView) -> String {
    let included = segment.included.as_deref().unwrap_or("nothing to price");
    let mut text = format!(
        "\nunder {} version {}: total from {} to {}, included {included}\n",
        segment.plan_id, segment.plan_version, segment.total_at_start, segment.total_at_end
    );
    let row = |what: &str, line: &LineView| {
        let rate =
            if line.per == 1 { line.unit_price.clone() } else { format!("{} per {}", line.unit_price, line.per) };
        [what.to_owned(), line.from.clone(), line.to.clone(), line.units.clone(), rate, line.amount.clone()]
    };
    let at_end = segment.lines.iter().map(|line| row("  at its end", line));
    let at_start = segment.lines_at_start.iter().map(|line| row("  less at its start", line));
    let rows: Vec<_> = at_end.chain(at_start).collect();
    if !rows.is_empty() {
        text.push_str(&table(["  price of the total", "above from", "to", "units", "rate", "amount"], rows));
    }
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  adds {}", segment.amount);
    text
}

fn events_text(found: &ChargeExplanation) -> String {
    let events = &found.events;
    let mut text = format!(
        "\nevents of the period now: {}, {} of them corrections, together {}\n",
        events.count, events.corrections, events.total
    );
    for (what, event) in [("first", &events.first), ("last", &events.last)] {
        if let Some(event) = event {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{what:<6} {}  {}  {}", event.timestamp, event.id, event.idempotency_key);
        }
    }
    if let Some(digest) = &events.digest {
        let _ = writeln!(text, "sha256 {digest}");
    }
    if !events.archived.is_empty() {
        let _ = writeln!(text, "archived: events of {} are not in the table any more", events.archived.join(", "));
    }
    let current = &found.current;
    let total = match (&current.total, current.is_same) {
        (Some(_), Some(true)) => "the total is what it was".to_owned(),
        (Some(total), _) => format!("the total is {total} now, where {} was charged", found.total),
        (None, _) => "the total cannot be made again from the events".to_owned(),
    };
    let later = match current.later_adjustments {
        0 => "no adjustment came later".to_owned(),
        1 => "1 adjustment came later".to_owned(),
        many => format!("{many} adjustments came later"),
    };
    let charged = money(current.charged_cents, &found.charge.currency);
    let _ = writeln!(text, "{total}; {later}; all charges for it: {charged}");
    text
}
