//! Time and chance, injected: the only place of the service that asks the machine for either.
//!
//! Everything else takes an [`Env`], so a test sets the hour and repeats the same ids. `clippy.toml` forbids
//! the ambient functions elsewhere.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};
use rand::rngs::StdRng;
use rand::{RngCore as _, SeedableRng as _};
use uuid::Uuid;

/// The injected sources. Clones share one clock and one source of chance.
#[derive(Debug, Clone)]
pub struct Env {
    /// What time it is.
    pub clock: Clock,
    /// Ids and random bytes.
    pub ids: Ids,
}

impl Env {
    /// The machine's clock and the operating system's randomness.
    pub fn system() -> Self {
        Self { clock: Clock::system(), ids: Ids::secure() }
    }

    /// The same with a clock that can be put ahead, as the sandbox's is: for development.
    pub fn development() -> Self {
        Self { clock: Clock::offset(), ids: Ids::secure() }
    }

    /// A clock that stands at `now` until it is told otherwise, and ids that repeat with the seed. For tests:
    /// the bytes can be foretold, so nothing secret may come from them.
    pub fn manual(now: Timestamp, seed: u64) -> Self {
        Self { clock: Clock::manual(now), ids: Ids::seeded(seed) }
    }
}

/// Tells the time, in UTC and whole microseconds (what `timestamptz` can hold).
#[derive(Debug, Clone)]
pub struct Clock(ClockKind);

#[derive(Debug, Clone)]
enum ClockKind {
    System,
    /// Seconds that it is ahead of the machine's.
    Offset(Arc<AtomicI64>),
    Manual(Arc<Mutex<Timestamp>>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(ClockKind::System)
    }

    /// The machine's clock, put ahead by [`Clock::put_ahead`].
    pub fn offset() -> Self {
        Self(ClockKind::Offset(Arc::default()))
    }

    /// A clock that stands still at `now`.
    pub fn manual(now: Timestamp) -> Self {
        Self(ClockKind::Manual(Arc::new(Mutex::new(to_microseconds(now)))))
    }

    /// The time, truncated to microseconds.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            ClockKind::System => machine_now(),
            ClockKind::Offset(seconds) => {
                let now = machine_now();
                now.checked_add(SignedDuration::from_secs(seconds.load(Ordering::Relaxed))).unwrap_or(now)
            }
            ClockKind::Manual(now) => *now.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// The machine's time, wherever this clock was moved to: for what is agreed on with others, such as the expiry of
    /// tokens and keys and the age of signatures.
    pub fn real_now(&self) -> Timestamp {
        machine_now()
    }

    /// Puts the clock of development so many seconds ahead of the machine's, for every clone of it. It never goes back:
    /// where it is further ahead already, it stays.
    ///
    /// False for every other clock.
    pub fn put_ahead(&self, seconds: i64) -> bool {
        let ClockKind::Offset(offset) = &self.0 else { return false };
        offset.fetch_max(seconds, Ordering::Relaxed);
        true
    }

    /// Sets a manual clock, forwards or backwards, for every clone of it.
    ///
    /// False for the machine's clock, which nobody sets from here.
    pub fn set(&self, to: Timestamp) -> bool {
        self.change(|_| to)
    }

    /// Moves a manual clock by a span. It stays where it is when the result is out of the calendar.
    ///
    /// False for the machine's clock, which nobody moves from here.
    pub fn advance(&self, by: SignedDuration) -> bool {
        self.change(|now| now.checked_add(by).unwrap_or(now))
    }

    fn change(&self, to: impl FnOnce(Timestamp) -> Timestamp) -> bool {
        match &self.0 {
            ClockKind::System | ClockKind::Offset(_) => false,
            ClockKind::Manual(now) => {
                let mut now = now.lock().unwrap_or_else(PoisonError::into_inner);
                *now = to_microseconds(to(*now));
                true
            }
        }
    }
}

fn machine_now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    let now = Timestamp::now();
    to_microseconds(now)
}

/// Drops what is finer than a microsecond: kept, a time would differ from itself once read back.
fn to_microseconds(at: Timestamp) -> Timestamp {
    // Floor, not towards zero: a time before 1970 must not be moved forward.
    let rule = TimestampRound::new().smallest(Unit::Microsecond).mode(RoundMode::Floor);
    at.round(rule).unwrap_or(at)
}

/// Makes ids and random bytes.
#[derive(Debug, Clone)]
pub struct Ids(IdsKind);

#[derive(Debug, Clone)]
enum IdsKind {
    Secure,
    Seeded(Arc<Mutex<StdRng>>),
}

impl Ids {
    /// A cryptographic generator that is seeded, and reseeded, by the operating system.
    pub fn secure() -> Self {
        Self(IdsKind::Secure)
    }

    /// The same bytes for the same seed. For tests only: whoever knows the seed knows every secret.
    pub fn seeded(seed: u64) -> Self {
        Self(IdsKind::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))))
    }

    /// Random bytes, fit for secrets when the source is [`Ids::secure`].
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match &self.0 {
            IdsKind::Secure => {
                #[expect(clippy::disallowed_methods, reason = "the one place that asks for chance")]
                let mut source = rand::rng();
                source.fill_bytes(&mut bytes);
            }
            IdsKind::Seeded(source) => {
                source.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
            }
        }
        bytes
    }

    /// A UUIDv7 of the given time: ids sort by the millisecond in which they were made, by chance within it.
    /// A time before 1970 counts as 1970.
    pub fn uuid_v7(&self, now: Timestamp) -> Uuid {
        let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(milliseconds, &self.bytes::<10>()).into_uuid()
    }
}

/// An instant in whole seconds, as Stripe counts.
pub fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn now_has_no_more_than_microseconds() {
        let clock = Clock::manual(at("2026-03-01T12:00:00.123456999Z"));
        assert_eq!(clock.now(), at("2026-03-01T12:00:00.123456Z"));
        let before_the_epoch = Clock::manual(at("1969-12-31T23:59:59.999999999Z"));
        assert_eq!(before_the_epoch.now(), at("1969-12-31T23:59:59.999999Z"));
        assert_eq!(Clock::system().now().subsec_nanosecond() % 1000, 0);
    }

    #[test]
    fn clones_of_a_manual_clock_move_together() {
        let env = Env::manual(at("2026-03-01T12:00:00Z"), 1);
        let clone = env.clone();
        assert!(env.clock.advance(SignedDuration::from_hours(2)));
        assert_eq!(clone.clock.now(), at("2026-03-01T14:00:00Z"));
        assert!(clone.clock.set(at("2020-01-01T00:00:00Z")));
        assert_eq!(env.clock.now(), at("2020-01-01T00:00:00Z"));
    }

    #[test]
    fn nobody_sets_the_machines_clock() {
        assert!(!Clock::system().set(at("2020-01-01T00:00:00Z")));
        assert!(!Clock::system().advance(SignedDuration::from_secs(1)));
    }

    #[test]
    fn the_clock_of_development_runs_ahead_and_real_time_stays() {
        let env = Env::development();
        let clone = env.clone();
        assert!(clone.clock.put_ahead(86_400));
        let ahead = env.clock.now().duration_since(env.clock.real_now());
        assert!((86_399..=86_400).contains(&ahead.as_secs()), "{ahead:?}");
        assert!(!env.clock.advance(SignedDuration::from_secs(1)));
        assert!(!Clock::system().put_ahead(5) && !Clock::manual(at("2026-03-01T12:00:00Z")).put_ahead(5));
        assert!(clone.clock.put_ahead(60));
        assert!(env.clock.now().duration_since(env.clock.real_now()).as_secs() > 60, "it went back");
        // An offset beyond the calendar changes nothing.
        assert!(env.clock.put_ahead(i64::MAX));
        assert!(env.clock.now().duration_since(env.clock.real_now()).as_secs().abs() <= 1);
    }

    #[test]
    fn the_same_seed_gives_the_same_ids_and_another_seed_others() {
        let now = at("2026-03-01T12:00:00Z");
        let ids = |seed| {
            let ids = Ids::seeded(seed);
            [ids.uuid_v7(now), ids.uuid_v7(now)]
        };
        assert_eq!(ids(7), ids(7));
        assert_ne!(ids(7), ids(8));
        assert_ne!(ids(7)[0], ids(7)[1]);
    }

    #[test]
    fn ids_are_version_7_and_sort_by_time() {
        for ids in [Ids::secure(), Ids::seeded(3)] {
            let earlier = ids.uuid_v7(at("2026-03-01T12:00:00.001Z"));
            let later = ids.uuid_v7(at("2026-03-01T12:00:00.002Z"));
            assert_eq!(earlier.get_version_num(), 7);
            assert!(earlier < later);
        }
        assert_eq!(Ids::seeded(3).uuid_v7(at("1960-01-01T00:00:00Z")).get_version_num(), 7);
    }

    #[test]
    fn secure_bytes_do_not_repeat() {
        assert_ne!(Ids::secure().bytes::<32>(), Ids::secure().bytes::<32>());
    }
}
