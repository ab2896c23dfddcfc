//! `tenantry bench usage`

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use tenantry_domain::permission::Permission;
use tokio_postgres::Config as Connect;
use uuid::Uuid;

use super::http::{self, Sender};
use super::measure::{self, Figure, Names};
use super::ways::{Copy, Direct, NaiveWay, SingleWay};
use crate::cli::output::table;
use crate::cli::{Failure, Session};
use crate::deployment::Deployment;
use crate::http::auth::mint_key;
use crate::server::group_settings;
use crate::storage::bench::{self, Naive, Single};
use crate::storage::{Database, describe, migrate};
use crate::tenancy::keys::{self, NewKey};
use crate::tenancy::{Actor, users};
use crate::usage::ingest::Recorder;

/// Connections that send single events.
const SINGLE_CONNECTIONS: usize = 64;
/// Events of a batch, and connections that send batches.
const BATCH: usize = 500;
const BATCH_CONNECTIONS: usize = 8;
/// Connections of what goes past HTTP; more are not faster on two cores.
const DIRECT_CONNECTIONS: usize = 2;
/// Earlier events of the period in the naive way, and its connections.
const EARLIER: i32 = 100_000;
const NAIVE_CONNECTIONS: usize = 8;
/// Connections that count one event in one transaction.
const TRANSACTION_CONNECTIONS: usize = 32;
/// Tenants that are made at the same time.
const MADE_AT_ONCE: usize = 16;

#[derive(Debug, Args)]
pub(in crate::cli) struct BenchUsage {
    /// The running server [default: the configured address]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Rounds; each measures everything once, and medians are shown
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Numbers of tenants that usage is spread over
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100, 10_000])]
    tenants: Vec<usize>,
    /// The metric; the default plan must include enough of it
    #[arg(long, default_value = "api_calls")]
    metric: String,
}

/// One line of the result.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    what: &'static str,
    tenants: usize,
    #[serde(flatten)]
    figure: Figure,
}

/// What measurements need.
struct Stage<'a> {
    session: &'a Session,
    db: Database,
    admin: Connect,
    authority: Arc<str>,
    secret: Arc<str>,
    actor: Actor,
    metric: Arc<str>,
    tenants: Arc<[Uuid]>,
    time: Duration,
    /// Tells the names of this run from those of others.
    run: String,
}

pub(super) async fn run(session: &Session, bench: &BenchUsage) -> Result<ExitCode, Failure> {
    let lines = session.on_database(async |opened| measured(session, opened, bench).await).await?;
    session.out.print(&lines, || text(bench, &lines))?;
    let is_fine = lines.iter().all(|line| line.figure.errors == 0);
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

async fn measured(session: &Session, opened: &Deployment, bench: &BenchUsage) -> Result<Vec<Line>, Failure> {
    let admin = opened.admin.clone().ok_or_else(|| Failure::usage("set DATABASE_ADMIN_URL: the bounds need tables"))?;
    if opened.cluster.is_some() {
        return Err(Failure::usage("start the server first: tenantry serve --plans bench/plans.toml"));
    }
    let url = bench.url.clone().unwrap_or_else(|| format!("http://{}", session.config.listen));
    let authority = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/')).ok_or_else(|| {
        Failure::usage("--url must begin with http://: the benchmark asks the server itself, not a proxy with TLS")
    })?;
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
    let most = bench.tenants.iter().copied().max().unwrap_or(1).max(1);
    let stage = Stage {
        session,
        db: opened.db.clone(),
        admin,
        authority: authority.into(),
        secret: minted.expose().into(),
        actor: Actor::ServiceKey(minted.id),
        metric: bench.metric.as_str().into(),
        tenants: tenants(session, &opened.db, most).await?,
        time: Duration::from_secs(bench.seconds.max(1)),
        run: minted.id.simple().to_string(),
    };
    let lines = stage.all(bench).await;
    keys::revoke_service(&opened.db, &session.env, minted.id).await?;
    lines
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

impl Stage<'_> {
    async fn all(&self, bench: &BenchUsage) -> Result<Vec<Line>, Failure> {
        let admin = migrate::connect(&self.admin).await?;
        bench::prepare(&admin).await.map_err(|error| Failure::wrong(describe(&error)))?;
        let hot = self.tenants.first().copied().unwrap_or_default();
        let now = self.session.env.clock.now();
        bench::preload(&admin, hot, EARLIER, now).await.map_err(|error| Failure::wrong(describe(&error)))?;
        // A first short request of each kind, so that no measurement pays for what is done once.
        for batch in [1, BATCH] {
            self.http(batch, 1, "warm", Duration::from_millis(300)).await?;
        }
        let mut rounds: Vec<(&'static str, usize, Vec<Figure>)> = Vec::new();
        for round in 0..bench.rounds.max(1) {
            let name = format!("r{round}");
            let mut measured = Vec::new();
            for &count in &bench.tenants {
                measured.push(("single events over HTTP", count, self.http(1, count, &name, self.time).await?));
                measured.push(("batches over HTTP", count, self.http(BATCH, count, &name, self.time).await?));
                measured.push(("the same without HTTP", count, self.direct(count, &name).await?));
                measured.push(("COPY, no limits or sums", count, self.copy(count, &name).await?));
            }
            measured.push(("naive: insert, then sum", 1, self.naive(hot, &name).await?));
            measured.push(("a transaction an event", 1, self.transactions(hot, &name).await?));
            for (index, (what, count, figure)) in measured.into_iter().enumerate() {
                match rounds.get_mut(index) {
                    Some((_, _, figures)) => figures.push(figure),
                    None => rounds.push((what, count, vec![figure])),
                }
            }
        }
        bench::remove(&admin).await.map_err(|error| Failure::wrong(describe(&error)))?;
        let line = |(what, tenants, figures)| Some(Line { what, tenants, figure: measure::median(figures)? });
        Ok(rounds.into_iter().filter_map(line).collect())
    }

    fn names(&self, what: &str, count: usize, round: &str, task: usize) -> Names {
        Names::new(format!("{}-{what}-{count}-{round}-{task}", self.run), (task as u64 + 1) * 0x9e37_79b9_7f4a_7c15)
    }

    fn spread(&self, count: usize) -> Arc<[Uuid]> {
        self.tenants.iter().take(count.max(1)).copied().collect()
    }

    async fn http(&self, batch: usize, count: usize, round: &str, time: Duration) -> Result<Figure, Failure> {
        let connections = if batch == 1 { SINGLE_CONNECTIONS } else { BATCH_CONNECTIONS };
        let tenants = self.spread(count);
        let mut tasks = Vec::new();
        for task in 0..connections {
            tasks.push(Sender {
                connection: http::connect(&self.authority).await?,
                authority: Arc::clone(&self.authority),
                key: Arc::clone(&self.secret),
                metric: Arc::clone(&self.metric),
                tenants: Arc::clone(&tenants),
                names: self.names(&format!("h{batch}"), count, round, task),
                batch,
                last: 0,
            });
        }
        measure::run(tasks, time).await
    }

    async fn direct(&self, count: usize, round: &str) -> Result<Figure, Failure> {
        let env = self.session.env.clone();
        let recorder = Recorder::new(self.db.clone(), env.clone(), group_settings(&self.session.config));
        let tenants = self.spread(count);
        let task = |task| Direct {
            recorder: recorder.clone(),
            clock: env.clock.clone(),
            actor: self.actor,
            metric: Arc::clone(&self.metric),
            tenants: Arc::clone(&tenants),
            names: self.names("d", count, round, task),
        };
        measure::run((0..DIRECT_CONNECTIONS).map(task).collect(), self.time).await
    }

    async fn copy(&self, count: usize, round: &str) -> Result<Figure, Failure> {
        let mut tasks = Vec::new();
        for task in 0..DIRECT_CONNECTIONS {
            tasks.push(Copy {
                client: migrate::connect(&self.admin).await?,
                clock: self.session.env.clock.clone(),
                tenants: self.spread(count),
                names: self.names("c", count, round, task),
            });
        }
        measure::run(tasks, self.time).await
    }

    async fn naive(&self, tenant: Uuid, round: &str) -> Result<Figure, Failure> {
        let mut tasks = Vec::new();
        for task in 0..NAIVE_CONNECTIONS {
            let client = migrate::connect(&self.admin).await?;
            let naive = Naive::new(client).await.map_err(|error| Failure::wrong(describe(&error)))?;
            let names = self.names("n", 1, round, task);
            tasks.push(NaiveWay { naive, clock: self.session.env.clock.clone(), tenant, names });
        }
        measure::run(tasks, self.time).await
    }

    async fn transactions(&self, tenant: Uuid, round: &str) -> Result<Figure, Failure> {
        let mut tasks = Vec::new();
        for task in 0..TRANSACTION_CONNECTIONS {
            let client = migrate::connect(&self.admin).await?;
            let single = Single::new(client).await.map_err(|error| Failure::wrong(describe(&error)))?;
            let names = self.names("t", 1, round, task);
            tasks.push(SingleWay { single, clock: self.session.env.clock.clone(), tenant, names });
        }
        measure::run(tasks, self.time).await
    }
}

fn text(bench: &BenchUsage, lines: &[Line]) -> String {
    let rows = lines.iter().map(|line| {
        let figure = &line.figure;
        [
            line.what.to_owned(),
            line.tenants.to_string(),
            format!("{:.0}", figure.per_second),
            format!("{:.1}", figure.p50_ms),
            format!("{:.1}", figure.p99_ms),
            figure.errors.to_string(),
        ]
    });
    let figures = table(["what", "tenants", "events/s", "p50 ms", "p99 ms", "errors"], rows);
    format!(
        "Method: {rounds} rounds of {seconds} s for each line, one after the other within a round; medians. Client, server \
         and database share this machine. One event in {repeat} is sent twice; every tenant has a limit.\n\
         Single events: {SINGLE_CONNECTIONS} connections. Batches: {BATCH} events, {BATCH_CONNECTIONS} connections. \
         Without HTTP: {DIRECT_CONNECTIONS} connections, groups of 1000. COPY: into twins of the event and key tables \
         without forced row security. Naive: {EARLIER} earlier events in the period, {NAIVE_CONNECTIONS} connections. \
         A transaction an event: a guarded counter, {TRANSACTION_CONNECTIONS} connections.\n\n{figures}\n{ratios}",
        rounds = bench.rounds,
        seconds = bench.seconds,
        repeat = 20,
        ratios = ratios(lines),
    )
}

fn ratios(lines: &[Line]) -> String {
    use std::fmt::Write as _;
    let speed = |what: &str, tenants: usize| {
        let line = lines.iter().find(|line| line.what == what && line.tenants == tenants)?;
        Some(line.figure.per_second).filter(|speed| *speed > 0.0)
    };
    let mut text = String::new();
    for line in lines.iter().filter(|line| line.what == "batches over HTTP") {
        if let Some(direct) = speed("the same without HTTP", line.tenants) {
            let share = line.figure.per_second / direct * 100.0;
            // Writing to a String cannot fail.
            let _ = writeln!(text, "batches, {} tenants: {share:.0} % of the speed without HTTP", line.tenants);
        }
    }
    if let (Some(single), Some(naive)) = (speed("single events over HTTP", 1), speed("naive: insert, then sum", 1)) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "single events, 1 tenant: {:.0} times the naive way", single / naive);
    }
    if let (Some(single), Some(each)) = (speed("single events over HTTP", 1), speed("a transaction an event", 1)) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "single events, 1 tenant: {:.1} times a transaction an event", single / each);
    }
    text
}
