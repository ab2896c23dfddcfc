#!/usr/bin/env bash
# Measures the layouts of usage events side by side on a private PostgreSQL cluster; see README.md.
#
#   ROUNDS=5 SECONDS_PER_CELL=3 SEED_ROWS=5000000 bench/event-layouts/run.sh [RESULT_FOLDER]
#
# Every round visits every cell once, so that a slow minute of the machine hits all layouts alike.
# Raw figures are appended to RESULT_FOLDER/*.csv; the tables are medians over the rounds.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
rounds=${ROUNDS:-5}
cell_seconds=${SECONDS_PER_CELL:-3}
steady_seconds=${STEADY_SECONDS:-20}
seed_rows=${SEED_ROWS:-5000000}
pg_bin=${PG_BIN:-$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)}
work=$(mktemp -d "${TMPDIR:-/tmp}/event-layouts.XXXXXX")
results=${1:-$work/results}
mkdir -p "$results"

# The server refuses to run as root: it then runs as an unprivileged user.
as_server=()
if [ "$(id -u)" = 0 ]; then
    server_user=$(id -un postgres 2>/dev/null || echo nobody)
    as_server=(setpriv --reuid="$server_user" --regid="$(id -gn "$server_user")" --clear-groups --)
    chown "$server_user" "$work"
fi
chmod 711 "$work"

stop() {
    "${as_server[@]}" "$pg_bin/pg_ctl" -D "$work/data" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$work/data"
}
trap stop EXIT

cd "$work"
"${as_server[@]}" "$pg_bin/initdb" -D "$work/data" -U postgres -A trust --locale=C -E UTF8 --no-sync >/dev/null
cat >>"$work/data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$work'
fsync = on
synchronous_commit = on
shared_buffers = 1GB
max_wal_size = 8GB
checkpoint_timeout = 30min
wal_compression = on
maintenance_work_mem = 512MB
timezone = 'UTC'
autovacuum = off
CONF
"${as_server[@]}" "$pg_bin/pg_ctl" -D "$work/data" -l "$work/server.log" -w start >/dev/null
export PGHOST=$work PGUSER=postgres PGDATABASE=postgres
psql() { "$pg_bin/psql" -X -q -v ON_ERROR_STOP=1 "$@"; }
value() { psql -At -c "$1"; }

# name, layout, keys grow with time
variants=("a_ordered a 1" "a_random a 0" "a2 a2 0" "b_ordered b 1" "b_random b 0" "b2 b2 0")

echo "filling: $seed_rows earlier events per layout ($(date -u +%T))" >&2
psql -v seed_rows="$seed_rows" -f "$here/common.sql"
for variant in "${variants[@]}"; do
    read -r name layout ordered <<<"$variant"
    psql -v schema="${name}_empty" -v layout="$layout" -v filled=0 -v ordered="$ordered" -f "$here/layout.sql"
done
printf '%s\n' "${variants[@]}" | xargs -P 2 -L 1 bash -c \
    '"$0" -X -q -v schema="$3_full" -v layout="$4" -v filled=1 -v ordered="$5" -f "$1"/layout.sql' \
    "$pg_bin/psql" "$here" --
psql -c 'drop table bench.seed'
psql -c 'vacuum analyze'

# run_cell SCHEMA ORDERED BY_HASH TENANTS EACH_ONCE pgbench-options... ; prints events,seconds,wal_bytes,retried
run_cell() {
    local schema=$1 ordered=$2 by_hash=$3 tenants=$4 once=$5
    shift 5
    echo "select ingest(:client_id, $tenants, $once, $ordered::int::boolean, $by_hash)" >"$work/cell.sql"
    # Autovacuum is off, so that it does not fall on one layout by chance; the updated tables are vacuumed here.
    psql -c "vacuum $schema.usage_counters, $schema.usage_rollups" -c checkpoint
    local before after out
    before=$(value 'select pg_current_wal_insert_lsn()')
    out=$(PGUSER=bench_service PGOPTIONS="-c search_path=$schema" "$pg_bin/pgbench" -n -c 2 -j 2 --max-tries=10 -f "$work/cell.sql" "$@" 2>&1) ||
        { echo "$out" >&2; return 1; }
    after=$(value 'select pg_current_wal_insert_lsn()')
    if ! grep -q 'number of failed transactions: 0 ' <<<"$out"; then echo "$out" >&2; return 1; fi
    local done_ tps retried
    done_=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' <<<"$out")
    tps=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' <<<"$out")
    retried=$(sed -n 's/^number of transactions retried: \([0-9]*\).*/\1/p' <<<"$out")
    echo "$done_,$tps,$(value "select '$after'::pg_lsn - '$before'::pg_lsn"),${retried:-0}"
}
empty_tables() {
    value "select format('truncate %I.%I;', '$1', relname) from pg_class where relnamespace = '$1'::regnamespace
           and relname in ('tenant_usage', 'usage_keys', 'usage_rollups')" | psql
}
by_hash() { case $1 in a2 | b2) echo true ;; *) echo false ;; esac; }

main_rounds() {
    for round in $(seq "$rounds"); do
        echo "round $round of $rounds ($(date -u +%T))" >&2
        for tenants in 1 100 10000; do
            for filled in empty full; do
                for variant in "${variants[@]}"; do
                    read -r name layout ordered <<<"$variant"
                    if [ $filled = empty ]; then
                        empty_tables "${name}_empty"
                    fi
                    echo "$round,$name,$tenants,$filled,$(run_cell "${name}_$filled" "$ordered" "$(by_hash "$layout")" "$tenants" false -T "$cell_seconds")" >>"$results/rounds.csv"
                done
            done
            echo "select bench.generate(:client_id, $tenants)" >"$work/generate.sql"
            echo "$round,generate,$tenants,$(PGUSER=bench_service "$pg_bin/pgbench" -n -c 2 -j 2 -T 1 -f "$work/generate.sql" 2>&1 | sed -n 's/^tps = \([0-9.]*\).*/\1/p')" >>"$results/generate.csv"
        done
    done
}

# One policy text on all tables of a schema, measured over the number of distinct tenants in a batch.
policy_rounds() {
    local settings="string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[]"
    for round in $(seq "$rounds"); do
        for tenants in 1 100 1000; do
            for form in none in_select any_select; do
                case $form in
                    none) test="true" ;;
                    in_select) test="tenant_id in (select unnest($settings))" ;;
                    any_select) test="tenant_id = any ((select $settings)::uuid[])" ;;
                esac
                for table in usage_keys tenant_usage usage_rollups usage_counters; do
                    echo "alter policy opened_tenants on b2_empty.$table using ($test) with check ($test);"
                done | psql
                psql -c 'truncate b2_empty.tenant_usage, b2_empty.usage_keys, b2_empty.usage_rollups'
                once=false; [ "$tenants" = 1000 ] && once=true
                echo "$round,$form,$tenants,$(run_cell b2_empty 0 true "$tenants" $once -T "$cell_seconds")" >>"$results/policies.csv"
            done
        done
    done
}

# A million events grown by ingest, then the bytes of the tables that hold events and keys.
sizes() {
    for variant in "${variants[@]}"; do
        read -r name layout ordered <<<"$variant"
        empty_tables "${name}_empty"
        run_cell "${name}_empty" "$ordered" "$(by_hash "$layout")" 10000 false -t 500 >/dev/null
        value "select '$name', c.relkind in ('i'), regexp_replace(regexp_replace(c.relname, '_[0-9]{4}_[0-9]{2}', ''), '_tenant_id.*', '_by_metric'), sum(pg_relation_size(c.oid))
               from pg_class c where relnamespace = '${name}_empty'::regnamespace and relkind in ('r', 'i')
                 and relname !~ 'rollup|counter' group by 1, 2, 3 having sum(pg_relation_size(c.oid)) > 0" | tr '|' ',' >>"$results/sizes.csv"
    done
}

# Longer stretches without a checkpoint of our own: how WAL settles once hot pages have been written once.
steady() {
    for variant in "${variants[@]}"; do
        read -r name layout ordered <<<"$variant"
        echo "$name,$(run_cell "${name}_full" "$ordered" "$(by_hash "$layout")" 10000 false -T "$steady_seconds")" >>"$results/steady.csv"
    done
}

# timed NAME STEP SQL: milliseconds and WAL of one maintenance step, as superuser, nothing else running.
timed() {
    local before after from to
    psql -c checkpoint
    before=$(value 'select pg_current_wal_insert_lsn()'); from=$(date +%s%N)
    psql -c "set search_path = $1_full" -c "$3"
    to=$(date +%s%N); after=$(value 'select pg_current_wal_insert_lsn()')
    echo "$1,$2,$(((to - from) / 1000000)),$(value "select '$after'::pg_lsn - '$before'::pg_lsn")" >>"$results/retention.csv"
}
retention() {
    local first="date_trunc('month', now()) - interval '4 months'" second="date_trunc('month', now()) - interval '3 months'"
    local child="tenant_usage_$(value "select to_char($first, 'YYYY_MM')")"
    for name in a_random a2; do
        local key=idempotency_key; [ $name = a2 ] && key=key_hash
        psql -c "create table ${name}_full.old_keys as select tenant_id, $key, gen_random_uuid() as content_hash, occurred_at, timestamp_given from ${name}_full.tenant_usage limit 0" \
            -c "alter table ${name}_full.old_keys add primary key (tenant_id, $key)"
        timed $name move_and_delete "with gone as (delete from tenant_usage where occurred_at >= $first and occurred_at < $second
            returning tenant_id, $key, metric, amount, occurred_at, timestamp_given)
            insert into old_keys select tenant_id, $key, md5(metric || amount)::uuid, occurred_at, timestamp_given from gone order by 1, 2"
        timed $name vacuum "vacuum tenant_usage"
    done
    for name in b_random b2; do
        timed $name detach "alter table tenant_usage detach partition $child"
        timed $name drop "drop table $child"
    done
}

# The single table that keeps "once" after a month is gone: the moved keys are looked up after the insert
# (a statement of its own, so that it sees keys moved while the insert waited). Beside it the split layouts.
after_pruning() {
    local name key arrays round
    for name in a_random a2; do
        key=idempotency_key; arrays='b.tenant, b.key'
        if [ $name = a2 ]; then key=key_hash; arrays='b.tenant, b.hash'; fi
        psql <<SQL
set search_path = ${name}_full;
alter table old_keys enable row level security;
alter table old_keys force row level security;
create policy opened_tenants on old_keys for select to bench_service
    using (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])));
grant select on old_keys to bench_service;
vacuum analyze old_keys;
alter function insert_events rename to insert_new_events;
create function insert_events(b bench.arrays, month_start timestamptz) returns int language plpgsql as \$\$
declare inserted int := insert_new_events(b, month_start); seen int;
begin
    select count(*) into seen from unnest($arrays) as e (tenant, key) join old_keys o on o.tenant_id = e.tenant and o.$key = e.key;
    return inserted - seen;
end \$\$;
SQL
    done
    for round in $(seq "$rounds"); do
        for name in a_random a2 b_random b2; do
            echo "$round,$name,$(run_cell "${name}_full" 0 "$(by_hash "$name")" 10000 false -T "$cell_seconds")" >>"$results/pruned.csv"
        done
    done
}

echo "method: $("$pg_bin/postgres" --version), fsync on, shared_buffers 1GB, max_wal_size 8GB, wal_compression on; $(nproc) cores;
2 connections, transactions of 1000 fresh events (row security forced, numeric amounts, rollups, guarded counters last);
$rounds interleaved rounds of $cell_seconds s a cell, a checkpoint before each; $seed_rows earlier events in the full tables; load average now $(cut -d' ' -f1-3 /proc/loadavg 2>/dev/null || true)"
: >"$results/rounds.csv"; : >"$results/generate.csv"; : >"$results/policies.csv"; : >"$results/sizes.csv"; : >"$results/steady.csv"; : >"$results/retention.csv"; : >"$results/pruned.csv"
main_rounds
sizes
policy_rounds
steady
retention
after_pruning
psql -v results="$results" -f "$here/report.sql" | tee "$results/report.txt"
