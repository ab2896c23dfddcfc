//! `tenantry usage retain`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::cli::{Failure, Session};
use crate::server::retention;
use crate::usage::retention::{Fate, Month, MonthReport, Retention};

#[derive(Debug, Args)]
pub(in crate::cli) struct Retain {
    /// Months before this one leave [default: what usage_retain_months says]
    #[arg(long, value_name = "YYYY-MM")]
    older_than: Option<Month>,
    /// Folder of the files that the events leave into [default: usage_archive_dir; without either they are dropped]
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// Say what would leave, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(session: &Session, retain: &Retain) -> Result<ExitCode, Failure> {
    let reports = session
        .on_database(async |opened| {
            let configured = retention(&session.config, &opened.db, &session.env);
            let archive_dir = retain.archive.clone().or_else(|| configured.archive_dir.clone());
            let retention = Retention { archive_dir, ..configured };
            let before = retain.older_than.or_else(|| retention.before(session.config.usage_retain_months?));
            let before = before.ok_or_else(|| {
                Failure::usage("nothing says which usage is old: give --older-than, or set usage_retain_months")
            })?;
            Ok(if retain.dry_run { retention.preview(before).await? } else { retention.run(before).await? })
        })
        .await?;
    let is_whole = !reports.iter().any(|report| matches!(report.fate, Fate::Kept { .. }));
    session.out.print(&json!({ "months": reports }), || text(&reports))?;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn text(reports: &[MonthReport]) -> String {
    if reports.is_empty() {
        return "no month of usage is that old".to_owned();
    }
    let line = |MonthReport { month, fate }: &MonthReport| match fate {
        Fate::Left { tenants, events, files } => {
            format!("{month}  left: {events} events of {tenants} tenants, {files} files")
        }
        Fate::Finished => format!("{month}  had left; what was left to do is done"),
        Fate::Due => format!("{month}  would leave"),
        Fate::Stays { reason } => format!("{month}  stays: {reason}"),
        Fate::Kept { reason } => {
            format!("{month}  left, but its table is kept, since it holds something else: {reason}")
        }
    };
    reports.iter().map(line).collect::<Vec<_>>().join("\n")
}
