//! How often a caller may guess slugs: the one question whose answer tells what others have.

use std::num::NonZeroU32;

use governor::clock::DefaultClock;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use uuid::Uuid;

use super::problem::{Code, Problem};

/// Slugs that a caller may ask for in a minute.
const PER_MINUTE: NonZeroU32 = NonZeroU32::new(30).unwrap();

/// Counts slugs that callers asked for.
pub struct SlugLimiter(RateLimiter<Uuid, DefaultKeyedStateStore<Uuid>, DefaultClock>);

impl std::fmt::Debug for SlugLimiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlugLimiter").finish_non_exhaustive()
    }
}

impl Default for SlugLimiter {
    fn default() -> Self {
        Self(RateLimiter::keyed(Quota::per_minute(PER_MINUTE)))
    }
}

impl SlugLimiter {
    /// Refuses a caller that asked too often. Only explicit slugs count.
    pub fn check(&self, caller: Option<Uuid>, slug: Option<&str>) -> Result<(), Problem> {
        if slug.is_none() {
            return Ok(());
        }
        self.0.check_key(&caller.unwrap_or(Uuid::nil())).map_err(|_| {
            Problem::new(Code::RateLimited)
                .detail(format!("at most {PER_MINUTE} slugs a minute may be asked for"))
                .retry_after(60)
        })
    }
}
