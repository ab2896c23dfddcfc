//! When a call is tried again, and after what pause.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;

/// What the headers of an answer say about trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Advice {
    /// `Stripe-Should-Retry`, where it is there and makes sense.
    pub(crate) should_retry: Option<bool>,
    /// `Retry-After` in whole seconds.
    pub(crate) retry_after: Option<Duration>,
}

impl Advice {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let should_retry = match text("stripe-should-retry") {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        };
        let retry_after = text("retry-after").and_then(|value| value.parse().ok()).map(Duration::from_secs);
        Self { should_retry, retry_after }
    }

    /// Whether an answer with this status is worth another attempt. Stripe's word goes before the status.
    pub(crate) fn may_retry(self, status: StatusCode) -> bool {
        self.should_retry.unwrap_or_else(|| {
            status == StatusCode::CONFLICT || status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
        })
    }
}

/// How long pauses are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pauses {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

impl Pauses {
    /// The pause behind an attempt, counted from 1: doubled each time, up to the longest, and of that a random part
    /// between half and all, so that those who failed together do not come back together. `Retry-After` makes it
    /// longer. None where that asks for more than the longest pause: then the caller has to come back itself.
    pub(crate) fn after(self, attempt: u32, chance: u64, retry_after: Option<Duration>) -> Option<Duration> {
        let doubled = self.first.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
        let full = doubled.min(self.longest);
        let half = full / 2;
        let span = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        let jittered = half + Duration::from_nanos(chance % span.saturating_add(1));
        match retry_after {
            Some(asked) if asked > self.longest => None,
            Some(asked) => Some(jittered.max(asked)),
            None => Some(jittered),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSES: Pauses = Pauses { first: Duration::from_millis(500), longest: Duration::from_secs(8) };

    #[test]
    fn pauses_double_up_to_the_longest_and_lose_at_most_half_to_chance() {
        for (attempt, full) in [(1, 500), (2, 1000), (3, 2000), (4, 4000), (5, 8000), (6, 8000), (40, 8000)] {
            let full = Duration::from_millis(full);
            assert_eq!(PAUSES.after(attempt, 0, None), Some(full / 2), "{attempt}");
            let nanos = u64::try_from(full.as_nanos()).unwrap();
            assert_eq!(PAUSES.after(attempt, nanos / 2, None), Some(full), "{attempt}");
            assert_eq!(PAUSES.after(attempt, nanos / 2 + 1, None), Some(full / 2), "{attempt}");
            assert!(PAUSES.after(attempt, u64::MAX, None) <= Some(full), "{attempt}");
        }
    }

    #[test]
    fn retry_after_makes_a_pause_longer_and_never_shorter() {
        let asked = |seconds| PAUSES.after(1, 0, Some(Duration::from_secs(seconds)));
        assert_eq!(asked(0), Some(Duration::from_millis(250)));
        assert_eq!(asked(3), Some(Duration::from_secs(3)));
        assert_eq!(asked(8), Some(Duration::from_secs(8)));
        assert_eq!(asked(9), None);
        assert_eq!(asked(u64::MAX), None);
    }

    #[test]
    fn stripes_word_goes_before_the_status() {
        let advice = |should_retry| Advice { should_retry, retry_after: None };
        for (status, by_itself) in
            [(200, false), (400, false), (402, false), (404, false), (409, true), (429, true), (500, true), (503, true)]
        {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(advice(None).may_retry(status), by_itself, "{status}");
            assert!(advice(Some(true)).may_retry(status), "{status}");
            assert!(!advice(Some(false)).may_retry(status), "{status}");
        }
    }

    #[test]
    fn headers_that_make_no_sense_say_nothing() {
        let read = |name: &'static str, value: &str| {
            Advice::of(&HeaderMap::from_iter([(
                reqwest::header::HeaderName::from_static(name),
                value.parse().unwrap(),
            )]))
        };
        assert_eq!(read("stripe-should-retry", "true").should_retry, Some(true));
        assert_eq!(read("stripe-should-retry", "false").should_retry, Some(false));
        assert_eq!(read("stripe-should-retry", "perhaps").should_retry, None);
        assert_eq!(read("retry-after", " 7 ").retry_after, Some(Duration::from_secs(7)));
        for odd in ["-1", "1.5", "Fri, 31 Dec 1999 23:59:59 GMT", "99999999999999999999999"] {
            assert_eq!(read("retry-after", odd).retry_after, None, "{odd}");
        }
    }
}
