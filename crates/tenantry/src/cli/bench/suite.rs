//! `tenantry bench --suite`: everything that README and docs give figures of, in one run, with what it was run on.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::chart;
use super::disk::Disk;
use super::lines::{self, Line, Selection, What};
use super::machine::Machine;
use super::measure::Keys;
use super::memory::Watch;
use super::stage::{
    BATCH, BATCH_CONNECTIONS, DIRECT_CONNECTIONS, EARLIER, NAIVE_CONNECTIONS, Plan, SINGLE_CONNECTIONS, Stage,
    TRANSACTION_CONNECTIONS,
};
use crate::cli::output::table;
use crate::cli::{Failure, Session};
use crate::deployment::Deployment;

/// What the suite measures, side by side in each round.
const WHAT: [What; 11] = [
    What::Single,
    What::Batches,
    What::Recorder,
    What::Statements,
    What::Copy,
    What::Checks,
    What::SinglePair,
    What::BatchesPair,
    What::Limited,
    What::Naive,
    What::Transactions,
];
const TENANTS: [usize; 3] = [1, 100, 10_000];
const METRIC: &str = "api_calls";

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The running server [default: the configured address]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Another server on the same database; without it the lines about two are left out
    #[arg(long, value_name = "URL")]
    second_url: Option<String>,
    /// Rounds; medians are shown
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each line in a round
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Write suite.json and suite.html into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A suite.json of before, to compare with
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
}

/// A whole run.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Suite {
    pub(super) taken_at: Timestamp,
    pub(super) machine: Machine,
    pub(super) method: String,
    pub(super) lines: Vec<Line>,
    /// Largest resident memory of the server during the run, where it tells, in bytes.
    pub(super) server_memory_bytes: Option<u64>,
    pub(super) disk: Disk,
}

pub(super) async fn run(session: &Session, options: &Options) -> Result<ExitCode, Failure> {
    let before = options.compare.as_deref().map(read).transpose()?;
    let suite = session.on_database(async |opened| measured(session, opened, options).await).await?;
    if let Some(folder) = &options.out {
        write(folder, &suite)?;
    }
    session.out.print(&suite, || report(&suite, before.as_ref()))?;
    let is_fine = suite.lines.iter().all(|line| line.figure.errors == 0);
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

async fn measured(session: &Session, opened: &Deployment, options: &Options) -> Result<Suite, Failure> {
    let first = options.url.clone().unwrap_or_else(|| format!("http://{}", session.config.listen));
    let pair = |what: &What| matches!(what, What::SinglePair | What::BatchesPair);
    let what = WHAT.into_iter().filter(|what| options.second_url.is_some() || !pair(what)).collect();
    let plan = Plan {
        urls: std::iter::once(first.clone()).chain(options.second_url.clone()).collect(),
        metric: METRIC.to_owned(),
        tenants: TENANTS.into_iter().max().unwrap_or(1),
        time: Duration::from_secs(options.seconds.max(1)),
        keys: Keys::Time,
    };
    let selection = Selection { what, tenants: TENANTS.to_vec(), rounds: options.rounds };
    let stage = Stage::set(session, opened, plan).await?;
    let admin = stage.admin().await?;
    let watch = Watch::begin(first);
    let lines = lines::measure(&stage, &selection).await;
    stage.strike().await?;
    let lines = lines?;
    Ok(Suite {
        taken_at: session.env.clock.now(),
        machine: Machine::of(&admin).await?,
        method: method(options.rounds, options.seconds),
        lines,
        server_memory_bytes: watch.most(),
        disk: Disk::of(&admin).await?,
    })
}

fn read(path: &Path) -> Result<Suite, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("--compare: cannot read {}: {error}", path.display())))?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::usage(format!("--compare: {} is no result of a suite: {error}", path.display())))
}

fn write(folder: &Path, suite: &Suite) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::wrong(format!("--out: cannot write to {}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let json = serde_json::to_string_pretty(suite).map_err(|error| Failure::wrong(error.to_string()))?;
    std::fs::write(folder.join("suite.json"), json + "\n").map_err(failed)?;
    std::fs::write(folder.join("suite.html"), chart::page(suite)).map_err(failed)
}

/// How it was measured.
pub(super) fn method(rounds: usize, seconds: u64) -> String {
    format!(
        "{rounds} rounds of {seconds} s for each line, one after the other within a round; medians. Client, server and \
         database share this machine. One event in 20 is sent twice; keys grow with time; every tenant has a limit.\n\
         Single events and checks: {SINGLE_CONNECTIONS} connections. Batches: {BATCH} events, {BATCH_CONNECTIONS} \
         connections. Without HTTP and the statements alone: {DIRECT_CONNECTIONS} connections, groups of 1000. COPY: into \
         twins of the event and key tables without forced row security. Naive: {EARLIER} earlier events in the period, \
         {NAIVE_CONNECTIONS} connections. A transaction an event: a guarded counter, {TRANSACTION_CONNECTIONS} \
         connections. Across a hard limit: a new tenant, 64 connections, as many accepted as the limit allows, counted \
         afterwards; refusals are answers. CPU: what all processors of this machine were busy with, for each event."
    )
}

fn report(suite: &Suite, before: Option<&Suite>) -> String {
    let mut text = format!("{} on {}\n{}\n\n{}", suite.taken_at, suite.machine, suite.method, self::text(&suite.lines));
    // Writing to a String cannot fail.
    if let Some(bytes) = suite.server_memory_bytes {
        let _ = writeln!(text, "the server's memory: at most {} MiB", bytes / 1024 / 1024);
    }
    let _ = writeln!(text, "{}", suite.disk);
    for (line, old) in
        before.iter().flat_map(|before| suite.lines.iter().filter_map(|line| Some((line, before.of(line)?))))
    {
        let change = (line.figure.per_second / old.figure.per_second - 1.0) * 100.0;
        let _ = writeln!(text, "{}, {} tenants: {change:+.0} % against before", line.what.title(), line.tenants);
    }
    text
}

impl Suite {
    fn of(&self, line: &Line) -> Option<&Line> {
        self.lines.iter().find(|old| (old.what, old.tenants) == (line.what, line.tenants))
    }
}

/// The lines as a table, and what they are of each other.
pub(super) fn text(lines: &[Line]) -> String {
    let rows = lines.iter().map(|line| {
        let figure = &line.figure;
        [
            line.what.title().to_owned(),
            line.tenants.to_string(),
            format!("{:.0}", figure.per_second),
            format!("{:.1}", figure.p50_ms),
            format!("{:.1}", figure.p99_ms),
            figure.cpu_us.map_or_else(String::new, |cpu| format!("{cpu:.0}")),
            figure.errors.to_string(),
        ]
    });
    let figures = table(["what", "tenants", "a second", "p50 ms", "p99 ms", "CPU us", "errors"], rows);
    let mut text = format!("{figures}\n");
    let speed = |what, tenants| {
        let line = lines.iter().find(|line: &&Line| line.what == what && line.tenants == tenants)?;
        Some(line.figure.per_second).filter(|speed| *speed > 0.0)
    };
    let pairs = [
        (What::Batches, What::Statements, "of the statements alone"),
        (What::Batches, What::Recorder, "of recording without HTTP"),
        (What::SinglePair, What::Single, "of one server"),
        (What::BatchesPair, What::Batches, "of one server"),
    ];
    for (what, against, of) in pairs {
        for line in lines.iter().filter(|line| line.what == what) {
            if let Some(other) = speed(against, line.tenants) {
                let share = line.figure.per_second / other * 100.0;
                let _ = writeln!(text, "{}, {} tenants: {share:.0} % {of}", what.title(), line.tenants);
            }
        }
    }
    for (against, of) in [(What::Naive, "the naive way"), (What::Transactions, "a transaction an event")] {
        if let (Some(single), Some(other)) = (speed(What::Single, 1), speed(against, 1)) {
            let _ = writeln!(text, "single events, 1 tenant: {:.1} times {of}", single / other);
        }
    }
    text
}
