//! How often a caller may guess slugs: the one question whose answer tells what others have.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use uuid::Uuid;

use super::problem::{Code, Problem};

/// Slugs that a caller may ask for in a minute.
const PER_MINUTE: NonZeroU32 = NonZeroU32::new(30).expect("30 is not 0");
/// Questions after which callers are forgotten whose minute is over.
const SWEEP_EVERY: u32 = 1000;

/// Counts slugs that callers asked for.
pub struct SlugLimiter<C: Clock = DefaultClock> {
    asked: RateLimiter<Uuid, DefaultKeyedStateStore<Uuid>, C, NoOpMiddleware<C::Instant>>,
    questions: AtomicU32,
}

impl std::fmt::Debug for SlugLimiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlugLimiter").finish_non_exhaustive()
    }
}

impl Default for SlugLimiter {
    fn default() -> Self {
        Self::with_clock(DefaultClock::default())
    }
}

impl<C: Clock> SlugLimiter<C> {
    fn with_clock(clock: C) -> Self {
        let asked = RateLimiter::new(Quota::per_minute(PER_MINUTE), DefaultKeyedStateStore::default(), clock);
        Self { asked, questions: AtomicU32::new(0) }
    }

    /// Refuses a caller that asked too often. Only explicit slugs count.
    pub fn check(&self, caller: Option<Uuid>, slug: Option<&str>) -> Result<(), Problem> {
        if slug.is_none() {
            return Ok(());
        }
        if self.questions.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.asked.retain_recent();
        }
        self.asked.check_key(&caller.unwrap_or(Uuid::nil())).map_err(|_| {
            Problem::new(Code::RateLimited)
                .detail(format!("at most {PER_MINUTE} slugs a minute may be asked for"))
                .retry_after(60)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    #[test]
    fn callers_are_limited_and_then_forgotten() {
        let clock = FakeRelativeClock::default();
        let limiter = SlugLimiter::with_clock(clock.clone());
        let ask = |caller| limiter.check(Some(Uuid::from_u128(caller)), Some("acme"));
        let allowed = (0..100).filter(|_| ask(0).is_ok()).count();
        assert_eq!(allowed, 30);
        assert!(limiter.check(Some(Uuid::from_u128(0)), None).is_ok());
        for caller in 1..u128::from(SWEEP_EVERY) {
            ask(caller).unwrap();
        }
        clock.advance(Duration::from_mins(2));
        for caller in 0..u128::from(SWEEP_EVERY) {
            ask(10_000 + caller).unwrap();
        }
        // Nobody of the first minute is left.
        assert!(limiter.asked.len() <= SWEEP_EVERY as usize, "{} callers are remembered", limiter.asked.len());
        ask(0).unwrap();
    }
}
