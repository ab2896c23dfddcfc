//! One tenant and its hard limit: 64 connections run into it, and what was accepted is counted afterwards.

use std::time::Duration;

use super::measure::Figure;
use super::stage::Stage;
use crate::cli::Failure;

/// The metric that has a limit within reach, and the limit; see `bench/plans.toml`.
const METRIC: &str = "limited_calls";
const LIMIT: u64 = 20_000;

/// Measures events that are answered, accepted or refused, until the time is over; fails unless exactly as many were
/// accepted as the limit allows.
pub(super) async fn measure(stage: &Stage<'_>) -> Result<Figure, Failure> {
    let time = stage.time.max(Duration::from_secs(2));
    let limited = stage.with(stage.another().await?, METRIC, time);
    let figure = limited.http(1, 1, 1).await?;
    let used = limited.total().await?;
    let refused = figure.refused;
    if used > LIMIT || (refused > 0 && used != LIMIT) {
        return Err(Failure::wrong(format!("{used} of {LIMIT} were accepted, and {refused} events refused")));
    }
    if refused == 0 {
        return Err(Failure::wrong(format!("only {used} events in {time:?}: the limit of {LIMIT} was not reached")));
    }
    Ok(figure)
}
