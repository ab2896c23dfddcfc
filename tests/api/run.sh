#!/usr/bin/env bash
# Drives a server of its own with requests made from its OpenAPI document: as a user, with a service key, as nobody.
# No answer may be a 5xx, break its schema or accept what the schema forbids. Usage: tests/api/run.sh PATH-OF-TENANTRY
set -euo pipefail
cd "$(dirname "$0")/../.."
source scripts/server.sh

start_server "$1"
user=$("${tenantry[@]}" token --user 11111111-1111-4111-8111-111111111111 --email ada@example.com)
key=$("${tenantry[@]}" key create --service)
failed=0
drive() {
    printf '\n== the HTTP interface, asked %s\n' "$1"
    shift
    .venv/bin/schemathesis --config-file tests/api/schemathesis.toml run "$url/openapi.json" \
        --max-examples 40 --seed 20261124 --no-color "$@" || failed=1
}
drive "by a user" -H "Authorization: Bearer $user"
drive "with a service key" -H "Authorization: Bearer $key" -H "X-Tenant-Id: 11111111-1111-4111-8111-111111111111"
drive "by nobody" --exclude-checks ignored_auth

if grep -E '"level":"ERROR"|panic' "$data/server.log"; then failed=1; fi
no_secret_is_logged "$user" "$key" || failed=1
"${tenantry[@]}" verify || failed=1
exit $failed
