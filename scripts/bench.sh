#!/usr/bin/env bash
# Measures recording usage against a server of its own on a fresh data folder. Usage: scripts/bench.sh PATH-OF-TENANTRY [options
# of `tenantry bench usage`]
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/server.sh

export TENANTRY_LOG=warn
start_server "$1" --plans bench/plans.toml
shift
"${tenantry[@]}" bench usage --url "$url" "$@"
"${tenantry[@]}" verify
