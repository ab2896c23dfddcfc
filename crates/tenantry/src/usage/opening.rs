//! Opening periods and counters, when the first event of a metric or of a month asks for them.
//!
//! Runs in a transaction of its own, under the locks of the tenants' subscriptions: nobody changes a plan or an
//! anchor meanwhile, and two replicas cannot make overlapping periods. A counter at 0 that stays behind does no harm.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter;

use jiff::{SignedDuration, Timestamp};
use tenantry_domain::metric::Aggregation;
use tenantry_domain::period::{KnownPeriod, Period, derive};
use uuid::Uuid;

use super::plans::PlanBook;
use super::spend::watch::{self, Watches};
use crate::env::Env;
use crate::storage::usage::facts::PeriodRow;
use crate::storage::usage::open::{self, NewCounter, PlanVersionRow, SegmentRow, SubscriptionRow};
use crate::storage::{Database, StoreError, Tx};
use crate::write_tx;

/// A period is closed this long after its end, when no draft of a renewal invoice came first.
pub const CLOSING_GRACE: SignedDuration = SignedDuration::from_mins(30);

/// Tenants that are opened in one transaction; bounds how long their locks are held.
const TENANTS_AT_ONCE: usize = 500;

/// A counter that is asked for: of this metric, in the period that contains the instant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// The tenant.
    pub tenant_id: Uuid,
    /// When it is needed.
    pub at: Timestamp,
    /// The metric.
    pub metric: String,
}

/// Makes the counters that are missing, with their periods and segments.
pub async fn open(db: &Database, env: &Env, wanted: &[Wanted]) -> Result<(), StoreError> {
    let mut by_tenant: BTreeMap<Uuid, Vec<Wanted>> = BTreeMap::new();
    for counter in wanted {
        by_tenant.entry(counter.tenant_id).or_default().push(counter.clone());
    }
    let tenants: Vec<Uuid> = by_tenant.keys().copied().collect();
    for some in tenants.chunks(TENANTS_AT_ONCE) {
        write_tx!(db, "open_counters", some, |tx| {
            let subscriptions = open::lock_subscriptions(tx, some).await?;
            if subscriptions.len() < some.len() {
                return Err(StoreError::corrupt("subscriptions", "a tenant has no current subscription"));
            }
            let mut opening = Opening::new(tx, env, subscriptions).await?;
            opening.watches = watch::of_tenants(tx, some).await?;
            let counters: Vec<&[Wanted]> =
                some.iter().filter_map(|tenant| Some(by_tenant.get(tenant)?.as_slice())).collect();
            let instants = counters.iter().flat_map(|rows| rows.iter()).map(|row| (row.tenant_id, row.at));
            opening.read_ahead(instants.collect()).await?;
            for counters in counters {
                opening.add(counters).await?;
            }
            opening.write().await
        })?;
    }
    Ok(())
}

/// The usage period of a tenant that contains an instant, made if it is not there. The subscription must be locked.
pub async fn open_period(
    tx: &Tx,
    env: &Env,
    subscription: &SubscriptionRow,
    at: Timestamp,
) -> Result<PeriodRow, StoreError> {
    let mut opening = Opening::new(tx, env, vec![subscription.clone()]).await?;
    let period = opening.period_at(subscription.tenant_id, at).await?;
    opening.write().await?;
    Ok(period)
}

/// What one transaction opens.
struct Opening<'a> {
    tx: &'a Tx,
    env: &'a Env,
    subscriptions: HashMap<Uuid, SubscriptionRow>,
    current_plans: Vec<PlanVersionRow>,
    plans: PlanBook,
    /// Read where counters are made.
    watches: Watches,
    known: BTreeMap<(Uuid, Timestamp), PeriodRow>,
    /// The instants whose neighbouring periods are known.
    looked_at: BTreeSet<(Uuid, Timestamp)>,
    segments: BTreeMap<(Uuid, Timestamp), SegmentRow>,
    new_periods: Vec<PeriodRow>,
    new_segments: Vec<SegmentRow>,
    new_counters: Vec<NewCounter>,
}

impl<'a> Opening<'a> {
    async fn new(tx: &'a Tx, env: &'a Env, subscriptions: Vec<SubscriptionRow>) -> Result<Self, StoreError> {
        let current_plans = open::current_plans(tx).await?;
        let mut plans = PlanBook::default();
        for row in &current_plans {
            plans.put(row)?;
        }
        Ok(Self {
            tx,
            env,
            subscriptions: subscriptions.into_iter().map(|row| (row.tenant_id, row)).collect(),
            current_plans,
            plans,
            watches: Watches::default(),
            known: BTreeMap::new(),
            looked_at: BTreeSet::new(),
            segments: BTreeMap::new(),
            new_periods: Vec::new(),
            new_segments: Vec::new(),
            new_counters: Vec::new(),
        })
    }

    /// Reads what is there for all of these counters: one by one, ten thousand tenants would wait for ten thousand
    /// answers of the database.
    async fn read_ahead(&mut self, instants: BTreeSet<(Uuid, Timestamp)>) -> Result<(), StoreError> {
        self.look_at(instants).await?;
        let (tenants, starts): (Vec<Uuid>, Vec<Timestamp>) = self.known.keys().copied().unzip();
        for segment in open::last_segments(self.tx, &tenants, &starts).await? {
            self.segments.insert((segment.tenant_id, segment.period_start), segment);
        }
        Ok(())
    }

    /// Reads the periods next to these instants that are not known yet.
    async fn look_at(&mut self, mut instants: BTreeSet<(Uuid, Timestamp)>) -> Result<(), StoreError> {
        instants.retain(|instant| !self.looked_at.contains(instant));
        if instants.is_empty() {
            return Ok(());
        }
        let (tenants, at): (Vec<Uuid>, Vec<Timestamp>) = instants.iter().copied().unzip();
        for row in open::nearest_periods(self.tx, &tenants, &at).await? {
            self.known.entry((row.tenant_id, row.start)).or_insert(row);
        }
        self.looked_at.append(&mut instants);
        Ok(())
    }

    /// Adds the counters of one tenant.
    async fn add(&mut self, wanted: &[Wanted]) -> Result<(), StoreError> {
        let mut done = BTreeSet::new();
        for counter in wanted {
            let period = self.period_at(counter.tenant_id, counter.at).await?;
            if !done.insert((period.start, counter.metric.as_str())) {
                continue;
            }
            let segment = self.segment_of(&period).await?;
            let pricing = (segment.plan_id.clone(), segment.plan_version);
            let limits = (segment.limits_plan_id.clone(), segment.limits_plan_version);
            self.plans.fetch(self.tx, [pricing, limits]).await?;
            let priced = self.plans.metric(&segment.plan_id, segment.plan_version, &counter.metric)?;
            let watched = self.watches.of(counter.tenant_id);
            let sure_limit = if period.historic { None } else { watched.sure_limit(&counter.metric, priced) };
            let terms = self.plans.terms(&segment.limits_plan_id, segment.limits_plan_version, &counter.metric)?;
            self.new_counters.push(NewCounter {
                tenant_id: counter.tenant_id,
                metric: counter.metric.clone(),
                segment_sequence: segment.sequence,
                segment_start: segment.started_at,
                in_plan: terms.in_plan,
                included: terms.included,
                hard_limit: terms.hard_limit,
                sure_limit,
                aggregation: self.aggregation_of(&segment, &counter.metric)?.to_string(),
                period,
            });
        }
        Ok(())
    }

    /// What the plan that limits the metric says that its events make; where it does not name it, what the loaded
    /// catalog says: the tenant may come to a plan with it in this period.
    fn aggregation_of(&self, segment: &SegmentRow, metric: &str) -> Result<Aggregation, StoreError> {
        let current = self.current_plans.iter().map(|row| (row.plan_id.as_str(), row.version));
        for (plan, version) in iter::once((segment.limits_plan_id.as_str(), segment.limits_plan_version)).chain(current)
        {
            if let Some(terms) = self.plans.metric(plan, version, metric)? {
                return Ok(terms.definition.aggregation.clone());
            }
        }
        Ok(Aggregation::Sum)
    }

    async fn period_at(&mut self, tenant: Uuid, at: Timestamp) -> Result<PeriodRow, StoreError> {
        self.look_at(BTreeSet::from([(tenant, at)])).await?;
        let previous = self.known.range((tenant, Timestamp::MIN)..=(tenant, at)).next_back().map(|(_, row)| row);
        if let Some(row) = previous
            && at < row.end
        {
            return Ok(row.clone());
        }
        let after = (std::ops::Bound::Excluded((tenant, at)), std::ops::Bound::Included((tenant, Timestamp::MAX)));
        let next = self.known.range(after).next().map(|(_, row)| row);
        let subscription = self.subscription(tenant)?;
        let derived =
            derive(at, previous.map(known_period).as_ref(), next.map(known_period).as_ref(), subscription.anchor);
        let period = PeriodRow {
            tenant_id: tenant,
            start: derived.period.start,
            end: derived.period.end,
            anchor: derived.anchor,
            historic: derived.historic,
            closed: false,
        };
        let segment = self.first_segment(&period)?;
        self.segments.insert((tenant, period.start), segment.clone());
        self.new_segments.push(segment);
        self.known.insert((tenant, period.start), period.clone());
        self.new_periods.push(period.clone());
        Ok(period)
    }

    fn subscription(&self, tenant: Uuid) -> Result<&SubscriptionRow, StoreError> {
        self.subscriptions
            .get(&tenant)
            .ok_or_else(|| StoreError::corrupt("subscription", "the tenant has no current subscription"))
    }

    fn first_segment(&self, period: &PeriodRow) -> Result<SegmentRow, StoreError> {
        let subscription = self.subscription(period.tenant_id)?;
        let in_force = InForce {
            plan: (&subscription.plan_id, subscription.plan_version),
            cancel_at_period_end: subscription.cancel_at_period_end,
            has_full_access: subscription.has_full_access,
        };
        Ok(in_force.first_segment((period.tenant_id, period.start), period.historic, &self.current_plans))
    }

    async fn segment_of(&mut self, period: &PeriodRow) -> Result<SegmentRow, StoreError> {
        let key = (period.tenant_id, period.start);
        if let Some(segment) = self.segments.get(&key) {
            return Ok(segment.clone());
        }
        let segment = open::last_segments(self.tx, &[period.tenant_id], &[period.start])
            .await?
            .pop()
            .ok_or_else(|| StoreError::corrupt("period", "it has no segment"))?;
        self.segments.insert(key, segment.clone());
        Ok(segment)
    }

    async fn write(self) -> Result<(), StoreError> {
        let now = self.env.clock.now();
        if !self.new_periods.is_empty() {
            open::insert_periods(self.tx, &self.new_periods).await?;
            open::insert_segments(self.tx, &self.new_segments).await?;
            let jobs: Vec<_> = self
                .new_periods
                .iter()
                .filter(|period| !period.historic)
                .map(|period| {
                    let run_at = period.end.saturating_add(CLOSING_GRACE).unwrap_or(period.end);
                    (period.tenant_id, self.env.ids.uuid_v7(now), period.start, run_at)
                })
                .collect();
            open::insert_close_jobs(self.tx, &jobs, now).await?;
        }
        if !self.new_counters.is_empty() {
            open::insert_counters(self.tx, &self.new_counters).await?;
        }
        Ok(())
    }
}

/// What a subscription says of the periods that begin under it.
pub(super) struct InForce<'a> {
    /// Its plan, and the version that the running period has.
    pub plan: (&'a str, i32),
    /// The next period runs under the default plan.
    pub cancel_at_period_end: bool,
    /// The limits of its plan hold, rather than those of the default plan.
    pub has_full_access: bool,
}

impl InForce<'_> {
    /// The segment that a new period of a tenant begins with. It has the newest version of the subscription's plan,
    /// since catalog edits wait for the next period, and the default plan before the tenant was here and after a pending
    /// cancel. While access is narrowed, the default plan limits what the subscription's plan prices.
    pub(super) fn first_segment(
        &self,
        (tenant_id, start): (Uuid, Timestamp),
        historic: bool,
        current_plans: &[PlanVersionRow],
    ) -> SegmentRow {
        let own = (self.plan.0.to_owned(), self.plan.1);
        let key = |row: &PlanVersionRow| (row.plan_id.clone(), row.version);
        let default = current_plans.iter().find(|row| row.is_default).map(key);
        let (plan, limits) = if historic || self.cancel_at_period_end {
            (default.clone(), default)
        } else {
            let plan = current_plans.iter().find(|row| row.plan_id == self.plan.0).map(key);
            (plan.clone(), if self.has_full_access { plan } else { default })
        };
        // A plan that left the catalog stays for those who have it.
        let ((plan_id, plan_version), (limits_plan_id, limits_plan_version)) =
            (plan.unwrap_or_else(|| own.clone()), limits.unwrap_or(own));
        SegmentRow {
            tenant_id,
            period_start: start,
            sequence: 0,
            started_at: start,
            plan_id,
            plan_version,
            limits_plan_id,
            limits_plan_version,
        }
    }
}

/// A period's row as the domain knows it.
pub(super) fn known_period(row: &PeriodRow) -> KnownPeriod {
    KnownPeriod { period: Period { start: row.start, end: row.end }, anchor: row.anchor, historic: row.historic }
}
