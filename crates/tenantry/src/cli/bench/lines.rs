//! What can be measured, and a run of it: rounds of every line one after the other, medians.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::limited;
use super::machine::Busy;
use super::measure::{self, Figure};
use super::stage::{BATCH, Stage};
use crate::cli::Failure;

/// One thing that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum What {
    /// Single events over HTTP
    Single,
    /// Batches over HTTP
    Batches,
    /// The whole of recording, without HTTP
    Recorder,
    /// The statements of recording by themselves
    Statements,
    /// COPY into twins of the tables
    Copy,
    /// Checks over HTTP
    Checks,
    /// Single events for one tenant, up to its hard limit and on
    Limited,
    /// Single events to two servers on one database
    SinglePair,
    /// Batches to two servers on one database
    BatchesPair,
    /// Insert, then sum the period
    Naive,
    /// A transaction for each event
    Transactions,
}

impl What {
    /// For people.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Single => "single events over HTTP",
            Self::Batches => "batches over HTTP",
            Self::Recorder => "the same without HTTP",
            Self::Statements => "the statements alone",
            Self::Copy => "COPY, no limits or sums",
            Self::Checks => "checks over HTTP",
            Self::Limited => "single events across a hard limit",
            Self::SinglePair => "single events, two servers",
            Self::BatchesPair => "batches, two servers",
            Self::Naive => "naive: insert, then sum",
            Self::Transactions => "a transaction an event",
        }
    }

    /// Whether it is something to compare with, rather than the product.
    pub(super) const fn is_bound(self) -> bool {
        matches!(self, Self::Recorder | Self::Statements | Self::Copy | Self::Naive | Self::Transactions)
    }

    /// Whether it depends on how many tenants usage is spread over.
    const fn is_spread(self) -> bool {
        !matches!(self, Self::Limited | Self::Naive | Self::Transactions)
    }
}

/// One line of the result.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    pub(super) what: What,
    pub(super) tenants: usize,
    #[serde(flatten)]
    pub(super) figure: Figure,
}

/// What is measured, how often.
pub(super) struct Selection {
    pub(super) what: Vec<What>,
    pub(super) tenants: Vec<usize>,
    pub(super) rounds: usize,
}

/// Measures all of it, with what is measured beside.
pub(super) async fn measure(stage: &Stage<'_>, selection: &Selection) -> Result<Vec<Line>, Failure> {
    stage.prepare().await?;
    warm(stage, selection).await?;
    let lines = rounds(stage, selection).await?;
    stage.remove().await?;
    Ok(lines)
}

/// Measures all of it in rounds.
pub(super) async fn rounds(stage: &Stage<'_>, selection: &Selection) -> Result<Vec<Line>, Failure> {
    let mut rounds: Vec<(What, usize, Vec<Figure>)> = Vec::new();
    for _ in 0..selection.rounds.max(1) {
        for (index, (what, tenants)) in plan(selection).enumerate() {
            let busy = Busy::now();
            let mut figure = one(stage, what, tenants).await?;
            figure.cpu_us = busy.per_event(figure.events);
            match rounds.get_mut(index) {
                Some((_, _, figures)) => figures.push(figure),
                None => rounds.push((what, tenants, vec![figure])),
            }
        }
    }
    let line = |(what, tenants, figures)| Some(Line { what, tenants, figure: measure::median(figures)? });
    Ok(rounds.into_iter().filter_map(line).collect())
}

/// The lines of a round: what depends on the number of tenants for each of them, side by side, then the rest.
fn plan(selection: &Selection) -> impl Iterator<Item = (What, usize)> {
    let (spread, once): (Vec<What>, Vec<What>) = selection.what.iter().partition(|what| what.is_spread());
    let spread =
        selection.tenants.iter().flat_map(move |tenants| spread.clone().into_iter().map(|what| (what, *tenants)));
    spread.chain(once.into_iter().map(|what| (what, 1)))
}

/// What is done once is done before: connections, prepared statements, the tenants' first periods and counters.
pub(super) async fn warm(stage: &Stage<'_>, selection: &Selection) -> Result<(), Failure> {
    stage.open_counters().await?;
    for (what, tenants) in plan(selection) {
        if matches!(what, What::Single | What::Batches | What::SinglePair | What::BatchesPair | What::Checks) {
            one(&stage.shortly(Duration::from_millis(200)), what, tenants).await?;
        }
    }
    Ok(())
}

async fn one(stage: &Stage<'_>, what: What, tenants: usize) -> Result<Figure, Failure> {
    match what {
        What::Single => stage.http(1, tenants, 1).await,
        What::Batches => stage.http(BATCH, tenants, 1).await,
        What::SinglePair => stage.http(1, tenants, 2).await,
        What::BatchesPair => stage.http(BATCH, tenants, 2).await,
        What::Recorder => stage.direct(tenants).await,
        What::Statements => stage.statements(tenants).await,
        What::Copy => stage.copy(tenants).await,
        What::Checks => stage.checks(tenants).await,
        What::Limited => limited::measure(stage).await,
        What::Naive => stage.naive().await,
        What::Transactions => stage.transactions().await,
    }
}
