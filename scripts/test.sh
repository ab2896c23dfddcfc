#!/usr/bin/env bash
# All tests, against a real PostgreSQL. `scripts/setup.sh test` installed what they need.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all --check
cargo clippy --quiet --workspace --all-targets -- --deny warnings
cargo build --quiet --package tenantry
tests/api/run.sh target/debug/tenantry
scripts/demo.sh target/debug/tenantry >/dev/null
tests/stripe-sdk/run.sh
cargo test --quiet --package tenantry-domain --package tenantry-embedded --package tenantry-stripe \
    --package tenantry-stripe-spec --package tenantry-sandbox --lib --tests
# The last line is the test runner's own.
cargo test --package tenantry --lib --test it
