//! The archive files against what the database says of them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Deserialize;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::file;
use crate::storage::usage::books::{self, Difference};
use crate::storage::usage::retention::{self as rows, PartRow, SumRow};
use crate::storage::{Database, StoreError};

/// The book of differences that are found here.
const BOOK: &str = "archive_files";
/// Tenants that are looked through at once.
const TENANTS_AT_ONCE: i64 = 200;

/// By metric and period: sum, number of events, number of corrections among them.
type Sums = BTreeMap<(String, Timestamp), (Decimal, i64, i64)>;

/// What a line says that counts.
#[derive(Deserialize)]
struct Line {
    data: Event,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    kind: String,
    metric: String,
    amount: String,
    period_start: Timestamp,
}

/// Reads the files of every tenant, or of one, below the archive folder, and compares them with what left. Parts that
/// have no file are passed over. Gives the number of files that were read, and what does not add up.
pub async fn prove_files(
    db: &Database,
    folder: &Path,
    only: Option<Uuid>,
) -> Result<(usize, Vec<Difference>), StoreError> {
    let (mut read, mut found) = (0, Vec::new());
    let mut after = None;
    loop {
        let tenants = match only {
            Some(tenant) => vec![tenant],
            None => page(db, after).await?,
        };
        for tenant in &tenants {
            let tx = db.read_as_service("usage_archives", &[*tenant]).await?;
            let mut parts = Vec::new();
            for part in rows::parts(&tx, *tenant).await? {
                parts.push((rows::part_sums(&tx, &part).await?, part));
            }
            tx.rollback().await?;
            for (sums, part) in parts {
                let Some((name, digest)) = part.file.clone() else { continue };
                read += 1;
                let fault = fault(folder, &name, digest, (&part, sums)).await?;
                let detail = fault.map(|fault| format!("{name}: {fault}"));
                found.extend(detail.map(|detail| Difference { tenant_id: *tenant, book: BOOK, detail }));
            }
        }
        after = tenants.last().copied();
        if only.is_some() || after.is_none() {
            return Ok((read, found));
        }
    }
}

async fn page(db: &Database, after: Option<Uuid>) -> Result<Vec<Uuid>, StoreError> {
    let tx = db.read_as_service("list_tenants", &[]).await?;
    let tenants = books::all_tenants(&tx, after, TENANTS_AT_ONCE).await?;
    tx.rollback().await?;
    Ok(tenants)
}

/// What is wrong with a file, if something is.
async fn fault(
    folder: &Path,
    name: &str,
    digest: [u8; 32],
    (part, sums): (&PartRow, Vec<SumRow>),
) -> Result<Option<String>, StoreError> {
    let due = due(&sums)?;
    let path = folder.join(name);
    let read = spawn_blocking(move || sums_of(&path)).await.unwrap_or_else(|ended| Err(io::Error::other(ended)));
    let (found, lines, found_digest) = match read {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some("the file is missing".to_owned())),
        Err(error) => return Ok(Some(format!("the file cannot be read: {error}"))),
    };
    if lines != part.event_count {
        return Ok(Some(format!("the file has {lines} events, {} left", part.event_count)));
    }
    if found_digest != digest {
        return Ok(Some("the file is not the one that was written".to_owned()));
    }
    let keys = due.keys().chain(found.keys());
    Ok(keys.map(|key| (key, due.get(key), found.get(key))).find(|(_, due, found)| due != found).map(
        |((metric, period), due, found)| {
            let say = |sums: Option<&(Decimal, i64, i64)>| {
                sums.map_or_else(|| "nothing".to_owned(), |(amount, events, _)| format!("{amount} in {events} events"))
            };
            format!("{metric} in the period from {period}: the file says {}, the archive {}", say(found), say(due))
        },
    ))
}

fn due(sums: &[SumRow]) -> Result<Sums, StoreError> {
    let sum = |row: &SumRow| {
        let amount =
            Decimal::from_str_exact(&row.amount).map_err(|error| StoreError::corrupt("archived sum", error))?;
        Ok(((row.metric.clone(), row.period_start), (amount, row.event_count, row.reversal_count)))
    };
    sums.iter().map(sum).collect()
}

/// What a file says: sums, number of lines, SHA-256 of them.
fn sums_of(path: &Path) -> io::Result<(Sums, i64, [u8; 32])> {
    let (mut sums, mut lines) = (Sums::new(), 0);
    let digest = file::read(path, |line| {
        let Line { data } = serde_json::from_slice(line)?;
        let amount = Decimal::from_str_exact(&data.amount).map_err(io::Error::other)?;
        let sum = sums.entry((data.metric, data.period_start)).or_default();
        sum.0 = sum.0.checked_add(amount).ok_or_else(|| io::Error::other("its amounts are too large to be added"))?;
        sum.1 += 1;
        sum.2 += i64::from(data.kind == "reversal");
        lines += 1;
        Ok(())
    })?;
    Ok((sums, lines, digest))
}
