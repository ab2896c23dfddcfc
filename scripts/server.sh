# Sourced: runs a server on a fresh data folder in the background, and ends it with the script.
#
# start_server PATH-OF-TENANTRY [OPTION...] sets `data` (the folder), `tenantry` (a command on it) and `url`.

start_server() {
    data=$(mktemp -d "${TMPDIR:-/tmp}/tenantry.XXXXXX")
    chmod 755 "$data" # started as root, the database runs as another user, who has to get there
    tenantry=("$1" --data-dir "$data" "${@:2}")
    "${tenantry[@]}" serve --listen 127.0.0.1:0 >"$data/banner" 2>"$data/server.log" &
    server=$!
    trap 'kill -INT $server 2>/dev/null; wait $server 2>/dev/null || true; rm -rf "$data"' EXIT
    url=$(wait_for_banner $server "$data")
}

# wait_for_banner PROCESS FOLDER prints the address of a server that writes `banner` and `server.log` there.
wait_for_banner() {
    for _ in $(seq 600); do
        if grep -q Next "$2/banner"; then
            sed -n 's/^ *API *//p' "$2/banner"
            return
        fi
        kill -0 "$1" 2>/dev/null || break
        sleep 0.1
    done
    cat "$2/server.log" >&2
    return 1
}

# no_secret_is_logged [SECRET...] looks in the server's log for these and for every secret of the data folder.
no_secret_is_logged() {
    local file secret found=0
    for file in "$data"/*secret* "$data"/*password* "$data"/sandbox/*secret*; do
        [ -f "$file" ] && set -- "$@" "$(head -n 1 "$file")"
    done
    [ $# -ge 3 ] || { echo "the secrets to look for were not found" >&2; return 1; }
    for secret in "$@"; do
        if [ ${#secret} -lt 16 ] || grep --quiet --fixed-strings -- "$secret" "$data/server.log"; then
            echo "a secret is in the log, or is too short to look for" >&2
            found=1
        fi
    done
    return $found
}
