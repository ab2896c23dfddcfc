//! How often a key may ask, and what its answers say of that.
//!
//! Each replica counts by itself: the limit protects a server from a client that runs wild, it is no part of a plan.
//! The headers are those of the IETF's draft "RateLimit header fields for HTTP".

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use uuid::Uuid;

use super::problem::{Code, Problem};

/// Requests after which keys are forgotten that have not asked for a while.
const SWEEP_EVERY: u32 = 10_000;

type Limiter<C> = RateLimiter<Uuid, DefaultKeyedStateStore<Uuid>, C, StateInformationMiddleware>;

/// Counts the requests of keys.
pub struct KeyLimiter<C: Clock = DefaultClock> {
    /// By requests a minute: keys with the same limit share a table.
    limiters: RwLock<HashMap<NonZeroU32, Arc<Limiter<C>>>>,
    asked: AtomicU32,
    clock: C,
}

impl std::fmt::Debug for KeyLimiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyLimiter").finish_non_exhaustive()
    }
}

impl Default for KeyLimiter {
    fn default() -> Self {
        Self::with_clock(DefaultClock::default())
    }
}

/// Where a key stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Requests a minute.
    per_minute: NonZeroU32,
    /// Requests that would be answered right now.
    remaining: u32,
    /// Seconds until all of them would be.
    reset: u32,
}

impl<C: Clock + Clone> KeyLimiter<C> {
    fn with_clock(clock: C) -> Self {
        Self { limiters: RwLock::default(), asked: AtomicU32::new(0), clock }
    }

    /// Counts a request of a key: where it stands, and whether the request is answered.
    pub fn count(&self, key: Uuid, per_minute: NonZeroU32) -> (Standing, Result<(), Problem>) {
        let limiter = self.limiter(per_minute);
        if self.asked.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            limiter.retain_recent();
        }
        match limiter.check_key(&key) {
            Ok(state) => (Standing::new(per_minute, state.remaining_burst_capacity()), Ok(())),
            Err(not_until) => {
                let wait = not_until.wait_time_from(self.clock.now()).as_secs().saturating_add(1);
                let wait = u32::try_from(wait).unwrap_or(60);
                let refusal = Problem::new(Code::RateLimited)
                    .detail(format!("this key may ask {per_minute} times a minute"))
                    .retry_after(wait);
                (Standing::new(per_minute, 0), Err(refusal))
            }
        }
    }

    fn limiter(&self, per_minute: NonZeroU32) -> Arc<Limiter<C>> {
        if let Some(known) = self.limiters.read().unwrap_or_else(PoisonError::into_inner).get(&per_minute) {
            return known.clone();
        }
        let mut limiters = self.limiters.write().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let quota = Quota::per_minute(per_minute);
            let store = DefaultKeyedStateStore::default();
            Arc::new(Limiter::new(quota, store, self.clock.clone()))
        };
        limiters.entry(per_minute).or_insert_with(make).clone()
    }
}

impl Standing {
    fn new(per_minute: NonZeroU32, remaining: u32) -> Self {
        let used = u64::from(per_minute.get().saturating_sub(remaining));
        // The quota comes back evenly over the minute.
        let reset = (used * 60).div_ceil(u64::from(per_minute.get()));
        Self { per_minute, remaining, reset: u32::try_from(reset).unwrap_or(60) }
    }

    fn headers(self) -> [(HeaderName, String); 2] {
        [
            (HeaderName::from_static("ratelimit-policy"), format!("\"key\";q={};w=60", self.per_minute)),
            (HeaderName::from_static("ratelimit"), format!("\"key\";r={};t={}", self.remaining, self.reset)),
        ]
    }
}

/// A place in a request's extensions where its authentication leaves what the answer is to say.
#[derive(Debug, Clone, Default)]
pub struct Slot(Arc<OnceLock<Standing>>);

impl Slot {
    /// Leaves it.
    pub fn put(&self, standing: Standing) {
        // A request is authenticated once; the first standing is the one that counted it.
        let _ = self.0.set(standing);
    }

    /// Writes what was left here into the answer.
    pub fn tell(&self, response: &mut Response) {
        for (name, value) in self.0.get().into_iter().flat_map(|standing| standing.headers()) {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    #[test]
    fn a_key_gets_its_minute_back_evenly_and_others_are_not_held_up() {
        let clock = FakeRelativeClock::default();
        let limiter = KeyLimiter::with_clock(clock.clone());
        let per_minute = NonZeroU32::new(6).unwrap();
        let ask = |key: u128| limiter.count(Uuid::from_u128(key), per_minute);
        let headers = |standing: Standing| standing.headers().map(|(_, value)| value);
        let (first, answered) = ask(1);
        assert!(answered.is_ok());
        assert_eq!(headers(first), ["\"key\";q=6;w=60", "\"key\";r=5;t=10"]);
        assert_eq!((0..10).filter(|_| ask(1).1.is_ok()).count(), 5);
        let (standing, refused) = ask(1);
        assert_eq!(headers(standing)[1], "\"key\";r=0;t=60");
        assert_eq!(refused.unwrap_err().code(), Code::RateLimited);
        assert!(ask(2).1.is_ok());
        clock.advance(Duration::from_secs(10));
        assert_eq!((0..10).filter(|_| ask(1).1.is_ok()).count(), 1);
        // Another limit is another table.
        assert!(limiter.count(Uuid::from_u128(1), NonZeroU32::new(600).unwrap()).1.is_ok());
    }
}
