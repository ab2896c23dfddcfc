//! `tenantry stripe`

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::output::table;
use super::{Failure, Session};
use crate::deployment::Deployment;
use crate::storage::StoreError;
use crate::storage::stripe::events::{self as rows, EventRow};
use crate::stripe_sync::{overage, reconcile};
use crate::tenancy::security::clean;
use crate::write_tx;

/// Characters of a reason that fit beside the rest.
const REASON: usize = 100;

#[derive(Debug, Subcommand)]
pub(super) enum StripeCommand {
    /// Events that came in: how many, and the newest of a state
    Events(Events),
    /// Handle stored events again; each is safe to handle twice
    Replay(Replay),
    /// Compare every customer, subscription and open invoice with Stripe; exit 1 where they differ
    Reconcile(Reconcile),
    /// Say whether a meter event counts that `reconcile` tells to be in doubt
    Resolve(Resolve),
}

#[derive(Debug, Args)]
pub(super) struct Resolve {
    /// The tenant
    #[arg(long, value_name = "UUID")]
    tenant: Uuid,
    /// The charge, which is the identifier of the event
    #[arg(long, value_name = "UUID")]
    charge: Uuid,
    /// Stripe counts it
    #[arg(long, required_unless_present = "not_counted")]
    counted: bool,
    /// Stripe does not count it: the charge becomes an invoice item
    #[arg(long, conflicts_with = "counted")]
    not_counted: bool,
}

#[derive(Debug, Args)]
pub(super) struct Reconcile {
    /// Bring the database to what Stripe says
    #[arg(long)]
    fix: bool,
    /// One tenant only
    #[arg(long, value_name = "UUID")]
    tenant: Option<Uuid>,
}

#[derive(Debug, Args)]
pub(super) struct Events {
    /// The state that is listed
    #[arg(long, value_enum, default_value = "pending")]
    state: State,
    /// The same as --state dead: events that failed too often
    #[arg(long, conflicts_with = "state")]
    dead: bool,
    /// How many are listed
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    Pending,
    Done,
    Dead,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Dead => "dead",
        }
    }
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Replay {
    /// One event
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// All that came in since then, as in 2026-03-01T00:00:00Z
    #[arg(long, value_name = "TIMESTAMP")]
    since: Option<Timestamp>,
    /// All that failed too often
    #[arg(long)]
    dead: bool,
}

pub(super) async fn run(session: &Session, command: StripeCommand) -> Result<ExitCode, Failure> {
    session
        .on_database(async |opened| match &command {
            StripeCommand::Events(events) => listed(session, opened, events).await,
            StripeCommand::Replay(replay) => replayed(session, opened, replay).await,
            StripeCommand::Reconcile(reconcile) => reconciled(session, opened, reconcile).await,
            StripeCommand::Resolve(resolve) => resolved(session, opened, resolve).await,
        })
        .await
}

/// Exit 1 where events are dead: something is wrong until they were handled.
async fn listed(session: &Session, opened: &Deployment, events: &Events) -> Result<ExitCode, Failure> {
    let state = if events.dead { State::Dead } else { events.state };
    let tx = opened.db.read_as_service("list_stripe_events", &[]).await?;
    let read = async {
        let mut counts = Vec::new();
        for state in [State::Pending, State::Done, State::Dead] {
            counts.push((state.as_str(), rows::count_of_state(&tx, state.as_str()).await?));
        }
        Ok::<_, StoreError>((counts, rows::of_state(&tx, state.as_str(), i64::from(events.limit)).await?))
    };
    let read = read.await;
    tx.rollback().await?;
    let (counts, found) = read?;
    let values: Vec<_> = found
        .iter()
        .map(|event| {
            json!({
                "id": event.id, "type": event.kind, "state": event.state, "objectId": event.object_id,
                "customerId": event.customer_id, "createdAt": event.created_at, "receivedAt": event.received_at,
                "attempts": event.attempts, "lastError": event.last_error,
            })
        })
        .collect();
    let numbers: serde_json::Map<_, _> =
        counts.iter().map(|(state, count)| ((*state).to_owned(), json!(count))).collect();
    session.out.print(&json!({ "counts": numbers, "data": values }), || {
        let numbers: Vec<String> = counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
        let lines = found.iter().map(line);
        format!("{}\n\n{}", numbers.join(", "), table(["id", "type", "received", "tries", "last failure"], lines))
    })?;
    let is_dead = counts.iter().any(|(state, count)| *state == State::Dead.as_str() && *count > 0);
    Ok(if is_dead { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn line(event: &EventRow) -> [String; 5] {
    let reason: String = clean(event.last_error.as_deref().unwrap_or_default()).chars().take(REASON).collect();
    [event.id.clone(), event.kind.clone(), format!("{:.0}", event.received_at), event.attempts.to_string(), reason]
}

async fn replayed(session: &Session, opened: &Deployment, replay: &Replay) -> Result<ExitCode, Failure> {
    let now = session.env.clock.now();
    let revived: u64 = write_tx!(opened.db, "replay_stripe_events", &[], |tx| {
        match (&replay.event, replay.since) {
            (Some(id), _) => rows::revive(tx, id, now).await.map(u64::from),
            (None, Some(since)) => rows::revive_since(tx, since, now).await,
            (None, None) => rows::revive_dead(tx, now).await,
        }
    })
    .map_err(|error: StoreError| Failure::from(error))?;
    if let (Some(id), 0) = (&replay.event, revived) {
        return Err(Failure::wrong(format!("no event {id} came in: ask Stripe whether it was sent")));
    }
    session.out.print(&json!({ "replayed": revived }), || {
        format!("{revived} to be handled again, by the server that runs or the next one")
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn resolved(session: &Session, opened: &Deployment, asked: &Resolve) -> Result<ExitCode, Failure> {
    let stripe = crate::server::stripe::for_command(&session.config, &session.env, &opened.db)?;
    let is_resolved = overage::resolve(&stripe, asked.tenant, asked.charge, asked.counted)
        .await
        .map_err(|error| Failure::wrong(error.to_string()))?;
    if !is_resolved {
        return Err(Failure::wrong(format!("the charge {} of this tenant has no meter event in doubt", asked.charge)));
    }
    let value = json!({ "chargeId": asked.charge, "counted": asked.counted });
    session.out.print(&value, || {
        let how = if asked.counted { "counts at Stripe" } else { "becomes an invoice item" };
        format!("the charge {} {how}", asked.charge)
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn reconciled(session: &Session, opened: &Deployment, asked: &Reconcile) -> Result<ExitCode, Failure> {
    let stripe = crate::server::stripe::for_command(&session.config, &session.env, &opened.db)?;
    let found = reconcile::reconcile(&stripe, asked.tenant, asked.fix)
        .await
        .map_err(|error| Failure::wrong(error.to_string()))?;
    let values: Vec<_> = found
        .differences
        .iter()
        .map(|difference| {
            json!({
                "tenantId": difference.tenant_id, "customerId": difference.customer_id, "difference": difference.what,
                "fixed": difference.is_fixed,
            })
        })
        .collect();
    let failures: Vec<_> =
        found.failures.iter().map(|(customer, reason)| json!({ "customerId": customer, "reason": reason })).collect();
    let value = json!({ "customers": found.customers, "differences": values, "failures": failures });
    session.out.print(&value, || {
        let lines = found.differences.iter().map(|difference| {
            let mark = if difference.is_fixed { "fixed  " } else { "" };
            format!("{}  {}  {mark}{}\n", difference.tenant_id, difference.customer_id, difference.what)
        });
        let failed = found.failures.iter().map(|(customer, reason)| format!("{customer}  not compared: {reason}\n"));
        let verdict = match found.differences.len() {
            0 => "Stripe and the database tell the same story".to_owned(),
            1 => "1 difference".to_owned(),
            many => format!("{many} differences"),
        };
        let customers = if found.customers == 1 { "customer" } else { "customers" };
        lines.chain(failed).collect::<String>() + &format!("{} {customers}: {verdict}", found.customers)
    })?;
    let is_fine = found.failures.is_empty() && found.differences.iter().all(|difference| difference.is_fixed);
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
