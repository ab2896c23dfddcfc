//! Spend caps and alerts: never passed by an event, told once, whatever happens at the same time.

mod alerts;
mod caps;
mod holds;
mod race;

use serde_json::json;
use tenantry::tenancy::{Actor, TenancyError};
use tenantry::usage::check::{Question, Verdict};
use tenantry::usage::report;
use tenantry::usage::spend::change::{self, On};
use tenantry_domain::plan::Catalog;
use uuid::Uuid;

use super::world::{World, plan, quantity};

/// Three priced metrics under `free` and `pro`; `lite` prices nothing. `jobs` has a volume price that falls.
fn catalog() -> Catalog {
    let graduated = |up_to: &str, first: &str, then: &str| json!({ "mode": "graduated", "per": 1, "tiers": [{ "up_to": up_to, "unit_price": first }, { "unit_price": then }] });
    let flat = |price: &str| json!({ "mode": "flat", "per": 1, "tiers": [{ "unit_price": price }] });
    let volume =
        json!({ "mode": "volume", "per": 1, "tiers": [{ "up_to": "10", "unit_price": "5" }, { "unit_price": "2" }] });
    let included = |quantity: &str| json!({ "included": quantity });
    let free = plan(json!({
        "id": "free", "name": "Free", "rank": 0, "default": true, "currency": "usd",
        "metrics": {
            "tokens": { "allowance": included("50"), "overage": graduated("40", "3", "1.5") },
            "minutes": { "allowance": included("20"), "overage": graduated("10", "0.7", "0.25") },
            "jobs": { "allowance": included("10"), "overage": volume },
            "calls": { "allowance": included("100") },
        },
    }));
    let lite = plan(json!({
        "id": "lite", "name": "Lite", "rank": 5, "prices": { "currency": "usd", "month": 900 },
        "metrics": {
            "tokens": { "allowance": included("1000") },
            "minutes": { "allowance": included("500") },
            "jobs": { "allowance": "unlimited" },
        },
    }));
    let pro = plan(json!({
        "id": "pro", "name": "Pro", "rank": 10, "prices": { "currency": "usd", "month": 2900 },
        "metrics": {
            "tokens": { "allowance": included("80"), "overage": flat("2.25") },
            "minutes": { "allowance": included("0"), "overage": flat("0.5") },
            "jobs": { "allowance": included("10"), "overage": flat("1") },
            "calls": { "allowance": included("300") },
        },
    }));
    Catalog::new(vec![free, lite, pro]).unwrap()
}

async fn world() -> World {
    World::with(8, catalog()).await
}

impl World {
    async fn cap(&self, tenant: Uuid, metric: Option<&str>, cents: i64) {
        let on = On { actor: Actor::System, tenant_id: tenant };
        change::set_cap(&self.db, &self.env, on, metric, cents).await.unwrap();
    }

    async fn uncap(&self, tenant: Uuid, metric: Option<&str>) {
        let on = On { actor: Actor::System, tenant_id: tenant };
        change::remove_cap(&self.db, &self.env, on, metric).await.unwrap();
    }

    async fn alert(&self, tenant: Uuid, metric: Option<&str>, cents: i64) -> Uuid {
        let on = On { actor: Actor::System, tenant_id: tenant };
        let added = change::add_alert(&self.db, &self.env, on, (metric, cents), None).await;
        added.unwrap().done().unwrap().id
    }

    /// Accrued of a metric, or of all of them, as reports say it.
    async fn accrued(&self, tenant: Uuid, metric: Option<&str>) -> i64 {
        let tx = self.db.read_as_service("test", &[tenant]).await.unwrap();
        let current = report::current(&tx, tenant, self.now()).await.unwrap().unwrap();
        tx.rollback().await.unwrap();
        let of = |name: &String| metric.is_none_or(|metric| metric == name);
        current.limits.iter().filter(|(name, _)| of(name)).map(|(_, limit)| limit.accrued_minor).sum()
    }

    /// What a check says: `yes`, `limit` or `capped`.
    async fn check(&self, tenant: Uuid, metric: &str, amount: &str) -> &'static str {
        let amount = quantity(amount);
        let question = Question {
            actor: Actor::System,
            tenant_id: tenant,
            team_id: None,
            metric: metric.to_owned(),
            amount,
            at: self.now(),
        };
        match &self.recorder.standings(&[question]).await.unwrap()[0] {
            Verdict::Standing(outlook) if outlook.admits(amount) => "yes",
            Verdict::Standing(_) => "limit",
            Verdict::Capped(_, cap) => {
                assert!(cap.is_some());
                "capped"
            }
            Verdict::Forbidden => "forbidden",
            Verdict::TeamInactive => "inactive",
        }
    }

    /// The open counters of a tenant: `metric bound`, by period and metric.
    async fn bounds(&self, tenant: Uuid) -> Vec<String> {
        let sql = "select metric || ' ' || coalesce(trim_scale(sure_limit)::text, 'none') from tenantry.usage_counters
                   where tenant_id = $1 and not closed order by period_start, metric";
        self.admin.query(sql, &[&tenant]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// What a tenant was told about spend: `kind metric amount accrued`, sorted.
    async fn told(&self, tenant: Uuid) -> Vec<String> {
        let sql = "select replace(kind, 'usage_spend_', '') || ' ' || coalesce(data ->> 'metric', 'all') || ' '
                          || coalesce(data #>> '{amount,minor}', data #>> '{cap,minor}') || ' '
                          || (data #>> '{accrued,minor}')
                   from tenantry.notifications where tenant_id = $1 and kind like 'usage_spend%' order by 1";
        self.admin.query(sql, &[&tenant]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }
}

fn conflicts<T>(result: &Result<T, TenancyError>) -> bool {
    matches!(result, Err(TenancyError::Conflict(_)))
}
