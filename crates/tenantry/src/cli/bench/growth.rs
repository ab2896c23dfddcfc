//! `tenantry bench growth`: what recording costs while its tables grow.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::chart;
use super::disk::Disk;
use super::lines::{self, Line, Selection, What};
use super::machine::Machine;
use super::measure::Keys;
use super::memory::Watch;
use super::stage::{BATCH, BATCH_CONNECTIONS, Plan, SINGLE_CONNECTIONS, Stage};
use crate::cli::output::table;
use crate::cli::{Failure, Session};
use crate::deployment::Deployment;

/// What is measured at each mark.
const WHAT: [What; 3] = [What::Single, What::Batches, What::Checks];
/// One point of the curve: batches for this long.
const SLICE: Duration = Duration::from_secs(10);
/// Rows of the curve that are printed; each is the mean of as many points as it takes.
const ROWS: usize = 20;

#[derive(Debug, Args)]
pub(super) struct BenchGrowth {
    /// The running server, on a fresh database [default: the configured address]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Earlier events at which everything is measured, beside none
    #[arg(long, value_delimiter = ',', default_values_t = [10_000_000, 50_000_000])]
    to: Vec<i64>,
    /// How idempotency keys follow each other
    #[arg(long, value_enum, default_value_t = Keys::Time)]
    keys: Keys,
    /// Tenants that usage is spread over
    #[arg(long, default_value_t = 100)]
    tenants: usize,
    /// Rounds at each mark; medians are shown
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each line in a round
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Write growth-KEYS.json and growth-KEYS.html into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// A whole run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Growth {
    taken_at: Timestamp,
    machine: Machine,
    method: String,
    keys: Keys,
    marks: Vec<Mark>,
    curve: Vec<Point>,
}

/// What was measured when there were so many events.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Mark {
    lines: Vec<Line>,
    disk: Disk,
    /// Largest resident memory of the server up to here, where it tells, in bytes.
    server_memory_bytes: Option<u64>,
}

/// Batches while the table grew to so many events.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Point {
    events: i64,
    per_second: f64,
}

pub(super) async fn run(session: &Session, bench: &BenchGrowth) -> Result<ExitCode, Failure> {
    let growth = session.on_database(async |opened| measured(session, opened, bench).await).await?;
    if let Some(folder) = &bench.out {
        write(folder, &growth)?;
    }
    session.out.print(&growth, || report(&growth))?;
    let is_fine = growth.marks.iter().flat_map(|mark| &mark.lines).all(|line| line.figure.errors == 0);
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

async fn measured(session: &Session, opened: &Deployment, bench: &BenchGrowth) -> Result<Growth, Failure> {
    let url = bench.url.clone().unwrap_or_else(|| format!("http://{}", session.config.listen));
    let plan = Plan {
        urls: vec![url.clone()],
        metric: "api_calls".to_owned(),
        tenants: bench.tenants.max(1),
        time: Duration::from_secs(bench.seconds.max(1)),
        keys: bench.keys,
    };
    let stage = Stage::set(session, opened, plan).await?;
    let admin = stage.admin().await?;
    let watch = Watch::begin(url);
    let grown = grow(&stage, bench, (&admin, &watch)).await;
    stage.strike().await?;
    let (marks, curve) = grown?;
    Ok(Growth {
        taken_at: session.env.clock.now(),
        machine: Machine::of(&admin).await?,
        method: method(bench),
        keys: bench.keys,
        marks,
        curve,
    })
}

/// Grows the table from mark to mark.
async fn grow(
    stage: &Stage<'_>,
    bench: &BenchGrowth,
    (admin, watch): (&tokio_postgres::Client, &Watch),
) -> Result<(Vec<Mark>, Vec<Point>), Failure> {
    let selection = Selection { what: WHAT.to_vec(), tenants: vec![bench.tenants.max(1)], rounds: bench.rounds };
    let (mut marks, mut curve): (Vec<Mark>, Vec<Point>) = (Vec::new(), Vec::new());
    lines::warm(stage, &selection).await?;
    let slices = stage.shortly(SLICE);
    let mut goals = bench.to.clone();
    goals.sort_unstable();
    for goal in std::iter::once(0).chain(goals) {
        let mut disk = Disk::of(admin).await?;
        while disk.events < goal {
            let figure = slices.http(BATCH, bench.tenants, 1).await?;
            if figure.errors > 0 {
                return Err(Failure::wrong(format!("{} batches were not taken", figure.errors)));
            }
            disk = Disk::of(admin).await?;
            curve.push(Point { events: disk.events, per_second: figure.per_second });
        }
        let lines = lines::rounds(stage, &selection).await?;
        marks.push(Mark { lines, disk, server_memory_bytes: watch.most() });
    }
    Ok((marks, curve))
}

fn method(bench: &BenchGrowth) -> String {
    let keys = match bench.keys {
        Keys::Time => "keys grow with time",
        Keys::Random => "keys are random",
    };
    format!(
        "A fresh database grows by batches over HTTP ({BATCH} events, {BATCH_CONNECTIONS} connections) to {} tenants; \
         each point of the curve is {} s of it. At each mark {} rounds of {} s for each line, medians; single events and \
         checks from {SINGLE_CONNECTIONS} connections. Client, server and database share this machine. One event in 20 \
         is sent twice; {keys}; every tenant has a limit.",
        bench.tenants,
        SLICE.as_secs(),
        bench.rounds,
        bench.seconds,
    )
}

fn report(growth: &Growth) -> String {
    let mut text = format!("{} on {}\n{}\n\n", growth.taken_at, growth.machine, growth.method);
    let first = |what| {
        let line = growth.marks.first()?.lines.iter().find(|line| line.what == what)?;
        Some(line.figure.per_second).filter(|speed| *speed > 0.0)
    };
    let rows = growth.marks.iter().flat_map(|mark| mark.lines.iter().map(move |line| (mark.disk.events, line)));
    let rows = rows.map(|(events, line)| {
        let figure = &line.figure;
        let share =
            first(line.what).map_or_else(String::new, |first| format!("{:.0}", figure.per_second / first * 100.0));
        [
            events.to_string(),
            line.what.title().to_owned(),
            format!("{:.0}", figure.per_second),
            share,
            format!("{:.1}", figure.p50_ms),
            format!("{:.1}", figure.p99_ms),
            figure.cpu_us.map_or_else(String::new, |cpu| format!("{cpu:.0}")),
            figure.errors.to_string(),
        ]
    });
    text +=
        &table(["events there", "what", "a second", "% of the first", "p50 ms", "p99 ms", "CPU us", "errors"], rows);
    text.push('\n');
    for mark in &growth.marks {
        // Writing to a String cannot fail.
        let memory = mark
            .server_memory_bytes
            .map_or_else(String::new, |bytes| format!("; the server's memory: at most {} MiB", bytes / 1024 / 1024));
        let _ = writeln!(text, "{}{memory}", mark.disk);
    }
    let of_row = growth.curve.len().div_ceil(ROWS).max(1);
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let rows = growth.curve.chunks(of_row).map(|points| {
        let mean = points.iter().map(|point| point.per_second).sum::<f64>() / points.len() as f64;
        let events = points.last().map_or(0, |point| point.events);
        [events.to_string(), format!("{mean:.0}")]
    });
    text + "\n" + &table(["grown to", "batches: events a second"], rows)
}

fn write(folder: &Path, growth: &Growth) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::wrong(format!("--out: cannot write to {}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let json = serde_json::to_string_pretty(growth).map_err(|error| Failure::wrong(error.to_string()))?;
    let name = match growth.keys {
        Keys::Time => "growth-time",
        Keys::Random => "growth-random",
    };
    std::fs::write(folder.join(format!("{name}.json")), json + "\n").map_err(failed)?;
    #[expect(clippy::cast_precision_loss, reason = "pixels")]
    let points: Vec<(f64, f64)> = growth.curve.iter().map(|point| (point.events as f64, point.per_second)).collect();
    let about = format!("{}, {}", growth.machine, growth.taken_at);
    let page = chart::curve("Batches while the table grows", &about, &growth.method, &points);
    std::fs::write(folder.join(format!("{name}.html")), page).map_err(failed)
}
