#!/bin/sh
# Starts the sandbox and drives it with Stripe's SDK at both versions.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
[ -d "$here/node_modules" ] || npm ci --prefix "$here" --no-audit --no-fund --silent
cargo build --quiet --manifest-path "$root/Cargo.toml" --package tenantry-sandbox --example sandbox
binary=${CARGO_TARGET_DIR:-$root/target}/debug/examples/sandbox
folder=$(mktemp -d)
"$binary" 127.0.0.1:0 "$folder/state.json" >"$folder/address" &
sandbox=$!
trap 'kill "$sandbox" 2>/dev/null || true; rm -rf "$folder"' EXIT INT TERM
until [ -s "$folder/address" ]; do
    kill -0 "$sandbox"
    sleep 0.05
done
SANDBOX_URL=$(cat "$folder/address")
export SANDBOX_URL
for sdk in stripe-basil stripe-later; do
    echo "== $sdk"
    STRIPE_SDK=$sdk node --test --test-concurrency=1 "$here"/*.test.mjs
done
