#!/usr/bin/env bash
# Measures recording usage against a server of its own on a fresh data folder. Usage: scripts/bench.sh PATH-OF-TENANTRY [options
# of `tenantry bench usage`]
set -euo pipefail
cd "$(dirname "$0")/.."

data=$(mktemp -d "${TMPDIR:-/tmp}/tenantry-bench.XXXXXX")
chmod 755 "$data" # started as root, the database runs as another user, who has to get there
tenantry=("$1" --data-dir "$data" --plans bench/plans.toml)
shift
TENANTRY_LOG=warn "${tenantry[@]}" serve --listen 127.0.0.1:0 >"$data/banner" 2>"$data/server.log" &
server=$!
trap 'kill -INT $server 2>/dev/null; wait $server 2>/dev/null || true; rm -rf "$data"' EXIT
for _ in $(seq 600); do
    grep -q Next "$data/banner" && break
    kill -0 $server 2>/dev/null || { cat "$data/server.log" >&2; exit 1; }
    sleep 0.1
done
"${tenantry[@]}" bench usage --url "$(sed -n 's/^ *API *//p' "$data/banner")" "$@"
"${tenantry[@]}" verify
