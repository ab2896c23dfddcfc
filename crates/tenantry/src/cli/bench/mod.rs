//! `tenantry bench`

mod http;
mod measure;
mod usage;
mod ways;

use std::process::ExitCode;

use clap::Subcommand;

use super::{Failure, Session};

#[derive(Debug, Subcommand)]
pub(super) enum Bench {
    /// How fast a running server records usage, beside the database's own bounds and the naive way
    Usage(usage::BenchUsage),
}

pub(super) async fn run(session: &Session, bench: Bench) -> Result<ExitCode, Failure> {
    let Bench::Usage(bench) = bench;
    usage::run(session, &bench).await
}
