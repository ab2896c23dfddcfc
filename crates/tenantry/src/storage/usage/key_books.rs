//! The book of keys: each event has its key and each key its event, but for those whose events have left.
//!
//! There are as many of them as there is usage, so they are not joined as a whole, which would take a copy of both on
//! disk. For each tenant, metric and day both sides say how many they are and two sums of 64-bit digests over key and
//! timestamp, whatever the order. (The digest of a row adds up those of its columns; digested once more, it says which
//! belong together.) Only days on which these differ are looked at one by one, and months of which events
//! have left: there the keys without an event are as many as left.

use crate::query;

query! {
    service KEYS = "
        with archived as (
            select tenant_id, metric, month, sum(event_count) as event_count
            from tenantry.usage_archives where tenant_id = any ($1)
            group by tenant_id, metric, month
        ), days as materialized (
            select tenant_id, metric, day, key_rows, date_trunc('month', day::timestamp) at time zone 'UTC' as month,
                   exists (select from archived a where a.tenant_id = differing.tenant_id and a.metric = differing.metric
                               and a.month = date_trunc('month', differing.day::timestamp) at time zone 'UTC') as has_left
            from (
                select tenant_id, metric, (occurred_at at time zone 'UTC')::date as day,
                       count(*) filter (where is_key) as key_rows
                from (
                    select tenant_id, metric, occurred_at, idempotency_key, false as is_key
                    from tenantry.tenant_usage where tenant_id = any ($1)
                    union all
                    select tenant_id, metric, occurred_at, idempotency_key, true
                    from tenantry.usage_keys where tenant_id = any ($1)
                ) as either
                cross join lateral (
                    select hashint8extended(hash_record_extended(row(idempotency_key, occurred_at), 1), 1) as one,
                           hashint8extended(hash_record_extended(row(idempotency_key, occurred_at), 2), 2) as two
                ) as digests
                group by 1, 2, 3
                having (count(*) filter (where is_key), sum(one) filter (where is_key), sum(two) filter (where is_key))
                    is distinct from
                    (count(*) filter (where not is_key), sum(one) filter (where not is_key), sum(two) filter (where not is_key))
            ) as differing
        ), events as materialized (
            select u.tenant_id, u.idempotency_key, count(*) as times, min(u.occurred_at) as occurred_at,
                   min(u.metric) as metric
            from days d
            join tenantry.tenant_usage u on u.tenant_id = d.tenant_id and u.metric = d.metric
                and u.occurred_at >= d.day::timestamp at time zone 'UTC'
                and u.occurred_at < (d.day + 1)::timestamp at time zone 'UTC'
            group by u.tenant_id, u.idempotency_key
        ), found as materialized (
            select e.tenant_id, e.idempotency_key, e.times, e.occurred_at, e.metric, k.occurred_at as key_occurred_at,
                   k.metric as key_metric
            from events e
            left join tenantry.usage_keys k on k.tenant_id = e.tenant_id and k.idempotency_key = e.idempotency_key
        ), lone as (
            select tenant_id, metric, month, sum(key_rows) - sum(has_event) as key_count
            from (
                select tenant_id, metric, month, key_rows, 0 as has_event from days where has_left
                union all
                select d.tenant_id, d.metric, d.month, 0, 1
                from found f
                join days d on d.tenant_id = f.tenant_id and d.metric = f.key_metric and d.has_left
                    and d.day = (f.key_occurred_at at time zone 'UTC')::date
            ) as counted
            group by tenant_id, metric, month
        )
        select tenant_id,
               case when key_metric is null then format('event %s counts without a key', idempotency_key)
                    when times > 1 then format('key %s counts %s times', idempotency_key, times)
                    else format('key %s says %s at %s, its event %s at %s', idempotency_key, key_metric,
                                key_occurred_at, metric, occurred_at) end
        from found
        where times <> 1 or key_occurred_at is distinct from occurred_at or key_metric is distinct from metric
        union all
        select k.tenant_id, format('key %s has no event', k.idempotency_key)
        from days d
        join tenantry.usage_keys k on k.tenant_id = d.tenant_id and k.metric = d.metric
            and (k.occurred_at at time zone 'UTC')::date = d.day
        left join events e on e.tenant_id = k.tenant_id and e.idempotency_key = k.idempotency_key
        where not d.has_left and e.tenant_id is null
        union all
        select tenant_id, format('%s in the month from %s: %s events left, %s keys have no event', metric, month,
                                 a.event_count, coalesce(l.key_count, 0))
        from archived a left join lone l using (tenant_id, metric, month)
        where a.event_count <> coalesce(l.key_count, 0)
        order by 1, 2";
}
