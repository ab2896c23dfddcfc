//! The audit trail: one hash chain per tenant, appended in the transaction of the deed.
//!
//! What is chained names things by id only. What is personal is in the payload, of which only a salted hash is
//! chained, so that a payload can be blanked without breaking the chain. A chain proves that nothing inside it
//! was changed, left out or put in; that its newest entries are still there it cannot prove.

pub mod record;

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::Actor;
use crate::env::Env;
use crate::storage::audit::{self as rows, AuditRow};
use crate::storage::tenants::LockedTenant;
use crate::storage::{StoreError, Tx};

/// Begins every hashed entry; a new encoding gets a new one.
const ENCODING: &[u8] = b"tenantry.billing_event.v1";
/// Entries that are read at once when a chain is verified.
const PAGE: i64 = 1_000;

/// Something that happened, to be appended.
#[derive(Debug)]
pub struct Deed {
    /// What happened, as `noun.verb`.
    pub kind: &'static str,
    /// Who did it.
    pub actor: Actor,
    /// What it happened to: a user, a key, a subscription.
    pub subject_id: Option<Uuid>,
    /// Anything else, and all that is personal. Numbers are integers; amounts are strings.
    pub payload: Value,
}

/// Appends a deed to the chain of a locked tenant.
pub async fn append(tx: &Tx, tenant: &LockedTenant, env: &Env, now: Timestamp, deed: Deed) -> Result<(), StoreError> {
    let (last, previous_hash) = rows::last(tx, tenant).await?.unwrap_or((0, [0; 32]));
    let salt = env.ids.bytes::<16>();
    let payload = escaped(deed.payload);
    let mut row = AuditRow {
        tenant_id: tenant.id(),
        sequence: last + 1,
        id: env.ids.uuid_v7(now),
        kind: deed.kind.to_owned(),
        actor: deed.actor.kind().to_owned(),
        actor_id: deed.actor.id(),
        subject_id: deed.subject_id,
        created_at: now,
        payload_hash: payload_hash(&salt, &payload)?,
        payload: Some(payload),
        payload_salt: Some(salt),
        previous_hash,
        hash: [0; 32],
    };
    row.hash = entry_hash(&row);
    rows::insert(tx, tenant, &row).await
}

/// What the verification of a chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every entry is what was appended, in the order in which it was.
    Intact {
        /// How many entries there are.
        entries: u64,
        /// How many of them have a blanked payload.
        blanked: u64,
    },
    /// The first entry that is not.
    Broken(BrokenLink),
}

/// The first entry at which a chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("audit chain of tenant {tenant_id} is broken at entry {sequence}: {fault}")]
pub struct BrokenLink {
    /// The tenant.
    pub tenant_id: Uuid,
    /// Sequence of the entry as stored.
    pub sequence: i64,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What can be wrong with an entry of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Entries before it are missing.
    #[error("entry {expected} should come here")]
    Gap {
        /// The sequence that is missing.
        expected: i64,
    },
    /// It does not follow the entry before it.
    #[error("it does not name the hash of the entry before it")]
    Previous,
    /// A chained field was changed.
    #[error("its fields do not give its hash")]
    Fields,
    /// The payload was changed.
    #[error("its payload does not give its payload hash")]
    Payload,
}

/// Verifies the chain of a tenant that the transaction may see.
pub async fn verify(tx: &Tx, tenant: Uuid) -> Result<Verdict, StoreError> {
    let mut chain = Chain::default();
    loop {
        let page = rows::page(tx, tenant, chain.sequence, PAGE).await?;
        if page.is_empty() {
            // Every tenant began with an entry; a trail without one was taken away whole.
            if chain.entries == 0 {
                let fault = Fault::Gap { expected: 1 };
                return Ok(Verdict::Broken(BrokenLink { tenant_id: tenant, sequence: 0, fault }));
            }
            return Ok(Verdict::Intact { entries: chain.entries, blanked: chain.blanked });
        }
        for row in &page {
            if let Err(fault) = chain.follow(row) {
                return Ok(Verdict::Broken(BrokenLink { tenant_id: tenant, sequence: row.sequence, fault }));
            }
        }
    }
}

/// A chain up to some entry.
#[derive(Debug, Default)]
struct Chain {
    sequence: i64,
    hash: [u8; 32],
    entries: u64,
    blanked: u64,
}

impl Chain {
    fn follow(&mut self, row: &AuditRow) -> Result<(), Fault> {
        let expected = self.sequence + 1;
        if row.sequence != expected {
            return Err(Fault::Gap { expected });
        }
        if row.previous_hash != self.hash {
            return Err(Fault::Previous);
        }
        if entry_hash(row) != row.hash {
            return Err(Fault::Fields);
        }
        match (&row.payload, &row.payload_salt) {
            (None, _) => self.blanked += 1,
            (Some(payload), Some(salt)) if payload_hash(salt, payload).ok() == Some(row.payload_hash) => {}
            (Some(_), _) => return Err(Fault::Payload),
        }
        self.entries += 1;
        self.sequence = row.sequence;
        self.hash = row.hash;
        Ok(())
    }
}

/// A payload as it may be shown anywhere: what moves a cursor or hides is escaped in every text of it.
fn escaped(payload: Value) -> Value {
    match payload {
        Value::String(text) => Value::String(super::security::escape(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(escaped).collect()),
        Value::Object(map) => {
            Value::Object(map.into_iter().map(|(key, value)| (super::security::escape(&key), escaped(value))).collect())
        }
        other => other,
    }
}

/// SHA-256 over the chained fields, each behind its length (4 bytes, big endian), so that no two entries have
/// the same encoding. Integers are 8 bytes, big endian; ids are 16 bytes, a missing one has length 0.
fn entry_hash(row: &AuditRow) -> [u8; 32] {
    let fields: [&[u8]; 10] = [
        row.tenant_id.as_bytes(),
        &row.sequence.to_be_bytes(),
        row.id.as_bytes(),
        row.kind.as_bytes(),
        row.actor.as_bytes(),
        row.actor_id.as_ref().map_or(&[], |id| id.as_bytes().as_slice()),
        row.subject_id.as_ref().map_or(&[], |id| id.as_bytes().as_slice()),
        &row.created_at.as_microsecond().to_be_bytes(),
        &row.payload_hash,
        &row.previous_hash,
    ];
    super::hash::length_prefixed(ENCODING, &fields)
}

/// Bytes in hexadecimal, small letters, as hashes are shown.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// SHA-256 over the salt and the canonical payload.
fn payload_hash(salt: &[u8; 16], payload: &Value) -> Result<[u8; 32], StoreError> {
    let mut canonical = String::new();
    write_canonical(payload, &mut canonical)?;
    let mut hasher = Sha256::new();
    hasher.update(salt);
    hasher.update(canonical.as_bytes());
    Ok(hasher.finalize().into())
}

/// JSON without spaces, keys in the order of their bytes. The database gives numbers back in another form than
/// it got them, so that only integers are let in.
fn write_canonical(value: &Value, out: &mut String) -> Result<(), StoreError> {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            out.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(&map[key], out)?;
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(item, out)?;
            }
            out.push(']');
        }
        Value::Number(number) if !number.is_i64() && !number.is_u64() => {
            return Err(StoreError::corrupt("audit payload", format!("{number} is no integer; write it as a string")));
        }
        other => out.push_str(&other.to_string()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn first() -> AuditRow {
        let salt = *b"0123456789abcdef";
        let payload = json!({"name": "Zoë \"Z\"\n", "amount": "1.50", "count": -3, "list": [true, null], "a": {}});
        let mut row = AuditRow {
            tenant_id: Uuid::from_u128(1),
            sequence: 1,
            id: Uuid::from_u128(2),
            kind: "tenant.created".to_owned(),
            actor: "user".to_owned(),
            actor_id: Some(Uuid::from_u128(3)),
            subject_id: None,
            created_at: Timestamp::from_microsecond(1_767_225_600_123_456).unwrap(),
            payload_hash: payload_hash(&salt, &payload).unwrap(),
            payload: Some(payload),
            payload_salt: Some(salt),
            previous_hash: [0; 32],
            hash: [0; 32],
        };
        row.hash = entry_hash(&row);
        row
    }

    #[test]
    fn the_encoding_never_changes() {
        let mut canonical = String::new();
        write_canonical(first().payload.as_ref().unwrap(), &mut canonical).unwrap();
        assert_eq!(canonical, r#"{"a":{},"amount":"1.50","count":-3,"list":[true,null],"name":"Zoë \"Z\"\n"}"#);
        // Computed independently with Python's hashlib.
        assert_eq!(hex(&first().payload_hash), "05a507479b7efc15efd624a514e839fb745f909e61a198eeba2bac5e378966fd");
        assert_eq!(hex(&first().hash), "7d594f3910100c33c0eb48f56fd6309eacf29f136b71fdad833a0a2051ecfa2f");
    }

    #[test]
    fn a_number_that_is_no_integer_is_refused() {
        assert!(payload_hash(&[0; 16], &json!({"amount": 1.5})).is_err());
    }

    #[test]
    fn every_chained_field_is_under_the_hash() {
        type Change = fn(&mut AuditRow);
        let changes: [(&str, Change); 9] = [
            ("tenant", |row| row.tenant_id = Uuid::from_u128(9)),
            ("sequence", |row| row.sequence = 2),
            ("id", |row| row.id = Uuid::from_u128(9)),
            ("type", |row| row.kind.push('x')),
            ("actor", |row| row.actor = "key".to_owned()),
            ("actor_id", |row| row.actor_id = None),
            ("subject_id", |row| row.subject_id = row.actor_id),
            ("created_at", |row| row.created_at = Timestamp::from_microsecond(1_767_225_600_123_457).unwrap()),
            ("payload_hash", |row| row.payload_hash[31] ^= 1),
        ];
        for (field, change) in changes {
            let mut row = first();
            change(&mut row);
            assert_ne!(entry_hash(&row), row.hash, "{field}");
        }
    }

    #[test]
    fn the_first_broken_link_is_told() {
        let one = first();
        let mut two = AuditRow { sequence: 2, id: Uuid::from_u128(4), previous_hash: one.hash, ..first() };
        two.hash = entry_hash(&two);
        let walk = |rows: &[&AuditRow]| {
            let mut chain = Chain::default();
            rows.iter().try_for_each(|row| chain.follow(row)).map(|()| (chain.entries, chain.blanked))
        };
        assert_eq!(walk(&[&one, &two]), Ok((2, 0)));
        assert_eq!(walk(&[&two]), Err(Fault::Gap { expected: 1 }));
        let mut other = AuditRow { payload: Some(json!({})), ..one.clone() };
        assert_eq!(walk(&[&other, &two]), Err(Fault::Payload));
        other.payload = None;
        assert_eq!(walk(&[&other, &two]), Ok((2, 1)), "a blanked payload does not break the chain");
        // Rewritten with a hash of its own: the next one tells.
        other = AuditRow { subject_id: Some(Uuid::from_u128(9)), ..one };
        assert_eq!(walk(&[&other, &two]), Err(Fault::Fields));
        other.hash = entry_hash(&other);
        assert_eq!(walk(&[&other, &two]), Err(Fault::Previous));
    }
}
