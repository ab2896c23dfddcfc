//! Events that cannot count, most often since they are too old. An event counts once for ever, and its sender can always
//! learn that it did: one that comes again after its time, or after its metric began to ask for more, is a duplicate, not
//! refused. Only where such events come are their keys looked up.

use std::collections::HashMap;

use uuid::Uuid;

use super::super::outcome::{Invalid, Outcome};
use super::facts::{self, Facts};
use super::group::Member;
use super::prepare::{Claim, Prepared};
use crate::storage::usage::commit;
use crate::storage::{StoreError, Tx};

/// Puts those whose key counted before, or comes earlier in the group, among the ready ones; refuses the others.
pub(super) async fn find(
    tx: &Tx,
    repeats_only: Vec<(usize, Invalid)>,
    group: &[Member<'_>],
    ready: &mut Vec<Prepared>,
    outcomes: &mut [Option<Outcome>],
    facts: &mut Facts,
) -> Result<(), StoreError> {
    let raw = |index: usize| group[index].1;
    let tenants: Vec<Uuid> = repeats_only.iter().map(|(index, _)| raw(*index).tenant_id).collect();
    let keys: Vec<&str> = repeats_only.iter().map(|(index, _)| raw(*index).key.as_str()).collect();
    // Where each key counts, or may: metric and instant.
    let mut places: HashMap<(Uuid, String), (usize, String, jiff::Timestamp)> = HashMap::new();
    for event in ready.iter().rev() {
        let (key, metric) = (raw(event.index).key.clone(), facts.counters[event.counter].metric.clone());
        places.insert((raw(event.index).tenant_id, key), (event.index, metric, event.occurred_at));
    }
    for known in commit::known_keys(tx, &tenants, &keys).await? {
        places.insert((known.tenant_id, known.key), (0, known.metric, known.occurred_at));
    }
    let mut found = Vec::new();
    for (index, invalid) in repeats_only {
        match places.get(&(raw(index).tenant_id, raw(index).key.clone())) {
            Some((first, metric, at)) if *first <= index => found.push((index, invalid, metric, *at)),
            _ => outcomes[index] = Some(Outcome::Invalid(invalid)),
        }
    }
    let wanted = found.iter().map(|(index, _, metric, at)| (raw(*index).tenant_id, metric.as_str(), *at));
    facts::read_more_counters(tx, facts, wanted).await?;
    for (index, invalid, metric, at) in found {
        let counter = facts
            .counter_at(raw(index).tenant_id, metric, at)
            .ok_or_else(|| StoreError::corrupt("key", "the counter of its event does not exist"))?;
        ready.push(Prepared {
            index,
            content_hash: raw(index).content_hash(),
            occurred_at: raw(index).occurred_at(),
            counter,
            amount: rust_decimal::Decimal::ZERO,
            user_id: None,
            metadata: serde_json::Value::Null,
            of_original: None,
            part: String::new(),
            original: None,
            claim: Claim::RepeatOnly(at, invalid),
        });
    }
    ready.sort_unstable_by_key(|event| event.index);
    Ok(())
}
