//! Keys of a group: each once, in the order in which the database locks them; and what claiming them told.
//!
//! What a key claim needs is in the events themselves, so it can go out with the reading of the facts, in one round
//! trip. A group of which that turned out to be too early (an event is refused, a limit is near) is undone and
//! decided in order.

use std::collections::HashMap;

use uuid::Uuid;

use super::super::event::{Content, NewEvent};
use crate::storage::usage::commit::{KeyColumns, KnownKey};

/// The keys of a group of events.
pub(super) struct Keys {
    /// Positions in the group of the first event of each key, sorted by (tenant, key).
    pub(super) firsts: Vec<usize>,
    /// Events that repeat a key of the group: (position, position of the first).
    repeats: HashMap<usize, usize>,
}

impl Keys {
    /// The keys of the events at these positions, which are in order of arrival.
    pub(super) fn of(positions: impl Iterator<Item = usize>, group: &[&NewEvent]) -> Self {
        let mut seen: HashMap<(Uuid, &str), usize> = HashMap::with_capacity(group.len());
        let (mut firsts, mut repeats) = (Vec::with_capacity(group.len()), HashMap::new());
        for position in positions {
            let event = group[position];
            match seen.entry((event.tenant_id, event.key.as_str())) {
                std::collections::hash_map::Entry::Occupied(first) => _ = repeats.insert(position, *first.get()),
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(position);
                    firsts.push(position);
                }
            }
        }
        firsts.sort_unstable_by_key(|position| (group[*position].tenant_id, group[*position].key.as_str()));
        Self { firsts, repeats }
    }

    /// The columns of a claim that goes out before the facts are known; none where a correction is among the events,
    /// whose metric is the one of what it takes back.
    pub(super) fn columns<'a>(&self, group: &[&'a NewEvent], hashes: &[Uuid]) -> Option<KeyColumns<'a>> {
        let mut columns = KeyColumns::default();
        for position in &self.firsts {
            let event = group[*position];
            let Content::Usage { metric, .. } = &event.content else { return None };
            columns.tenant_id.push(event.tenant_id);
            columns.key.push(&event.key);
            columns.content_hash.push(hashes[*position]);
            columns.occurred_at.push(event.occurred_at());
            columns.timestamp_given.push(event.timestamp.is_some());
            columns.metric.push(metric);
        }
        Some(columns)
    }
}

/// Keys that were claimed, with those that had been there before.
pub(super) struct Claimed {
    keys: Keys,
    /// What was there, by the position of the key's first event.
    known: HashMap<usize, KnownKey>,
}

impl Claimed {
    /// What the claim of these keys found.
    pub(super) fn new(keys: Keys, known: Vec<KnownKey>, group: &[&NewEvent]) -> Self {
        let first_of = |known: &KnownKey| {
            let wanted = (known.tenant_id, known.key.as_str());
            let key = |position: &usize| (group[*position].tenant_id, group[*position].key.as_str());
            keys.firsts.binary_search_by_key(&wanted, key).ok().map(|place| keys.firsts[place])
        };
        let known = known.into_iter().filter_map(|known| first_of(&known).map(|first| (first, known))).collect();
        Self { keys, known }
    }

    /// Positions of the events whose keys are theirs now, sorted by (tenant, key).
    pub(super) fn won(&self) -> impl Iterator<Item = usize> {
        self.keys.firsts.iter().copied().filter(|first| !self.known.contains_key(first))
    }

    /// Position of the first event of the group that has this one's key.
    pub(super) fn first(&self, position: usize) -> usize {
        self.keys.repeats.get(&position).copied().unwrap_or(position)
    }

    /// What this event's key stood for before the group.
    pub(super) fn known(&self, position: usize) -> Option<&KnownKey> {
        self.known.get(&self.first(position))
    }
}
