//! What a new anchor does to the periods of a tenant: ends one, moves events on, brings later ones into its rhythm.

use jiff::Timestamp;
use rust_decimal::Decimal;
use tenantry_domain::period::period_containing;
use uuid::Uuid;

use super::plan_change::{self, NewTerms};
use super::plans::PlanBook;
use super::spend::watch::Watched;
use super::{holds, opening};
use crate::env::Env;
use crate::storage::usage::charges as rows;
use crate::storage::usage::facts::{CounterRow, PeriodRow};
use crate::storage::usage::open::{self, NewCounter, SegmentRow};
use crate::storage::usage::segments;
use crate::storage::{StoreError, Tx};

/// A tenant whose subscription and whose counters from the anchor on are locked.
pub(super) struct Moving<'a> {
    pub(super) tx: &'a Tx,
    pub(super) env: &'a Env,
    pub(super) tenant: Uuid,
    pub(super) anchor: Timestamp,
    pub(super) watched: Watched,
}

impl Moving<'_> {
    /// Ends a period at an instant inside it and begins the next one there, under the terms; events move over. Gives
    /// the counters of the period that was ended, as they were, and the one that begins.
    pub(super) async fn cut(
        &self,
        period: &PeriodRow,
        at: Timestamp,
        terms: &NewTerms,
    ) -> Result<(Vec<CounterRow>, PeriodRow), StoreError> {
        let counters = rows::lock_period_counters(self.tx, self.tenant, period.start).await?;
        self.empty_segments_from(period, &counters, at).await?;
        segments::set_period_bounds(self.tx, (self.tenant, period.start), at, period.anchor).await?;
        let next = PeriodRow {
            tenant_id: self.tenant,
            start: at,
            end: self.end_of_period_from(at).await?,
            anchor: self.anchor,
            historic: false,
            closed: false,
        };
        open::insert_periods(self.tx, std::slice::from_ref(&next)).await?;
        let segment = SegmentRow {
            tenant_id: self.tenant,
            period_start: at,
            sequence: 0,
            started_at: at,
            plan_id: terms.plan.0.clone(),
            plan_version: terms.plan.1,
            limits_plan_id: terms.limits.0.clone(),
            limits_plan_version: terms.limits.1,
        };
        open::insert_segments(self.tx, std::slice::from_ref(&segment)).await?;
        self.move_counters(&counters, &next, terms).await?;
        let now = self.env.clock.now();
        let job = (self.tenant, self.env.ids.uuid_v7(now), at, closing_due(next.end));
        open::insert_close_jobs(self.tx, &[job], now).await?;
        open::move_close_job(self.tx, self.tenant, period.start, closing_due(at)).await?;
        Ok((counters, next))
    }

    /// Brings the open periods that begin at the anchor or later into its rhythm.
    pub(super) async fn follow(&self, terms: &NewTerms) -> Result<(), StoreError> {
        for mut period in open::periods_from(self.tx, self.tenant, self.anchor).await? {
            if period.start < self.anchor || period.closed || period.historic {
                continue;
            }
            period.anchor = self.anchor;
            let mut end = self.end_of_period_from(period.start).await?;
            // What begins there may have events beyond its own end in turn.
            while self.has_use_from(&period, end).await? {
                period = self.cut(&period, end, terms).await?.1;
                end = period.end;
            }
            segments::set_period_bounds(self.tx, (self.tenant, period.start), end, self.anchor).await?;
            open::move_close_job(self.tx, self.tenant, period.start, closing_due(end)).await?;
        }
        Ok(())
    }

    /// The opened period that contains an instant.
    pub(super) async fn period_at(&self, at: Timestamp) -> Result<Option<PeriodRow>, StoreError> {
        let periods = open::nearest_periods(self.tx, &[self.tenant], &[at]).await?;
        Ok(periods.into_iter().find(|period| period.start <= at && at < period.end))
    }

    /// The next boundary of the anchor, or the next period's start where that comes first.
    async fn end_of_period_from(&self, start: Timestamp) -> Result<Timestamp, StoreError> {
        let boundary = period_containing(self.anchor, start).end;
        let periods = open::nearest_periods(self.tx, &[self.tenant], &[start]).await?;
        let next = periods.into_iter().map(|period| period.start).filter(|next| *next > start).min();
        Ok(next.map_or(boundary, |next| next.min(boundary)))
    }

    /// Whether a period has events, or open holds, from an instant on.
    async fn has_use_from(&self, period: &PeriodRow, at: Timestamp) -> Result<bool, StoreError> {
        let counters = rows::lock_period_counters(self.tx, self.tenant, period.start).await?;
        let metrics: Vec<&str> = counters.iter().map(|counter| counter.metric.as_str()).collect();
        let used = segments::events_from(self.tx, (self.tenant, period.start), &metrics, at).await?;
        let now = self.env.clock.now();
        Ok(!used.is_empty() || holds::any_since(self.tx, (self.tenant, period.start), at, now).await?)
    }

    /// Takes what lies beyond a period's new end out of its segments; those that would begin there hold nothing
    /// any more, and the one before them is in force again.
    async fn empty_segments_from(
        &self,
        period: &PeriodRow,
        counters: &[CounterRow],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let segments = segments::segments_of(self.tx, &[self.tenant], &[period.start]).await?;
        let (kept, beyond) = segments.split_at(segments.partition_point(|segment| segment.started_at < at));
        let (Some(last), false) = (kept.last(), beyond.is_empty()) else {
            return Ok(());
        };
        let all: Vec<&CounterRow> = counters.iter().collect();
        let mut since = at;
        let mut loses = last.sequence;
        for segment in beyond {
            let span = (since, segment.started_at);
            plan_change::move_amounts(self.tx, period, &all, span, (loses, None)).await?;
            (since, loses) = (segment.started_at, segment.sequence);
            let emptied = SegmentRow { sequence: segment.sequence, started_at: segment.started_at, ..last.clone() };
            segments::set_segment_plan(self.tx, &emptied).await?;
        }
        let again = NewTerms {
            plan: (last.plan_id.clone(), last.plan_version),
            limits: (last.limits_plan_id.clone(), last.limits_plan_version),
        };
        let mut plans = PlanBook::default();
        plans.fetch(self.tx, [again.plan.clone(), again.limits.clone()]).await?;
        for counter in counters {
            plan_change::put_under(self.tx, &mut counter.clone(), &plans, &again, &self.watched).await?;
        }
        Ok(())
    }

    /// Moves what was used and is held from the start of the new period on, metric by metric. What was counted in one
    /// way goes on being counted so.
    async fn move_counters(&self, counters: &[CounterRow], to: &PeriodRow, terms: &NewTerms) -> Result<(), StoreError> {
        let Some(old_start) = counters.first().map(|counter| counter.period_start) else {
            return Ok(());
        };
        let mut plans = PlanBook::default();
        plans.fetch(self.tx, [terms.plan.clone(), terms.limits.clone()]).await?;
        let all: Vec<&CounterRow> = counters.iter().collect();
        let metrics: Vec<&str> = all.iter().map(|counter| counter.metric.as_str()).collect();
        let sums: Vec<&str> = plan_change::sums_of(&all).iter().map(|counter| counter.metric.as_str()).collect();
        let key = (self.tenant, old_start);
        let counter = |metric: &str| {
            let found = plans.terms(&terms.limits.0, terms.limits.1, metric)?;
            let priced = plans.metric(&terms.plan.0, terms.plan.1, metric)?;
            let cut = counters.iter().find(|counter| counter.metric == metric);
            Ok(NewCounter {
                tenant_id: self.tenant,
                metric: metric.to_owned(),
                period: to.clone(),
                segment_sequence: 0,
                segment_start: to.start,
                in_plan: found.in_plan,
                included: found.included,
                hard_limit: found.hard_limit,
                sure_limit: self.watched.sure_limit(metric, priced),
                aggregation: cut.map_or_else(|| "sum".to_owned(), |counter| counter.aggregation.clone()),
            })
        };
        let amounts = segments::used_between(self.tx, key, &sums, to.start, None).await?;
        for (metric, count) in segments::events_from(self.tx, key, &metrics, to.start).await? {
            let amount = amounts.iter().find(|row| row.0 == metric).map_or(Decimal::ZERO, |row| row.1);
            open::insert_counters(self.tx, &[counter(&metric)?]).await?;
            let moved = (amount, count);
            segments::move_events(self.tx, (self.tenant, &metric, old_start), (to.start, to.end), moved).await?;
        }
        holds::move_on(self.tx, key, to.start, self.env.clock.now(), counter).await
    }
}

/// When a period that ends there is closed.
fn closing_due(end: Timestamp) -> Timestamp {
    end.saturating_add(opening::CLOSING_GRACE).unwrap_or(end)
}
