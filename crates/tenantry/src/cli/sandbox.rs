//! `tenantry sandbox`

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Span, Timestamp, tz::TimeZone};
use serde_json::json;

use super::{Failure, Session};
use crate::config::{Environment, SandboxSecrets, sandbox_folder};
use crate::server::sandbox::{self, Place, SandboxClock, Start};
use crate::storage::stripe::events;
use crate::storage::{Database, jobs};

/// The clock is advanced by this at least, so that what is due and stays due holds nobody up.
const STEP: SignedDuration = SignedDuration::from_secs(1);
/// Pause between two looks whether everything was handled.
const LOOK: std::time::Duration = std::time::Duration::from_millis(25);

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct SandboxCommand {
    #[command(subcommand)]
    command: Option<Then>,
    /// Where to listen [default: 127.0.0.1:12111]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where to send events [default: to a server on this machine, http://127.0.0.1:8080/api/webhooks/stripe]
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Then {
    /// Advance the clock of the sandbox that runs, and with it the clock of its server
    Advance {
        /// By how much, as in 1mo, 3d or 2h; or to when, as in 2026-03-01T00:00:00Z
        #[arg(value_name = "SPAN|TIMESTAMP", value_parser = moment)]
        to: Moment,
    },
}

/// A time, or how long until then.
#[derive(Debug, Clone, Copy)]
enum Moment {
    In(Span),
    At(Timestamp),
}

fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(at) = text.parse() {
        return Ok(Moment::At(at));
    }
    match text.parse::<Span>() {
        Ok(span) if span.is_positive() => Ok(Moment::In(span)),
        Ok(_) => Err("time goes forward only: give more than nothing".to_owned()),
        Err(_) => Err("give a span such as 1mo, 3d or 2h, or a time such as 2026-03-01T00:00:00Z".to_owned()),
    }
}

pub(super) async fn run(session: &Session, command: &SandboxCommand) -> Result<ExitCode, Failure> {
    if session.config.env == Environment::Production {
        return Err(Failure::usage("the sandbox is for development: unset TENANTRY_ENV"));
    }
    match &command.command {
        Some(Then::Advance { to }) => advanced(session, *to).await?,
        None => alone(session, command).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn advanced(session: &Session, moment: Moment) -> Result<(), Failure> {
    let url = sandbox::running_url(&session.config)
        .ok_or_else(|| Failure::wrong("no sandbox runs on this data folder: start it with `tenantry serve`"))?;
    let now = sandbox::clock_of(&url).await?.now;
    let to = match moment {
        Moment::At(at) if at < now => {
            return Err(Failure::usage(format!("the sandbox's clock is at {now} and cannot go back to {at}")));
        }
        Moment::At(at) => at,
        Moment::In(span) => {
            let to = now.to_zoned(TimeZone::UTC).checked_add(span);
            to.map_err(|_| Failure::usage("that is beyond the calendar"))?.timestamp()
        }
    };
    let clock = session.on_database(async |opened| step_by_step(&opened.db, &url, to).await).await?;
    session.out.print(&clock, || format!("{:.0}", clock.now))
}

/// From one thing that falls due to the next, each after the server has handled what the one before told: what waits an
/// hour at Stripe (the draft of an invoice, for charges that go on it) waits for the server here too. The clock runs
/// meanwhile, so each step is a number of seconds: a time could have passed before it was asked for.
async fn step_by_step(db: &Database, url: &str, to: Timestamp) -> Result<SandboxClock, Failure> {
    let mut is_heard = true;
    loop {
        let clock = sandbox::clock_of(url).await?;
        if clock.now >= to {
            return Ok(clock);
        }
        let soonest = clock.now.saturating_add(STEP).unwrap_or(to);
        let next = clock.next_due.map_or(to, |due| due.max(soonest)).min(to);
        let wait = next.duration_since(clock.now);
        let seconds = wait.as_secs() + i64::from(wait.subsec_nanos() > 0);
        let reached = sandbox::advance(url, seconds).await?.now;
        if is_heard {
            is_heard = handled(db, reached).await?;
        }
    }
}

/// Waits until nothing is left to handle; false where that takes so long that no server seems to run.
async fn handled(db: &Database, now: Timestamp) -> Result<bool, Failure> {
    const LOOKS: u32 = 400;
    for _ in 0..LOOKS {
        let tx = db.read_as_service("left_to_handle", &[]).await?;
        let left = events::count_due(&tx, now).await? + jobs::count_due(&tx, now).await?;
        tx.rollback().await?;
        if left == 0 {
            return Ok(true);
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(false)
}

async fn alone(session: &Session, command: &SandboxCommand) -> Result<(), Failure> {
    let config = &session.config;
    let secrets = SandboxSecrets::of(config, &session.env.ids)?;
    let listen = command.listen.unwrap_or(config.sandbox_listen);
    let webhook_url = command.webhook_url.clone().unwrap_or_else(|| sandbox::webhook_url(config.listen));
    let start = Start { listen, webhook_url: webhook_url.clone(), db: None };
    let running = match sandbox::start(config, &session.env, &secrets, start).await? {
        Place::Elsewhere(url) => {
            return Err(Failure::wrong(format!("the sandbox of this data folder runs already, at {url}")));
        }
        here @ Place::Here(_) => here,
    };
    let (url, folder) = (running.url(), sandbox_folder(config));
    let folder = folder.display();
    let value = json!({
        "url": url, "webhookUrl": webhook_url, "secretKeyFile": format!("{folder}/secret-key"),
        "webhookSecretFile": format!("{folder}/webhook-secret"),
    });
    session.out.print(&value, || {
        format!(
            "The sandbox stands in for Stripe at {url}\n  \
             Events  to {webhook_url}\n  \
             Key     in {folder}/secret-key, what signs events in {folder}/webhook-secret\n  \
             Use it  `tenantry serve` on this data folder finds it; elsewhere set\n          \
             STRIPE_SECRET_KEY=$(cat {folder}/secret-key)\n          \
             STRIPE_WEBHOOK_SECRET=$(cat {folder}/webhook-secret)\n          \
             TENANTRY_STRIPE_API_URL={url}"
        )
    })?;
    let stopped = wait_for_signal().await;
    running.stop().await;
    Ok(stopped?)
}

async fn wait_for_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}
