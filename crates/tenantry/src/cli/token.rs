//! `tenantry token`

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::{Failure, Session};
use crate::config::{Environment, jwt_secret};
use crate::http::auth::sign_development_token;
use crate::server::token_settings;

#[derive(Debug, Args)]
pub(super) struct Token {
    /// The user's id
    #[arg(long, value_name = "UUID")]
    user: Uuid,
    /// The user's e-mail address; the token says that it is verified
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Hours until it expires
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8760))]
    hours: u32,
}

pub(super) fn run(session: &Session, token: &Token) -> Result<ExitCode, Failure> {
    let config = &session.config;
    if config.env == Environment::Production {
        return Err(Failure::usage("tokens are made here in development only: in production your issuer makes them"));
    }
    if token.user.is_nil() {
        return Err(Failure::usage("--user must not be the nil UUID"));
    }
    let secret = jwt_secret(config, &session.env.ids)?;
    let settings = token_settings(config, secret.as_ref());
    let issued_at = session.env.clock.real_now().as_second();
    let expires_at = issued_at + i64::from(token.hours) * 3600;
    let signed = sign_development_token(&settings, token.user, token.email.as_deref(), issued_at, expires_at)
        .ok_or_else(|| {
            Failure::usage("JWKS_URL is set, so tokens come from your issuer; unset it, or set JWT_SECRET")
        })?;
    session.out.print(&json!({ "token": signed }), || signed.clone())?;
    Ok(ExitCode::SUCCESS)
}
