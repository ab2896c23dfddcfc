#!/usr/bin/env bash
# The main job on real input: imports an hour of a language model's traffic on a fresh data folder and prints who used
# what, what is included and what overage costs. Usage: scripts/demo.sh PATH-OF-TENANTRY
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/server.sh

trace=demo/azure_llm_inference_2023_code.csv
owner=11111111-1111-4111-8111-111111111111

step() { printf '\n== %s\n' "$*"; }

step "A server on a fresh data folder"
start_server "$1" --plans demo/plans.toml
head -n 5 "$data/banner"

step "An organization on the default plan"
"${tenantry[@]}" catalog show | sed -n '/default/,/^$/p'
tenant=$("${tenantry[@]}" tenant create --name "Inference Inc" --owner $owner)
echo "tenant $tenant"

import=(usage import "$trace" --tenant "$tenant" --timestamp TIMESTAMP
    --metric context_tokens=ContextTokens --metric generated_tokens=GeneratedTokens)

step "8,819 requests, imported as two metrics"
"${tenantry[@]}" "${import[@]}"

step "The same file again changes nothing"
"${tenantry[@]}" "${import[@]}"

step "Who used what, what is included, what overage costs"
"${tenantry[@]}" usage report --tenant "$tenant" --from 2023-11-16T00:00:00Z --to 2023-11-17T00:00:00Z

step "The books, proven"
"${tenantry[@]}" verify
