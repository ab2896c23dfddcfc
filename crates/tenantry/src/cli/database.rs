//! `tenantry database`

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::{Failure, Session};
use crate::deployment::connection_url;

#[derive(Debug, Subcommand)]
pub(super) enum DatabaseCommand {
    /// Print a connection URL, password included, for psql and other tools
    Url {
        /// As whom
        #[arg(long = "as", value_enum, default_value = "user")]
        role: As,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum As {
    /// The admin, who may do everything
    Owner,
    /// What users and tenant keys read as, held by row security
    User,
    /// What the server writes as, held by row security
    Service,
}

pub(super) async fn run(session: &Session, command: &DatabaseCommand) -> Result<ExitCode, Failure> {
    let DatabaseCommand::Url { role } = command;
    let url = session
        .on_database(async |opened| {
            if opened.cluster.is_some() {
                let how = "no server runs on this data folder: start it with `tenantry serve`, then ask again";
                return Err(Failure::wrong(how));
            }
            let login = match role {
                As::Owner => opened.admin.as_ref(),
                As::User => Some(&opened.logins.user),
                As::Service => Some(&opened.logins.service),
            };
            login.map(connection_url).ok_or_else(|| Failure::usage("DATABASE_ADMIN_URL is not set"))
        })
        .await?;
    session.out.print(&json!({ "url": url }), || url.clone())?;
    Ok(ExitCode::SUCCESS)
}
