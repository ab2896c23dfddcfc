#!/usr/bin/env bash
# Grows a fresh database to 50 million events whose keys grow with time, then another one to 10 million with random keys,
# and measures on the way. Takes about an hour and 35 GB of disk.
# Usage: scripts/bench-long.sh PATH-OF-TENANTRY [options of `tenantry bench growth`]
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/server.sh

export TENANTRY_LOG=warn
grow() {
    start_server "$1" --plans bench/plans.toml
    "${tenantry[@]}" bench growth --url "$url" "${@:2}"
    "${tenantry[@]}" verify
}

(grow "$@" --keys time --to 10000000,50000000)
grow "$@" --keys random --to 10000000
