//! Versions of plans as usage needs them: limits for counters, terms for prices.

use std::collections::{BTreeSet, HashMap};

use tenantry_domain::plan::{MetricName, MetricTerms, Plan};
use tenantry_domain::quantity::Quantity;

use crate::storage::usage::open::{self, PlanVersionRow};
use crate::storage::{StoreError, Tx};

/// Plan versions that were read in this transaction. A version never changes once it is written.
#[derive(Debug, Default)]
pub struct PlanBook {
    versions: HashMap<(String, i32), Plan>,
}

/// Included quantity and limit of a metric under a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Whether the plan names the metric.
    pub in_plan: bool,
    /// Included quantity; none is unlimited.
    pub included: Option<rust_decimal::Decimal>,
    /// No accepted event takes the total above it.
    pub hard_limit: Option<rust_decimal::Decimal>,
}

/// The metrics that the plans of the loaded catalog name.
pub async fn declared_metrics(tx: &Tx) -> Result<BTreeSet<String>, StoreError> {
    let mut declared = BTreeSet::new();
    let current = open::current_plans(tx).await?;
    let mut plans = PlanBook::default();
    for row in &current {
        plans.put(row)?;
        declared.extend(plans.get(&row.plan_id, row.version)?.metrics.keys().map(ToString::to_string));
    }
    Ok(declared)
}

impl PlanBook {
    /// Reads the versions that are not in the book yet.
    pub async fn fetch(&mut self, tx: &Tx, wanted: impl IntoIterator<Item = (String, i32)>) -> Result<(), StoreError> {
        let missing: BTreeSet<(String, i32)> =
            wanted.into_iter().filter(|version| !self.versions.contains_key(version)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let plans: Vec<&str> = missing.iter().map(|(plan, _)| plan.as_str()).collect();
        let versions: Vec<i32> = missing.iter().map(|(_, version)| *version).collect();
        for row in open::plan_versions(tx, &plans, &versions).await? {
            self.put(&row)?;
        }
        Ok(())
    }

    /// Adds a version that was read.
    pub fn put(&mut self, row: &PlanVersionRow) -> Result<(), StoreError> {
        let plan: Plan = serde_json::from_value(row.definition.clone())
            .map_err(|error| StoreError::corrupt("plan definition", error))?;
        self.versions.insert((row.plan_id.clone(), row.version), plan);
        Ok(())
    }

    /// A version that was fetched.
    pub fn get(&self, plan_id: &str, version: i32) -> Result<&Plan, StoreError> {
        self.versions
            .get(&(plan_id.to_owned(), version))
            .ok_or_else(|| StoreError::corrupt("plan version", format!("{plan_id} version {version} does not exist")))
    }

    /// The terms of a metric; none where the plan does not name it.
    pub fn metric(&self, plan_id: &str, version: i32, metric: &str) -> Result<Option<&MetricTerms>, StoreError> {
        let plan = self.get(plan_id, version)?;
        let name: MetricName = metric.parse().map_err(|error| StoreError::corrupt("metric name", error))?;
        Ok(plan.metrics.get(&name))
    }

    /// Included quantity and limit of a metric.
    pub fn terms(&self, plan_id: &str, version: i32, metric: &str) -> Result<Terms, StoreError> {
        Ok(match self.metric(plan_id, version, metric)? {
            Some(terms) => Terms {
                in_plan: true,
                included: terms.included().map(Quantity::as_decimal),
                hard_limit: terms.hard_limit().map(Quantity::as_decimal),
            },
            // A metric that the plan does not name has limit 0.
            None => Terms {
                in_plan: false,
                included: Some(rust_decimal::Decimal::ZERO),
                hard_limit: Some(rust_decimal::Decimal::ZERO),
            },
        })
    }
}
