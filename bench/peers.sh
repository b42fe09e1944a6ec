#!/bin/sh
# peers.sh - the engine beside other systems that can do its work, and beside what the machine
# itself can do, in one run. See --help; bench/peers/README.md has the settings and the reasons.
#
# Exit status: 0: it ran, whatever the figures; 1: something failed, or the oracle of `holdfast load`
# found a broken promise; 2: wrong usage, or packages are missing and could not be installed.

set -u
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=../tests/lib/deps.sh
. "$root/tests/lib/deps.sh"

usage() {
    cat <<'EOF'
usage: sh bench/peers.sh [--quick] [--only NAME]... [--json FILE] [--build DIR] [--dir DIR]

Installs and builds what is missing, then gives the same work - one-line reserves, durable before
they are answered - to Holdfast, Redis and PostgreSQL, in turn, and measures nng's bare echo and the
disk as the limits, what bench/machine.sh measures, and hiccups beside each run. All servers run on loopback, on temporary directories, and are gone afterwards.
Ends with one table, the targets of docs/benchmarks.md, and one JSON file.

  --quick       short runs: less than 2 minutes, and less exact
  --only NAME   only these: limits, nng, redis, postgres, holdfast; may be repeated
  --json FILE   where the figures go (default peers.json in the build tree)
  --build DIR   build tree (default build)
  --dir DIR     where the servers keep their data: a disk, not a tmpfs (default $TMPDIR or /var/tmp)
  --help        this
EOF
}

seconds=4    # of a measured run
probe=0.8    # of one try while the best settings are looked for
warm_up=0.5
rounds=2     # of what a target compares, in turn
short_rounds=3
oracle=
quick=false
only=
build=$root/build
json=
place=${TMPDIR:-/var/tmp}
needs_value() {
    [ "$1" -ge 2 ] || {
        echo "peers.sh: $2 needs a value" >&2
        exit 2
    }
}
while [ $# -gt 0 ]; do
    case $1 in
    --quick)
        quick=true seconds=1 probe=0.3 warm_up=0.15 rounds=1 short_rounds=1 oracle=--no-oracle
        ;;
    --only)
        needs_value $# "$1"
        case $2 in
        limits | nng | redis | postgres | holdfast) only="$only $2" ;;
        *)
            echo "peers.sh: there is no $2 to measure" >&2
            exit 2
            ;;
        esac
        shift
        ;;
    --json)
        needs_value $# "$1"
        case $2 in
        /*) json=$2 ;;
        *) json=$PWD/$2 ;;
        esac
        shift
        ;;
    --build)
        needs_value $# "$1"
        build=$2
        shift
        ;;
    --dir)
        needs_value $# "$1"
        place=$2
        shift
        ;;
    --help | -h)
        usage
        exit 0
        ;;
    *)
        echo "peers.sh: unknown option $1" >&2
        usage >&2
        exit 2
        ;;
    esac
    shift
done

: "${json:=$build/peers.json}"

# wants NAME: true when that is to be measured.
wants() {
    case "${only:- $1} " in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

case $(stat -f -c %T "$place" 2>/dev/null) in
'' | tmpfs | ramfs)
    echo "peers.sh: $place is no directory on a disk: durable would mean nothing. Use --dir." >&2
    exit 2
    ;;
esac

packages=python3
! wants redis || packages="$packages redis-server libhiredis-dev"
! wants postgres || packages="$packages postgresql-15 libpq-dev"
# shellcheck disable=SC2086  # a list of words is meant
install_missing_packages $packages || exit 2
load_average=$(cut -d ' ' -f 1 /proc/loadavg)
if [ "$(awk -v load="$load_average" 'BEGIN { print (load > 1) }')" = 1 ]; then
    say "this machine has other work (load average $load_average): the figures will mean little"
fi
# nng and the disk are measured by clients that are always built; the others' need their libraries.
build_release "$root" "$build" || exit 1
holdfast=$build/engine/cli/holdfast
clients=$build/bench/peers

work=$(mktemp -d "$place/holdfast-peers.XXXXXX") || exit 1
server_pid= # at most one server runs at a time
server_end=KILL # the signal that ends it at once, with all its processes
client_pid=
client_end=KILL
beside_pid=

# Ends what this script has started, and nothing else.
clean_up() {
    trap - EXIT INT TERM HUP
    if [ -n "$client_pid" ]; then
        kill "-$client_end" "$client_pid" 2>/dev/null
        wait "$client_pid" 2>/dev/null
    fi
    [ -z "$beside_pid" ] || kill -KILL "$beside_pid" 2>/dev/null
    if [ -n "$server_pid" ]; then
        kill "-$server_end" "$server_pid" 2>/dev/null
        wait "$server_pid" 2>/dev/null
    fi
    rm -rf "$work"
}
trap clean_up EXIT
trap 'clean_up; exit 130' INT
trap 'clean_up; exit 143' TERM HUP

fail() {
    printf 'peers.sh: %s\n' "$*" >&2
    for log in "$work/error" "$work/server.log"; do
        [ ! -s "$log" ] || tail -n 10 "$log" >&2
    done
    exit 1
}

# ---- Runs ----

# run COMMAND...: its result, one line of JSON, to $work/result. In the background and waited for,
# so that a signal is heard at once. Hiccups beside it go to $work/hiccups.
run() {
    "$build/bench/machine/holdfast_machine" hiccups --warm-up "$warm_up" --seconds "$seconds" \
        >"$work/hiccups" 2>/dev/null &
    beside_pid=$!
    "$@" >"$work/result" 2>"$work/error" &
    client_pid=$!
    wait "$client_pid"
    status=$?
    client_pid=
    kill -TERM "$beside_pid" 2>/dev/null
    wait "$beside_pid" 2>/dev/null
    beside_pid=
    [ "$status" -eq 0 ] || fail "exit status $status of: $*"
}

# result NAME...: the first of these numbers that the result has.
result() {
    for field in "$@"; do
        sed -n "s/.*\"$field\":\([-0-9.]*\).*/\1/p" "$work/result"
    done | head -n 1
}

rate() {
    result per_s orders_per_s
}

# keep KEY NAME WHAT...: adds the result to those of the table, and says it.
keep() {
    key=$1 name=$2
    shift 2
    hiccups=$(cat "$work/hiccups")
    printf '{"key":"%s","name":"%s","what":"%s","result":%s,"hiccups":%s,"log_bytes":%s}\n' \
        "$key" "$name" "$*" "$(cat "$work/result")" "${hiccups:-null}" "${log_bytes:-null}" \
        >>"$work/runs"
    log_bytes=
    rate | awk -v name="$name" -v what="$*" -v p50="$(result p50_us)" -v at="$(setting)" \
        '{ printf "   %-11s %-46s %10.0f/s  p50 %9.1f us  %s\n", name, what, $1, p50, at }'
}

# How the result was had: connections x calls under way on each.
setting() {
    printf '%s x %s' "$(result connections)" "$(result in_flight)"
}

# best COMMAND TRY...: runs `COMMAND TRY probe` for each try, which is a list of words, and prints
# the one with the greatest rate.
best() {
    best_command=$1
    best_rate=0
    best_try=$2
    shift 2
    for try in "$@"; do
        # shellcheck disable=SC2086  # words are meant
        $best_command $try "$probe"
        if [ "$(rate | awk -v best="$best_rate" '{ print ($1 > best) }')" = 1 ]; then
            best_rate=$(rate)
            best_try=$try
        fi
    done
}

free_port() {
    python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

# stop_server SIGNAL: and waits for its end.
stop_server() {
    kill "-$1" "$server_pid" 2>/dev/null
    wait "$server_pid" 2>/dev/null
    server_pid=
    server_end=KILL
}

# wait_for COMMAND...: until it succeeds; gives up when the server has ended, or after 20 s.
wait_for() {
    tries=0
    while ! "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ $tries -ge 1000 ] || ! kill -0 "$server_pid" 2>/dev/null; then
            fail "the server did not start"
        fi
        sleep 0.02
    done
}

# ---- The disk ----

disk() { # MODE BYTES SECONDS
    run "$clients/peer_disk" --file "$work/disk" --mode "$1" --batch "$2" --warm-up 0.1 \
        --seconds "$3"
}

# ---- nng ----

start_echo() {
    : >"$work/echo.out"
    "$clients/peer_nng" --mode serve --url tcp://127.0.0.1:0 >"$work/echo.out" \
        2>"$work/server.log" &
    server_pid=$!
    wait_for grep -q '^listening' "$work/echo.out"
    echo_url=$(sed -n 's/^listening on //p' "$work/echo.out")
}

echo_run() { # REQUEST_BYTES CONNECTIONS IN_FLIGHT SECONDS
    run "$clients/peer_nng" --url "$echo_url" --request-bytes "$1" --connections "$2" \
        --in-flight "$3" --warm-up "$warm_up" --seconds "$4"
}

# echo_once ...: as echo_run, with a server of its own.
echo_once() {
    start_echo
    echo_run "$@"
    stop_server KILL
}

# What a server has left, with the work that it leaves for the disk.
remove() { # DIRECTORY
    rm -rf "$1"
    python3 -B "$root/bench/settle.py" "$work"
}

# ---- Holdfast ----

# As an operator sets it before a sale: memory for the orders to come is taken at start. A run makes
# some 40 million. Less, and page faults take their share (docs/benchmarks.md).
orders_ready=50000000

start_engine() {
    rm -rf "$work/data"
    : >"$work/engine.out"
    "$holdfast" serve --data "$work/data" --listen tcp://127.0.0.1:0 --orders-ready "$orders_ready" \
        >"$work/engine.out" 2>"$work/server.log" &
    server_pid=$!
    wait_for grep -q '^ready' "$work/engine.out"
    engine_url=$(sed -n 's/^listening on \(tcp:[^ ]*\).*/\1/p' "$work/engine.out" | head -n 1)
}

stop_engine() {
    stop_server TERM
    remove "$work/data"
}

# Options of the load, set before load_run: $skus, $stock, $check.
load_run() { # BATCH CONNECTIONS IN_FLIGHT SECONDS
    # shellcheck disable=SC2086  # a word or none
    run "$holdfast" load --url "$engine_url" --quiet --json --skus "$skus" --stock "$stock" \
        --batch "$1" --connections "$2" --in-flight "$3" --warm-up "${warm_up}s" \
        --duration "${4}s" $check
    if [ "$(result errors)" != 0 ]; then
        fail "the engine answered $(result errors) orders with errors: $(cat "$work/result")"
    fi
}

# log_bytes_an_order: of an engine's status, what an order has taken in the log; nothing without any.
log_bytes_an_order() {
    awk -F '[:,]' '/"commit_lsn"/ { bytes = $2 } /"orders_known"/ { orders = $2 }
        END { if (orders > 0) printf "%.2f", bytes / orders }'
}

# load_once ...: as load_run, with an engine of its own and, except with --quick, the oracle.
load_once() {
    start_engine
    check=$oracle
    load_run "$@"
    log_bytes=$("$holdfast" status --url "$engine_url" --json | log_bytes_an_order)
    stop_engine
}

# best_load TRY...: sets best_try, to be used as words.
best_load() {
    start_engine
    check=--no-oracle
    best load_run "$@"
    stop_engine
}

# ---- Redis ----

start_redis() { # APPENDFSYNC
    mkdir -p "$work/redis"
    redis_port=$(free_port)
    redis-server --port "$redis_port" --bind 127.0.0.1 --dir "$work/redis" --save '' \
        --appendonly yes --appendfsync "$1" --auto-aof-rewrite-percentage 0 \
        >"$work/server.log" 2>&1 &
    server_pid=$!
    wait_for redis-cli -p "$redis_port" ping
}

stop_redis() {
    stop_server KILL
    remove "$work/redis"
}

redis_mode=lean
redis_prepare=prepare
redis_run() { # SKUS BATCH CONNECTIONS IN_FLIGHT SECONDS
    redis-cli -p "$redis_port" flushall >/dev/null
    run "$clients/peer_redis" --port "$redis_port" --mode "$redis_prepare" --skus "$1"
    run "$clients/peer_redis" --port "$redis_port" --mode "$redis_mode" --skus "$1" --batch "$2" \
        --connections "$3" --in-flight "$4" --warm-up "$warm_up" --seconds "$5"
}

redis_once() { # APPENDFSYNC SKUS BATCH CONNECTIONS IN_FLIGHT
    start_redis "$1"
    shift
    redis_run "$@" "$seconds"
    stop_redis
}

best_redis() { # APPENDFSYNC TRY...
    start_redis "$1"
    shift
    best redis_run "$@"
    stop_redis
}

# redis_all APPENDFSYNC SKUS PLACE NAME: one order a call; then 100, except what the targets need.
redis_all() {
    redis_once "$1" "$2" 1 1 1
    keep "redis_$1_$3_single" Redis "$4, $1, one order a call, one client"
    best_redis "$1" "$2 1 1 64" "$2 1 2 32" "$2 1 4 16" "$2 1 4 64"
    # shellcheck disable=SC2086  # words are meant
    redis_once "$1" $best_try
    keep "redis_$1_$3_pipelined" Redis "$4, $1, one order a call, pipelined"
    redis_once "$1" "$2" 100 1 1
    keep "redis_$1_$3_100_single" Redis "$4, $1, 100 a call, one client"
}

best_redis_100() { # APPENDFSYNC SKUS
    best_redis "$1" "$2 100 1 1" "$2 100 1 4" "$2 100 1 16" "$2 100 2 4" "$2 100 2 16" "$2 100 4 16"
}

# ---- PostgreSQL ----

# as_postgres COMMAND...: PostgreSQL does not run as root; its package brings a user. A process of
# the same id as the caller's, for the caller to wait for and to end.
as_postgres() {
    if [ "$(id -u)" -eq 0 ]; then
        exec setpriv --reuid postgres --regid postgres --clear-groups "$@"
    fi
    exec "$@"
}

start_postgres() {
    postgres=/usr/lib/postgresql/15/bin
    postgres_port=$(free_port)
    mkdir "$work/postgres"
    chmod 711 "$work"
    [ "$(id -u)" -ne 0 ] || chown postgres "$work/postgres"
    (cd "$work/postgres" && as_postgres "$postgres/initdb" -D "$work/postgres/data" -U postgres \
        -A trust --no-locale -E UTF8) >"$work/error" 2>&1 || fail "initdb failed"
    (cd "$work/postgres" && as_postgres "$postgres/postgres" -D "$work/postgres/data" \
        -p "$postgres_port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
        -c fsync=on -c synchronous_commit=on -c shared_buffers=1GB -c wal_buffers=64MB \
        -c max_wal_size=8GB -c checkpoint_timeout=30min -c jit=off \
        -c client_min_messages=warning) >"$work/server.log" 2>&1 &
    server_pid=$! server_end=QUIT
    wait_for "$postgres/pg_isready" -h 127.0.0.1 -p "$postgres_port"
}

postgres_run() { # SKUS BATCH CONNECTIONS SECONDS
    run "$clients/peer_postgres" --port "$postgres_port" --mode prepare --skus "$1" \
        --file "$root/bench/peers/postgres.sql"
    run "$clients/peer_postgres" --port "$postgres_port" --skus "$1" --batch "$2" \
        --connections "$3" --warm-up "$warm_up" --seconds "$4"
}

# postgres_best KEY WHAT TRY...
postgres_best() {
    postgres_key=$1 postgres_what=$2
    shift 2
    best postgres_run "$@"
    # shellcheck disable=SC2086  # words are meant
    postgres_run $best_try "$seconds"
    keep "$postgres_key" PostgreSQL "$postgres_what"
}

# ---- All of it, in turn ----

measure_latency() {
    say "one order from one client, and the two things that it can't do without"
    for _ in $(seq "$short_rounds"); do
        if wants limits; then
            disk write 4096 "$seconds"
            keep disk_write_4k disk "durable write of 4 KiB, one after another"
        fi
        if wants nng; then
            echo_once 64 1 1 "$seconds"
            keep nng_round_trip nng "echo of 64 bytes, one at a time"
        fi
        if wants holdfast; then
            skus=1 stock=1000000000
            load_once 1 1 1 "$seconds"
            keep holdfast_single Holdfast "one order a message, one client"
        fi
    done
}

measure_unbatched() {
    say "one order a message, 64 under way"
    nng_try="1 64" load_try="1 1 64"
    skus=10000 stock=1000000000
    if wants nng; then
        start_echo
        best echo_run "64 1 64" "64 2 32" "64 4 16"
        stop_server KILL
        nng_try=$best_try
    fi
    if wants holdfast; then
        best_load "1 1 64" "1 2 32" "1 4 16"
        load_try=$best_try
    fi
    for _ in $(seq "$short_rounds"); do
        # shellcheck disable=SC2086  # words are meant
        if wants nng; then
            echo_once $nng_try "$seconds"
            keep nng_echo_64 nng "echo of 64 bytes, 64 under way"
        fi
        # shellcheck disable=SC2086
        if wants holdfast; then
            load_once $load_try "$seconds"
            keep holdfast_unbatched Holdfast "one order a message, 64 under way"
        fi
    done
}

measure_limits() {
    say "limits: nng with requests as large as batches, the disk with large blocks"
    if wants nng; then
        start_echo
        best echo_run "9216 1 64" "9216 2 32" "9216 4 16"
        # shellcheck disable=SC2086
        echo_run $best_try "$seconds"
        stop_server KILL
        keep nng_echo_9k nng "9 KiB requests, 64-byte replies, 64 under way"
    fi
    if wants limits; then
        disk write 262144 "$seconds"
        keep disk_write_256k disk "durable write of 256 KiB, one after another"
        disk write 4194304 "$seconds"
        keep disk_write_4m disk "durable write of 4 MiB, one after another"
        disk read 1048576 "$seconds"
        keep disk_read_1m disk "sequential read, 1 MiB at a time"
    fi
}

# measure_batched SKUS PLACE NAME
measure_batched() {
    say "batches, $3: Holdfast and Redis in turn"
    skus=$1 stock=1000000000
    if wants holdfast; then
        best_load "1000 1 16" "1000 2 16" "2000 2 8" "4000 1 16" "4000 2 8" "8000 1 8" "8000 2 4"
        load_try=$best_try
    fi
    if wants redis; then
        best_redis_100 always "$1"
        redis_try=$best_try
    fi
    for _ in $(seq "$rounds"); do
        # shellcheck disable=SC2086
        if wants holdfast; then
            load_once $load_try "$seconds"
            keep "holdfast_batched_$2" Holdfast "$3, batches of ${load_try%% *}"
        fi
        # shellcheck disable=SC2086
        if wants redis; then
            redis_once always $redis_try
            keep "redis_always_$2_100" Redis "$3, always, 100 a call, pipelined"
            redis_mode=expiring
            redis_once always $redis_try
            redis_mode=lean
            keep "redis_always_$2_100_expiring" Redis "$3, always, 100 a call, deadlines indexed"
        fi
    done
    if wants redis; then
        redis_all always "$1" "$2" "$3"
        best_redis_100 everysec "$1"
        # shellcheck disable=SC2086
        redis_once everysec $best_try
        keep "redis_everysec_$2_100" Redis "$3, everysec, 100 a call, pipelined"
        redis_all everysec "$1" "$2" "$3"
    fi
}

measure_sold_out() {
    say "batches of what is sold out"
    skus=1 stock=1
    redis_mode=refusing redis_prepare=prepare-sold-out
    if wants holdfast; then
        best_load "1000 2 16" "4000 1 16" "4000 2 8" "8000 1 8" "8000 2 4"
        load_try=$best_try
    fi
    if wants redis; then
        best_redis_100 always 1
        redis_try=$best_try
    fi
    for _ in $(seq "$rounds"); do
        # shellcheck disable=SC2086
        if wants holdfast; then
            load_once $load_try "$seconds"
            keep holdfast_sold_out Holdfast "sold out, batches of ${load_try%% *}"
        fi
        # shellcheck disable=SC2086
        if wants redis; then
            redis_once always $redis_try
            keep redis_sold_out_100 Redis "sold out, only looked at, 100 a call, pipelined"
        fi
    done
    redis_mode=lean redis_prepare=prepare
}

measure_postgres() {
    wants postgres || return
    say "PostgreSQL"
    start_postgres
    postgres_best postgres_hot "one hot SKU, one order a call" \
        "1 1 1" "1 1 2" "1 1 4" "1 1 8" "1 1 16"
    postgres_best postgres_spread "10 000 SKUs, one order a call" \
        "10000 1 1" "10000 1 2" "10000 1 4" "10000 1 8" "10000 1 16"
    postgres_best postgres_hot_100 "one hot SKU, 100 a statement" \
        "1 100 1" "1 100 2" "1 100 4"
    postgres_best postgres_spread_100 "10 000 SKUs, 100 a statement" \
        "10000 100 1" "10000 100 2" "10000 100 4"
    stop_server INT
    remove "$work/postgres"
}

# versions: what was measured, a line each.
versions() {
    "$holdfast" --version | sed -n 1p
    ! wants redis || redis-server --version | sed 's/ sha=.*//'
    ! wants postgres || /usr/lib/postgresql/15/bin/postgres --version
    # shellcheck disable=SC2016  # dpkg-query's own variable
    dpkg-query -W -f 'nng ${Version}\n' libnng-dev 2>/dev/null
}

# The machine itself, before anything else takes part in it.
measure_machine() {
    brief=
    [ "$quick" = false ] || brief=--quick
    client_end=TERM # it ends what it has started
    # shellcheck disable=SC2086  # a word or none
    python3 -B "$root/bench/machine.py" --build "$build" --dir "$place" --json "$work/floor" \
        $brief >/dev/null &
    client_pid=$!
    wait "$client_pid" || fail "the machine could not be measured"
    client_pid= client_end=KILL
}

: >"$work/runs"
log_bytes=
measure_machine
measure_latency
measure_unbatched
measure_limits
if wants holdfast || wants redis; then
    measure_batched 1 hot "one hot SKU"
    measure_batched 10000 spread "10 000 SKUs"
fi
if wants holdfast || wants redis; then
    measure_sold_out
fi
measure_postgres

versions >"$work/versions"
mkdir -p "$(dirname "$json")"
python3 "$root/bench/peers/table.py" --runs "$work/runs" --versions "$work/versions" \
    --floor "$work/floor" --place "$place" --load "$load_average" --quick "$quick" --json "$json" || exit 1
python3 -B "$root/bench/machine.py" --show "$work/floor" || exit 1
say "the figures are in $json; against the last ones: python3 bench/compare.py $json"
