//! The books of usage against each other: statements that find what does not add up. Reads all events, and the sums of
//! those that have left.

use uuid::Uuid;

use super::aggregated_books::{AGGREGATIONS, PARTS};
use super::facts::{CounterRow, column};
use super::key_books::KEYS;
use crate::query;
use crate::storage::{Query, StoreError, Tx};

/// One thing that does not add up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The tenant.
    pub tenant_id: Uuid,
    /// Which book; stable, for scripts.
    pub book: &'static str,
    /// What is wrong, with both figures.
    pub detail: String,
}

query! {
    /// Sums of all events have few groups, which the planner cannot know: left to itself it sorts the events, on disk.
    service SUM_WITHOUT_SORTING = "select set_config('enable_sort', 'off', true), set_config('enable_mergejoin', 'off', true)";
    service SORT_AGAIN = "select set_config('enable_sort', 'on', true), set_config('enable_mergejoin', 'on', true)";
    service COUNTERS = "
        with recorded as (
            select tenant_id, metric, period_start, sum(amount) as total, count(*) as event_count
            from tenantry.tenant_usage where tenant_id = any ($1)
            group by tenant_id, metric, period_start
            union all
            select tenant_id, metric, period_start, amount, event_count
            from tenantry.usage_archives where tenant_id = any ($1)
        ), events as (
            select tenant_id, metric, period_start, sum(total) as total, sum(event_count) as event_count
            from recorded group by tenant_id, metric, period_start
        ), counters as (
            select tenant_id, metric, period_start, total, event_count, aggregation
            from tenantry.usage_counters where tenant_id = any ($1)
        )
        select tenant_id,
               format('%s in the period from %s: counter says %s in %s events, events say %s in %s',
                      metric, period_start, coalesce(c.total::text, 'nothing'), coalesce(c.event_count, 0),
                      coalesce(e.total::text, '0'), coalesce(e.event_count, 0))
        from events e full join counters c using (tenant_id, metric, period_start)
        where (coalesce(e.total, 0) is distinct from c.total and coalesce(c.aggregation, 'sum') = 'sum')
           or coalesce(e.event_count, 0) is distinct from c.event_count
        order by 1, 2";
    /// Of a month that has left the sums are known, not those of each hour and user.
    service ROLLUPS = "
        with events as (
            select tenant_id, metric, period_start, date_trunc('hour', occurred_at, 'UTC') as hour,
                   coalesce(user_id, '00000000-0000-0000-0000-000000000000') as user_id,
                   sum(amount) as amount, count(*) as event_count
            from tenantry.tenant_usage where tenant_id = any ($1)
            group by 1, 2, 3, 4, 5
        ), rollups as (
            select tenant_id, metric, period_start, hour, user_id, amount, event_count
            from tenantry.usage_rollups where tenant_id = any ($1)
        ), archived as (
            select tenant_id, metric, period_start, month, sum(amount) as amount, sum(event_count) as event_count
            from tenantry.usage_archives where tenant_id = any ($1)
            group by 1, 2, 3, 4
        ), events_of_months as (
            select tenant_id, metric, period_start, date_trunc('month', hour, 'UTC') as month,
                   sum(amount) as amount, sum(event_count) as event_count
            from events group by 1, 2, 3, 4
        ), rollups_of_months as (
            select tenant_id, metric, period_start, date_trunc('month', hour, 'UTC') as month,
                   sum(amount) as amount, sum(event_count) as event_count
            from rollups group by 1, 2, 3, 4
        )
        select tenant_id,
               format('%s of user %s in the hour from %s: rollup says %s in %s events, events say %s in %s',
                      metric, user_id, hour, coalesce(r.amount::text, 'nothing'), coalesce(r.event_count, 0),
                      coalesce(e.amount::text, 'nothing'), coalesce(e.event_count, 0))
        from events e full join rollups r using (tenant_id, metric, period_start, hour, user_id)
        where (e.amount is distinct from r.amount or e.event_count is distinct from r.event_count) and not exists (
            select from archived x
            where x.tenant_id = coalesce(e.tenant_id, r.tenant_id) and x.metric = coalesce(e.metric, r.metric)
              and x.period_start = coalesce(e.period_start, r.period_start)
              and x.month = date_trunc('month', hour, 'UTC'))
        union all
        select tenant_id,
               format('%s in the month from %s: rollups say %s in %s events, what left and what is there %s in %s',
                      metric, month, coalesce(r.amount, 0), coalesce(r.event_count, 0),
                      a.amount + coalesce(e.amount, 0), a.event_count + coalesce(e.event_count, 0))
        from archived a
        left join rollups_of_months r using (tenant_id, metric, period_start, month)
        left join events_of_months e using (tenant_id, metric, period_start, month)
        where coalesce(r.amount, 0) <> a.amount + coalesce(e.amount, 0)
           or coalesce(r.event_count, 0) <> a.event_count + coalesce(e.event_count, 0)
        order by 1, 2";
    service DAY_ROLLUPS = "
        with hours as (
            select r.tenant_id, r.metric, r.period_start, date_trunc('day', r.hour, 'UTC') as day, r.user_id,
                   sum(r.amount) as amount, sum(r.event_count) as event_count
            from tenantry.usage_rollups r
            join tenantry.usage_counters c on c.tenant_id = r.tenant_id and c.metric = r.metric
                and c.period_start = r.period_start and r.hour < c.folded_until
            where r.tenant_id = any ($1)
            group by 1, 2, 3, 4, 5
        ), days as (
            select tenant_id, metric, period_start, day, user_id, amount, event_count
            from tenantry.usage_day_rollups where tenant_id = any ($1)
        )
        select tenant_id,
               format('%s of user %s on the day from %s: rollup says %s in %s events, folded hours say %s in %s',
                      metric, user_id, day, coalesce(d.amount::text, 'nothing'), coalesce(d.event_count, 0),
                      coalesce(h.amount::text, 'nothing'), coalesce(h.event_count, 0))
        from hours h full join days d using (tenant_id, metric, period_start, day, user_id)
        where h.amount is distinct from d.amount or h.event_count is distinct from d.event_count
        order by 1, 2";
    service USER_TOTALS = "
        with days as (
            select tenant_id, metric, period_start, user_id, sum(amount) as amount, sum(event_count) as event_count
            from tenantry.usage_day_rollups where tenant_id = any ($1)
            group by 1, 2, 3, 4
        ), totals as (
            select tenant_id, metric, period_start, user_id, amount, event_count
            from tenantry.usage_user_totals where tenant_id = any ($1)
        )
        select tenant_id,
               format('%s of user %s in the period from %s: total says %s in %s events, days say %s in %s', metric, user_id,
                      period_start, coalesce(t.amount::text, 'nothing'), coalesce(t.event_count, 0),
                      coalesce(d.amount::text, 'nothing'), coalesce(d.event_count, 0))
        from days d full join totals t using (tenant_id, metric, period_start, user_id)
        where d.amount is distinct from t.amount or d.event_count is distinct from t.event_count
        order by 1, 2";
    service HOUR_TOTALS = "
        with hours as (
            select r.tenant_id, r.metric, r.period_start, r.hour, sum(r.amount) as amount, sum(r.event_count) as event_count
            from tenantry.usage_rollups r
            join tenantry.usage_counters c on c.tenant_id = r.tenant_id and c.metric = r.metric
                and c.period_start = r.period_start and r.hour < c.folded_until
            where r.tenant_id = any ($1)
            group by 1, 2, 3, 4
        ), totals as (
            select tenant_id, metric, period_start, hour, amount, event_count
            from tenantry.usage_hour_totals where tenant_id = any ($1)
        )
        select tenant_id,
               format('%s in the hour from %s: total says %s in %s events, rollups say %s in %s', metric, hour,
                      coalesce(t.amount::text, 'nothing'), coalesce(t.event_count, 0),
                      coalesce(h.amount::text, 'nothing'), coalesce(h.event_count, 0))
        from hours h full join totals t using (tenant_id, metric, period_start, hour)
        where h.amount is distinct from t.amount or h.event_count is distinct from t.event_count
        order by 1, 2";
    service DIMENSION_ROLLUPS = "
        with described as (
            select u.tenant_id, u.metric, u.period_start, d.name as dimension,
                   date_trunc('hour', u.occurred_at, 'UTC') as hour, u.amount,
                   case u.kind when 'usage' then u.metadata else (
                       select o.metadata
                       from tenantry.usage_keys k
                       join tenantry.tenant_usage o on o.tenant_id = k.tenant_id and o.metric = k.metric
                           and o.occurred_at = k.occurred_at and o.idempotency_key = k.idempotency_key
                       where k.tenant_id = u.tenant_id and k.idempotency_key = u.reverses
                       limit 1
                   ) end -> d.name as value
            from tenantry.usage_counters c
            join tenantry.tenant_usage u on u.tenant_id = c.tenant_id and u.metric = c.metric
                and u.period_start = c.period_start and u.occurred_at >= c.dimensions_since
            cross join unnest(c.dimensions) as d (name)
            where c.tenant_id = any ($1)
        ), events as (
            select tenant_id, metric, period_start, dimension, hour,
                   coalesce(case when jsonb_typeof(value) in ('string', 'number', 'boolean')
                                 then left(value #>> '{}', 128) end, '') as value,
                   sum(amount) as amount, count(*) as event_count
            from described
            group by 1, 2, 3, 4, 5, 6
        ), rollups as (
            select tenant_id, metric, period_start, dimension, hour, value, amount, event_count
            from tenantry.usage_dimension_rollups where tenant_id = any ($1)
        ), archived as (
            select distinct tenant_id, metric, period_start, month from tenantry.usage_archives where tenant_id = any ($1)
        ), used as (
            select c.tenant_id, c.metric, c.period_start, d.name as dimension, r.hour, sum(r.amount) as amount,
                   sum(r.event_count) as event_count
            from tenantry.usage_counters c
            join tenantry.usage_rollups r on r.tenant_id = c.tenant_id and r.metric = c.metric
                and r.period_start = c.period_start and r.hour >= c.dimensions_since
            cross join unnest(c.dimensions) as d (name)
            where c.tenant_id = any ($1)
            group by 1, 2, 3, 4, 5
        ), summed as (
            select tenant_id, metric, period_start, dimension, hour, sum(amount) as amount, sum(event_count) as event_count
            from rollups group by 1, 2, 3, 4, 5
        )
        select tenant_id,
               format('%s with %s %L in the hour from %s: rollup says %s in %s events, events say %s in %s',
                      metric, dimension, value, hour, coalesce(r.amount::text, 'nothing'), coalesce(r.event_count, 0),
                      coalesce(e.amount::text, 'nothing'), coalesce(e.event_count, 0))
        from events e full join rollups r using (tenant_id, metric, period_start, dimension, hour, value)
        where (e.amount is distinct from r.amount or e.event_count is distinct from r.event_count) and not exists (
            select from archived x
            where x.tenant_id = coalesce(e.tenant_id, r.tenant_id) and x.metric = coalesce(e.metric, r.metric)
              and x.period_start = coalesce(e.period_start, r.period_start)
              and x.month = date_trunc('month', hour, 'UTC'))
        union all
        select tenant_id,
               format('%s by %s in the hour from %s: rollups say %s in %s events, those by user %s in %s', metric, dimension,
                      hour, coalesce(s.amount::text, 'nothing'), coalesce(s.event_count, 0),
                      coalesce(u.amount::text, 'nothing'), coalesce(u.event_count, 0))
        from used u full join summed s using (tenant_id, metric, period_start, dimension, hour)
        where u.amount is distinct from s.amount or u.event_count is distinct from s.event_count
        order by 1, 2";
    service DIMENSION_DAY_ROLLUPS = "
        with hours as (
            select r.tenant_id, r.metric, r.period_start, r.dimension, date_trunc('day', r.hour, 'UTC') as day, r.value,
                   sum(r.amount) as amount, sum(r.event_count) as event_count
            from tenantry.usage_dimension_rollups r
            join tenantry.usage_counters c on c.tenant_id = r.tenant_id and c.metric = r.metric
                and c.period_start = r.period_start and r.hour < c.folded_until
            where r.tenant_id = any ($1)
            group by 1, 2, 3, 4, 5, 6
        ), days as (
            select tenant_id, metric, period_start, dimension, day, value, amount, event_count
            from tenantry.usage_dimension_day_rollups where tenant_id = any ($1)
        )
        select tenant_id,
               format('%s with %s %L on the day from %s: rollup says %s in %s events, folded hours say %s in %s',
                      metric, dimension, value, day, coalesce(d.amount::text, 'nothing'), coalesce(d.event_count, 0),
                      coalesce(h.amount::text, 'nothing'), coalesce(h.event_count, 0))
        from hours h full join days d using (tenant_id, metric, period_start, dimension, day, value)
        where h.amount is distinct from d.amount or h.event_count is distinct from d.event_count
        order by 1, 2";
    service EVENT_PERIODS = "
        select u.tenant_id,
               format('event %s at %s lies in the period from %s, which %s', u.idempotency_key, u.occurred_at,
                      u.period_start, case when p.tenant_id is null then 'does not exist' else 'does not contain it' end)
        from tenantry.tenant_usage u
        left join tenantry.usage_periods p on p.tenant_id = u.tenant_id and p.period_start = u.period_start
        where u.tenant_id = any ($1)
          and (p.tenant_id is null or u.occurred_at < p.period_start or u.occurred_at >= p.period_end)
        union all
        select a.tenant_id,
               format('%s of the month from %s left in the period from %s, which %s', a.metric, a.month, a.period_start,
                      case when p.tenant_id is null then 'does not exist' else 'does not touch it' end)
        from tenantry.usage_archives a
        left join tenantry.usage_periods p on p.tenant_id = a.tenant_id and p.period_start = a.period_start
        where a.tenant_id = any ($1)
          and (p.tenant_id is null or p.period_end <= a.month
               or date_trunc('month', p.period_start, 'UTC') > a.month)
        order by 1, 2";
    service PERIODS = "
        select tenant_id, format('the period from %s ends at %s, after the next began at %s', period_start, period_end, next)
        from (
            select tenant_id, period_start, period_end,
                   lead(period_start) over (partition by tenant_id order by period_start) as next
            from tenantry.usage_periods where tenant_id = any ($1)
        ) as ordered
        where next < period_end
        union all
        select c.tenant_id, format('%s in the period from %s: counter and period disagree about bounds, closing or history', c.metric, c.period_start)
        from tenantry.usage_counters c
        join tenantry.usage_periods p on p.tenant_id = c.tenant_id and p.period_start = c.period_start
        where c.tenant_id = any ($1) and (p.period_end <> c.period_end or (p.state = 'closed') <> c.closed or p.historic <> c.historic)
        order by 1, 2";
    service SEGMENTS = "
        with bounded as (
            select s.tenant_id, s.period_start, s.sequence, s.started_at,
                   lead(s.started_at) over (partition by s.tenant_id, s.period_start order by s.sequence) as ended_at
            from tenantry.usage_segments s where s.tenant_id = any ($1)
        ), recorded as (
            select u.tenant_id, u.metric, u.period_start, b.sequence, sum(u.amount) as amount
            from tenantry.tenant_usage u
            join bounded b on b.tenant_id = u.tenant_id and b.period_start = u.period_start
                and u.occurred_at >= b.started_at and u.occurred_at < b.ended_at
            where u.tenant_id = any ($1)
            group by 1, 2, 3, 4
            union all
            select a.tenant_id, a.metric, a.period_start, a.sequence, a.amount
            from tenantry.usage_archives a
            join bounded b on b.tenant_id = a.tenant_id and b.period_start = a.period_start
                and b.sequence = a.sequence and b.ended_at is not null
            where a.tenant_id = any ($1)
        ), events as (
            select tenant_id, metric, period_start, sequence, sum(amount) as amount
            from recorded group by 1, 2, 3, 4
        ), written as (
            select tenant_id, metric, period_start, sequence, amount
            from tenantry.usage_segment_amounts where tenant_id = any ($1)
        ), tallied as (
            select tenant_id, metric, period_start
            from tenantry.usage_counters where tenant_id = any ($1) and aggregation <> 'sum'
        )
        select tenant_id, format('%s in segment %s of the period from %s: written %s, events say %s', metric, sequence,
                                 period_start, coalesce(w.amount, 0), coalesce(e.amount, 0))
        from events e full join written w using (tenant_id, metric, period_start, sequence)
        where coalesce(e.amount, 0) <> coalesce(w.amount, 0)
          and (tenant_id, metric, period_start) not in (select tenant_id, metric, period_start from tallied)
        order by 1, 2";
    service HOLDS = "
        with open as (
            select tenant_id, metric, period_start, sum(amount) as held
            from tenantry.usage_holds where tenant_id = any ($1) and state = 'open'
            group by tenant_id, metric, period_start
        ), counters as (
            select tenant_id, metric, period_start, held
            from tenantry.usage_counters where tenant_id = any ($1) and held <> 0
        )
        select tenant_id, format('%s in the period from %s: counter holds %s, open holds say %s', metric, period_start,
                                 coalesce(c.held, 0), coalesce(o.held, 0))
        from open o full join counters c using (tenant_id, metric, period_start)
        where coalesce(o.held, 0) <> coalesce(c.held, 0)
        union all
        select h.tenant_id, format('hold %s was committed with %s, its event %s', h.id, h.committed_amount,
                                   case when k.tenant_id is null then 'does not exist' else 'counts ' || u.amount end)
        from tenantry.usage_holds h
        left join tenantry.usage_keys k on k.tenant_id = h.tenant_id and k.idempotency_key = 'hold:' || h.id
        left join tenantry.tenant_usage u on u.tenant_id = k.tenant_id and u.metric = k.metric
            and u.occurred_at = k.occurred_at and u.idempotency_key = k.idempotency_key
        where h.tenant_id = any ($1) and h.state = 'committed'
          and (k.tenant_id is null or u.amount <> h.committed_amount)
        order by 1, 2";
    /// A correction is of the instant of what it takes back, so both leave together: of those, keys tell as many as left.
    service REVERSALS = "
        select r.tenant_id, format('correction %s takes back %s, which %s', r.idempotency_key, r.reverses,
                                   case when o.tenant_id is null then 'does not exist'
                                        when o.amount <> -r.amount then format('counted %s, not %s', o.amount, -r.amount)
                                        else 'does not name it' end)
        from tenantry.tenant_usage r
        left join tenantry.usage_keys k on k.tenant_id = r.tenant_id and k.idempotency_key = r.reverses
        left join tenantry.tenant_usage o on o.tenant_id = k.tenant_id and o.metric = k.metric
            and o.occurred_at = k.occurred_at and o.idempotency_key = k.idempotency_key
        where r.tenant_id = any ($1) and r.kind = 'reversal'
          and (o.tenant_id is null or o.amount <> -r.amount or k.reversed_by is distinct from r.idempotency_key)
        union all
        select a.tenant_id, format('%s in the month from %s: %s corrections left, keys of what left name %s', a.metric,
                                   a.month, a.reversal_count, coalesce(k.named, 0))
        from (
            select tenant_id, metric, month, sum(reversal_count) as reversal_count
            from tenantry.usage_archives where tenant_id = any ($1)
            group by tenant_id, metric, month
        ) a
        left join (
            select o.tenant_id, o.metric, date_trunc('month', o.occurred_at, 'UTC') as month, count(*) as named
            from tenantry.usage_keys o
            join tenantry.usage_keys r on r.tenant_id = o.tenant_id and r.idempotency_key = o.reversed_by
                and r.metric = o.metric and r.occurred_at = o.occurred_at
            left join tenantry.tenant_usage u on u.tenant_id = o.tenant_id and u.metric = o.metric
                and u.occurred_at = o.occurred_at and u.idempotency_key = o.idempotency_key
            where o.tenant_id = any ($1) and o.reversed_by is not null and u.tenant_id is null
            group by 1, 2, 3
        ) k on k.tenant_id = a.tenant_id and k.metric = a.metric and k.month = a.month
        where a.reversal_count <> coalesce(k.named, 0)
        order by 1, 2";
    service ARCHIVES = "
        select p.tenant_id, format('part %s of the month from %s: %s events left, its sums say %s', p.part, p.month,
                                   p.event_count, coalesce(a.event_count, 0))
        from tenantry.usage_archive_parts p
        left join (
            select tenant_id, month, part, sum(event_count) as event_count
            from tenantry.usage_archives where tenant_id = any ($1)
            group by tenant_id, month, part
        ) a on a.tenant_id = p.tenant_id and a.month = p.month and a.part = p.part
        where p.tenant_id = any ($1)
          and coalesce(a.event_count, 0) <> case p.state when 'archived' then p.event_count else 0 end
        order by 1, 2";
    service CHARGE_SEQUENCES = "
        select c.tenant_id, format('%s in the period from %s has charges %s: each must come once, from 0 on',
                                   metric, billing_period_start, string_agg(sequence::text, ', ' order by sequence))
        from tenantry.overage_charges c where tenant_id = any ($1)
        group by tenant_id, metric, billing_period_start
        having min(sequence) <> 0 or max(sequence) <> count(*) - 1
        union all
        select c.tenant_id, format('%s in the period from %s is charged, but the period is not closed', c.metric, c.billing_period_start)
        from tenantry.overage_charges c
        join tenantry.usage_periods p on p.tenant_id = c.tenant_id and p.period_start = c.billing_period_start
        where c.tenant_id = any ($1) and p.state <> 'closed'
        order by 1, 2";
    service INVOICE_ITEMS = "
        with charges as (
            select tenant_id, id, state from tenantry.overage_charges where tenant_id = any ($1)
        ), items as (
            select tenant_id, charge_id, invoice_item_id from tenantry.stripe_invoice_items where tenant_id = any ($1)
        )
        select coalesce(c.tenant_id, i.tenant_id) as tenant_id,
               case when c.id is null then format('invoice item %s stands for the charge %s, which does not exist', i.invoice_item_id, i.charge_id)
                    when i.charge_id is null then format('charge %s is billed, but no invoice item stands for it', c.id)
                    else format('charge %s is %s, but the invoice item %s stands for it', c.id, c.state, i.invoice_item_id) end
        from charges c full join items i on i.tenant_id = c.tenant_id and i.charge_id = c.id
        where (c.state is not distinct from 'billed') <> (i.charge_id is not null) or c.id is null
        union all
        select tenant_id, format('invoice item %s stands for %s charges', invoice_item_id, count(*))
        from items group by tenant_id, invoice_item_id having count(*) > 1
        union all
        select tenant_id, format('charge %s is there %s times', id, count(*))
        from charges group by tenant_id, id having count(*) > 1
        order by 1, 2";
    service SUBSCRIPTIONS = "
        select t.id, format('%s current subscriptions where one is due', count(s.id))
        from tenantry.tenants t
        left join tenantry.tenant_subscriptions s on s.tenant_id = t.id and s.ended_at is null
        where t.id = any ($1) and t.deleted_at is null
        group by t.id having count(s.id) <> 1
        order by 1";
    service OWNERS = "
        select t.id, format('%s has no owner', t.type)
        from tenantry.tenants t
        where t.id = any ($1) and t.deleted_at is null
          and not exists (select from tenantry.tenant_members m where m.tenant_id = t.id and m.role = 'owner')
        order by 1";
    service CLOSED_COUNTERS = "
        select c.tenant_id, c.metric, c.period_start, c.period_end, c.segment_sequence, c.segment_start, c.closed,
               c.historic, c.in_plan, c.included, c.hard_limit, c.total,
               c.aggregation, c.held, c.sure_limit, c.rollups_version, c.folded_until,
               c.dimensions, c.dimensions_since
        from tenantry.usage_counters c where c.tenant_id = any ($1) and c.closed
        order by c.tenant_id, c.metric, c.period_start";
    service ALL_TENANTS = "select id from tenantry.list_tenants($1, $2) as id";
}

/// The books that one statement each can judge.
const BOOKS: &[(&str, &Query)] = &[
    ("counters", &COUNTERS),
    ("aggregations", &AGGREGATIONS),
    ("parts", &PARTS),
    ("rollups", &ROLLUPS),
    ("day_rollups", &DAY_ROLLUPS),
    ("user_totals", &USER_TOTALS),
    ("hour_totals", &HOUR_TOTALS),
    ("dimension_rollups", &DIMENSION_ROLLUPS),
    ("dimension_day_rollups", &DIMENSION_DAY_ROLLUPS),
    ("keys", &KEYS),
    ("event_periods", &EVENT_PERIODS),
    ("periods", &PERIODS),
    ("segments", &SEGMENTS),
    ("holds", &HOLDS),
    ("reversals", &REVERSALS),
    ("archives", &ARCHIVES),
    ("charge_sequences", &CHARGE_SEQUENCES),
    ("invoice_items", &INVOICE_ITEMS),
    ("subscriptions", &SUBSCRIPTIONS),
    ("owners", &OWNERS),
];

/// The books that [`differences`] looks at.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    BOOKS.iter().map(|(book, _)| *book)
}

/// Everything of these tenants that one statement can find wrong. The transaction must be opened for them.
pub async fn differences(tx: &Tx, tenants: &[Uuid]) -> Result<Vec<Difference>, StoreError> {
    let mut found = Vec::new();
    tx.execute(&SUM_WITHOUT_SORTING, &[]).await?;
    for (book, query) in BOOKS {
        for row in tx.rows(query, &[&tenants]).await? {
            found.push(Difference {
                tenant_id: row.try_get(0).map_err(column)?,
                book,
                detail: row.try_get(1).map_err(column)?,
            });
        }
    }
    tx.execute(&SORT_AGAIN, &[]).await?;
    Ok(found)
}

/// The counters of these tenants whose periods are closed.
pub async fn closed_counters(tx: &Tx, tenants: &[Uuid]) -> Result<Vec<CounterRow>, StoreError> {
    tx.rows(&CLOSED_COUNTERS, &[&tenants]).await?.iter().map(CounterRow::from_row).collect()
}

/// Ids of tenants, deleted ones too, in order after `after`.
pub async fn all_tenants(tx: &Tx, after: Option<Uuid>, limit: i64) -> Result<Vec<Uuid>, StoreError> {
    tx.rows(&ALL_TENANTS, &[&after, &limit]).await?.iter().map(|row| row.try_get(0).map_err(column)).collect()
}
