//! A database with two plans, a clock that stands still, and short words for recording usage.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tenantry::billing::catalog_store;
use tenantry::env::Env;
use tenantry::storage::{Database, StoreError};
use tenantry::tenancy::keys::{self, NewKey};
use tenantry::tenancy::members::{self, NewMember};
use tenantry::tenancy::organizations::{self, NewOrganization};
use tenantry::tenancy::{Actor, users};
use tenantry::usage::books;
use tenantry::usage::event::{Content, NewEvent};
use tenantry::usage::ingest::{GroupSettings, Recorder};
use tenantry::usage::outcome::{Outcome, Refusal};
use tenantry::usage::plan_change::{self, Billing, NewTerms};
use tenantry::{worker, write_tx};
use tenantry_domain::permission::{Overrides, Permission, Role};
use tenantry_domain::plan::{Catalog, Plan};
use tenantry_domain::quantity::Quantity;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::TestDb;

/// When every test begins.
pub(super) const NOON: &str = "2026-03-15T12:00:00Z";
/// Events are accepted this long after their period ended.
pub(super) const LATE_WINDOW: SignedDuration = SignedDuration::from_hours(72);

pub(super) struct World {
    pub(super) db: Database,
    pub(super) env: Env,
    pub(super) recorder: Recorder,
    pub(super) test: TestDb,
    pub(super) admin: tokio_postgres::Client,
}

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn quantity(text: &str) -> Quantity {
    text.parse().unwrap()
}

pub(super) fn plan(value: serde_json::Value) -> Plan {
    serde_json::from_value(value).unwrap()
}

/// `calls` has a hard limit, `tokens` overage and two dimensions, `bytes` no limit; only `pro` names `exports`.
pub(crate) fn catalog() -> Catalog {
    let free = plan(json!({
        "id": "free", "name": "Free", "rank": 0, "default": true, "prices": null, "currency": "usd",
        "metrics": {
            "calls": { "allowance": { "included": "100" } },
            "tokens": { "allowance": { "included": "50" }, "overage": { "mode": "graduated", "per": 10, "tiers": [
                { "up_to": "40", "unit_price": "3" }, { "unit_price": "1.5" },
            ] } },
            "bytes": { "allowance": "unlimited" },
        },
    }));
    let pro = plan(json!({
        "id": "pro", "name": "Pro", "rank": 10, "default": false, "prices": { "currency": "usd", "month": 2900 },
        "metrics": {
            "calls": { "allowance": { "included": "300" } },
            "tokens": { "allowance": { "included": "80" }, "overage": { "mode": "flat", "per": 1, "tiers": [
                { "unit_price": "2.25" },
            ] } },
            "bytes": { "allowance": "unlimited" },
            "exports": { "allowance": { "included": "20" } },
        },
    }));
    with_dimensions(Catalog::new(vec![free, pro]).unwrap(), &json!({ "tokens": ["model", "region"] }))
}

/// The catalog with dimensions of its metrics.
pub(super) fn with_dimensions(catalog: Catalog, dimensions: &serde_json::Value) -> Catalog {
    catalog.with_dimensions(serde_json::from_value(dimensions.clone()).unwrap()).unwrap()
}

/// The same plans with metrics that are no sums. `seats`, `people` and `load` have hard limits on `free`; `level` and
/// `band` cost something on both; `pro` prices all of them differently and limits `seats`.
pub(crate) fn figures_catalog() -> Catalog {
    let limited = |included: &str, aggregation: &str| json!({ "allowance": { "included": included }, "definition": { "aggregation": aggregation } });
    let priced = |included: &str, rate: &str, aggregation: &str| {
        let mut terms = limited(included, aggregation);
        terms["overage"] = json!({ "mode": "flat", "per": 1, "tiers": [{ "unit_price": rate }] });
        terms
    };
    let more = [
        json!({
            "seats": limited("10", "max"), "level": priced("4", "3", "last"), "people": limited("5", "unique:who"),
            "load": limited("20", "peak"), "band": priced("1", "2.5", "percentile:99:60"),
        }),
        json!({
            "seats": limited("25", "max"), "level": priced("7", "1.5", "last"), "people": priced("3", "7", "unique:who"),
            "load": priced("12", "0.75", "peak"), "band": priced("2", "1.25", "percentile:99:60"),
        }),
    ];
    let base = catalog();
    let plans = base.plans().iter().zip(more).map(|(own, more)| {
        let mut own = serde_json::to_value(own).unwrap();
        own["metrics"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        plan(own)
    });
    Catalog::new(plans.collect()).unwrap().with_dimensions(base.dimensions().clone()).unwrap()
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with_pool(8).await
    }

    pub(super) async fn with_pool(pool: usize) -> Self {
        Self::with(pool, catalog()).await
    }

    pub(super) async fn with(pool: usize, catalog: Catalog) -> Self {
        let test = TestDb::with_pool(pool).await;
        let env = Env::manual(at(NOON), 7);
        catalog_store::load(&test.db, &env, &catalog).await.unwrap();
        let recorder = Recorder::new(test.db.clone(), env.clone(), GroupSettings { late_window: LATE_WINDOW });
        Self { admin: test.admin_client().await, db: test.db.clone(), env, recorder, test }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.env.clock.now()
    }

    /// A user with its personal tenant, both of this id.
    pub(super) async fn user(&self) -> Uuid {
        let id = self.env.ids.uuid_v7(self.now());
        users::ensure(&self.db, &self.env, Actor::System, id, None).await.unwrap();
        id
    }

    pub(super) async fn organization(&self, owner: Uuid) -> Uuid {
        let new = NewOrganization { name: "Acme".to_owned(), ..NewOrganization::default() };
        let made = organizations::create(&self.db, &self.env, Actor::User(owner), &new, None).await.unwrap();
        made.done().unwrap().id
    }

    pub(super) async fn add_member(&self, tenant: Uuid, owner: Uuid, user_id: Uuid) {
        let new = NewMember { user_id, role: Role::Member, permissions: Overrides::default() };
        members::add(&self.db, &self.env, Actor::User(owner), tenant, &new, None).await.unwrap();
    }

    /// A key of a tenant that may record and see usage.
    pub(super) async fn key(&self, tenant: Uuid, owner: Uuid) -> Uuid {
        let id = self.env.ids.uuid_v7(self.now());
        let key = NewKey {
            id,
            prefix: "tk_".to_owned(),
            secret_hash: [1; 32],
            name: "meter".to_owned(),
            scopes: vec![Permission::RecordUsage, Permission::ViewUsage],
            expires_at: None,
            requests_per_minute: None,
        };
        keys::create(&self.db, &self.env, Actor::User(owner), tenant, &key, None).await.unwrap();
        id
    }

    pub(super) fn event(&self, tenant: Uuid, key: &str, metric: &str, amount: &str) -> NewEvent {
        let content = Content::Usage { metric: metric.to_owned(), amount: Quantity::parse_amount(amount).unwrap() };
        self.event_of(tenant, key, content)
    }

    pub(super) fn reversal(&self, tenant: Uuid, key: &str, reverses: &str) -> NewEvent {
        self.event_of(tenant, key, Content::Reversal { reverses: reverses.to_owned() })
    }

    fn event_of(&self, tenant: Uuid, key: &str, content: Content) -> NewEvent {
        NewEvent {
            team_id: None,
            tenant_id: tenant,
            key: key.to_owned(),
            content,
            timestamp: None,
            received_at: self.now(),
            user_id: None,
            metadata: serde_json::Map::new(),
        }
    }

    pub(super) fn event_at(&self, tenant: Uuid, key: &str, metric: &str, amount: &str, when: &str) -> NewEvent {
        NewEvent { timestamp: Some(at(when)), ..self.event(tenant, key, metric, amount) }
    }

    /// Records as the system, which may do everything.
    pub(super) async fn record(&self, events: &[NewEvent]) -> Vec<String> {
        self.record_as(Actor::System, events).await
    }

    pub(super) async fn record_as(&self, actor: Actor, events: &[NewEvent]) -> Vec<String> {
        self.recorder.record(actor, events).await.into_iter().map(|answer| word(&answer.unwrap())).collect()
    }

    /// Puts a tenant on a plan from an instant on, as the sync with Stripe will.
    pub(super) async fn change_plan(&self, tenant: Uuid, plan: &str, from: Timestamp) {
        let (env, terms) = (&self.env, terms(plan));
        let billing = Billing { interval: "month", status: "active" };
        let done: Result<(), StoreError> = write_tx!(self.db, "test_plan", &[tenant], |tx| {
            plan_change::change_plan(tx, env, (tenant, from), &terms, billing).await
        });
        done.unwrap();
    }

    /// Ends the running period at an instant: a new anchor, under a plan.
    pub(super) async fn new_anchor(&self, tenant: Uuid, plan: &str, from: Timestamp) {
        let (env, terms) = (&self.env, terms(plan));
        let done: Result<_, StoreError> = write_tx!(self.db, "test_anchor", &[tenant], |tx| {
            plan_change::set_anchor(tx, env, tenant, from, &terms).await
        });
        let period = done.unwrap();
        assert!(period.start <= from && from < period.end, "{period:?} does not contain {from}");
    }

    /// The tenant subscribes again: its running period goes on.
    pub(super) async fn follow_anchor(&self, tenant: Uuid, plan: &str, from: Timestamp) {
        let (env, terms) = (&self.env, terms(plan));
        let done: Result<(), StoreError> = write_tx!(self.db, "test_follow", &[tenant], |tx| {
            plan_change::follow_anchor(tx, env, tenant, from, &terms).await
        });
        done.unwrap();
    }

    /// The periods of a tenant: `from to state`, months and days only, in order.
    pub(super) async fn periods(&self, tenant: Uuid) -> Vec<String> {
        let sql = "select to_char(period_start at time zone 'UTC', 'MM-DD') || ' ' ||
                          to_char(period_end at time zone 'UTC', 'MM-DD') || ' ' ||
                          case when historic then 'historic' else state end
                   from tenantry.usage_periods where tenant_id = $1 order by period_start";
        self.admin.query(sql, &[&tenant]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// Does every job that is due.
    pub(super) async fn work(&self) {
        let never = CancellationToken::new();
        while worker::run_due(&self.db, &self.env, &never).await.unwrap() > 0 {}
    }

    /// The counters of a tenant: `metric total` by period and metric, those at 0 left out.
    pub(super) async fn totals(&self, tenant: Uuid) -> Vec<String> {
        let sql = "select metric || ' ' || trim_scale(total) from tenantry.usage_counters
                   where tenant_id = $1 and total <> 0 order by period_start, metric";
        self.admin.query(sql, &[&tenant]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// The charges of a tenant: `metric sequence amount`, in the order in which they were made.
    pub(super) async fn charges(&self, tenant: Uuid) -> Vec<String> {
        let sql = "select metric || ' ' || sequence || ' ' || charge_amount_cents from tenantry.overage_charges
                   where tenant_id = $1 order by billing_period_start, metric, sequence";
        self.admin.query(sql, &[&tenant]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    pub(super) async fn count(&self, sql: &str) -> i64 {
        self.admin.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Everything that the proof of the books finds.
    pub(super) async fn differences(&self) -> Vec<String> {
        let proof = books::prove(&self.db, None).await.unwrap();
        proof.differences.iter().map(|found| format!("{}: {}", found.book, found.detail)).collect()
    }

    pub(super) async fn books_are_right(&self) {
        assert_eq!(self.differences().await, Vec::<String>::new());
    }
}

/// Priced and limited by the first version of a plan.
pub(crate) fn terms(plan: &str) -> NewTerms {
    NewTerms { plan: (plan.to_owned(), 1), limits: (plan.to_owned(), 1) }
}

/// An outcome in a word, with the total where there is one.
pub(crate) fn word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted(answer) => format!("accepted {}", answer.standing.total),
        Outcome::Duplicate(answer) => format!("duplicate {}", answer.standing.total),
        Outcome::Conflict(answer) => format!("conflict {}", answer.standing.total),
        Outcome::Refused(Refusal::UsageLimitExceeded, answer) => format!("refused {}", answer.standing.total),
        Outcome::Refused(Refusal::MetricNotInPlan, answer) => format!("not in plan {}", answer.standing.total),
        Outcome::Refused(Refusal::SpendCapExceeded(_), answer) => format!("capped {}", answer.standing.total),
        Outcome::Invalid(invalid) => invalid.code.to_owned(),
        Outcome::Forbidden(_) | Outcome::Foreign => "forbidden".to_owned(),
        Outcome::TeamInactive => "team inactive".to_owned(),
    }
}
