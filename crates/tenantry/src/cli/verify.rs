//! `tenantry verify`

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::{Failure, Session};
use crate::usage::books;

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// One tenant only
    #[arg(long, value_name = "UUID")]
    tenant: Option<Uuid>,
}

pub(super) async fn run(session: &Session, verify: &Verify) -> Result<ExitCode, Failure> {
    let proof = session.on_database(async |opened| Ok(books::prove(&opened.db, verify.tenant).await?)).await?;
    let differences: Vec<_> = proof
        .differences
        .iter()
        .map(|found| json!({ "tenantId": found.tenant_id, "book": found.book, "detail": found.detail }))
        .collect();
    session.out.print(&json!({ "tenants": proof.tenants, "differences": differences }), || {
        let mut text = String::new();
        for found in &proof.differences {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}  {}: {}", found.tenant_id, found.book, found.detail);
        }
        let verdict = match proof.differences.len() {
            0 => "the books are right".to_owned(),
            1 => "1 difference".to_owned(),
            many => format!("{many} differences"),
        };
        text + &format!("{} {}: {verdict}", proof.tenants, if proof.tenants == 1 { "tenant" } else { "tenants" })
    })?;
    Ok(if proof.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
