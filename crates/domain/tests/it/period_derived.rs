//! Periods beside ones that are known: whatever the order in which events arrive and anchors change, they tile.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use tenantry_domain::period::{DerivedPeriod, KnownPeriod, Period, derive, period_containing};

use crate::period::at;

/// Rows as the database would keep them, and the subscription's anchor.
#[derive(Debug, Clone)]
struct Tenant {
    anchor: Timestamp,
    rows: BTreeMap<Timestamp, KnownPeriod>,
}

impl Tenant {
    fn new(anchor: Timestamp) -> Self {
        Self { anchor, rows: BTreeMap::new() }
    }

    fn around(&self, at: Timestamp) -> (Option<KnownPeriod>, Option<KnownPeriod>) {
        let previous = self.rows.range(..=at).next_back().map(|(_, row)| *row);
        (previous, self.rows.values().find(|row| row.period.start > at).copied())
    }

    fn derived(&self, at: Timestamp) -> DerivedPeriod {
        let (previous, next) = self.around(at);
        derive(at, previous.as_ref(), next.as_ref(), self.anchor)
    }

    /// An event: its period becomes a row.
    fn event(&mut self, at: Timestamp) -> KnownPeriod {
        let DerivedPeriod { period, anchor, historic } = self.derived(at);
        let row = KnownPeriod { period, anchor, historic };
        self.rows.insert(period.start, row);
        row
    }

    /// The tenant subscribes again: the running period goes on, only the subscription's anchor is new.
    fn subscribe_again(&mut self, at: Timestamp) -> KnownPeriod {
        let row = self.event(at);
        self.anchor = at;
        row
    }

    /// The subscription gets a new anchor: the period of that instant ends there and the next begins.
    fn new_anchor(&mut self, at: Timestamp) {
        let mut row = self.event(at);
        if row.period.start < at {
            row.period.end = at;
            self.rows.insert(row.period.start, row);
        }
        self.anchor = at;
        let end = period_containing(at, at).end;
        let next = self.around(at).1.map_or(end, |next| end.min(next.period.start));
        let period = Period { start: at, end: next };
        self.rows.insert(at, KnownPeriod { period, anchor: at, historic: false });
    }

    fn assert_tiles(&self) {
        let rows: Vec<&KnownPeriod> = self.rows.values().collect();
        assert!(rows.iter().all(|row| row.period.start < row.period.end), "{rows:#?}");
        assert!(rows.windows(2).all(|pair| pair[0].period.end <= pair[1].period.start), "{rows:#?}");
    }
}

fn bounds(period: Period) -> (String, String) {
    (period.start.to_string(), period.end.to_string())
}

fn span(start: &str, end: &str) -> (String, String) {
    (format!("{start}T00:00:00Z"), format!("{end}T00:00:00Z"))
}

#[test]
fn the_first_event_opens_the_month_from_the_anchor() {
    let mut tenant = Tenant::new(at("2024-01-31T00:00:00Z"));
    let row = tenant.event(at("2024-03-05T00:00:00Z"));
    assert_eq!((bounds(row.period), row.historic), (span("2024-02-29", "2024-03-31"), false));
}

#[test]
fn before_the_tenant_was_here_months_run_backwards_and_are_historic() {
    let mut tenant = Tenant::new(at("2024-03-31T00:00:00Z"));
    for with_row in [false, true] {
        if with_row {
            tenant.event(tenant.anchor);
        }
        let derived = tenant.derived(at("2023-11-16T18:00:00Z"));
        assert_eq!((bounds(derived.period), derived.historic), (span("2023-10-31", "2023-11-30"), true));
    }
    tenant.event(at("2023-11-16T18:00:00Z"));
    let between = tenant.derived(at("2023-12-24T00:00:00Z"));
    assert_eq!((bounds(between.period), between.historic), (span("2023-11-30", "2023-12-31"), true));
    let after = tenant.derived(at("2024-05-15T00:00:00Z"));
    assert!(!after.historic);
}

#[test]
fn a_late_event_between_the_start_and_the_first_known_period_is_not_historic() {
    let mut tenant = Tenant::new(at("2024-01-15T00:00:00Z"));
    tenant.event(at("2024-04-20T00:00:00Z"));
    let derived = tenant.derived(at("2024-02-20T00:00:00Z"));
    assert_eq!((bounds(derived.period), derived.historic), (span("2024-02-15", "2024-03-15"), false));
}

#[test]
fn a_month_after_a_historic_one_is_billed_once_the_tenant_is_here_even_under_a_later_anchor() {
    let mut tenant = Tenant::new(at("2024-03-15T00:00:00Z"));
    tenant.event(at("2023-12-20T00:00:00Z"));
    tenant.anchor = at("2024-06-01T00:00:00Z");
    let derived = tenant.derived(at("2024-04-20T00:00:00Z"));
    assert_eq!((bounds(derived.period), derived.historic), (span("2024-04-15", "2024-05-15"), false));
    let up_to_the_anchor = tenant.derived(at("2024-05-20T00:00:00Z"));
    assert_eq!(bounds(up_to_the_anchor.period), span("2024-05-15", "2024-06-01"));
}

#[test]
fn a_new_anchor_starts_a_new_rhythm_and_old_periods_stay() {
    let mut tenant = Tenant::new(at("2024-01-10T00:00:00Z"));
    tenant.event(at("2024-01-10T00:00:00Z"));
    tenant.new_anchor(at("2024-01-25T00:00:00Z"));
    assert_eq!(bounds(tenant.derived(at("2024-01-12T00:00:00Z")).period), span("2024-01-10", "2024-01-25"));
    assert_eq!(bounds(tenant.derived(at("2024-01-26T00:00:00Z")).period), span("2024-01-25", "2024-02-25"));
    assert_eq!(bounds(tenant.derived(at("2024-03-01T00:00:00Z")).period), span("2024-02-25", "2024-03-25"));
}

#[test]
fn a_gap_is_filled_up_to_the_next_known_period() {
    let known = |start: &str, end: &str, anchor: &str| {
        let day = |day: &str| at(&format!("{day}T00:00:00Z"));
        KnownPeriod { period: Period { start: day(start), end: day(end) }, anchor: day(anchor), historic: false }
    };
    let (before, after) =
        (known("2024-01-10", "2024-02-10", "2024-01-10"), known("2024-03-25", "2024-04-25", "2024-03-25"));
    let fill = |day: &str| derive(at(&format!("{day}T00:00:00Z")), Some(&before), Some(&after), after.anchor);
    assert_eq!(bounds(fill("2024-02-10").period), span("2024-02-10", "2024-03-10"));
    assert_eq!(bounds(fill("2024-03-24").period), span("2024-03-10", "2024-03-25"));
}

#[test]
fn a_new_anchor_is_followed_even_where_a_period_was_opened_ahead_under_the_old_one() {
    let mut tenant = Tenant::new(at("2024-01-10T00:00:00Z"));
    tenant.event(at("2024-02-12T00:00:00Z"));
    tenant.anchor = at("2024-01-25T00:00:00Z");
    assert_eq!(bounds(tenant.derived(at("2024-03-10T00:00:00Z")).period), span("2024-03-10", "2024-03-25"));
    assert_eq!(bounds(tenant.derived(at("2024-04-01T00:00:00Z")).period), span("2024-03-25", "2024-04-25"));
}

#[test]
fn who_subscribes_again_keeps_the_running_period_and_then_follows_the_new_anchor() {
    let mut tenant = Tenant::new(at("2024-01-10T00:00:00Z"));
    let running = tenant.subscribe_again(at("2024-02-03T00:00:00Z"));
    assert_eq!(bounds(running.period), span("2024-01-10", "2024-02-10"));
    assert_eq!(bounds(tenant.event(at("2024-02-09T00:00:00Z")).period), span("2024-01-10", "2024-02-10"));
    assert_eq!(bounds(tenant.event(at("2024-02-10T00:00:00Z")).period), span("2024-02-10", "2024-03-03"));
    assert_eq!(bounds(tenant.event(at("2024-03-03T00:00:00Z")).period), span("2024-03-03", "2024-04-03"));
}

#[test]
fn an_anchor_that_moves_back_makes_nothing_billed_that_was_historic() {
    for with_historic in [false, true] {
        let mut tenant = Tenant::new(at("2024-06-15T00:00:00Z"));
        tenant.event(at("2024-06-20T00:00:00Z"));
        if with_historic {
            tenant.event(at("2024-03-20T00:00:00Z"));
        }
        tenant.anchor = at("2024-01-01T00:00:00Z");
        assert!(tenant.derived(at("2024-05-20T00:00:00Z")).historic);
        let after = tenant.derived(at("2024-07-20T00:00:00Z"));
        assert_eq!((bounds(after.period), after.historic), (span("2024-07-15", "2024-08-01"), false));
    }
}

#[derive(Debug, Clone)]
enum Step {
    Event(Timestamp),
    NewAnchor(SignedDuration),
    SubscribeAgain(SignedDuration),
}

fn instant() -> impl Strategy<Value = Timestamp> {
    (1_700_000_000..1_760_000_000_i64).prop_map(|second| Timestamp::from_second(second).unwrap())
}

fn forward() -> impl Strategy<Value = SignedDuration> {
    (0..200_i64, 1..86_400_i64).prop_map(|(days, seconds)| SignedDuration::from_secs(days * 86_400 + seconds))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => instant().prop_map(Step::Event),
        1 => forward().prop_map(Step::NewAnchor),
        1 => forward().prop_map(Step::SubscribeAgain),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn in_whatever_order_events_and_anchors_come_periods_tile(first in instant(), steps in prop::collection::vec(step(), 1..40), probes in prop::collection::vec(instant(), 20)) {
        let mut tenant = Tenant::new(first);
        for step in steps {
            match step {
                Step::Event(at) => {
                    let row = tenant.event(at);
                    prop_assert!(row.period.contains(at));
                    prop_assert_eq!(tenant.event(at), row, "asked again it is the same");
                    // It becomes a fact: whatever lies inside is answered with it from now on.
                    let last = row.period.end - SignedDuration::from_nanos(1);
                    prop_assert_eq!((tenant.derived(row.period.start).period, tenant.derived(last).period), (row.period, row.period));
                }
                // A subscription's anchor only moves on.
                Step::NewAnchor(by) => tenant.new_anchor(tenant.anchor + by),
                Step::SubscribeAgain(by) => {
                    let running = tenant.subscribe_again(tenant.anchor + by);
                    // Unless a period was opened ahead, the next one ends at the first boundary of the new anchor.
                    if tenant.around(running.period.end) == (Some(running), None) {
                        let next = tenant.derived(running.period.end);
                        let boundary = period_containing(tenant.anchor, running.period.end).end;
                        prop_assert_eq!(next.period, Period { start: running.period.end, end: boundary });
                        prop_assert_eq!(tenant.derived(boundary).period, period_containing(tenant.anchor, boundary));
                    }
                }
            }
            tenant.assert_tiles();
        }
        // No instant is uncovered: each one that is asked for gets a period, and they tile still.
        for at in probes {
            let row = tenant.event(at);
            prop_assert!(row.period.contains(at));
            prop_assert_eq!(row.historic, at < row.anchor);
            tenant.assert_tiles();
        }
    }

    #[test]
    fn filling_a_gap_end_to_end_leaves_no_instant_out(first in instant(), a in instant(), b in instant(), shift in 1..40_i64) {
        let mut tenant = Tenant::new(first);
        let (from, until) = (tenant.event(a.min(b)).period.end, tenant.event(a.max(b)).period.start);
        tenant.anchor = first + SignedDuration::from_hours(shift * 24);
        let (mut at, mut rounds) = (from, 0);
        while at < until {
            let row = tenant.event(at);
            prop_assert_eq!(row.period.start, at, "it begins where the one before ended");
            at = row.period.end;
            rounds += 1;
            prop_assert!(rounds < 100);
        }
        tenant.assert_tiles();
    }

    #[test]
    fn under_one_anchor_the_order_of_events_does_not_matter(anchor in instant(), events in prop::collection::vec(instant(), 1..20).prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle()))) {
        let (one, other) = events;
        let rows = |events: Vec<Timestamp>| {
            let mut tenant = Tenant::new(anchor);
            for at in events {
                tenant.event(at);
            }
            tenant.rows
        };
        prop_assert_eq!(rows(one), rows(other));
    }
}
