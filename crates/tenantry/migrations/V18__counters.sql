-- What a counter must know beside its total, so that one guarded update goes on being the judge: how it counts, what
-- is reserved, and up to where nothing but the plan's limit judges.

alter table tenantry.usage_counters
    add column aggregation text not null default 'sum',
    add column held numeric not null default 0,
    add column sure_limit numeric,
    add constraint usage_counters_held check (held >= 0);
comment on column tenantry.usage_counters.aggregation is
    'What total is of the events: their sum, or something that only a decision under the row''s lock can tell.';
comment on column tenantry.usage_counters.held is 'Reserved by holds that are open. Limits judge total + held.';
comment on column tenantry.usage_counters.sure_limit is
    'Up to this total events are judged by hard_limit alone; above it one by one, under locks. NULL: no such bound.';

grant update (aggregation, held, sure_limit) on tenantry.usage_counters to tenantry_service;

-- ---------------------------------------------------------------- for the fast way

-- Fails a transaction whose commit is on the way already.
create function tenantry.require(holds boolean) returns boolean
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    if holds is not true then
        raise exception 'a counter is not what the group was decided with' using errcode = 'TN001';
    end if;
    return true;
end
$$;

revoke all on function tenantry.require(boolean) from public;
grant execute on function tenantry.require(boolean) to tenantry_service;
