//! Figures of metrics that are no sums, for readers. Over exactly one period it is what the counter has; over any other
//! span, and of one user alone, the definition is applied to the events of the span, which are read over their index.

use jiff::Timestamp;
use rust_decimal::Decimal;
use tenantry_domain::metric::Aggregation;
use tenantry_domain::plan::Plan;
use uuid::Uuid;

use super::report::ReportError;
use crate::storage::usage::aggregated;
use crate::storage::usage::report::{self as rows, CountedRow};
use crate::storage::{StoreError, Tx};

/// A metric with what its events make in a span: what they make in the latest period that the span touches.
#[derive(Debug, Clone)]
pub(super) struct Figure {
    /// The metric.
    pub(super) metric: String,
    /// What its events make.
    pub(super) aggregation: Aggregation,
    /// The figure; none of a sum, which is read from the rollups.
    pub(super) value: Option<Decimal>,
}

/// The figures of the metrics that have a counter in a span, or of one of them; `only` those of one user.
pub(super) async fn of(
    tx: &Tx,
    (tenant, only): (Uuid, Option<Uuid>),
    span: (Timestamp, Timestamp),
    metric: Option<&str>,
) -> Result<Vec<Figure>, ReportError> {
    let mut figures = Vec::new();
    for row in rows::counted(tx, tenant, span, metric).await? {
        let aggregation: Aggregation =
            row.aggregation.parse().map_err(|error| StoreError::corrupt("aggregation of a counter", error))?;
        let value = match &aggregation {
            Aggregation::Sum => None,
            _ => Some(value(tx, (tenant, only), span, &row, &aggregation).await?),
        };
        figures.push(Figure { metric: row.metric, aggregation, value });
    }
    Ok(figures)
}

async fn value(
    tx: &Tx,
    (tenant, only): (Uuid, Option<Uuid>),
    span: (Timestamp, Timestamp),
    row: &CountedRow,
    aggregation: &Aggregation,
) -> Result<Decimal, ReportError> {
    if span == row.period && only.is_none() {
        return Ok(row.total);
    }
    // A period that counted in this way keeps its events; one before it may have been a sum, and have let them go.
    if let Some(from) = rows::left_of(tx, (tenant, &row.metric), span).await? {
        return Err(ReportError::Archived { metric: row.metric.clone(), from });
    }
    Ok(aggregated::figure(tx, aggregation, (tenant, &row.metric), span, (only, aggregation.free_slots(span))).await?)
}

/// What a plan says that a metric's events make; a sum where it does not name it.
pub(super) fn defined(definition: &serde_json::Value, metric: &str) -> Result<Aggregation, StoreError> {
    let plan: Plan =
        serde_json::from_value(definition.clone()).map_err(|error| StoreError::corrupt("plan definition", error))?;
    Ok(plan.metrics.get(metric).map(|terms| terms.definition.aggregation.clone()).unwrap_or_default())
}
