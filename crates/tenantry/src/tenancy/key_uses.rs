//! When keys were last used: noted behind the requests, each key at most once a minute, many keys at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::env::Env;
use crate::storage::{Database, StoreError, keys};
use crate::write_tx;

/// How often a key's use is written down.
const EVERY: SignedDuration = SignedDuration::from_mins(1);
/// Keys that are remembered before all are forgotten; a bound on memory, not a tuning knob.
const MOST: usize = 100_000;

/// Notes uses. Cheap to clone.
#[derive(Debug, Clone)]
pub struct KeyUses {
    db: Database,
    env: Env,
    noted: Arc<Mutex<Noted>>,
}

#[derive(Debug, Default)]
struct Noted {
    last: HashMap<Uuid, Timestamp>,
    waiting: Vec<(Uuid, Timestamp)>,
    /// One writer at a time: what is noted meanwhile goes out together.
    is_writing: bool,
}

impl KeyUses {
    /// Nothing is noted yet.
    pub fn new(db: Database, env: Env) -> Self {
        Self { db, env, noted: Arc::default() }
    }

    /// Notes that a key was used, and has it written behind the request. What cannot be written is lost: it is
    /// for people who look for keys that nobody uses.
    pub fn note(&self, key: Uuid) {
        let now = self.env.clock.now();
        let mut noted = self.lock();
        if noted.last.get(&key).is_some_and(|at| now.duration_since(*at) < EVERY) {
            return;
        }
        if noted.last.len() >= MOST {
            noted.last.clear();
        }
        noted.last.insert(key, now);
        noted.waiting.push((key, now));
        if !std::mem::replace(&mut noted.is_writing, true) {
            tokio::spawn(self.clone().write());
        }
    }

    async fn write(self) {
        while let Some(uses) = self.next() {
            let written: Result<(), StoreError> =
                write_tx!(self.db, "note_key_uses", &[], |tx| keys::touch(tx, &uses).await);
            if let Err(error) = written {
                tracing::warn!(%error, keys = uses.len(), "the last use of keys could not be noted");
            }
        }
    }

    fn next(&self) -> Option<Vec<(Uuid, Timestamp)>> {
        let mut noted = self.lock();
        let uses = std::mem::take(&mut noted.waiting);
        noted.is_writing = !uses.is_empty();
        noted.is_writing.then_some(uses)
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
