//! `tenantry verify`

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::{Failure, Session};
use crate::usage::{books, retention};

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// One tenant only
    #[arg(long, value_name = "UUID")]
    tenant: Option<Uuid>,
    /// Read the archive files in this folder, too
    #[arg(long, value_name = "DIR")]
    archives: Option<PathBuf>,
}

pub(super) async fn run(session: &Session, verify: &Verify) -> Result<ExitCode, Failure> {
    let (proof, files) = session
        .on_database(async |opened| {
            let mut proof = books::prove(&opened.db, verify.tenant).await?;
            let Some(folder) = &verify.archives else { return Ok((proof, None)) };
            let (files, differences) = retention::prove_files(&opened.db, folder, verify.tenant).await?;
            proof.differences.extend(differences);
            Ok((proof, Some(files)))
        })
        .await?;
    let differences: Vec<_> = proof
        .differences
        .iter()
        .map(|found| json!({ "tenantId": found.tenant_id, "book": found.book, "detail": found.detail }))
        .collect();
    session.out.print(
        &json!({ "tenants": proof.tenants, "archiveFiles": files, "differences": differences }),
        || {
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
            let tenants = format!("{} {}", proof.tenants, if proof.tenants == 1 { "tenant" } else { "tenants" });
            let files = files.map(|files| format!(", {files} archive {}", if files == 1 { "file" } else { "files" }));
            text + &format!("{tenants}{}: {verdict}", files.unwrap_or_default())
        },
    )?;
    Ok(if proof.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
