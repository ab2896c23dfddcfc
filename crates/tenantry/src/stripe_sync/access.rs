//! What a status gives: the limits of the plan, or those of the default plan.

use jiff::{SignedDuration, Timestamp};
use tenantry_stripe::subscriptions::SubscriptionStatus;

/// What is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The limits of its plan, rather than those of the default plan.
    pub is_full: bool,
    /// Since when a payment is overdue.
    pub past_due_since: Option<Timestamp>,
    /// When this has to be looked at again, without anything happening at Stripe.
    pub look_again_at: Option<Timestamp>,
}

/// What was in force before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before {
    /// The limits of its plan.
    pub is_full: bool,
    /// Since when a payment is overdue.
    pub past_due_since: Option<Timestamp>,
}

/// Trialing and active use the plan. An overdue payment keeps it for the grace; then, and in every other state that
/// waits for money, the limits of the default plan hold. A status that is not known changes nothing.
pub fn access(status: &SubscriptionStatus, before: Before, grace: SignedDuration, now: Timestamp) -> Access {
    let plain = |is_full| Access { is_full, past_due_since: None, look_again_at: None };
    match status {
        SubscriptionStatus::Trialing | SubscriptionStatus::Active => plain(true),
        SubscriptionStatus::PastDue => {
            let since = before.past_due_since.unwrap_or(now);
            let until = since.saturating_add(grace).unwrap_or(since);
            let is_full = now < until;
            Access { is_full, past_due_since: Some(since), look_again_at: is_full.then_some(until) }
        }
        SubscriptionStatus::Other(_) => {
            Access { is_full: before.is_full, past_due_since: before.past_due_since, look_again_at: None }
        }
        SubscriptionStatus::Incomplete
        | SubscriptionStatus::IncompleteExpired
        | SubscriptionStatus::Unpaid
        | SubscriptionStatus::Paused
        | SubscriptionStatus::Canceled => plain(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: SignedDuration = SignedDuration::from_hours(72);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn each_status_gives_what_it_should() {
        let now = at("2026-03-15T12:00:00Z");
        let before = Before { is_full: true, past_due_since: None };
        for (status, is_full) in [
            ("active", true),
            ("trialing", true),
            ("past_due", true),
            ("incomplete", false),
            ("incomplete_expired", false),
            ("unpaid", false),
            ("paused", false),
            ("canceled", false),
            ("something_new", true),
        ] {
            assert_eq!(access(&status.into(), before, GRACE, now).is_full, is_full, "{status}");
        }
        let narrowed = Before { is_full: false, past_due_since: None };
        assert!(!access(&"something_new".into(), narrowed, GRACE, now).is_full);
    }

    #[test]
    fn an_overdue_payment_keeps_the_plan_for_the_grace_and_not_a_microsecond_longer() {
        let since = at("2026-03-15T12:00:00Z");
        let first = access(&"past_due".into(), Before { is_full: true, past_due_since: None }, GRACE, since);
        assert_eq!(first.look_again_at, Some(at("2026-03-18T12:00:00Z")));
        let before = Before { is_full: true, past_due_since: first.past_due_since };
        assert!(access(&"past_due".into(), before, GRACE, at("2026-03-18T11:59:59.999999Z")).is_full);
        assert!(!access(&"past_due".into(), before, GRACE, at("2026-03-18T12:00:00Z")).is_full);
        // Paid in between, the next failure begins anew.
        assert_eq!(access(&"active".into(), before, GRACE, since).past_due_since, None);
    }
}
