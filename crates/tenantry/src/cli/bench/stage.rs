//! What measurements work on: a running server, its database, tenants, and each way of counting once.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tenantry_domain::permission::Permission;
use tenantry_domain::quantity::Quantity;
use tokio_postgres::Config as Connect;
use uuid::Uuid;

use super::http::{self, Asker, Caller, Sender};
use super::measure::{self, Figure, Keys, Names, Sequence};
use super::statements::Statements;
use super::ways::{Copy, Direct, NaiveWay, SingleWay};
use crate::cli::{Failure, Session};
use crate::deployment::Deployment;
use crate::http::auth::mint_key;
use crate::server::group_settings;
use crate::storage::bench::{self, Naive, Single};
use crate::storage::usage::facts;
use crate::storage::{Database, describe, migrate};
use crate::tenancy::keys::{self, NewKey};
use crate::tenancy::{Actor, users};
use crate::usage::check::Question;
use crate::usage::ingest::Recorder;

/// Connections that send single events or checks.
pub(super) const SINGLE_CONNECTIONS: usize = 64;
/// Events of a batch, and connections that send batches.
pub(super) const BATCH: usize = 500;
pub(super) const BATCH_CONNECTIONS: usize = 8;
/// Connections of what goes past HTTP; more are not faster on two cores.
pub(super) const DIRECT_CONNECTIONS: usize = 2;
/// Earlier events of the period in the naive way, and its connections.
pub(super) const EARLIER: i32 = 100_000;
pub(super) const NAIVE_CONNECTIONS: usize = 8;
/// Connections that count one event in one transaction.
pub(super) const TRANSACTION_CONNECTIONS: usize = 32;
/// Tenants that are made at the same time.
const MADE_AT_ONCE: usize = 16;

/// What measurements need.
pub(super) struct Stage<'a> {
    session: &'a Session,
    pub(super) db: Database,
    admin: Connect,
    /// One or more servers on the same database.
    pub(super) authorities: Vec<Arc<str>>,
    secret: Arc<str>,
    actor: Actor,
    metric: Arc<str>,
    tenants: Arc<[Uuid]>,
    pub(super) time: Duration,
    /// Names the events of this run.
    sequence: Arc<Sequence>,
}

/// The authority of a server's URL.
pub(super) fn authority(url: &str) -> Result<Arc<str>, Failure> {
    let rest = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/').into());
    rest.ok_or_else(|| {
        Failure::usage("the URL must begin with http://: the benchmark asks the server itself, not a proxy with TLS")
    })
}

/// What a stage is made of.
pub(super) struct Plan {
    pub(super) urls: Vec<String>,
    pub(super) metric: String,
    pub(super) tenants: usize,
    pub(super) time: Duration,
    pub(super) keys: Keys,
}

impl<'a> Stage<'a> {
    /// Makes tenants and a service key; [`strike`](Self::strike) takes the key away.
    pub(super) async fn set(session: &'a Session, opened: &Deployment, plan: Plan) -> Result<Self, Failure> {
        let admin =
            opened.admin.clone().ok_or_else(|| Failure::usage("set DATABASE_ADMIN_URL: the bounds need tables"))?;
        if opened.cluster.is_some() {
            return Err(Failure::usage("start the server first: tenantry serve --plans bench/plans.toml"));
        }
        let authorities = plan.urls.iter().map(|url| authority(url)).collect::<Result<Vec<_>, _>>()?;
        let minted = mint_key(&session.env);
        let key = NewKey {
            id: minted.id,
            prefix: minted.prefix.clone(),
            secret_hash: minted.hash,
            name: "bench".to_owned(),
            scopes: Permission::ALL.to_vec(),
            expires_at: None,
            requests_per_minute: None,
        };
        keys::create_service(&opened.db, &session.env, &key).await?;
        Ok(Self {
            session,
            db: opened.db.clone(),
            admin,
            authorities,
            secret: minted.expose().into(),
            actor: Actor::ServiceKey(minted.id),
            metric: plan.metric.as_str().into(),
            tenants: tenants(session, &opened.db, plan.tenants).await?,
            time: plan.time,
            sequence: Arc::new(Sequence::new(plan.keys, minted.id, session.env.clock.now())),
        })
    }

    /// Takes the key away.
    pub(super) async fn strike(&self) -> Result<(), Failure> {
        keys::revoke_service(&self.db, &self.session.env, self.actor.id().unwrap_or_default()).await?;
        Ok(())
    }

    /// The schema of what is measured beside, with earlier events of the first tenant.
    pub(super) async fn prepare(&self) -> Result<(), Failure> {
        let admin = self.admin().await?;
        let failed = |error: tokio_postgres::Error| Failure::wrong(describe(&error));
        bench::prepare(&admin).await.map_err(failed)?;
        bench::preload(&admin, self.hot(), EARLIER, self.session.env.clock.now()).await.map_err(failed)
    }

    /// Takes that schema away.
    pub(super) async fn remove(&self) -> Result<(), Failure> {
        bench::remove(&self.admin().await?).await.map_err(|error| Failure::wrong(describe(&error)))
    }

    /// A connection of the database's admin.
    pub(super) async fn admin(&self) -> Result<tokio_postgres::Client, Failure> {
        Ok(migrate::connect(&self.admin).await?)
    }

    /// The first tenant.
    pub(super) fn hot(&self) -> Uuid {
        self.tenants.first().copied().unwrap_or_default()
    }

    /// The same stage with another tenant, metric and time.
    pub(super) fn with(&self, tenants: Arc<[Uuid]>, metric: &str, time: Duration) -> Stage<'a> {
        Stage {
            session: self.session,
            db: self.db.clone(),
            admin: self.admin.clone(),
            authorities: self.authorities.clone(),
            secret: Arc::clone(&self.secret),
            actor: self.actor,
            metric: metric.into(),
            tenants,
            time,
            sequence: Arc::clone(&self.sequence),
        }
    }

    /// The same stage for a shorter time.
    pub(super) fn shortly(&self, time: Duration) -> Stage<'a> {
        self.with(Arc::clone(&self.tenants), &self.metric, time)
    }

    /// Makes what the first event of each tenant would make.
    pub(super) async fn open_counters(&self) -> Result<(), Failure> {
        let recorder = Recorder::new(self.db.clone(), self.session.env.clone(), group_settings(&self.session.config));
        let at = self.session.env.clock.now();
        for tenants in self.tenants.chunks(500) {
            let questions: Vec<Question> = tenants
                .iter()
                .map(|tenant_id| Question {
                    actor: self.actor,
                    tenant_id: *tenant_id,
                    team_id: None,
                    metric: self.metric.to_string(),
                    amount: Quantity::from_decimal(rust_decimal::Decimal::ONE),
                    at,
                })
                .collect();
            recorder.standings(&questions).await?;
        }
        Ok(())
    }

    /// What the first tenant has used of the metric, in whole units.
    pub(super) async fn total(&self) -> Result<u64, Failure> {
        let at = self.session.env.clock.now();
        let tx = self.db.read_as_service("bench_total", &[self.hot()]).await?;
        let counters = facts::counters(&tx, &[self.hot()], &[&self.metric], &[at], &[at]).await?;
        tx.rollback().await?;
        Ok(counters.iter().filter_map(|counter| u64::try_from(counter.total).ok()).sum())
    }

    /// One more tenant.
    pub(super) async fn another(&self) -> Result<Arc<[Uuid]>, Failure> {
        tenants(self.session, &self.db, 1).await
    }

    fn names(&self, connection: usize) -> Names {
        Names::new(Arc::clone(&self.sequence), connection)
    }

    fn spread(&self, count: usize) -> Arc<[Uuid]> {
        self.tenants.iter().take(count.max(1)).copied().collect()
    }

    /// Single events or batches over HTTP, to these servers in turn.
    pub(super) async fn http(&self, batch: usize, count: usize, servers: usize) -> Result<Figure, Failure> {
        let connections = if batch == 1 { SINGLE_CONNECTIONS } else { BATCH_CONNECTIONS };
        let tenants = self.spread(count);
        let mut tasks = Vec::new();
        for task in 0..connections {
            let caller = self.caller(task % servers.max(1), &tenants, task).await?;
            tasks.push(Sender { caller, batch, last: 0, refused: 0 });
        }
        measure::run(tasks, self.time).await
    }

    /// A connection to one of the servers.
    async fn caller(&self, server: usize, tenants: &Arc<[Uuid]>, task: usize) -> Result<Caller, Failure> {
        let authority = self.server(server)?;
        Ok(Caller {
            connection: http::connect(&authority).await?,
            authority,
            key: Arc::clone(&self.secret),
            metric: Arc::clone(&self.metric),
            tenants: Arc::clone(tenants),
            names: self.names(task),
        })
    }

    fn server(&self, index: usize) -> Result<Arc<str>, Failure> {
        let known = self.authorities.get(index).map(Arc::clone);
        known.ok_or_else(|| Failure::usage("--second-url names the second server of this line"))
    }

    /// Checks over HTTP.
    pub(super) async fn checks(&self, count: usize) -> Result<Figure, Failure> {
        let tenants = self.spread(count);
        let mut tasks = Vec::new();
        for task in 0..SINGLE_CONNECTIONS {
            tasks.push(Asker(self.caller(0, &tenants, task).await?));
        }
        measure::run(tasks, self.time).await
    }

    /// The statements of recording by themselves: nothing is looked up, nothing decided in the program.
    pub(super) async fn statements(&self, count: usize) -> Result<Figure, Failure> {
        let tenants = self.spread(count);
        let mut tasks = Vec::new();
        for task in 0..DIRECT_CONNECTIONS {
            let names = self.names(task);
            let clock = self.session.env.clone();
            tasks.push(Statements::new(self.db.clone(), clock, &self.metric, Arc::clone(&tenants), names).await?);
        }
        measure::run(tasks, self.time).await
    }

    /// The whole of recording without HTTP.
    pub(super) async fn direct(&self, count: usize) -> Result<Figure, Failure> {
        let env = self.session.env.clone();
        let recorder = Recorder::new(self.db.clone(), env.clone(), group_settings(&self.session.config));
        let tenants = self.spread(count);
        let task = |task| Direct {
            recorder: recorder.clone(),
            clock: env.clock.clone(),
            actor: self.actor,
            metric: Arc::clone(&self.metric),
            tenants: Arc::clone(&tenants),
            names: self.names(task),
        };
        measure::run((0..DIRECT_CONNECTIONS).map(task).collect(), self.time).await
    }

    /// COPY into twins.
    pub(super) async fn copy(&self, count: usize) -> Result<Figure, Failure> {
        let mut tasks = Vec::new();
        for task in 0..DIRECT_CONNECTIONS {
            tasks.push(Copy {
                client: migrate::connect(&self.admin).await?,
                clock: self.session.env.clock.clone(),
                tenants: self.spread(count),
                names: self.names(task),
            });
        }
        measure::run(tasks, self.time).await
    }

    /// Insert, then sum.
    pub(super) async fn naive(&self) -> Result<Figure, Failure> {
        let tenant = self.hot();
        let mut tasks = Vec::new();
        for task in 0..NAIVE_CONNECTIONS {
            let client = migrate::connect(&self.admin).await?;
            let naive = Naive::new(client).await.map_err(|error| Failure::wrong(describe(&error)))?;
            let names = self.names(task);
            tasks.push(NaiveWay { naive, clock: self.session.env.clock.clone(), tenant, names });
        }
        measure::run(tasks, self.time).await
    }

    /// A transaction for each event.
    pub(super) async fn transactions(&self) -> Result<Figure, Failure> {
        let tenant = self.hot();
        let mut tasks = Vec::new();
        for task in 0..TRANSACTION_CONNECTIONS {
            let client = migrate::connect(&self.admin).await?;
            let single = Single::new(client).await.map_err(|error| Failure::wrong(describe(&error)))?;
            let names = self.names(task);
            tasks.push(SingleWay { single, clock: self.session.env.clock.clone(), tenant, names });
        }
        measure::run(tasks, self.time).await
    }
}

/// Makes tenants; personal ones, with the default plan.
async fn tenants(session: &Session, db: &Database, count: usize) -> Result<Arc<[Uuid]>, Failure> {
    let env = &session.env;
    let ids: Vec<Uuid> = (0..count).map(|_| env.ids.uuid_v7(env.clock.now())).collect();
    stream::iter(&ids)
        .map(Ok::<_, Failure>)
        .try_for_each_concurrent(MADE_AT_ONCE, async |id| {
            users::ensure(db, env, Actor::System, *id, None).await?;
            Ok(())
        })
        .await?;
    Ok(ids.into())
}
