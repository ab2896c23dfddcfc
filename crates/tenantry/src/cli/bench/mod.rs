//! `tenantry bench`

mod http;
mod measure;
mod reports;
mod usage;
mod ways;

use std::process::ExitCode;

use clap::Subcommand;

use super::{Failure, Session};

#[derive(Debug, Subcommand)]
pub(super) enum Bench {
    /// How fast a running server records usage, beside the database's own bounds and the naive way
    Usage(usage::BenchUsage),
    /// How fast a running server reports the usage of a large tenant, which is made for it and taken away again
    Reports(reports::BenchReports),
}

pub(super) async fn run(session: &Session, bench: Bench) -> Result<ExitCode, Failure> {
    match bench {
        Bench::Usage(bench) => usage::run(session, &bench).await,
        Bench::Reports(bench) => reports::run(session, &bench).await,
    }
}
