//! A tenant that is a list of events: whatever is asked of it is computed from that list and its periods.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Span, Timestamp, tz::TimeZone};
use tenantry::usage::event::{Content, NewEvent};
use uuid::Uuid;

use super::super::world::LATE_WINDOW;
use super::price::{self, Nanos, nanos, show};

/// An event that counts, or a correction of one.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    pub(super) key: String,
    pub(super) content: Content,
    pub(super) metric: String,
    pub(super) amount: Nanos,
    pub(super) when: Timestamp,
    pub(super) given: bool,
    pub(super) reversed: bool,
}

/// How a hold ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ended {
    Committed(Nanos),
    Released,
}

/// A hold, of the period that contains the instant at which it was taken.
#[derive(Debug, Clone)]
pub(super) struct ModelHold {
    pub(super) id: Uuid,
    pub(super) metric: String,
    pub(super) amount: Nanos,
    taken: Timestamp,
    expires: Timestamp,
    ended: Option<Ended>,
}

#[derive(Debug, Clone)]
pub(super) struct ModelPeriod {
    pub(super) end: Timestamp,
    pub(super) anchor: Timestamp,
    pub(super) historic: bool,
    pub(super) closed: bool,
    /// (from, plan), in order.
    pub(super) segments: Vec<(Timestamp, String)>,
}

#[derive(Debug)]
pub(super) struct ModelTenant {
    pub(super) id: Uuid,
    /// The subscription's.
    anchor: Timestamp,
    plan: String,
    pub(super) periods: BTreeMap<Timestamp, ModelPeriod>,
    pub(super) events: Vec<Counted>,
    pub(super) holds: Vec<ModelHold>,
}

/// The month from an anchor that contains an instant, by going through the months one by one.
fn month(anchor: Timestamp, when: Timestamp) -> (Timestamp, Timestamp) {
    let civil = anchor.to_zoned(TimeZone::UTC).datetime();
    let start = |n: i32| civil.checked_add(Span::new().months(n)).unwrap().to_zoned(TimeZone::UTC).unwrap().timestamp();
    let n = (-40..400).rev().find(|n| start(*n) <= when).unwrap();
    (start(n), start(n + 1))
}

pub(super) fn after(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap()
}

impl ModelTenant {
    pub(super) fn new(id: Uuid, born: Timestamp) -> Self {
        let mut tenant = Self {
            id,
            anchor: born,
            plan: "free".to_owned(),
            periods: BTreeMap::new(),
            events: Vec::new(),
            holds: Vec::new(),
        };
        tenant.open(born);
        tenant
    }

    /// The start of the period that contains an instant; it begins under the plan of the moment in which it is needed.
    pub(super) fn open(&mut self, when: Timestamp) -> Timestamp {
        let previous = self.periods.range(..=when).next_back().map(|(start, period)| (*start, period.clone()));
        if let Some((start, period)) = &previous
            && when < period.end
        {
            return *start;
        }
        let next = self.periods.range(when..).next().map(|(start, period)| (*start, period.anchor));
        // Before the tenant was here months run back from the anchor that it came with.
        let came = match (&previous, next) {
            (Some((_, period)), _) if period.historic => Some(period.anchor),
            (None, Some((_, anchor))) => Some(anchor),
            _ => None,
        };
        let historic =
            came.is_some_and(|came| when < came) || previous.is_none() && next.is_none() && when < self.anchor;
        let anchor = match (came, &previous) {
            (Some(came), _) if historic => came,
            _ if self.anchor <= when => self.anchor,
            (_, Some((_, period))) => period.anchor,
            _ => came.unwrap_or(self.anchor),
        };
        let (mut start, mut end) = month(anchor, when);
        start = previous.map_or(start, |(_, period)| start.max(period.end));
        end = next.map_or(end, |(next, _)| end.min(next));
        if when < self.anchor {
            end = end.min(self.anchor);
        }
        let plan = if historic { "free".to_owned() } else { self.plan.clone() };
        let segments = vec![(start, plan)];
        self.periods.insert(start, ModelPeriod { end, anchor, historic, closed: false, segments });
        start
    }

    fn in_period(&self, start: Timestamp, metric: &str) -> impl Iterator<Item = &Counted> {
        let end = self.periods[&start].end;
        self.events.iter().filter(move |event| event.metric == metric && event.when >= start && event.when < end)
    }

    pub(super) fn total(&self, start: Timestamp, metric: &str) -> Nanos {
        self.in_period(start, metric).map(|event| event.amount).sum()
    }

    /// What is held of a metric of a period, from the list of holds alone.
    pub(super) fn held(&self, start: Timestamp, metric: &str, now: Timestamp) -> Nanos {
        let end = self.periods[&start].end;
        let counts = |hold: &&ModelHold| {
            let is_open = hold.ended.is_none() && hold.expires > now;
            is_open && hold.metric == metric && hold.taken >= start && hold.taken < end
        };
        self.holds.iter().filter(counts).map(|hold| hold.amount).sum()
    }

    /// What a metric of a period costs, from the list of events alone.
    pub(super) fn due(&self, start: Timestamp, metric: &str) -> i64 {
        let period = &self.periods[&start];
        let ends = period.segments.iter().skip(1).map(|next| next.0).chain([period.end]);
        let uses: Vec<(String, Nanos)> = period
            .segments
            .iter()
            .zip(ends)
            .map(|((from, plan), until)| {
                let within = |event: &&Counted| event.when >= *from && event.when < until;
                (plan.clone(), self.in_period(start, metric).filter(within).map(|event| event.amount).sum())
            })
            .collect();
        price::due(metric, &uses)
    }

    /// Whether the plan in force names the metric, and its limit.
    pub(super) fn limit(&self, start: Timestamp, metric: &str) -> (bool, Option<Nanos>) {
        price::limit(&self.periods[&start].segments.last().unwrap().1, metric)
    }

    /// What makes periods of the events of one call: all of them are there before the first event is decided.
    pub(super) fn open_for(&mut self, events: &[&NewEvent], may_go_back: bool) {
        let mut instants: Vec<Timestamp> = events
            .iter()
            .filter(|event| matches!(event.content, Content::Usage { .. }) && !surely_refused(event, may_go_back))
            // Of what can only repeat, the period is there.
            .filter(|event| !is_of_a_hold(&event.key))
            .map(|event| event.occurred_at())
            .collect();
        instants.sort_unstable();
        for when in instants {
            self.open(when);
        }
    }

    /// What is answered to an event, after doing it.
    pub(super) fn record(&mut self, event: &NewEvent, may_go_back: bool) -> String {
        let (metric, amount, when) = match &event.content {
            Content::Usage { metric, amount } => (metric.clone(), nanos(&amount.to_string()), event.occurred_at()),
            Content::Reversal { reverses } => match self.events.iter().find(|known| known.key == *reverses) {
                Some(known) if matches!(known.content, Content::Usage { .. }) => {
                    (known.metric.clone(), -known.amount, known.when)
                }
                Some(_) => return "reversal_of_reversal".to_owned(),
                None => return "unknown_key".to_owned(),
            },
        };
        let is_usage = matches!(event.content, Content::Usage { .. });
        if when.duration_since(event.received_at) > SignedDuration::from_mins(5) {
            return "timestamp_in_future".to_owned();
        }
        let is_too_late = is_of_a_hold(&event.key) || is_usage && !may_go_back && self.is_too_late(event);
        if let Some(known) = self.events.iter().find(|known| known.key == event.key) {
            let compared = known.given && event.timestamp.is_some();
            let same = known.content == event.content && (!compared || known.when == when);
            // What may not count any more is answered where the key counted.
            let (metric, place) = if is_too_late { (known.metric.clone(), known.when) } else { (metric, when) };
            let start = self.open(place);
            return format!("{} {}", if same { "duplicate" } else { "conflict" }, show(self.total(start, &metric)));
        }
        if is_too_late {
            return "timestamp_too_old".to_owned();
        }
        let start = self.open(when);
        let total = self.total(start, &metric);
        if let Content::Reversal { reverses } = &event.content {
            let original = self.events.iter_mut().find(|known| known.key == *reverses).unwrap();
            if original.reversed {
                return "already_reversed".to_owned();
            }
            original.reversed = true;
        } else {
            let (is_named, limit) = self.limit(start, &metric);
            let held = self.held(start, &metric, event.received_at);
            if limit.is_some_and(|limit| total + held + amount > limit) {
                return format!("{} {}", if is_named { "refused" } else { "not in plan" }, show(total));
            }
        }
        self.count(event, metric, amount, when);
        format!("accepted {}", show(total + amount))
    }

    /// Adds an event that was accepted.
    pub(super) fn count(&mut self, event: &NewEvent, metric: String, amount: Nanos, when: Timestamp) {
        let (key, content, given) = (event.key.clone(), event.content.clone(), event.timestamp.is_some());
        self.events.push(Counted { key, content, metric, amount, when, given, reversed: false });
    }

    /// What is answered to a hold. Where it is taken the caller adds it, by the id that it was given.
    pub(super) fn judge_hold(&mut self, metric: &str, amount: Nanos, now: Timestamp) -> String {
        let start = self.open(now);
        let (total, held) = (self.total(start, metric), self.held(start, metric, now));
        let (is_named, limit) = self.limit(start, metric);
        if limit.is_some_and(|limit| total + held + amount > limit) {
            return format!("{} {}", if is_named { "refused" } else { "not in plan" }, show(total));
        }
        format!("open {} {}", show(total), show(held + amount))
    }

    pub(super) fn take(&mut self, id: Uuid, metric: &str, amount: Nanos, (now, lasts): (Timestamp, SignedDuration)) {
        let (metric, expires) = (metric.to_owned(), after(now, lasts));
        self.holds.push(ModelHold { id, metric, amount, taken: now, expires, ended: None });
    }

    /// What is answered to settling a hold, after doing it; no figures where it was so before.
    pub(super) fn settle(&mut self, of: usize, used: Option<(Nanos, Content)>, now: Timestamp) -> String {
        let hold = self.holds[of].clone();
        match (&hold.ended, &used) {
            (Some(Ended::Committed(before)), Some((amount, _))) if before == amount => return "committed".to_owned(),
            (Some(Ended::Committed(_)), _) => return "not open: committed".to_owned(),
            (Some(Ended::Released), None) => return "released".to_owned(),
            (Some(Ended::Released), Some(_)) => return "not open: released".to_owned(),
            (None, None) if hold.expires <= now => return "expired".to_owned(),
            (None, Some(_)) if hold.expires <= now => return "not open: expired".to_owned(),
            (None, _) => {}
        }
        let start = self.open(hold.taken);
        let (total, others) = (self.total(start, &hold.metric), self.held(start, &hold.metric, now) - hold.amount);
        let Some((amount, content)) = used else {
            self.holds[of].ended = Some(Ended::Released);
            return format!("released {} {}", show(total), show(others));
        };
        let (is_named, limit) = self.limit(start, &hold.metric);
        if amount > hold.amount && limit.is_some_and(|limit| total + others + amount > limit) {
            return format!("{} {}", if is_named { "refused" } else { "not in plan" }, show(total));
        }
        let last = self.periods[&start].end.checked_sub(SignedDuration::from_micros(1)).unwrap();
        let (key, when, metric) = (format!("hold:{}", hold.id), now.min(last), hold.metric);
        self.events.push(Counted { key, content, metric, amount, when, given: true, reversed: false });
        self.holds[of].ended = Some(Ended::Committed(amount));
        format!("committed {} {}", show(total + amount), show(others))
    }

    fn is_too_late(&mut self, event: &NewEvent) -> bool {
        if surely_refused(event, false) {
            return true;
        }
        let start = self.open(event.occurred_at());
        let period = &self.periods[&start];
        period.historic || event.received_at > after(period.end, LATE_WINDOW)
    }

    pub(super) fn change_plan(&mut self, plan: &str, at: Timestamp) {
        self.open(at);
        self.retake(plan, at);
        plan.clone_into(&mut self.plan);
    }

    /// Everything from an instant on is under the plan, but for what was before the tenant.
    fn retake(&mut self, plan: &str, at: Timestamp) {
        for (start, period) in self.periods.iter_mut().filter(|(_, period)| period.end > at && !period.historic) {
            period.segments.retain(|(from, _)| *from < at);
            period.segments.push((at.max(*start), plan.to_owned()));
        }
    }

    pub(super) fn set_anchor(&mut self, plan: &str, at: Timestamp, now: Timestamp) {
        let start = self.open(at);
        self.anchor = at;
        let old = self.periods.get_mut(&start).unwrap();
        if start < at && !old.historic {
            old.end = at;
            old.segments.retain(|(from, _)| *from < at);
            self.begin(plan, at);
        }
        let later: Vec<Timestamp> = self.periods.range(at..).map(|(start, _)| *start).collect();
        for mut start in later {
            if self.periods[&start].closed || self.periods[&start].historic {
                continue;
            }
            let until = self.periods[&start].end;
            loop {
                let end = self.boundary(start);
                let period = self.periods.get_mut(&start).unwrap();
                (period.end, period.anchor) = (end, at);
                // What was recorded beyond the new end begins the next period.
                let was_here = |event: &Counted| event.when >= end && event.when < until.max(end);
                let is_held = |hold: &ModelHold| {
                    hold.ended.is_none() && hold.expires > now && hold.taken >= end && hold.taken < until.max(end)
                };
                if !self.events.iter().any(was_here) && !self.holds.iter().any(is_held) {
                    break;
                }
                self.begin(plan, end);
                start = end;
            }
        }
        self.retake(plan, at);
    }

    fn begin(&mut self, plan: &str, start: Timestamp) {
        let (end, segments) = (self.boundary(start), vec![(start, plan.to_owned())]);
        let period = ModelPeriod { end, anchor: self.anchor, historic: false, closed: false, segments };
        self.periods.insert(start, period);
    }

    /// Where a period that begins there ends: the anchor's next month or the next period.
    fn boundary(&self, start: Timestamp) -> Timestamp {
        let end = month(self.anchor, start).1;
        self.periods.range(start..).find(|(next, _)| **next > start).map_or(end, |(next, _)| end.min(*next))
    }

    pub(super) fn close_due(&mut self, now: Timestamp) {
        let grace = SignedDuration::from_mins(30);
        loop {
            let due = self
                .periods
                .iter()
                .find(|(_, period)| !period.closed && !period.historic && now >= after(period.end, grace));
            let Some((start, end)) = due.map(|(start, period)| (*start, period.end)) else { return };
            self.periods.get_mut(&start).unwrap().closed = true;
            self.open(end);
        }
    }
}

/// Whether a key is one that only the event of a hold has.
fn is_of_a_hold(key: &str) -> bool {
    key.starts_with("hold:")
}

/// Refused by its timestamp alone.
fn surely_refused(event: &NewEvent, may_go_back: bool) -> bool {
    let long_ago = SignedDuration::from_hours(31 * 24 + 72) + SignedDuration::from_mins(5);
    let age = event.received_at.duration_since(event.occurred_at());
    -age > SignedDuration::from_mins(5) || !may_go_back && age > long_ago
}
