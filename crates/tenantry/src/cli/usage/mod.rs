//! `tenantry usage`

mod import;
mod report;
mod retain;

use std::process::ExitCode;

use clap::Subcommand;

use super::{Failure, Session};

#[derive(Debug, Subcommand)]
pub(super) enum Usage {
    /// Record the usage in a file; safe to repeat
    Import(import::Import),
    /// Show who used what, what is included and what overage costs so far
    Report(report::Report),
    /// Let old months of events leave, to compressed files if asked; safe to repeat
    Retain(retain::Retain),
}

pub(super) async fn run(session: &Session, usage: Usage) -> Result<ExitCode, Failure> {
    match usage {
        Usage::Import(import) => import::run(session, &import).await,
        Usage::Report(report) => report::run(session, &report).await,
        Usage::Retain(retain) => retain::run(session, &retain).await,
    }
}
