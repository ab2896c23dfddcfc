-- Medians over the rounds, from the files that run.sh wrote. Variables: results (a folder).
\set ON_ERROR_STOP 1
\pset footer off
create temp table rounds (round int, variant text, tenants int, filled text, batches bigint, tps float8, wal numeric, retried int);
create temp table generate (round int, variant text, tenants int, tps float8);
create temp table policies (round int, form text, tenants int, batches bigint, tps float8, wal numeric, retried int);
create temp table sizes (variant text, is_index boolean, relation text, bytes numeric);
create temp table steady (variant text, batches bigint, tps float8, wal numeric, retried int);
create temp table pruned (round int, variant text, batches bigint, tps float8, wal numeric, retried int);
create temp table retention (variant text, step text, ms bigint, wal numeric);
\cd :results
\copy rounds from rounds.csv csv
\copy generate from generate.csv csv
\copy policies from policies.csv csv
\copy sizes from sizes.csv csv
\copy steady from steady.csv csv
\copy pruned from pruned.csv csv
\copy retention from retention.csv csv

\echo
\echo 'Events/s, two connections (median; in brackets lowest and highest round)'
create temp view medians as
select variant, tenants, filled,
       to_char(percentile_cont(0.5) within group (order by tps) * 1000, 'FM999,999') || ' (' ||
       round(min(tps)) || 'k-' || round(max(tps)) || 'k)' as speed,
       to_char(percentile_cont(0.5) within group (order by wal / batches / 1000), 'FM99,999') as wal,
       sum(retried) as retried
from rounds group by 1, 2, 3;
select variant,
       max(speed) filter (where filled = 'empty' and tenants = 1) as "empty, 1 tenant",
       max(speed) filter (where filled = 'empty' and tenants = 100) as "empty, 100",
       max(speed) filter (where filled = 'empty' and tenants = 10000) as "empty, 10,000",
       max(speed) filter (where filled = 'full' and tenants = 1) as "full, 1 tenant",
       max(speed) filter (where filled = 'full' and tenants = 100) as "full, 100",
       max(speed) filter (where filled = 'full' and tenants = 10000) as "full, 10,000",
       sum(retried) as retried
from medians group by 1 order by 1;
\echo 'Generating the batches alone, events/s (contained in every figure above)'
select tenants, to_char(percentile_cont(0.5) within group (order by tps) * 1000, 'FM999,999') as "events/s" from generate group by 1 order by 1;
\echo 'WAL bytes per event, in the seconds after a checkpoint'
select variant,
       max(wal) filter (where filled = 'empty' and tenants = 1) as "empty, 1 tenant",
       max(wal) filter (where filled = 'empty' and tenants = 100) as "empty, 100",
       max(wal) filter (where filled = 'empty' and tenants = 10000) as "empty, 10,000",
       max(wal) filter (where filled = 'full' and tenants = 1) as "full, 1 tenant",
       max(wal) filter (where filled = 'full' and tenants = 100) as "full, 100",
       max(wal) filter (where filled = 'full' and tenants = 10000) as "full, 10,000"
from medians group by 1 order by 1;
\echo 'One longer stretch, full, 10,000 tenants'
select variant, to_char(tps * 1000, 'FM999,999') as "events/s", round(wal / batches / 1000) as "WAL bytes/event" from steady order by 1;
\echo 'MB per million events, grown by ingest over 10,000 tenants'
select variant, string_agg(format('%s %s', relation, round(bytes / 1e6)), ', ' order by is_index, relation) as parts,
       round(sum(bytes) / 1e6) as total from sizes group by 1 order by 1;
\echo 'Taking a month out'
select variant, step, ms, round(wal / 1e6, 1) as "WAL MB" from retention;
\echo 'After that, full, 10,000 tenants: the single tables look the moved keys up'
select variant, to_char(percentile_cont(0.5) within group (order by tps) * 1000, 'FM999,999') as "events/s",
       round(percentile_cont(0.5) within group (order by wal / batches / 1000)) as "WAL bytes/event" from pruned group by 1 order by 1;
\echo 'Form of the row policy, layout b2, events/s by distinct tenants in a batch'
select form,
       to_char(percentile_cont(0.5) within group (order by tps) filter (where tenants = 1) * 1000, 'FM999,999') as "1",
       to_char(percentile_cont(0.5) within group (order by tps) filter (where tenants = 100) * 1000, 'FM999,999') as "100",
       to_char(percentile_cont(0.5) within group (order by tps) filter (where tenants = 1000) * 1000, 'FM999,999') as "1,000"
from policies group by 1 order by 1;
