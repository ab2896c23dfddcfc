//! `tenantry doctor`

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Serialize;
use tokio_postgres::Client;

use super::{Failure, Session};
use crate::billing::catalog_file;
use crate::config::{Config, StripeAccess, jwt_secret, stripe_access};
use crate::deployment::{Deployment, Purpose};
use crate::server::clock;
use crate::storage::migrate::{self, MigrateError, SERVICE_ROLE, USER_ROLE};
use crate::storage::{checkup, describe};

/// Seconds by which the clocks of server and database may differ.
const CLOCK_SKEW: f64 = 5.0;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Fine,
    Warning,
    Wrong,
}

/// One check.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    state: State,
    detail: String,
}

impl Finding {
    fn of<E: std::fmt::Display>(check: &'static str, outcome: Result<String, E>) -> Self {
        match outcome {
            Ok(detail) => Self { check, state: State::Fine, detail },
            Err(error) => Self { check, state: State::Wrong, detail: error.to_string() },
        }
    }

    fn warn_unless(check: &'static str, is_fine: bool, fine: &str, warning: String) -> Self {
        let (state, detail) = if is_fine { (State::Fine, fine.to_owned()) } else { (State::Warning, warning) };
        Self { check, state, detail }
    }
}

pub(super) async fn run(session: &Session) -> Result<ExitCode, Failure> {
    let config = &session.config;
    let mut findings = vec![
        Finding::of(
            "plans",
            catalog_file::read(&config.plans)
                .map(|catalog| format!("{} plans in {}", catalog.plans().len(), config.plans.display())),
        ),
        Finding::of("stripe", stripe_access(config, &session.env.ids).map(|access| stripe(config, &access))),
        Finding::of("tokens", jwt_secret(config, &session.env.ids).map(|secret| tokens(config, secret.is_some()))),
    ];
    match Deployment::open(config, &session.env, Purpose::Command).await {
        Ok(opened) => {
            let checked = database(session, &opened).await;
            opened.close().await?;
            findings.extend(checked?);
        }
        Err(error) => findings.push(Finding::of("database", Err::<String, _>(error))),
    }
    let is_fine = findings.iter().all(|finding| finding.state != State::Wrong);
    session.out.print(&findings, || text(&findings))?;
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn stripe(config: &Config, access: &StripeAccess) -> String {
    match access {
        StripeAccess::Off => "billing is off".to_owned(),
        StripeAccess::Sandbox(_) => "the sandbox".to_owned(),
        StripeAccess::Account { .. } => {
            let mode = if config.is_stripe_live() { "live" } else { "test" };
            format!("{mode} mode at {}", config.stripe_api_url)
        }
    }
}

fn tokens(config: &Config, has_secret: bool) -> String {
    match (has_secret, &config.jwks_url) {
        (true, Some(_)) => "by the shared secret and by the issuer's public keys".to_owned(),
        (true, None) => "by the shared secret".to_owned(),
        (false, _) => "by the issuer's public keys".to_owned(),
    }
}

async fn database(session: &Session, opened: &Deployment) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    for (check, login, role) in [
        ("login of users", &opened.logins.user, USER_ROLE),
        ("login of the service", &opened.logins.service, SERVICE_ROLE),
    ] {
        let checked = migrate::check_serving_role(login, role).await;
        findings.push(Finding::of(check, checked.map(|()| format!("{role} cannot get past row security"))));
    }
    let client: Result<Client, MigrateError> = migrate::connect(&opened.logins.service).await;
    let found = checkup::read(&client?).await.map_err(|error| Failure::wrong(describe(&error)))?;
    findings.push(Finding {
        check: "server",
        state: State::Fine,
        detail: format!("PostgreSQL {}, schema version {}", found.version, migrate::needed_version()),
    });
    findings.push(Finding::warn_unless(
        "durability",
        found.is_durable,
        "an answered event survives a crash",
        "fsync or synchronous_commit is off: an answered event may be lost in a crash; switch both on".to_owned(),
    ));
    findings.push(Finding::warn_unless(
        "large objects",
        found.large_objects_revoked,
        "revoked",
        "every role may make large objects, which have no row security: revoke execute on lo_* from public".to_owned(),
    ));
    let wanted = 2 * i64::try_from(session.config.pool_size).unwrap_or(i64::MAX);
    findings.push(Finding::warn_unless(
        "connections",
        wanted < found.max_connections,
        &format!("{wanted} of {} a replica", found.max_connections),
        format!("a replica opens up to {wanted}, the server allows {}: lower pool_size", found.max_connections),
    ));
    let skew = (found.now - session.env.clock.real_now()).get_seconds();
    #[expect(clippy::cast_precision_loss, reason = "seconds between two clocks")]
    let skew = skew as f64;
    findings.push(Finding::warn_unless(
        "clock",
        skew.abs() <= CLOCK_SKEW,
        "agrees with the database's",
        format!("differs from the database's by {skew} s: set both by NTP"),
    ));
    if !session.config.follows_sandbox_clock() {
        let offset = clock::offset_seconds(&opened.db).await?;
        findings.push(Finding::warn_unless(
            "clock of development",
            offset == 0,
            "never advanced",
            format!("{}: `serve` refuses to start", clock::ClockError::Moved(offset)),
        ));
    }
    Ok(findings)
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.state {
            State::Fine => "fine   ",
            State::Warning => "warning",
            State::Wrong => "WRONG  ",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{mark}  {}: {}", finding.check, finding.detail);
    }
    text
}
