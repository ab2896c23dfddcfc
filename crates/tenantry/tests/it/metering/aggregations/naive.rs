//! What figures are, by their definitions, from rows as they are in the database: no tally, no statement of the product.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rust_decimal::Decimal;
use tenantry_domain::pricing::{SegmentUse, accrued};
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use super::super::world::{World, figures_catalog};

/// An event as it was recorded.
#[derive(Debug, Clone)]
pub(super) struct Raw {
    pub(super) metric: String,
    pub(super) amount: Decimal,
    pub(super) at: Timestamp,
    pub(super) id: Uuid,
    pub(super) period: Timestamp,
    pub(super) key: String,
    pub(super) stands: bool,
    pub(super) who: String,
}

/// The events of a tenant.
pub(super) async fn raw(world: &World, tenant: Uuid) -> Vec<Raw> {
    let sql = "select u.metric, u.amount::text, u.occurred_at, u.id, u.period_start,
                      u.kind = 'usage' and k.reversed_by is null, coalesce((u.metadata -> 'who')::text, ''),
                      u.idempotency_key
               from tenantry.tenant_usage u join tenantry.usage_keys k using (tenant_id, idempotency_key)
               where u.tenant_id = $1";
    let rows = world.admin.query(sql, &[&tenant]).await.unwrap();
    rows.iter()
        .map(|row| Raw {
            metric: row.get(0),
            amount: row.get::<_, &str>(1).parse().unwrap(),
            at: row.get(2),
            id: row.get(3),
            period: row.get(4),
            key: row.get(7),
            stands: row.get(5),
            who: row.get(6),
        })
        .collect()
}

/// The figure of the events that are given, of those that stand; `slots` is how many hours the period touches.
pub(super) fn figure(aggregation: &str, events: &[&Raw], slots: usize) -> Decimal {
    let standing: Vec<&&Raw> = events.iter().filter(|event| event.stands).collect();
    let mut hours: BTreeMap<i64, Decimal> = BTreeMap::new();
    for event in &standing {
        *hours.entry(event.at.as_second().div_euclid(3600)).or_default() += event.amount;
    }
    match aggregation {
        "sum" => events.iter().map(|event| event.amount).sum(),
        "max" => standing.iter().map(|event| event.amount).max().unwrap_or_default(),
        "last" => standing.iter().max_by_key(|event| (event.at, event.id)).map_or(Decimal::ZERO, |event| event.amount),
        "unique:who" => Decimal::from(standing.iter().map(|event| &event.who).collect::<BTreeSet<_>>().len()),
        "peak" => hours.into_values().max().unwrap_or_default(),
        "percentile:99:60" => {
            // All slots of the period from the lowest, the empty ones first; the one at 99 percent, rounded up.
            let mut sums: Vec<Decimal> = hours.into_values().collect();
            sums.resize(slots.max(sums.len()), Decimal::ZERO);
            sums.sort_unstable();
            sums[(slots * 99).div_ceil(100) - 1]
        }
        other => unreachable!("{other}"),
    }
}

/// Hours that a period touches.
pub(super) fn hours(start: Timestamp, end: Timestamp) -> usize {
    let (first, last) = (start.as_second().div_euclid(3600), (end.as_microsecond() - 1).div_euclid(3_600_000_000));
    usize::try_from(last - first + 1).unwrap()
}

/// Every counter of a tenant has the figure that its events make, and of a closed period the charges that it costs.
pub(super) async fn compare(world: &World, tenant: Uuid, place: &str) -> usize {
    let events = raw(world, tenant).await;
    let sql = "select c.metric, c.period_start, c.period_end, c.aggregation, c.total::text, c.closed and not c.historic,
                      (select coalesce(sum(charge_amount_cents), 0)::bigint from tenantry.overage_charges o
                       where o.tenant_id = c.tenant_id and o.metric = c.metric and o.billing_period_start = c.period_start)
               from tenantry.usage_counters c where tenant_id = $1";
    let mut compared = 0;
    for row in world.admin.query(sql, &[&tenant]).await.unwrap() {
        let (metric, start, end): (String, Timestamp, Timestamp) = (row.get(0), row.get(1), row.get(2));
        let aggregation: &str = row.get(3);
        let own: Vec<&Raw> = events.iter().filter(|event| event.metric == metric && event.period == start).collect();
        let place = format!("{place}: {metric} in the period from {start}");
        let total = figure(aggregation, &own, hours(start, end));
        assert_eq!(row.get::<_, &str>(4).parse::<Decimal>().unwrap(), total, "{place}");
        compared += usize::from(!total.is_zero());
        if row.get(5) {
            assert_eq!(
                row.get::<_, i64>(6),
                due(world, tenant, (&metric, aggregation), (start, end), &own).await,
                "{place}"
            );
        }
    }
    compared
}

/// What a period costs: each segment what the figure grew in it, at its own plan's price; the last amount all at once.
pub(super) async fn due(
    world: &World,
    tenant: Uuid,
    (metric, aggregation): (&str, &str),
    (start, end): (Timestamp, Timestamp),
    events: &[&Raw],
) -> i64 {
    let sql = "select plan_id, started_at from tenantry.usage_segments
               where tenant_id = $1 and period_start = $2 order by sequence";
    let rows = world.admin.query(sql, &[&tenant, &start]).await.unwrap();
    let mut segments: Vec<(String, Timestamp)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    if aggregation == "last" {
        segments.drain(..segments.len() - 1);
    }
    let catalog = figures_catalog();
    let before = |until: Timestamp| {
        let some: Vec<&Raw> = events.iter().copied().filter(|event| event.at < until).collect();
        Quantity::from_decimal(figure(aggregation, &some, hours(start, end)))
    };
    let mut uses = Vec::new();
    for (position, (plan, _)) in segments.iter().enumerate() {
        let ends = segments.get(position + 1).map_or(end, |next| next.1);
        let begins = if position == 0 { Quantity::ZERO } else { before(segments[position].1) };
        let terms = catalog.plan(plan).unwrap().metrics.get(metric);
        uses.push(SegmentUse { terms, total_at_start: begins, total_at_end: before(ends) });
    }
    accrued(&uses).round_half_even().unwrap()
}
