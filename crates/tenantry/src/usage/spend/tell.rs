//! Telling tenants that their spend has reached what they wanted to be told of, or what they let it reach.
//!
//! Each notice is raised under a key that names the occasion, so that it is told once however often it is met.

use std::collections::BTreeSet;

use tenantry_domain::money::Money;
use uuid::Uuid;

use super::period::{self, Period, PeriodKey};
use crate::env::Env;
use crate::notices::data::{Span, UsageSpendAlert, UsageSpendCapped};
use crate::notices::{Notice, raise};
use crate::storage::usage::spend::{self as rows, AlertRow, CapRow};
use crate::storage::{StoreError, Tx};

impl Period {
    /// What is accrued of a metric, or of all of them: of what was used, without what is held.
    pub fn accrued(&self, metric: Option<&str>) -> i64 {
        self.spend.cost(metric).used
    }

    fn money(&self, minor: i64) -> Money {
        Money { minor, currency: self.currency }
    }

    fn span(&self) -> Span {
        Span { start: self.start, end: self.end }
    }

    /// Says that an alert was reached. Once for each alert and period.
    pub async fn tell_alert(&self, tx: &Tx, env: &Env, alert: &AlertRow) -> Result<(), StoreError> {
        let data = UsageSpendAlert {
            alert_id: alert.id,
            metric: alert.metric.clone(),
            amount: self.money(alert.amount_minor),
            accrued: self.money(self.accrued(alert.metric.as_deref())),
            period: self.span(),
        };
        let notice = Notice::new(format!("{}:{}", alert.id, self.start), data);
        raise(tx, env, env.clock.now(), self.tenant_id, &notice).await.map(|_| ())
    }

    /// Says that a cap was reached, or has refused something. Once for each cap, amount of it and period.
    pub async fn tell_capped(&self, tx: &Tx, env: &Env, cap: &CapRow) -> Result<(), StoreError> {
        let data = UsageSpendCapped {
            metric: cap.metric.clone(),
            cap: self.money(cap.amount_minor),
            accrued: self.money(self.accrued(cap.metric.as_deref())),
            period: self.span(),
        };
        let notice = Notice::new(format!("{}:{}:{}", cap.id, self.start, cap.amount_minor), data);
        raise(tx, env, env.clock.now(), self.tenant_id, &notice).await.map(|_| ())
    }
}

/// Tells of everything that the spend of a tenant's open periods has reached by now, where it was not told before: after
/// a change of plan, of a cap or of an alert, whose transaction holds the counters.
pub async fn tell_standing(tx: &Tx, env: &Env, tenant: Uuid) -> Result<(), StoreError> {
    let open: BTreeSet<PeriodKey> =
        rows::open_counters(tx, &[tenant]).await?.iter().map(|counter| (tenant, counter.period_start)).collect();
    for period in period::read(tx, &open, env.clock.now()).await?.values() {
        for alert in &period.watched.alerts {
            if period.accrued(alert.metric.as_deref()) >= alert.amount_minor {
                period.tell_alert(tx, env, alert).await?;
            }
        }
        for cap in &period.watched.caps {
            let accrued = period.accrued(cap.metric.as_deref());
            if accrued > 0 && accrued >= cap.amount_minor {
                period.tell_capped(tx, env, cap).await?;
            }
        }
    }
    Ok(())
}
