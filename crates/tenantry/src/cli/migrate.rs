//! `tenantry migrate`

use std::process::ExitCode;

use serde_json::json;

use super::{Failure, Session};
use crate::deployment;

pub(super) async fn run(session: &Session) -> Result<ExitCode, Failure> {
    let migrated = deployment::migrate_now(&session.config, &session.env).await?;
    let value = json!({ "version": migrated.version, "applied": migrated.applied });
    session.out.print(&value, || match migrated.applied.as_slice() {
        [] => format!("the schema is at version {} already", migrated.version),
        applied => format!("applied {}\nthe schema is at version {}", applied.join(", "), migrated.version),
    })?;
    Ok(ExitCode::SUCCESS)
}
