//! Loading a plan catalog into the database: every content that a plan ever had is a version of its own.

use std::collections::BTreeMap;

use tenantry_domain::metric::DimensionName;
use tenantry_domain::plan::{Catalog, Plan};

use crate::env::Env;
use crate::storage::subscriptions::{self as rows, LatestVersion};
use crate::storage::usage::dimensions;
use crate::storage::{Database, MaybeRetryable, StoreError};
use crate::write_tx;

/// What loading a catalog did. Plans are named by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Plans whose content is the one that was current.
    pub unchanged: Vec<String>,
    /// Plans that are new, changed, or back, with the version that is current now.
    pub changed: Vec<(String, i32)>,
    /// Plans that are gone from the catalog; who has one keeps it.
    pub retired: Vec<String>,
}

/// Why a catalog is not loaded. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The default plan of the database is missing in the catalog.
    #[error(
        "plan `{0}` is what new tenants get and is gone from the catalog: keep it, give another plan `default = true`, \
         and take it out after that was loaded once"
    )]
    DefaultGone(String),
}

impl MaybeRetryable for LoadError {
    fn is_retryable(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_retryable())
    }
}

/// Whether a catalog was ever loaded.
pub async fn is_loaded(db: &Database) -> Result<bool, StoreError> {
    let tx = db.read_as_service("is_catalog_loaded", &[]).await?;
    let plan = rows::default_plan(&tx).await?;
    tx.rollback().await?;
    Ok(plan.is_some())
}

/// Brings the database to this catalog. An unchanged plan keeps its version, a changed one gets the next, one that is
/// gone is kept for those who have it. Replicas that start at once stand in line.
pub async fn load(db: &Database, env: &Env, catalog: &Catalog) -> Result<Loaded, LoadError> {
    let now = env.clock.now();
    write_tx!(db, "load_catalog", &[], |tx| {
        rows::lock_catalog(tx).await?;
        let latest: BTreeMap<String, LatestVersion> =
            rows::latest_versions(tx).await?.into_iter().map(|row| (row.plan_id.clone(), row)).collect();
        let step = plan_steps(&latest, catalog)?;
        // First out, then in: at no moment may a plan be current twice, or two plans be the default.
        let out: Vec<&str> = step
            .report
            .retired
            .iter()
            .map(String::as_str)
            .chain(step.report.changed.iter().map(|(plan, _)| plan.as_str()))
            .collect();
        rows::retire_versions(tx, &out).await?;
        for (plan, version) in &step.revived {
            rows::revive_version(tx, plan, *version).await?;
        }
        for (plan, version) in &step.added {
            let definition = serde_json::to_value(plan).map_err(|error| StoreError::corrupt("plan", error))?;
            rows::insert_version(tx, (plan.id.as_str(), *version), &definition, plan.default, now).await?;
        }
        dimensions::declare(tx, &dimensions_of(catalog)).await?;
        Ok(step.report)
    })
}

/// Names of dimensions by metric.
fn dimensions_of(catalog: &Catalog) -> serde_json::Value {
    let names = catalog.dimensions().iter().map(|(metric, names)| {
        let names: Vec<&str> = names.iter().map(DimensionName::as_str).collect();
        (metric.to_string(), names.into())
    });
    serde_json::Value::Object(names.collect())
}

#[derive(Default)]
struct Steps<'a> {
    report: Loaded,
    revived: Vec<(&'a str, i32)>,
    added: Vec<(&'a Plan, i32)>,
}

/// What has to be written, decided without the database.
fn plan_steps<'a>(latest: &BTreeMap<String, LatestVersion>, catalog: &'a Catalog) -> Result<Steps<'a>, LoadError> {
    let mut steps = Steps::default();
    for plan in catalog.plans() {
        let id = plan.id.as_str();
        let Some(row) = latest.get(id) else {
            steps.added.push((plan, 1));
            steps.report.changed.push((id.to_owned(), 1));
            continue;
        };
        let stored: Plan = serde_json::from_value(row.definition.clone())
            .map_err(|error| StoreError::corrupt("definition of a plan version", error))?;
        match (stored == *plan, row.current) {
            (true, true) => steps.report.unchanged.push(id.to_owned()),
            (true, false) => {
                steps.revived.push((id, row.version));
                steps.report.changed.push((id.to_owned(), row.version));
            }
            (false, _) => {
                steps.added.push((plan, row.version + 1));
                steps.report.changed.push((id.to_owned(), row.version + 1));
            }
        }
    }
    for row in latest.values().filter(|row| row.current) {
        if catalog.plan(&row.plan_id).is_none() {
            if row.is_default {
                return Err(LoadError::DefaultGone(row.plan_id.clone()));
            }
            steps.report.retired.push(row.plan_id.clone());
        }
    }
    Ok(steps)
}
