//! `tenantry bench reports`

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::SendRequest;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tenantry_domain::permission::Permission;
use tenantry_domain::quantity::Quantity;
use tokio_postgres::Client;
use uuid::Uuid;

use super::http;
use super::measure::{self, Figure, Work};
use super::stage::authority;
use crate::cli::output::table;
use crate::cli::{Failure, Session};
use crate::deployment::Deployment;
use crate::http::auth::mint_key;
use crate::storage::bench_reports::{self as rows, Load};
use crate::storage::{describe, migrate};
use crate::tenancy::keys::{self, NewKey};
use crate::tenancy::{Actor, users};
use crate::usage::hours::day_of;
use crate::usage::rollups;

/// Days of the period that is reported.
const DAYS: i64 = 31;

#[derive(Debug, Args)]
pub(in crate::cli) struct BenchReports {
    /// The running server [default: the configured address]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Events of the tenant's period, spread over three metrics
    #[arg(long, default_value_t = 10_000_000)]
    events: i64,
    /// Users who caused them; each uses each metric in each hour, if there are events enough
    #[arg(long, default_value_t = 500)]
    users: i32,
    /// Values of the dimension
    #[arg(long, default_value_t = 50)]
    values: i32,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

/// One line of the result.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    what: String,
    span: &'static str,
    #[serde(flatten)]
    figure: Figure,
}

/// The result.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    events: i64,
    users: i32,
    values: i32,
    /// Rows of hours and users.
    hour_rows: i64,
    /// Rows of days and users.
    day_rows: i64,
    /// Seconds that folding all days took.
    folding_seconds: f64,
    /// Milliseconds of one sum over the events of the whole period, by user.
    naive_ms: f64,
    lines: Vec<Line>,
}

pub(super) async fn run(session: &Session, bench: &BenchReports) -> Result<ExitCode, Failure> {
    let result = session.on_database(async |opened| measured(session, opened, bench).await).await?;
    session.out.print(&result, || text(bench, &result))?;
    let is_fine = result.lines.iter().all(|line| line.figure.errors == 0);
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

async fn measured(session: &Session, opened: &Deployment, bench: &BenchReports) -> Result<Measured, Failure> {
    let admin = opened.admin.clone().ok_or_else(|| Failure::usage("set DATABASE_ADMIN_URL: usage is made by SQL"))?;
    if opened.cluster.is_some() {
        return Err(Failure::usage("start the server first: tenantry serve --plans bench/plans.toml"));
    }
    let url = bench.url.clone().unwrap_or_else(|| format!("http://{}", session.config.listen));
    let authority = authority(&url)?;
    let admin = migrate::connect(&admin).await?;
    if !rows::is_past_row_security(&admin).await.map_err(|error| failed(&error))? {
        return Err(Failure::usage("DATABASE_ADMIN_URL must name a superuser here: usage is made past row security"));
    }
    let (env, db) = (&session.env, &opened.db);
    let now = env.clock.now();
    let tenant = env.ids.uuid_v7(now);
    users::ensure(db, env, Actor::System, tenant, None).await?;
    let minted = mint_key(env);
    let key = NewKey {
        id: minted.id,
        prefix: minted.prefix.clone(),
        secret_hash: minted.hash,
        name: "bench".to_owned(),
        scopes: vec![Permission::ViewUsage],
        expires_at: None,
        requests_per_minute: None,
    };
    keys::create(db, env, Actor::User(tenant), tenant, &key, None).await?;
    let end = day_of(now);
    let start =
        end.checked_sub(SignedDuration::from_hours(24 * DAYS)).map_err(|error| Failure::wrong(error.to_string()))?;
    let stage = Stage {
        session,
        opened,
        admin,
        authority,
        secret: minted.expose().into(),
        key_id: minted.id,
        tenant,
        span: (start, end),
        time: Duration::from_secs(bench.seconds.max(1)),
    };
    let result = stage.all(bench).await;
    stage.clean_up().await?;
    result
}

/// What measurements need.
struct Stage<'a> {
    session: &'a Session,
    opened: &'a Deployment,
    admin: Client,
    authority: Arc<str>,
    secret: Arc<str>,
    key_id: Uuid,
    tenant: Uuid,
    span: (Timestamp, Timestamp),
    time: Duration,
}

impl Stage<'_> {
    async fn all(&self, bench: &BenchReports) -> Result<Measured, Failure> {
        let (db, (start, end)) = (&self.opened.db, self.span);
        let load =
            Load { tenant: self.tenant, start, end, events: bench.events, users: bench.users, values: bench.values };
        rows::fill(&self.admin, &load).await.map_err(|error| failed(&error))?;
        let later = |at: Timestamp, hours: i64| {
            at.checked_add(SignedDuration::from_hours(hours)).map_err(|error| Failure::wrong(error.to_string()))
        };
        let (odd, half) =
            ((later(start, 29)?, later(end, -31)?), (later(start, 24 * 7 + 5)?, later(end, -(24 * 8 + 5))?));
        let mut lines = vec![self.line("by user, nothing folded", "whole", self.span, "&groupBy=user").await?];
        let began = Instant::now();
        rollups::fold_all(db, self.tenant, later(end, -6)?).await?;
        let mut folding = began.elapsed();
        rows::analyze(&self.admin).await.map_err(|error| failed(&error))?;
        let dimension = rows::dimension(&self.admin, self.tenant).await.map_err(|error| failed(&error))?;
        lines.push(self.line("by user, six hours not folded", "whole", self.span, "&groupBy=user").await?);
        lines.push(self.line("by day, six hours not folded", "whole", self.span, "&groupBy=day").await?);
        let began = Instant::now();
        rollups::fold_all(db, self.tenant, end).await?;
        folding += began.elapsed();
        rows::analyze(&self.admin).await.map_err(|error| failed(&error))?;
        for (name, span) in [("whole", self.span), ("odd", odd), ("half", half)] {
            lines.push(self.line("by user", name, span, "&groupBy=user").await?);
            lines.push(self.line("by day", name, span, "&groupBy=day").await?);
            lines.push(self.line("by metric", name, span, "&groupBy=metric").await?);
            if let Some((metric, dimension)) = &dimension {
                let asked = format!("&groupBy={dimension}");
                lines.push(self.line(&format!("by {dimension}"), name, span, &asked).await?);
                let asked = format!("&groupBy={dimension}&metric={metric}");
                lines.push(self.line(&format!("by {dimension}, one metric"), name, span, &asked).await?);
            }
        }
        let (naive, naive_ms) = self.naive().await?;
        self.check(naive).await?;
        let (hour_rows, day_rows) = rows::count(&self.admin, self.tenant).await.map_err(|error| failed(&error))?;
        let BenchReports { events, users, values, .. } = *bench;
        let folding_seconds = folding.as_secs_f64();
        Ok(Measured { events, users, values, hour_rows, day_rows, folding_seconds, naive_ms, lines })
    }

    async fn line(
        &self,
        what: &str,
        span: &'static str,
        (from, to): (Timestamp, Timestamp),
        asked: &str,
    ) -> Result<Line, Failure> {
        let path = format!("/api/usage/report?from={from}&to={to}{asked}");
        let reader = self.reader(path).await?;
        Ok(Line { what: what.to_owned(), span, figure: measure::run(vec![reader], self.time).await? })
    }

    async fn reader(&self, path: String) -> Result<Reader, Failure> {
        let connection = http::connect(&self.authority).await?;
        let (authority, key) = (Arc::clone(&self.authority), Arc::clone(&self.secret));
        Ok(Reader { connection, authority, key, path })
    }

    /// The sum over all events, by user, as the database does it without sums; and how many milliseconds that takes.
    async fn naive(&self) -> Result<(rust_decimal::Decimal, f64), Failure> {
        let began = Instant::now();
        let total = rows::naive(&self.admin, self.tenant, self.span).await.map_err(|error| failed(&error))?;
        Ok((total, began.elapsed().as_secs_f64() * 1000.0))
    }

    /// The report says what the events say.
    async fn check(&self, naive: rust_decimal::Decimal) -> Result<(), Failure> {
        let (from, to) = self.span;
        let mut reader = self.reader(format!("/api/usage/report?from={from}&to={to}")).await?;
        let answer = reader.answer().await.ok_or_else(|| Failure::wrong("the report was not answered"))?;
        let told = answer["summary"]["totalUsage"].as_str().unwrap_or_default();
        let summed = Quantity::from_decimal(naive).to_string();
        if told == summed {
            return Ok(());
        }
        Err(Failure::wrong(format!("the report says {told}, the events say {summed}")))
    }

    async fn clean_up(&self) -> Result<(), Failure> {
        let removed = rows::remove(&self.admin, self.tenant).await.map_err(|error| failed(&error));
        let env = &self.session.env;
        keys::revoke(&self.opened.db, env, Actor::User(self.tenant), self.tenant, self.key_id).await?;
        removed
    }
}

fn failed(error: &tokio_postgres::Error) -> Failure {
    Failure::wrong(describe(error))
}

/// A connection that asks for one report.
struct Reader {
    connection: SendRequest<Full<Bytes>>,
    authority: Arc<str>,
    key: Arc<str>,
    path: String,
}

impl Reader {
    async fn answer(&mut self) -> Option<serde_json::Value> {
        let request = Request::get(&self.path)
            .header("host", &*self.authority)
            .header("authorization", format!("Bearer {}", self.key))
            .body(Full::default())
            .ok()?;
        let response = self.connection.send_request(request).await.ok()?;
        let is_success = response.status().is_success();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        if is_success { serde_json::from_slice(&body).ok() } else { None }
    }
}

impl Work for Reader {
    async fn once(&mut self) -> Option<u64> {
        self.answer().await.map(|_| 1)
    }
}

fn text(bench: &BenchReports, result: &Measured) -> String {
    let rows = result.lines.iter().map(|line| {
        let figure = &line.figure;
        [
            line.what.clone(),
            line.span.to_owned(),
            format!("{:.1}", figure.p50_ms),
            format!("{:.1}", figure.p99_ms),
            format!("{:.0}", figure.per_second),
            figure.errors.to_string(),
        ]
    });
    format!(
        "Method: one tenant with {events} events in {DAYS} days, three metrics, {users} users, {values} values of a \
         dimension; {hours} sums by hour, {days} by day. One connection asks for each report over HTTP for {seconds} s; \
         client, server and database share this machine. Odd spans are the whole less a day and some hours at each end, half ones less a week and some hours. Folding all days took \
         {folding:.1} s. The report's sum was compared with the events'.\n\n{figures}\n\
         the sum over the events themselves, by user: {naive:.0} ms\n",
        events = result.events,
        users = result.users,
        values = result.values,
        hours = result.hour_rows,
        days = result.day_rows,
        seconds = bench.seconds,
        folding = result.folding_seconds,
        naive = result.naive_ms,
        figures = table(["report", "span", "p50 ms", "p99 ms", "a second", "errors"], rows),
    )
}
