//! Objects of one kind, in the order of their making. A copy is cheap: it shares everything that is not changed.

use std::sync::Arc;

use rpds::RedBlackTreeMapSync as Tree;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An object that has an id.
pub(crate) trait Row: Clone {
    /// As in "No such customer".
    const NOUN: &'static str;

    fn id(&self) -> &str;
}

/// See the module. Places are handed out once and never again.
#[derive(Debug, Clone)]
pub(crate) struct Table<T> {
    rows: Tree<u64, Arc<T>>,
    places: Tree<String, u64>,
    next: u64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: Tree::new_sync(), places: Tree::new_sync(), next: 0 }
    }
}

impl<T: Row> Table<T> {
    pub(crate) fn get(&self, id: &str) -> Option<&T> {
        self.rows.get(self.places.get(id)?).map(Arc::as_ref)
    }

    /// Adds an object, or puts it in the place of the one with its id.
    pub(crate) fn put(&mut self, row: T) {
        let place = self.places.get(row.id()).copied().unwrap_or_else(|| {
            let place = self.next;
            self.next += 1;
            self.places.insert_mut(row.id().to_owned(), place);
            place
        });
        self.rows.insert_mut(place, Arc::new(row));
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
        self.rows.values().map(Arc::as_ref)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.size()
    }
}

impl<T: Serialize> Serialize for Table<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.rows.values().map(Arc::as_ref))
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
