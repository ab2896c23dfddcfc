#!/usr/bin/env bash
# The main job on real input: imports an hour of a language model's traffic on a fresh data folder and prints who used
# what, what is included and what overage costs; then buys a plan in the sandbox, uses more than it includes, and a
# month later shows the invoice. Usage: scripts/demo.sh PATH-OF-TENANTRY
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

token=$("${tenantry[@]}" token --user $owner --email ada@example.com)
api() { # METHOD PATH [BODY]
    curl --silent --show-error --fail-with-body -X "$1" "$url$2" -H "Authorization: Bearer $token" \
        -H "X-Organization-Id: $tenant" -H "Content-Type: application/json" ${3:+-d "$3"}
    echo
}
member() { sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"; }
until_subscribed() {
    for _ in $(seq 100); do
        [ "$(api GET /api/billing/subscription | member planId)" = "$1" ] && return
        sleep 0.1
    done
    echo "the plan did not become $1" >&2
    exit 1
}

step "The plan Team, bought on the sandbox's page with a test card"
page=$(api POST /api/billing/checkout '{"planId": "team"}' | member url)
echo "the page: $page"
curl --silent --show-error --output /dev/null --write-out 'paid: leads back to %{redirect_url}\n' "$page" \
    -d "card_number=4242424242424242&card_expiry=12/34&card_cvc=123&name=Ada"
until_subscribed team
"${tenantry[@]}" tenant show "$tenant" | sed -n 2p

step "More is used than Team includes"
api POST /api/usage '{"metric": "context_tokens", "amount": 30000000, "idempotencyKey": "a-busy-day"}'

step "A month later: the invoice, with what was used above"
"${tenantry[@]}" sandbox advance 1mo
"${tenantry[@]}" sandbox advance 2h
api GET '/api/billing/invoices?limit=1' | tr '{' '\n' |
    sed -n 's/.*"amount":\(-\{0,1\}[0-9]*\),"description":"\([^"]*\)".*/\1 cents  \2/p'
api GET '/api/billing/invoices?limit=1' | sed -n 's/.*"number":"\([^"]*\)".*"status":"\([a-z]*\)".*/invoice \1 is \2/p'
total=$(api GET '/api/billing/invoices?limit=1' | sed -n 's/.*"total":\([0-9]*\).*/\1/p')
echo "$total cents in all"
[ "$total" = 6900 ] || { echo "49.00 for the plan and 20.00 for ten million tokens are due" >&2; exit 1; }

step "What the billing contacts were told"
"${tenantry[@]}" notifications | cut -c 1-120

step "Stripe and the database tell the same story, and the books are right"
"${tenantry[@]}" stripe reconcile
"${tenantry[@]}" verify
no_secret_is_logged "$token"
