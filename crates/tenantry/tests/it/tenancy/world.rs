//! A migrated database with a catalog of two plans, and short words for what tests do in it.

use serde_json::{Value, json};
use tenantry::billing::catalog_store;
use tenantry::env::Env;
use tenantry::storage::Database;
use tenantry::storage::tenants::TenantRow;
use tenantry::tenancy::members::{self, NewMember};
use tenantry::tenancy::organizations::{self, NewOrganization};
use tenantry::tenancy::{Actor, audit, users};
use tenantry_domain::permission::Role;
use tenantry_domain::plan::{Catalog, Plan};
use uuid::Uuid;

use crate::support::TestDb;

pub(super) struct World {
    pub(super) db: Database,
    pub(super) env: Env,
    pub(super) admin: tokio_postgres::Client,
}

pub(super) fn plan(id: &str, rank: u32, default: bool, paid: bool) -> Plan {
    let prices = if paid { json!({"currency": "usd", "month": 100, "year": 1000}) } else { Value::Null };
    let metrics = json!({
        "api_calls": {"allowance": {"included": "1000"}},
        "minutes": {
            "allowance": {"included": "10.5"},
            "overage": {"mode": "graduated", "per": 10, "tiers": [{"up_to": "5", "unit_price": "2.50"}, {"unit_price": "1"}]},
        },
    });
    let plan = json!({"id": id, "name": id, "rank": rank, "default": default, "prices": prices, "metrics": metrics});
    serde_json::from_value(plan).unwrap()
}

pub(super) fn catalog(plans: Vec<Plan>) -> Catalog {
    Catalog::new(plans).unwrap()
}

impl World {
    pub(super) async fn new() -> Self {
        let world = Self::without_catalog().await;
        let plans = vec![plan("free", 0, true, false), plan("pro", 10, false, true)];
        catalog_store::load(&world.db, &world.env, &catalog(plans)).await.unwrap();
        world
    }

    pub(super) async fn without_catalog() -> Self {
        let test = TestDb::new().await;
        Self { admin: test.admin_client().await, env: Env::system(), db: test.db }
    }

    pub(super) fn id(&self) -> Uuid {
        self.env.ids.uuid_v7(self.env.clock.now())
    }

    pub(super) async fn user(&self) -> Uuid {
        let id = self.id();
        let email = format!("{}@example.com", id.simple());
        assert!(users::ensure(&self.db, &self.env, Actor::User(id), id, Some(&email)).await.unwrap());
        id
    }

    pub(super) async fn organization(&self, owner: Uuid) -> TenantRow {
        let new = NewOrganization { name: "Acme".to_owned(), ..NewOrganization::default() };
        organizations::create(&self.db, &self.env, Actor::User(owner), &new, None).await.unwrap().done().unwrap()
    }

    /// A new user who is in the tenant with this role, added by its owner.
    pub(super) async fn member(&self, tenant: &TenantRow, role: Role) -> Uuid {
        self.member_with(tenant, role, "{}").await
    }

    pub(super) async fn member_with(&self, tenant: &TenantRow, role: Role, permissions: &str) -> Uuid {
        let user_id = self.user().await;
        let new = NewMember { user_id, role, permissions: serde_json::from_str(permissions).unwrap() };
        let owner = Actor::User(tenant.owner_id);
        members::add(&self.db, &self.env, owner, tenant.id, &new, None).await.unwrap();
        user_id
    }

    /// One number, read past row security.
    pub(super) async fn count(&self, sql: &str) -> i64 {
        self.admin.query_one(sql, &[]).await.unwrap().get(0)
    }

    pub(super) async fn chain(&self, tenant: Uuid) -> audit::Verdict {
        let tx = self.db.read_as_service("test", &[tenant]).await.unwrap();
        let verdict = audit::verify(&tx, tenant).await.unwrap();
        tx.rollback().await.unwrap();
        verdict
    }

    /// The kinds of the entries in a tenant's audit trail.
    pub(super) async fn deeds(&self, tenant: Uuid) -> Vec<String> {
        let rows = self
            .admin
            .query("select type from tenantry.billing_events where tenant_id = $1 order by sequence", &[&tenant])
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}
