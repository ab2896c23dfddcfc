//! `tenantry bench usage`

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::lines::{self, Line, Selection, What};
use super::measure::Keys;
use super::stage::{Plan, Stage};
use super::suite::{method, text};
use crate::cli::{Failure, Session};
use crate::deployment::Deployment;

#[derive(Debug, Args)]
pub(in crate::cli) struct BenchUsage {
    /// The running server [default: the configured address]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Another server on the same database, for the lines about two
    #[arg(long, value_name = "URL")]
    second_url: Option<String>,
    /// What is measured
    #[arg(long, value_delimiter = ',', default_values_t = [What::Single, What::Batches, What::Recorder, What::Statements, What::Copy], value_enum)]
    only: Vec<What>,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Rounds; each measures everything once, and medians are shown
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Numbers of tenants that usage is spread over
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100, 10_000])]
    tenants: Vec<usize>,
    /// The metric; the default plan must include enough of it
    #[arg(long, default_value = "api_calls")]
    metric: String,
}

pub(super) async fn run(session: &Session, bench: &BenchUsage) -> Result<ExitCode, Failure> {
    let lines = session.on_database(async |opened| measured(session, opened, bench).await).await?;
    session.out.print(&lines, || format!("{}\n\n{}", method(bench.rounds, bench.seconds), text(&lines)))?;
    let is_fine = lines.iter().all(|line| line.figure.errors == 0);
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

async fn measured(session: &Session, opened: &Deployment, bench: &BenchUsage) -> Result<Vec<Line>, Failure> {
    let first = bench.url.clone().unwrap_or_else(|| format!("http://{}", session.config.listen));
    let plan = Plan {
        urls: std::iter::once(first).chain(bench.second_url.clone()).collect(),
        metric: bench.metric.clone(),
        tenants: bench.tenants.iter().copied().max().unwrap_or(1).max(1),
        time: Duration::from_secs(bench.seconds.max(1)),
        keys: Keys::Time,
    };
    let selection = Selection { what: bench.only.clone(), tenants: bench.tenants.clone(), rounds: bench.rounds };
    let stage = Stage::set(session, opened, plan).await?;
    let lines = lines::measure(&stage, &selection).await;
    stage.strike().await?;
    lines
}
