#!/usr/bin/env bash
# Measures two servers of its own on one fresh database. Usage: scripts/bench.sh PATH-OF-TENANTRY [options of `tenantry
# bench --suite`]
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/server.sh

export TENANTRY_LOG=warn
start_server "$1" --plans bench/plans.toml

# The second one has the first one's database and a folder of its own for secrets.
mkdir "$data/second"
user_url=$("${tenantry[@]}" database url --as user)
service_url=$("${tenantry[@]}" database url --as service)
TENANTRY_USER_DATABASE_URL=$user_url TENANTRY_SERVICE_DATABASE_URL=$service_url \
    "$1" --data-dir "$data/second" --plans bench/plans.toml serve --no-sandbox --listen 127.0.0.1:0 \
    >"$data/second/banner" 2>"$data/second/server.log" &
second=$!
trap 'kill -INT "$second" "$server" 2>/dev/null; wait 2>/dev/null || true; rm -rf "$data"' EXIT
second_url=$(wait_for_banner $second "$data/second")

shift
"${tenantry[@]}" bench --suite --url "$url" --second-url "$second_url" "$@"
"${tenantry[@]}" verify
