//! `tenantry serve`

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;

use super::{Failure, Session};
use crate::server;

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Option<SocketAddr>,
    /// Do not stand in for Stripe where no key is given: plans cannot be bought then
    #[arg(long)]
    pub(super) no_sandbox: bool,
}

pub(super) async fn run(session: &Session) -> Result<ExitCode, Failure> {
    server::serve(&session.config, &session.env).await?;
    Ok(ExitCode::SUCCESS)
}
