//! What tenants watch: their caps and alerts, and up to which total a counter has nothing to do with them.

use std::collections::{BTreeSet, HashMap};

use rust_decimal::Decimal;
use tenantry_domain::plan::MetricTerms;
use tenantry_domain::quantity::Quantity;
use tenantry_domain::spend::Caps;
use uuid::Uuid;

use super::super::plans::PlanBook;
use crate::storage::usage::facts::CounterRow;
use crate::storage::usage::open;
use crate::storage::usage::spend::{self as rows, AlertRow, CapRow};
use crate::storage::{StoreError, Tx};

/// The caps and alerts of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Watched {
    /// The cap over all metrics first.
    pub caps: Vec<CapRow>,
    /// Those over all metrics first, then by amount.
    pub alerts: Vec<AlertRow>,
}

impl Watched {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.caps.is_empty() && self.alerts.is_empty()
    }

    /// Whether something is about all metrics together: then no metric can be judged alone.
    pub fn has_whole(&self) -> bool {
        self.scopes().any(|scope| scope.is_none())
    }

    /// Up to which total events of a metric cost nothing under the terms of the plan that prices them; none where
    /// nothing costs anything, or nobody watches what it costs.
    pub fn sure_limit(&self, metric: &str, terms: Option<&MetricTerms>) -> Option<Decimal> {
        let priced = terms.filter(|terms| terms.overage.is_some())?;
        let is_watched = self.scopes().any(|scope| scope.is_none_or(|watched| watched == metric));
        if is_watched { priced.included().map(Quantity::as_decimal) } else { None }
    }

    /// The caps as the domain judges by them.
    pub fn caps(&self) -> Caps {
        let mut caps = Caps::default();
        for cap in &self.caps {
            match &cap.metric {
                None => caps.whole = Some(cap.amount_minor),
                Some(metric) => _ = caps.by_metric.insert(metric.clone(), cap.amount_minor),
            }
        }
        caps
    }

    /// What each cap and alert is about: a metric, or all of them.
    fn scopes(&self) -> impl Iterator<Item = Option<&str>> {
        let caps = self.caps.iter().map(|cap| cap.metric.as_deref());
        caps.chain(self.alerts.iter().map(|alert| alert.metric.as_deref()))
    }
}

/// What some tenants watch; those that watch nothing are not in it.
#[derive(Debug, Clone, Default)]
pub struct Watches(HashMap<Uuid, Watched>);

static NOTHING: Watched = Watched { caps: Vec::new(), alerts: Vec::new() };

impl Watches {
    /// What a tenant watches.
    pub fn of(&self, tenant: Uuid) -> &Watched {
        self.0.get(&tenant).unwrap_or(&NOTHING)
    }

    /// Whether none of them watches anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What these tenants watch, as it is in this statement.
pub async fn of_tenants(tx: &Tx, tenants: &[Uuid]) -> Result<Watches, StoreError> {
    let (caps, alerts) = tokio::try_join!(rows::caps(tx, tenants), rows::alerts(tx, tenants))?;
    let mut watches = Watches::default();
    for cap in caps {
        watches.0.entry(cap.tenant_id).or_default().caps.push(cap);
    }
    for alert in alerts {
        watches.0.entry(alert.tenant_id).or_default().alerts.push(alert);
    }
    Ok(watches)
}

/// What a tenant watches, as it is in this statement.
pub async fn of_tenant(tx: &Tx, tenant: Uuid) -> Result<Watched, StoreError> {
    Ok(of_tenants(tx, &[tenant]).await?.0.remove(&tenant).unwrap_or_default())
}

/// Those of these counters of open periods whose bound is not what it should be, with the bound that they should have.
pub async fn misbounded(tx: &Tx, watches: &Watches, counters: &[CounterRow]) -> Result<Vec<CounterRow>, StoreError> {
    let periods: BTreeSet<_> = counters.iter().map(|counter| (counter.tenant_id, counter.period_start)).collect();
    let (tenants, starts): (Vec<_>, Vec<_>) = periods.into_iter().unzip();
    let segments: HashMap<_, _> = open::last_segments(tx, &tenants, &starts)
        .await?
        .into_iter()
        .map(|segment| ((segment.tenant_id, segment.period_start), segment))
        .collect();
    let mut plans = PlanBook::default();
    plans.fetch(tx, segments.values().map(|segment| (segment.plan_id.clone(), segment.plan_version))).await?;
    let mut found = Vec::new();
    for counter in counters {
        let Some(segment) = segments.get(&(counter.tenant_id, counter.period_start)) else {
            return Err(StoreError::corrupt("period", "it has no segment"));
        };
        let terms = plans.metric(&segment.plan_id, segment.plan_version, &counter.metric)?;
        let due = watches.of(counter.tenant_id).sure_limit(&counter.metric, terms);
        if due != counter.sure_limit {
            found.push(CounterRow { sure_limit: due, ..counter.clone() });
        }
    }
    Ok(found)
}
