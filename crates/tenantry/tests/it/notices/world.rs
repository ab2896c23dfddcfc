//! A database with the plans of the usage tests, a clock that stands still, and the worker's two lanes at a word.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tenantry::billing::catalog_store;
use tenantry::env::Env;
use tenantry::notices::webhooks::UrlPolicy;
use tenantry::notices::webhooks::endpoints::{self, NewEndpoint, On, WithSecret};
use tenantry::notices::{Notice, Outbound, OutboundSettings, raise};
use tenantry::storage::{Database, StoreError};
use tenantry::tenancy::members::{self, NewMember};
use tenantry::tenancy::organizations::{self, NewOrganization};
use tenantry::tenancy::{Actor, users};
use tenantry::usage::event::{Content, NewEvent};
use tenantry::usage::ingest::{GroupSettings, Recorder};
use tenantry::usage::plan_change::{self, Billing, NewTerms};
use tenantry::{worker, write_tx};
use tenantry_domain::permission::{Overrides, Role};
use tenantry_domain::quantity::Quantity;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::metering::world::catalog;
use crate::support::TestDb;

/// When tests begin that do not say otherwise.
pub(super) const NOON: &str = "2026-03-15T12:00:00Z";
/// What receivers of this machine need.
pub(super) const OPEN: UrlPolicy = UrlPolicy { https_only: false, allow_private: true };

pub(super) struct World {
    pub(super) db: Database,
    pub(super) env: Env,
    pub(super) test: TestDb,
    pub(super) admin: tokio_postgres::Client,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::at(NOON.parse().unwrap()).await
    }

    pub(super) async fn at(now: Timestamp) -> Self {
        // Set once for the process; whoever comes later finds it set.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let test = TestDb::new().await;
        let env = Env::manual(now, 11);
        catalog_store::load(&test.db, &env, &catalog()).await.unwrap();
        Self { admin: test.admin_client().await, db: test.db.clone(), env, test }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.env.clock.now()
    }

    pub(super) fn advance(&self, by: SignedDuration) {
        assert!(self.env.clock.advance(by));
    }

    /// A user with this address and a personal tenant of the same id.
    pub(super) async fn user(&self, email: Option<&str>) -> Uuid {
        let id = self.env.ids.uuid_v7(self.now());
        users::ensure(&self.db, &self.env, Actor::System, id, email).await.unwrap();
        id
    }

    /// An organization of an owner with this address.
    pub(super) async fn organization(&self, owner_email: &str) -> Uuid {
        let owner = self.user(Some(owner_email)).await;
        let new = NewOrganization { name: "Acme".to_owned(), ..NewOrganization::default() };
        let made = organizations::create(&self.db, &self.env, Actor::User(owner), &new, None).await.unwrap();
        made.done().unwrap().id
    }

    pub(super) async fn member(&self, tenant: Uuid, role: Role, email: Option<&str>) {
        let user_id = self.user(email).await;
        let new = NewMember { user_id, role, permissions: Overrides::default() };
        members::add(&self.db, &self.env, Actor::System, tenant, &new, None).await.unwrap();
    }

    pub(super) async fn raise(&self, tenant: Uuid, notice: &Notice) -> bool {
        let (env, now) = (&self.env, self.now());
        let raised: Result<bool, StoreError> =
            write_tx!(self.db, "test_raise", &[tenant], |tx| raise(tx, env, now, tenant, notice).await);
        raised.unwrap()
    }

    /// Another plan from now on.
    pub(super) async fn change_plan(&self, tenant: Uuid, plan: &str) {
        let terms = NewTerms { plan: (plan.to_owned(), 1), limits: (plan.to_owned(), 1) };
        let billing = Billing { interval: "month", status: "active" };
        let done: Result<(), StoreError> = write_tx!(self.db, "test_plan", &[tenant], |tx| {
            plan_change::change_plan(tx, &self.env, (tenant, self.now()), &terms, billing).await
        });
        done.unwrap();
    }

    pub(super) fn recorder(&self) -> Recorder {
        let db = Database::new(&self.test.logins).unwrap();
        Recorder::new(db, self.env.clone(), GroupSettings { late_window: SignedDuration::from_hours(72) })
    }

    pub(super) fn event(&self, tenant: Uuid, key: &str, metric: &str, amount: &str) -> NewEvent {
        NewEvent {
            team_id: None,
            tenant_id: tenant,
            key: key.to_owned(),
            content: Content::Usage { metric: metric.to_owned(), amount: Quantity::parse_amount(amount).unwrap() },
            timestamp: None,
            received_at: self.now(),
            user_id: None,
            metadata: serde_json::Map::new(),
        }
    }

    /// An endpoint of a tenant at this URL that is told of everything.
    pub(super) async fn endpoint(&self, tenant: Uuid, url: &str) -> WithSecret {
        let on = On { actor: Actor::System, tenant_id: tenant };
        let new = NewEndpoint { url: url.to_owned(), ..NewEndpoint::default() };
        endpoints::create(&self.db, &self.env, on, &new, OPEN, None).await.unwrap().done().unwrap()
    }

    /// Does what is due but for sending.
    pub(super) async fn hand_out(&self) {
        let never = CancellationToken::new();
        while worker::run_due(&self.db, &self.env, &never).await.unwrap() > 0 {}
    }

    /// Does everything that is due.
    pub(super) async fn work(&self, outbound: &Outbound) {
        loop {
            self.hand_out().await;
            if worker::deliver_due(&self.db, &self.env, outbound).await.unwrap() == 0 {
                return;
            }
        }
    }

    /// The rows of a statement with one column of text.
    pub(super) async fn texts(&self, sql: &str) -> Vec<String> {
        self.admin.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    pub(super) async fn count(&self, sql: &str) -> i64 {
        self.admin.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// What a tenant was told of limits, in the order of kind and key: `kind percent total/limit`.
    pub(super) async fn limits(&self, tenant: Uuid) -> Vec<String> {
        let sql = "select kind, data from tenantry.notifications where tenant_id = $1 order by kind, dedupe_key";
        let rows = self.admin.query(sql, &[&tenant]).await.unwrap();
        rows.iter()
            .map(|row| {
                let (kind, data): (String, Value) = (row.get(0), row.get(1));
                let percent = data["percent"].as_u64().map(|percent| format!(" {percent}")).unwrap_or_default();
                let text = |member: &str| data[member].as_str().unwrap_or_default().to_owned();
                format!("{kind} {}{percent} {}/{}", text("metric"), text("total"), text("limit"))
            })
            .collect()
    }
}

/// The ways out: to this mail server, if there is one, and to webhook receivers on this machine.
pub(crate) fn outbound(smtp_url: Option<String>) -> Outbound {
    outbound_under(smtp_url, OPEN)
}

pub(super) fn outbound_under(smtp_url: Option<String>, webhooks: UrlPolicy) -> Outbound {
    let settings = OutboundSettings {
        smtp_url: smtp_url.map(Into::into),
        mail_from: Some("Tenantry <billing@tenantry.example>".to_owned()),
        app_url: "https://app.example".to_owned(),
        webhooks,
    };
    Outbound::new(&settings).unwrap()
}
