//! `GET /metrics`

use axum::Extension;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use metrics_exporter_prometheus::PrometheusHandle;
use metrics_process::Collector;

use crate::http::state::AppState;

/// Figures in Prometheus' text format. No tenant, user or key is in them.
pub async fn metrics(
    State(state): State<AppState>,
    Extension(handle): Extension<PrometheusHandle>,
) -> impl IntoResponse {
    state.db.record_metrics();
    #[expect(clippy::cast_precision_loss, reason = "a queue has thousands of events")]
    metrics::gauge!("tenantry_ingest_waiting_events").set(state.ingest.waiting() as f64);
    // Processor time, memory and open files of this process, under the names that Prometheus gives them.
    Collector::default().collect();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], handle.render())
}
