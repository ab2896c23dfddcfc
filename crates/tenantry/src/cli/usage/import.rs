//! `tenantry usage import`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{IsTerminal as _, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use crate::cli::output::table;
use crate::cli::{Failure, Session};
use crate::deployment::Deployment;
use crate::server::group_settings;
use crate::storage::tenants;
use crate::tenancy::Actor;
use crate::usage::event::{Content, NewEvent};
use crate::usage::import::{Format, Mapping, Row, rows};
use crate::usage::ingest::Recorder;
use crate::usage::outcome::{Outcome, Refusal, SubmitError};
use crate::usage::plans::declared_metrics;

/// Events that are committed together.
const GROUP: usize = 1000;
/// Rows that were not recorded and are named one by one.
const NAMED: usize = 20;

#[derive(Debug, Args)]
pub(in crate::cli) struct Import {
    /// CSV with a header, or one JSON object a line; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The tenant that used it
    #[arg(long, value_name = "UUID")]
    tenant: Uuid,
    /// Column of the time: RFC 3339, or date and time in UTC
    #[arg(long, value_name = "COLUMN")]
    timestamp: String,
    /// A metric and the column of its amounts; may be given several times
    #[arg(long = "metric", value_name = "NAME=COLUMN", required = true, value_parser = metric)]
    metrics: Vec<(String, String)>,
    /// Column of the idempotency key [default: derived from content and position]
    #[arg(long, value_name = "COLUMN")]
    key: Option<String>,
    /// Column of the user's id
    #[arg(long, value_name = "COLUMN")]
    user: Option<String>,
    /// Form of the file [default: by its name, csv for standard input]
    #[arg(long, value_enum)]
    format: Option<Form>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    Csv,
    Ndjson,
}

fn metric(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, column)) if !name.is_empty() && !column.is_empty() => Ok((name.to_owned(), column.to_owned())),
        _ => Err("write NAME=COLUMN, for instance tokens=ContextTokens".to_owned()),
    }
}

/// What became of the rows of a file.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    rows: u64,
    accepted: u64,
    duplicate: u64,
    rejected: u64,
    conflict: u64,
    invalid: u64,
    metrics: BTreeMap<String, MetricSummary>,
    problems: Vec<String>,
}

/// What became of one metric.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct MetricSummary {
    /// Sum of what counts now: recorded by this import or before.
    counted: Quantity,
    /// Of it, recorded by this import.
    recorded: Quantity,
}

pub(super) async fn run(session: &Session, import: &Import) -> Result<ExitCode, Failure> {
    let summary = session.on_loaded_database(async |opened| imported(session, import, opened).await).await?;
    let is_whole = summary.accepted + summary.duplicate == summary.events();
    session.out.print(&summary, || text(&summary))?;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

async fn imported(session: &Session, import: &Import, opened: &Deployment) -> Result<Summary, Failure> {
    let tx = opened.db.read_as_service("import_tenant", &[import.tenant]).await?;
    let tenant = tenants::get(&tx, import.tenant).await?;
    let declared = declared_metrics(&tx).await?;
    tx.rollback().await?;
    if tenant.is_none() {
        return Err(Failure::usage(format!("--tenant: there is no tenant {}", import.tenant)));
    }
    if let Some((unknown, _)) = import.metrics.iter().find(|(metric, _)| !declared.contains(metric)) {
        let known = declared.into_iter().collect::<Vec<_>>().join(", ");
        return Err(Failure::usage(format!("--metric: no plan declares the metric {unknown:?}; there are {known}")));
    }
    let mapping = Mapping {
        tenant_id: import.tenant,
        timestamp: import.timestamp.clone(),
        metrics: import.metrics.clone(),
        key: import.key.clone(),
        user: import.user.clone(),
    };
    let (input, progress) = open(&import.file)?;
    let format = match import.format {
        Some(Form::Csv) => Format::Csv,
        Some(Form::Ndjson) => Format::Ndjson,
        None => by_name(&import.file),
    };
    let recorder = Recorder::new(opened.db.clone(), session.env.clone(), group_settings(&session.config));
    let mut summary = Summary::default();
    let mut group = Group::default();
    for row in rows(progress.wrap_read(input), format, &mapping, session.env.clock.now())? {
        let row = row.map_err(|error| {
            let before = "the rows before it are recorded; mend it and import the file again";
            Failure::wrong(format!("{}: {error} ({before})", import.file.display()))
        })?;
        summary.rows += 1;
        group.add(row);
        if group.events.len() >= GROUP {
            group.record(&recorder, &mut summary).await?;
        }
    }
    group.record(&recorder, &mut summary).await?;
    progress.finish_and_clear();
    Ok(summary)
}

/// The file with a progress bar over its bytes; a spinner where its size is not known.
fn open(file: &Path) -> Result<(Box<dyn Read>, ProgressBar), Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("cannot read {}: {error}", file.display()));
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    if file == Path::new("-") {
        let style = ProgressStyle::with_template("{spinner} {bytes} read, {bytes_per_sec}");
        let bar = ProgressBar::with_draw_target(None, target);
        return Ok((Box::new(std::io::stdin()), style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)));
    }
    let input = File::open(file).map_err(failed)?;
    let size = input.metadata().map_err(failed)?.len();
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} % of {total_bytes}, {bytes_per_sec}, {eta} to go");
    let bar = ProgressBar::with_draw_target(Some(size), target);
    Ok((Box::new(input), style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)))
}

fn by_name(file: &Path) -> Format {
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match ending.to_ascii_lowercase().as_str() {
        "ndjson" | "jsonl" | "json" => Format::Ndjson,
        _ => Format::Csv,
    }
}

/// Events that are committed together, with the lines that they come from.
#[derive(Default)]
struct Group {
    events: Vec<NewEvent>,
    lines: Vec<u64>,
}

impl Group {
    fn add(&mut self, row: Row) {
        self.lines.extend(row.events.iter().map(|_| row.line));
        self.events.extend(row.events);
    }

    async fn record(&mut self, recorder: &Recorder, summary: &mut Summary) -> Result<(), Failure> {
        let answers = recorder.record(Actor::System, &self.events).await;
        for ((event, line), answer) in self.events.iter().zip(&self.lines).zip(answers) {
            summary.count(event, *line, answer?);
        }
        self.events.clear();
        self.lines.clear();
        Ok(())
    }
}

impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Self {
        Self::wrong(format!("{error}; import the file again: what was recorded before counts once"))
    }
}

impl Summary {
    fn events(&self) -> u64 {
        self.accepted + self.duplicate + self.rejected + self.conflict + self.invalid
    }

    fn count(&mut self, event: &NewEvent, line: u64, outcome: Outcome) {
        let Content::Usage { metric, amount } = &event.content else { return };
        let problem = match outcome {
            Outcome::Accepted(_) => {
                self.accepted += 1;
                self.counted(metric, *amount, true);
                return;
            }
            Outcome::Duplicate(_) => {
                self.duplicate += 1;
                self.counted(metric, *amount, false);
                return;
            }
            Outcome::Conflict(_) => {
                self.conflict += 1;
                "its key was used before with other content".to_owned()
            }
            Outcome::Refused(Refusal::UsageLimitExceeded, answer) => {
                self.rejected += 1;
                format!("above the limit of {metric}: {} used", answer.standing.total)
            }
            Outcome::Refused(Refusal::MetricNotInPlan, _) => {
                self.rejected += 1;
                format!("the tenant's plan does not name the metric {metric}")
            }
            Outcome::Refused(Refusal::SpendCapExceeded(_), _) => {
                self.rejected += 1;
                format!("above the spend cap that the tenant has set: {metric} would cost more than it allows")
            }
            Outcome::Invalid(invalid) => {
                self.invalid += 1;
                invalid.message
            }
            // The import acts as the system, so this is a tenant that was deleted while it ran.
            Outcome::Forbidden(_) | Outcome::Foreign | Outcome::TeamInactive => {
                self.invalid += 1;
                "the tenant does not exist any more".to_owned()
            }
        };
        if self.problems.len() < NAMED {
            self.problems.push(format!("line {line}: {problem}"));
        }
    }

    fn counted(&mut self, metric: &str, amount: Quantity, is_new: bool) {
        let entry = self.metrics.entry(metric.to_owned()).or_default();
        entry.counted = entry.counted + amount;
        if is_new {
            entry.recorded = entry.recorded + amount;
        }
    }
}

fn text(summary: &Summary) -> String {
    let mut text =
        format!("{} rows: {} events recorded, {} recorded before", summary.rows, summary.accepted, summary.duplicate);
    for (count, what) in [
        (summary.rejected, "above a limit"),
        (summary.conflict, "in conflict with an earlier event"),
        (summary.invalid, "invalid"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    text.push('\n');
    let lines = summary
        .metrics
        .iter()
        .map(|(metric, sums)| [metric.clone(), sums.counted.to_string(), sums.recorded.to_string()]);
    text.push_str(&table(["metric", "counted in all", "recorded now"], lines));
    for problem in &summary.problems {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{problem}");
    }
    text
}
