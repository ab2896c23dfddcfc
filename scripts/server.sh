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
    for _ in $(seq 600); do
        grep -q Next "$data/banner" && break
        kill -0 $server 2>/dev/null || { cat "$data/server.log" >&2; exit 1; }
        sleep 0.1
    done
    url=$(sed -n 's/^ *API *//p' "$data/banner")
}
