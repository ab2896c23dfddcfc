//! Logs and figures for whoever runs the server.

use std::io::IsTerminal as _;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

use crate::config::LogFormat;

/// Variable that says what is logged, as in `info,tenantry=debug`.
const FILTER: &str = "TENANTRY_LOG";
/// Libraries that show the values they handle when they are asked for details: parameters of statements, secrets among
/// them. They are not, also where everything else is. What the database notes of statements that go well is left out, too.
const WITH_VALUES: &[&str] = &["tokio_postgres"];
/// Bounds of histograms of seconds.
const SECONDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Bounds of histograms of events.
const EVENTS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 10_000.0];
/// How often figures that nobody fetches are folded, so that they take no room.
const UPKEEP: Duration = Duration::from_secs(5);

/// Sends logs to standard error: text on a terminal, one JSON object a line otherwise. `level` is what is logged where
/// the environment says nothing.
pub fn install_logs(format: LogFormat, level: &str) {
    let filter = EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new(level));
    let filter = WITH_VALUES.iter().fold(filter, |filter, library| match format!("{library}=warn").parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    });
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_timer(SystemTime);
    let is_text = match format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let installed = if is_text {
        logs.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init()
    } else {
        logs.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    };
    // Fails only where logs go somewhere already, as in a test.
    let _ = installed;
}

/// Collects figures for Prometheus.
pub fn install_metrics() -> Result<PrometheusHandle, String> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_events".to_owned()), EVENTS))
        .map_err(|error| error.to_string())?;
    let handle = builder.install_recorder().map_err(|error| error.to_string())?;
    describe();
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    metrics_process::Collector::default().describe();
    describe_histogram!("tenantry_http_request_seconds", Unit::Seconds, "Requests by method, route and status");
    describe_histogram!("tenantry_transaction_seconds", Unit::Seconds, "Transactions by name, from begin to commit");
    describe_histogram!("tenantry_ingest_group_events", Unit::Count, "Usage events committed together");
    describe_histogram!("tenantry_ingest_group_seconds", Unit::Seconds, "Time to commit a group of usage events");
    describe_gauge!("tenantry_ingest_waiting_events", Unit::Count, "Usage events that wait to be recorded");
    describe_gauge!("tenantry_pool_connections", Unit::Count, "Database connections by login and state");
    describe_gauge!("tenantry_jobs_due", Unit::Count, "Jobs that wait to be done");
    describe_counter!("tenantry_jobs_total", Unit::Count, "Jobs by kind and outcome");
    describe_counter!("tenantry_usage_events_total", Unit::Count, "Usage events by outcome");
    describe_counter!("tenantry_ingest_refused_total", Unit::Count, "Usage requests refused by backpressure");
    describe_counter!("tenantry_ingest_group_retries_total", Unit::Count, "Groups of usage events tried again");
    describe_counter!("tenantry_ingest_left_total", Unit::Count, "Usage events left to be decided under locks");
    describe_counter!("tenantry_transaction_retries_total", Unit::Count, "Transactions run again after a deadlock");
    describe_counter!("tenantry_problems_total", Unit::Count, "Refusals and failures by code");
    describe_counter!("tenantry_security_events_total", Unit::Count, "Refusals that were recorded, by type");
    describe_counter!("tenantry_jwks_failures_total", Unit::Count, "Failed fetches of an issuer's keys");
}
