//! `tenantry bench`

mod chart;
mod disk;
mod growth;
mod http;
mod limited;
mod lines;
mod machine;
mod measure;
mod memory;
mod reports;
mod stage;
mod statements;
mod suite;
mod usage;
mod ways;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{Failure, Session};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub(super) struct Bench {
    /// Measure everything that README and docs give figures of, with fixed settings
    #[arg(long)]
    suite: bool,
    #[command(flatten)]
    options: suite::Options,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Chosen parts of the suite, with settings of one's own
    Usage(usage::BenchUsage),
    /// Whether recording costs the same however much was recorded before: grows the table and measures on the way
    Growth(growth::BenchGrowth),
    /// How fast a running server reports the usage of a large tenant, which is made for it and taken away again
    Reports(reports::BenchReports),
}

pub(super) async fn run(session: &Session, bench: Bench) -> Result<ExitCode, Failure> {
    match bench.part {
        Some(Part::Usage(bench)) => usage::run(session, &bench).await,
        Some(Part::Growth(bench)) => growth::run(session, &bench).await,
        Some(Part::Reports(bench)) => reports::run(session, &bench).await,
        None if bench.suite => suite::run(session, &bench.options).await,
        None => Err(Failure::usage("say --suite, or which part: see tenantry bench --help")),
    }
}
