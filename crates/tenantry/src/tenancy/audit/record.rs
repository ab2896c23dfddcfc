//! A chain as a file: one entry a line, as JSON, with everything that its hashes are made of. Who has the file can
//! check it without the database, and without us: how entries are hashed is told in `docs/security.md`.

use std::io;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{Chain, Fault, PAGE, hex};
use crate::storage::audit::{self as rows, AuditRow};
use crate::storage::{StoreError, Tx};

/// Form of the lines; a new one gets a new number.
const VERSION: u8 = 1;

/// An entry as a line. What is left out of a line, added to it or written in another way is told from it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Line {
    version: u8,
    tenant_id: Uuid,
    sequence: i64,
    id: Uuid,
    kind: String,
    actor: String,
    actor_id: Option<Uuid>,
    subject_id: Option<Uuid>,
    at: Timestamp,
    payload: Option<Value>,
    payload_salt: Option<String>,
    payload_hash: String,
    previous_hash: String,
    hash: String,
}

impl From<&AuditRow> for Line {
    fn from(row: &AuditRow) -> Self {
        Self {
            version: VERSION,
            tenant_id: row.tenant_id,
            sequence: row.sequence,
            id: row.id,
            kind: row.kind.clone(),
            actor: row.actor.clone(),
            actor_id: row.actor_id,
            subject_id: row.subject_id,
            at: row.created_at,
            payload: row.payload.clone(),
            payload_salt: row.payload_salt.as_ref().map(|salt| hex(salt)),
            payload_hash: hex(&row.payload_hash),
            previous_hash: hex(&row.previous_hash),
            hash: hex(&row.hash),
        }
    }
}

impl Line {
    /// The entry of a line; none where one of its texts is no hash or salt.
    fn row(self) -> Option<AuditRow> {
        let payload_salt = match self.payload_salt {
            Some(salt) => Some(unhex(&salt)?),
            None => None,
        };
        Some(AuditRow {
            tenant_id: self.tenant_id,
            sequence: self.sequence,
            id: self.id,
            kind: self.kind,
            actor: self.actor,
            actor_id: self.actor_id,
            subject_id: self.subject_id,
            created_at: self.at,
            payload: self.payload,
            payload_salt,
            payload_hash: unhex(&self.payload_hash)?,
            previous_hash: unhex(&self.previous_hash)?,
            hash: unhex(&self.hash)?,
        })
    }
}

/// Reads what `hex` wrote, of exactly so many bytes.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    let is_hex = digits.len() == 2 * N && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok())?;
    }
    is_hex.then_some(bytes)
}

/// A chain that was written out, or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How many entries there are.
    pub entries: u64,
    /// How many of them have a blanked payload.
    pub blanked: u64,
    /// Hash of the newest entry. Kept elsewhere, it tells later whether entries at the end were taken away.
    pub head: [u8; 32],
}

/// Why a chain was not written out.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The lines could not be written.
    #[error(transparent)]
    Write(#[from] io::Error),
    /// There is no such tenant.
    #[error("there is no tenant {0}")]
    NoTenant(Uuid),
}

/// Writes the chain of a tenant that the transaction may see, the oldest entry first, each line with its line break.
/// What is broken is written out too: the file shows where, as the chain does.
pub async fn export(
    tx: &Tx,
    tenant: Uuid,
    mut write: impl FnMut(&str) -> io::Result<()>,
) -> Result<Summary, ExportError> {
    let mut summary: Option<Summary> = None;
    let mut after = i64::MIN;
    loop {
        let page = rows::page(tx, tenant, after, PAGE).await?;
        for row in &page {
            let mut line =
                serde_json::to_string(&Line::from(row)).map_err(|error| StoreError::corrupt("audit entry", error))?;
            line.push('\n');
            write(&line)?;
            let (entries, blanked) = summary.as_ref().map_or((0, 0), |so_far| (so_far.entries, so_far.blanked));
            let blanked = blanked + u64::from(row.payload.is_none());
            summary = Some(Summary { entries: entries + 1, blanked, head: row.hash });
            after = row.sequence;
        }
        if page.is_empty() {
            return summary.ok_or(ExportError::NoTenant(tenant));
        }
    }
}

/// The first line at which a file does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct BrokenLine {
    /// Its number, from 1.
    pub line: u64,
    /// Id of its entry, as the line says it; none where it says none.
    pub id: Option<Uuid>,
    /// What is wrong with it.
    pub fault: LineFault,
}

/// What can be wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// It is not what an export writes, byte for byte.
    #[error("it is not as an export writes it")]
    Form,
    /// It belongs to another tenant than the first line.
    #[error("it is of another tenant than the lines before it")]
    Tenant,
    /// Its entry does not hold in the chain.
    #[error("{0}")]
    Chain(#[from] Fault),
    /// The file ends with an entry that is not the newest.
    #[error("the file ends here, but not with the entry of the given hash")]
    End,
    /// There is no line at all.
    #[error("the file has no entries")]
    Empty,
}

/// Checks the lines of a file, one after the other.
#[derive(Debug, Default)]
pub struct Reader {
    chain: Chain,
    lines: u64,
    tenant: Option<Uuid>,
    last: Option<Uuid>,
}

impl Reader {
    /// Checks the next line, which is given without its line break.
    pub fn follow(&mut self, text: &str) -> Result<(), BrokenLine> {
        self.lines += 1;
        let broken = |id, fault| BrokenLine { line: self.lines, id, fault };
        let Some(row) = entry(text) else {
            return Err(broken(id_of(text), LineFault::Form));
        };
        if *self.tenant.get_or_insert(row.tenant_id) != row.tenant_id {
            return Err(broken(Some(row.id), LineFault::Tenant));
        }
        self.chain.follow(&row).map_err(|fault| broken(Some(row.id), fault.into()))?;
        self.last = Some(row.id);
        Ok(())
    }

    /// What the file is once all its lines were followed. `head` is the hash that its newest entry must have; without
    /// it entries that were taken away at the end are not missed.
    pub fn end(&self, head: Option<&[u8; 32]>) -> Result<Summary, BrokenLine> {
        let broken = |fault| BrokenLine { line: self.lines, id: self.last, fault };
        if self.lines == 0 {
            return Err(broken(LineFault::Empty));
        }
        if head.is_some_and(|head| *head != self.chain.hash) {
            return Err(broken(LineFault::End));
        }
        Ok(Summary { entries: self.chain.entries, blanked: self.chain.blanked, head: self.chain.hash })
    }

    /// The tenant of the entries; none before the first.
    pub fn tenant(&self) -> Option<Uuid> {
        self.tenant
    }
}

/// The entry of a line that is exactly what an export writes of it: what is only written in another way could be read
/// in another way, too.
fn entry(text: &str) -> Option<AuditRow> {
    let line: Line = serde_json::from_str(text).ok()?;
    let is_as_written = line.version == VERSION && serde_json::to_string(&line).is_ok_and(|written| written == text);
    let row = if is_as_written { line.row() } else { None }?;
    // What is finer than the chain's microseconds would not be under the hash.
    (row.created_at.subsec_nanosecond() % 1_000 == 0).then_some(row)
}

/// The id that a line names, whatever else is wrong with it.
pub fn id_of(text: &str) -> Option<Uuid> {
    serde_json::from_str::<Value>(text).ok()?.get("id")?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{entry_hash, payload_hash};
    use super::*;

    /// Four entries of one chain, the third of them blanked.
    fn rows() -> Vec<AuditRow> {
        let mut previous_hash = [0; 32];
        (1_u8..=4)
            .map(|number| {
                let salt = [number; 16];
                let payload = json!({ "name": "Zoë \"Z\"\n", "count": number });
                let mut row = AuditRow {
                    tenant_id: Uuid::from_u128(1),
                    sequence: i64::from(number),
                    id: Uuid::from_u128(10 + u128::from(number)),
                    kind: "tenant.changed".to_owned(),
                    actor: "user".to_owned(),
                    actor_id: Some(Uuid::from_u128(3)),
                    subject_id: None,
                    created_at: Timestamp::from_microsecond(1_767_225_600_123_400 + i64::from(number)).unwrap(),
                    payload_hash: payload_hash(&salt, &payload).unwrap(),
                    payload: (number != 3).then_some(payload),
                    payload_salt: (number != 3).then_some(salt),
                    previous_hash,
                    hash: [0; 32],
                };
                row.hash = entry_hash(&row);
                previous_hash = row.hash;
                row
            })
            .collect()
    }

    fn lines() -> Vec<String> {
        rows().iter().map(|row| serde_json::to_string(&Line::from(row)).unwrap()).collect()
    }

    /// The number of the entry that is told, and what is wrong with it.
    fn checked<T: AsRef<str>>(lines: &[T], head: Option<&[u8; 32]>) -> Result<Summary, (Option<u128>, LineFault)> {
        let mut reader = Reader::default();
        let walk = lines.iter().try_for_each(|line| reader.follow(line.as_ref()));
        let told = |broken: BrokenLine| (broken.id.map(|id| id.as_u128().saturating_sub(10)), broken.fault);
        walk.and_then(|()| reader.end(head)).map_err(told)
    }

    #[test]
    fn what_was_written_is_read_as_intact() {
        let head = rows()[3].hash;
        let summary = Summary { entries: 4, blanked: 1, head };
        assert_eq!(checked(&lines(), None), Ok(summary.clone()));
        assert_eq!(checked(&lines(), Some(&head)), Ok(summary));
    }

    #[test]
    fn what_is_missing_or_moved_is_told_with_the_first_entry_that_does_not_hold() {
        let head = rows()[3].hash;
        let lines = lines();
        let of = |order: &[usize]| -> Vec<&str> { order.iter().map(|index| lines[*index].as_str()).collect() };
        let gap = |expected| LineFault::Chain(Fault::Gap { expected });
        for (order, entry, fault) in [
            (&[1, 2, 3][..], Some(2), gap(1)),
            (&[0, 2, 3], Some(3), gap(2)),
            (&[0, 1, 3], Some(4), gap(3)),
            (&[1, 0, 2, 3], Some(2), gap(1)),
            (&[0, 2, 1, 3], Some(3), gap(2)),
            (&[0, 1, 1, 2, 3], Some(2), gap(3)),
            (&[], None, LineFault::Empty),
        ] {
            assert_eq!(checked(&of(order), None), Err((entry, fault)), "{order:?}");
        }
        // At the end only the head tells.
        assert_eq!(checked(&of(&[0, 1, 2]), None).unwrap().entries, 3);
        assert_eq!(checked(&of(&[0, 1, 2]), Some(&head)), Err((Some(3), LineFault::End)));
    }

    #[test]
    fn whatever_is_changed_in_a_line_is_told() {
        let (original, head) = (lines(), rows()[3].hash);
        // Every byte of the second line that can be another and leave a text.
        for index in 0..original[1].len() {
            let mut bytes = original[1].clone().into_bytes();
            bytes[index] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            let mut lines = original.clone();
            lines[1] = changed;
            let told = checked(&lines, Some(&head));
            let at_once = matches!(told, Err((_, LineFault::Form | LineFault::Chain(_) | LineFault::Tenant)));
            assert!(at_once, "byte {index} of {}: {told:?}", lines[1]);
        }
        let form = |from: &str, to: &str| {
            let mut lines = original.clone();
            assert!(lines[1].contains(from), "{from}");
            lines[1] = lines[1].replacen(from, to, 1);
            checked(&lines, None)
        };
        for (from, to) in [
            ("{\"version\":1", "{\"version\":2"),
            ("\"sequence\":2", "\"sequence\":2,\"sequence\":2"),
            ("\"count\":2", "\"count\":9,\"count\":2"),
            ("\"count\":2", "\"count\": 2"),
            (",\"actor\":", ",\"role\":\"owner\",\"actor\":"),
            ("123402Z", "123402001Z"),
            ("00000000-0000-0000-0000-00000000000c", "00000000-0000-0000-0000-00000000000C"),
        ] {
            assert!(matches!(form(from, to), Err((_, LineFault::Form))), "{from} {to}: {:?}", form(from, to));
        }
        let other = [
            lines()[0].clone(),
            lines()[1].replace(
                "\"tenantId\":\"00000000-0000-0000-0000-000000000001\"",
                "\"tenantId\":\"00000000-0000-0000-0000-000000000009\"",
            ),
        ];
        assert_eq!(checked(&other, None), Err((Some(2), LineFault::Tenant)));
    }

    #[test]
    fn a_payload_that_is_put_back_changed_or_forged_is_told() {
        let mut forged = rows();
        forged[1].payload = Some(json!({ "name": "Ada" }));
        let line = |row: &AuditRow| serde_json::to_string(&Line::from(row)).unwrap();
        let all = |rows: &[AuditRow]| rows.iter().map(line).collect::<Vec<_>>();
        assert_eq!(checked(&all(&forged), None), Err((Some(2), Fault::Payload.into())));
        // Hashed anew, it no longer fits those after it; and hashed anew to the end, not the head.
        let salt = forged[1].payload_salt.unwrap();
        forged[1].payload_hash = payload_hash(&salt, forged[1].payload.as_ref().unwrap()).unwrap();
        assert_eq!(checked(&all(&forged), None), Err((Some(2), Fault::Fields.into())));
        forged[1].hash = entry_hash(&forged[1]);
        assert_eq!(checked(&all(&forged), None), Err((Some(3), Fault::Previous.into())));
        for index in 2..4 {
            forged[index].previous_hash = forged[index - 1].hash;
            forged[index].hash = entry_hash(&forged[index]);
        }
        assert_eq!(checked(&all(&forged), Some(&rows()[3].hash)), Err((Some(4), LineFault::End)));
        // A payload without its salt proves nothing.
        let mut bare = rows();
        bare[1].payload_salt = None;
        assert_eq!(checked(&all(&bare), None), Err((Some(2), Fault::Payload.into())));
    }
}
