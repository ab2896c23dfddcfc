//! Objects of one kind, in the order of their making. A copy is cheap: it shares everything that is not changed.

use std::sync::{Arc, OnceLock};

use rpds::RedBlackTreeMapSync as Tree;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// An object that has an id.
pub(crate) trait Row: Clone {
    /// As in "No such customer".
    const NOUN: &'static str;

    fn id(&self) -> &str;
}

/// See the module. Places are handed out once and never again.
#[derive(Debug, Clone)]
pub(crate) struct Table<T> {
    rows: Tree<u64, Arc<Slot<T>>>,
    places: Tree<String, u64>,
    next: u64,
}

/// A row and, once it was written, how: the state is written after each change, and most rows did not change.
#[derive(Debug)]
struct Slot<T> {
    row: T,
    written: OnceLock<Box<RawValue>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: Tree::new_sync(), places: Tree::new_sync(), next: 0 }
    }
}

impl<T: Row> Table<T> {
    pub(crate) fn get(&self, id: &str) -> Option<&T> {
        self.rows.get(self.places.get(id)?).map(|slot| &slot.row)
    }

    /// Adds an object, or puts it in the place of the one with its id.
    pub(crate) fn put(&mut self, row: T) {
        let place = self.places.get(row.id()).copied().unwrap_or_else(|| {
            let place = self.next;
            self.next += 1;
            self.places.insert_mut(row.id().to_owned(), place);
            place
        });
        self.rows.insert_mut(place, Arc::new(Slot { row, written: OnceLock::new() }));
    }

    pub(crate) fn remove(&mut self, id: &str) {
        if let Some(place) = self.places.get(id).copied() {
            self.places.remove_mut(id);
            self.rows.remove_mut(&place);
        }
    }

    /// Changes an object in its place; nothing when there is none.
    pub(crate) fn edit(&mut self, id: &str, change: impl FnOnce(&mut T)) {
        if let Some(row) = self.get(id) {
            let mut row = row.clone();
            change(&mut row);
            self.put(row);
        }
    }

    /// Oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.rows.values().map(|slot| &slot.row)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.size()
    }
}

impl<T: Serialize> Serialize for Table<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut written = Vec::with_capacity(self.rows.size());
        for slot in self.rows.values() {
            if slot.written.get().is_none() {
                let text = to_raw_value(&slot.row).map_err(S::Error::custom)?;
                // Another thread may have been faster, with the same text.
                let _ = slot.written.set(text);
            }
            written.extend(slot.written.get());
        }
        serializer.collect_seq(written)
    }
}

impl<'de, T: Row + Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table = Self::default();
        for row in Vec::<T>::deserialize(deserializer)? {
            table.put(row);
        }
        Ok(table)
    }
}
