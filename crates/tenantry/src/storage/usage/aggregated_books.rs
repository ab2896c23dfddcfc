//! The books of counters that are no sums, against the events: every figure again by its definition.

use crate::query;

query! {
    /// Totals, and what they were where segments ended. `until` is the end of what is computed; `free` how many of the
    /// highest slots do not count.
    service AGGREGATIONS = "
        with counters as (
            select tenant_id, metric, period_start, period_end, total, aggregation,
                   split_part(aggregation, ':', 1) as kind, substr(aggregation, 8) as field,
                   case split_part(aggregation, ':', 1) when 'peak' then 3600
                        when 'percentile' then split_part(aggregation, ':', 3)::int * 60 end as width,
                   case split_part(aggregation, ':', 1) when 'percentile' then split_part(aggregation, ':', 2)::int end as percent
            from tenantry.usage_counters where tenant_id = any ($1) and aggregation <> 'sum'
        ), counted as (
            select c.*, coalesce(n.slots - ceil(n.slots * c.percent / 100), 0) as free
            from counters c
            cross join lateral (
                select ceil(extract(epoch from c.period_end) / c.width) - floor(extract(epoch from c.period_start) / c.width)
            ) as n (slots)
        ), bounds as (
            select tenant_id, metric, period_start, kind, field, width, free, null::int as sequence, period_end as until,
                   total as written
            from counted
            union all
            select c.tenant_id, c.metric, c.period_start, c.kind, c.field, c.width, c.free, s.sequence,
                   lead(s.started_at) over by_counter, sum(coalesce(a.amount, 0)) over by_counter
            from counted c
            join tenantry.usage_segments s on s.tenant_id = c.tenant_id and s.period_start = c.period_start
            left join tenantry.usage_segment_amounts a on a.tenant_id = c.tenant_id and a.metric = c.metric
                and a.period_start = c.period_start and a.sequence = s.sequence
            where c.kind <> 'last'
            window by_counter as (partition by c.tenant_id, c.metric, c.period_start order by s.sequence)
        ), standing as (
            select b.tenant_id, b.metric, b.period_start, b.sequence, b.kind, b.free, u.amount, u.occurred_at, u.id,
                   (u.metadata -> b.field)::text as value, floor(extract(epoch from u.occurred_at) / b.width) as slot
            from bounds b
            join tenantry.tenant_usage u on u.tenant_id = b.tenant_id and u.metric = b.metric
                and u.period_start = b.period_start and u.occurred_at < b.until
            join tenantry.usage_keys k on k.tenant_id = u.tenant_id and k.idempotency_key = u.idempotency_key
            where u.kind = 'usage' and k.reversed_by is null
        ), slots as (
            select tenant_id, metric, period_start, sequence, free, sum(amount) as amount,
                   row_number() over (partition by tenant_id, metric, period_start, sequence
                                      order by sum(amount) desc) as place
            from standing where slot is not null
            group by tenant_id, metric, period_start, sequence, free, slot
        ), figures as (
            select tenant_id, metric, period_start, sequence,
                   case kind when 'max' then max(amount)
                             when 'last' then (array_agg(amount order by occurred_at desc, id desc))[1]
                             when 'unique' then count(distinct value) end as figure
            from standing where slot is null
            group by tenant_id, metric, period_start, sequence, kind
            union all
            select tenant_id, metric, period_start, sequence, amount from slots where place = free + 1
        )
        select b.tenant_id,
               format('%s in the period from %s, %s: written %s, events say %s', b.metric, b.period_start,
                      coalesce('up to the end of segment ' || b.sequence, b.kind), b.written, coalesce(f.figure, 0))
        from bounds b
        left join figures f on f.tenant_id = b.tenant_id and f.metric = b.metric and f.period_start = b.period_start
            and f.sequence is not distinct from b.sequence
        where b.until is not null and b.written <> coalesce(f.figure, 0)
        union all
        select a.tenant_id, format('%s in segment %s of the period from %s: written %s, but all of it is in the last',
                                   a.metric, a.sequence, a.period_start, a.amount)
        from counters c
        join tenantry.usage_segment_amounts a on a.tenant_id = c.tenant_id and a.metric = c.metric
            and a.period_start = c.period_start
        where c.kind = 'last' and a.amount <> 0
        order by 1, 2";
    /// What totals are made of.
    service PARTS = "
        with counters as (
            select tenant_id, metric, period_start, substr(aggregation, 8) as field,
                   case split_part(aggregation, ':', 1) when 'peak' then 3600
                        when 'percentile' then split_part(aggregation, ':', 3)::int * 60 end as width
            from tenantry.usage_counters
            where tenant_id = any ($1) and split_part(aggregation, ':', 1) in ('unique', 'peak', 'percentile')
        ), standing as (
            select c.tenant_id, c.metric, c.period_start, u.amount,
                   coalesce((floor(extract(epoch from u.occurred_at) / c.width) * c.width)::bigint::text,
                            (u.metadata -> c.field)::text) as value
            from counters c
            join tenantry.tenant_usage u on u.tenant_id = c.tenant_id and u.metric = c.metric
                and u.period_start = c.period_start
            join tenantry.usage_keys k on k.tenant_id = u.tenant_id and k.idempotency_key = u.idempotency_key
            where u.kind = 'usage' and k.reversed_by is null
        ), events as (
            select tenant_id, metric, period_start,
                   case when octet_length(value) <= 128 then value
                        else 'sha256:' || encode(sha256(convert_to(value, 'UTF8')), 'hex') end collate \"C\" as part,
                   sum(amount) as amount, count(*) as event_count
            from standing group by 1, 2, 3, 4
        ), parts as (
            select tenant_id, metric, period_start, part, amount, event_count
            from tenantry.usage_parts where tenant_id = any ($1)
        )
        select tenant_id,
               format('%s in the period from %s, part %s: written %s in %s events, events say %s in %s', metric, period_start,
                      part, coalesce(p.amount::text, 'nothing'), coalesce(p.event_count, 0),
                      coalesce(e.amount::text, 'nothing'), coalesce(e.event_count, 0))
        from events e full join parts p using (tenant_id, metric, period_start, part)
        where coalesce(e.amount, 0) <> coalesce(p.amount, 0) or coalesce(e.event_count, 0) <> coalesce(p.event_count, 0)
        order by 1, 2";
}
