//! `tenantry audit`

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Failure, Session};
use crate::deployment::Deployment;
use crate::tenancy::audit::hex;
use crate::tenancy::audit::record::{self, BrokenLine, LineFault, Reader, Summary, unhex};

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Write a tenant's audit trail, one JSON entry a line, with all that it takes to check it elsewhere
    Export(Export),
    /// Check an exported trail, without any database; exits 1 and names the first entry that does not hold
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// The tenant
    #[arg(long, value_name = "ID")]
    tenant: Uuid,
    /// A file that is not there yet [default: standard output, and the summary to standard error]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The exported file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Hash of the newest entry, as the export printed it: tells whether entries at the end are missing
    #[arg(long, value_name = "HASH", value_parser = head)]
    head: Option<Head>,
}

/// The hash of an entry.
#[derive(Debug, Clone, Copy)]
struct Head([u8; 32]);

fn head(text: &str) -> Result<Head, String> {
    unhex(text).map(Head).ok_or_else(|| "must be 64 hexadecimal digits, small letters".to_owned())
}

pub(super) async fn run(session: &Session, command: &AuditCommand) -> Result<ExitCode, Failure> {
    match command {
        AuditCommand::Export(export) => {
            session.on_database(async |opened| exported(session, opened, export).await).await
        }
        AuditCommand::Verify(verify) => verified(session, verify),
    }
}

async fn exported(session: &Session, opened: &Deployment, export: &Export) -> Result<ExitCode, Failure> {
    let Some(path) = &export.out else {
        let summary = written(opened, export.tenant, &mut std::io::stdout().lock()).await?;
        let text = told(session, export.tenant, &summary)?;
        writeln!(std::io::stderr(), "{text}")?;
        return Ok(ExitCode::SUCCESS);
    };
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let file = file.map_err(|error| Failure::wrong(format!("{} cannot be made: {error}", path.display())))?;
    match to_file(opened, export.tenant, file).await {
        Ok(summary) => session.out.print(&view(export.tenant, &summary), || sentence(export.tenant, &summary))?,
        Err(failure) => {
            // Half a trail is not left to be taken for a whole one.
            std::fs::remove_file(path)?;
            return Err(failure);
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn to_file(opened: &Deployment, tenant: Uuid, file: File) -> Result<Summary, Failure> {
    let mut out = BufWriter::new(file);
    let summary = written(opened, tenant, &mut out).await?;
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    Ok(summary)
}

/// Writes the trail as it is in one snapshot.
async fn written(opened: &Deployment, tenant: Uuid, out: &mut impl Write) -> Result<Summary, Failure> {
    let tx = opened.db.read_as_service("export_audit", &[tenant]).await?;
    let summary = record::export(&tx, tenant, |line| out.write_all(line.as_bytes())).await;
    tx.rollback().await?;
    let summary = summary.map_err(|error| Failure::wrong(error.to_string()))?;
    out.flush()?;
    Ok(summary)
}

fn view(tenant: Uuid, summary: &Summary) -> Value {
    json!({
        "tenantId": tenant,
        "entries": summary.entries,
        "blanked": summary.blanked,
        "head": hex(&summary.head),
    })
}

fn sentence(tenant: Uuid, summary: &Summary) -> String {
    let (entries, blanked, head) = (summary.entries, summary.blanked, hex(&summary.head));
    format!("tenant {tenant}: {entries} entries, {blanked} of them blanked\nhead {head}")
}

fn told(session: &Session, tenant: Uuid, summary: &Summary) -> Result<String, Failure> {
    session.out.text_of(&view(tenant, summary), || sentence(tenant, summary))
}

fn verified(session: &Session, verify: &Verify) -> Result<ExitCode, Failure> {
    let unreadable = |error: std::io::Error| Failure::wrong(format!("{}: {error}", verify.file.display()));
    let (reader, outcome) = read(&verify.file, verify.head.map(|head| head.0)).map_err(unreadable)?;
    let tenant = reader.tenant();
    match outcome {
        Ok(summary) => {
            let tenant = tenant.unwrap_or(Uuid::nil());
            let mut value = view(tenant, &summary);
            value["broken"] = Value::Null;
            session.out.print(&value, || format!("{}\nintact", sentence(tenant, &summary)))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(broken) => {
            let entry = broken.id.map_or_else(|| "an entry without an id".to_owned(), |id| format!("entry {id}"));
            let value = json!({
                "tenantId": tenant,
                "broken": { "id": broken.id, "line": broken.line, "fault": broken.fault.to_string() },
            });
            session.out.print(&value, || format!("broken at {entry}, {broken}"))?;
            Ok(ExitCode::from(1))
        }
    }
}

/// Follows the lines of a file to the first that does not hold. An error is one of reading, not of what was read.
fn read(path: &Path, head: Option<[u8; 32]>) -> std::io::Result<(Reader, Result<Summary, BrokenLine>)> {
    let mut file = BufReader::new(File::open(path)?);
    let mut reader = Reader::default();
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        number += 1;
        if file.read_until(b'\n', &mut line)? == 0 {
            let outcome = reader.end(head.as_ref());
            return Ok((reader, outcome));
        }
        // The last line break is part of what an export writes.
        let text = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
        let followed = if let Some(text) = text {
            reader.follow(text)
        } else {
            let id = record::id_of(&String::from_utf8_lossy(&line));
            Err(BrokenLine { line: number, id, fault: LineFault::Form })
        };
        if let Err(broken) = followed {
            return Ok((reader, Err(broken)));
        }
    }
}
