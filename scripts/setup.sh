#!/usr/bin/env bash
# Installs what is missing: the PostgreSQL server for running, with `test` also what the tests need.
# Safe to run again; what is there is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# The folder that tenantry looks in for a server that was unpacked without root.
unpacked="$HOME/.cache/tenantry/postgresql"

has_server() {
    [ -n "${TENANTRY_PG_BIN_DIR:-}" ] && return 0
    local dir
    for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin \
        "$unpacked"/usr/lib/postgresql/*/bin; do
        [ -x "$dir/initdb" ] && return 0
    done
    command -v initdb >/dev/null && command -v postgres >/dev/null
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

can_be_root() {
    [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

newest_server_package() {
    apt-cache search --names-only '^postgresql-[0-9]+$' | cut -d' ' -f1 | sort -t- -k2 -n | tail -n 1
}

install_server_debian() {
    local package
    if can_be_root; then
        as_root apt-get update -qq
        package=$(newest_server_package)
        [ -n "$package" ] || die "the package sources have no PostgreSQL server; install version 15.14 or later by hand"
        say "installing $package"
        # The private cluster is ours; a system-wide one that nobody asked for would only take memory.
        as_root mkdir -p /etc/postgresql-common/createcluster.d
        echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.d/tenantry.conf >/dev/null
        apt_install "$package"
        return
    fi
    package=$(newest_server_package)
    [ -n "$package" ] || die "ask whoever administers this machine to install a PostgreSQL server (15.14 or later)"
    say "unpacking $package below $unpacked, since nobody here is root"
    local archives
    archives=$(mktemp -d)
    # The server, its client library, and what else an installation would bring (simulated, which anybody may do).
    { printf '%s\nlibpq5\n' "$package"; apt-get install -s -qq --no-install-recommends "$package" | sed -n 's/^Inst \(lib[^ ]*\).*/\1/p'; } |
        sort -u >"$archives/names"
    (cd "$archives" && xargs apt-get download -qq <names)
    mkdir -p "$unpacked"
    for archive in "$archives"/*.deb; do dpkg-deb -x "$archive" "$unpacked"; done
    rm -rf "$archives"
}

install_server() {
    case "$(uname -s)" in
        Darwin)
            command -v brew >/dev/null || die "install Homebrew, or a PostgreSQL server (15.14 or later) by hand"
            say "installing postgresql@17"
            brew install --quiet postgresql@17
            ;;
        Linux)
            if command -v apt-get >/dev/null; then
                install_server_debian
            elif command -v dnf >/dev/null && can_be_root; then
                as_root dnf install -y -q postgresql-server
            else
                die "install a PostgreSQL server (15.14 or later) with this system's package manager, then start again"
            fi
            ;;
        *) die "install a PostgreSQL server (15.14 or later), then start again" ;;
    esac
    has_server || die "the PostgreSQL server was installed but is not where tenantry looks; set TENANTRY_PG_BIN_DIR"
}

# Keys of an issuer are made with it; no key is kept among the sources.
install_openssl() {
    command -v openssl >/dev/null && return
    say "installing openssl"
    if [ "$(uname -s)" = Darwin ]; then
        brew install --quiet openssl
    elif command -v apt-get >/dev/null && can_be_root; then
        as_root apt-get update -qq
        apt_install openssl
    elif command -v dnf >/dev/null && can_be_root; then
        as_root dnf install -y -q openssl
    else
        die "the tests need openssl; ask whoever administers this machine to install it"
    fi
}

# schemathesis drives the HTTP interface by its own OpenAPI document.
install_api_tests() {
    [ -x .venv/bin/schemathesis ] && .venv/bin/pip freeze 2>/dev/null | grep -qx "$(head -n 1 tests/api/requirements.txt)" &&
        return
    command -v python3 >/dev/null || { as_root apt-get update -qq && apt_install python3 python3-venv; }
    say "installing the tests of the HTTP interface into .venv"
    python3 -m venv .venv 2>/dev/null || { apt_install python3-venv && python3 -m venv --clear .venv; }
    .venv/bin/pip install --quiet --disable-pip-version-check -r tests/api/requirements.txt
}

# Stripe's official SDK drives the sandbox.
install_sdk_tests() {
    if ! command -v npm >/dev/null; then
        say "installing node and npm"
        if [ "$(uname -s)" = Darwin ]; then
            brew install --quiet node
        elif command -v apt-get >/dev/null && can_be_root; then
            as_root apt-get update -qq
            apt_install nodejs npm
        else
            die "the tests need node 18 or later with npm; ask whoever administers this machine to install them"
        fi
    fi
    [ -d tests/stripe-sdk/node_modules ] && return
    say "installing Stripe's SDK into tests/stripe-sdk"
    npm ci --prefix tests/stripe-sdk --no-audit --no-fund --silent
}

command -v cargo >/dev/null || die "Rust is missing: install it with rustup, then start again"
has_server || install_server
if [ "${1:-}" = test ]; then
    install_openssl
    install_api_tests
    install_sdk_tests
fi
