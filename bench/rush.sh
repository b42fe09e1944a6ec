#!/bin/sh
# rush.sh - one sale, start to end, with the engine killed in its middle. See --help.
#
# Exit status: 0: every promise was kept; 1: one was not, or something failed; 2: wrong usage, or
# packages are missing and could not be installed.

set -u
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tests/lib/deps.sh"

catalogue=$root/bench/data/catalogue-1111.csv
# Slow enough that the stock lasts some seconds, so that the kill comes in the middle; the engine
# itself would be done in less than one (docs/benchmarks.md has what it can do).
rate=${RUSH_RATE:-60000}

usage() {
    cat <<'END'
usage: sh bench/rush.sh [--keep]

Builds what is missing, starts an engine on an empty temporary directory, imports the catalogue of
an 11.11 sale, and lets buyers loose on it until the last unit is gone. When half is sold the
engine is killed with SIGKILL and started again. At the end everything that it acknowledged is
asked back: nothing may be oversold, undersold or lost.

  --keep   leave the engine running, and say how to reach and how to stop it
  --help   this

RUSH_RATE=N in the environment: orders per second (default 60000).
END
}

keep=
while [ $# -gt 0 ]; do
    case $1 in
    --keep) keep=yes ;;
    --help | -h)
        usage
        exit 0
        ;;
    *)
        echo "rush.sh: unknown option $1" >&2
        usage >&2
        exit 2
        ;;
    esac
    shift
done

# python3: the build configures the tests too.
install_missing_packages python3 || exit 2
build_release "$root" "$root/build" || exit 1
holdfast=$root/build/engine/cli/holdfast

work=$(mktemp -d "${TMPDIR:-/tmp}/holdfast-rush.XXXXXX") || exit 1
engine_pid=
load_pid=
tail_pid=
beside_pid=
machine_pid=

# Ends what this script has started, and nothing else.
clean_up() {
    trap - EXIT INT TERM HUP
    if [ -n "$machine_pid" ]; then
        kill -TERM "$machine_pid" 2>/dev/null # it ends what it has started
        wait "$machine_pid" 2>/dev/null
    fi
    for pid in $tail_pid $load_pid $beside_pid $engine_pid; do
        kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'clean_up; exit 130' INT
trap 'clean_up; exit 143' TERM HUP

fail() {
    printf 'rush.sh: %s\n' "$*" >&2
    if [ -s "$work/engine.log" ]; then
        echo "The engine's last words:" >&2
        tail -n 20 "$work/engine.log" >&2
    fi
    exit 1
}

now_ms() {
    echo $(($(date +%s%N) / 1000000))
}

# start_engine URL: starts it and waits until it takes orders; sets engine_pid and url.
start_engine() {
    : >"$work/engine.out"
    "$holdfast" serve --data "$work/data" --listen "$1" \
        >"$work/engine.out" 2>>"$work/engine.log" &
    engine_pid=$!
    while ! grep -q '^ready' "$work/engine.out"; do
        kill -0 "$engine_pid" 2>/dev/null || fail "the engine did not start"
        sleep 0.01
    done
    url=$(sed -n 's/^listening on \(tcp:[^ ]*\).*/\1/p' "$work/engine.out" | head -n 1)
    [ -n "$url" ] || fail "the engine does not say where it listens"
}

# orders_known: how many orders the engine has taken so far; 0 when it does not answer.
orders_known() {
    known=$("$holdfast" status --url "$url" --json 2>/dev/null |
        sed -n 's/.*"orders_known": *\([0-9]*\).*/\1/p')
    echo "${known:-0}"
}

# number NAME FILE: of a JSON object.
number() {
    sed -n "s/.*\"$1\":\([-0-9.]*\).*/\1/p" "$2"
}

# result NAME: a number of the load generator's.
result() {
    number "$1" "$work/load.json"
}

# grouped NUMBER: with a space before each three digits, as the load generator prints them.
grouped() {
    echo "$1" | sed -e :more -e 's/^\([0-9]*[0-9]\)\([0-9]\{3\}\)/\1 \2/' -e 't more'
}

# as_ms MICROSECONDS: as milliseconds, whole ones from 10 on.
as_ms() {
    awk -v us="${1:-0}" 'BEGIN { printf us < 10000 ? "%.2f ms" : "%.0f ms", us / 1000 }'
}

# in_ms NAME: microseconds of the result as milliseconds.
in_ms() {
    as_ms "$(result "$1")"
}

# in_stock NAME: the sum of a column over all items.
in_stock() {
    "$holdfast" stock list --url "$url" --json |
        awk -v key="\"$1\":" '{ at = index($0, key); if (at) sum += substr($0, at + length(key)) + 0 }
             END { printf "%d", sum }'
}

say "starting an engine on an empty directory"
start_engine tcp://127.0.0.1:0
say "it listens on $url"
"$holdfast" stock import --url "$url" "$catalogue" || fail "the catalogue could not be imported"

stocked=$(in_stock stocked)
presale=$(in_stock presale_cap)
safety=$(in_stock safety)

say "the sale begins: $(grouped "$rate") orders a second, 64 a message, some products wanted by everybody"
: >"$work/load.log"
tail -n +1 -f "$work/load.log" >&2 &
tail_pid=$!
"$holdfast" load --url "$url" --existing --until-sold-out --batch 64 --in-flight 32 \
    --connections 2 --rate "$rate" --zipf 0.8 --qty-max 2 --mix 100,60,10 --progress --json \
    >"$work/load.json" 2>"$work/load.log" &
load_pid=$!
"$root/build/bench/machine/holdfast_machine" hiccups --seconds 600 >"$work/hiccups" &
beside_pid=$!

# Half of the orders that the stock is good for: 1 or 2 units each.
units=
while [ -z "$units" ]; do
    kill -0 "$load_pid" 2>/dev/null || fail "the load generator ended"
    units=$(sed -n 's/^.* items, \([0-9]*\) units free$/\1/p' "$work/load.log")
    sleep 0.02
done
say "$(grouped "$units") units are for sale: $(grouped "$stocked") in stock, and" \
    "$(grouped "$presale") more on presale, less $(grouped "$safety") kept back for safety"
half=$((units / 3))
while [ "$(orders_known)" -lt "$half" ]; do
    kill -0 "$load_pid" 2>/dev/null || fail "the sale was over before it could be disturbed"
    sleep 0.05
done

known=$(orders_known)
say "$(grouped "$known") orders are in: killing the engine with SIGKILL"
kill -KILL "$engine_pid"
wait "$engine_pid" 2>/dev/null
killed_ms=$(now_ms)
say "starting it again"
start_engine "$url"
recovery_ms=$(($(now_ms) - killed_ms))
recovery=$(as_ms $((recovery_ms * 1000)))
say "it takes orders again after $recovery"

say "the sale continues until nothing is left, then every order is asked back"
wait "$load_pid"
load_status=$?
load_pid=
kill -TERM "$beside_pid"
wait "$beside_pid"
beside_pid=
kill "$tail_pid"
wait "$tail_pid" 2>/dev/null
tail_pid=
[ -s "$work/load.json" ] || fail "the load generator has no result (exit status $load_status)"

echo
printf '%-13s%10s in %.1f s: %s/s, kill and restart included\n' 'orders' \
    "$(grouped "$(result orders)")" "$(result elapsed_s)" \
    "$(grouped "$(result orders_per_s | cut -d. -f1)")"
printf '%-13s%10s of %s, each product asked for until it was refused\n' 'units sold' \
    "$(grouped $(($(result units_sold) + $(result units_held))))" "$(grouped "$units")"
printf '%-13s%10s orders\n' 'sold out' "$(grouped "$(result sold_out)")"
printf '%-13s p50 %s, p99 %s, p99.9 %s, max %s\n' 'latency' \
    "$(in_ms p50_us)" "$(in_ms p99_us)" "$(in_ms p999_us)" "$(in_ms max_us)"
echo '              from when an order was due, the time without an engine included'
printf '%-13s p50 %s, p99 %s, p99.9 %s, max %s\n' 'hiccups' \
    "$(as_ms "$(number p50_us "$work/hiccups")")" "$(as_ms "$(number p99_us "$work/hiccups")")" \
    "$(as_ms "$(number p999_us "$work/hiccups")")" "$(as_ms "$(number max_us "$work/hiccups")")"
echo '              how late a thread woke that slept 1 ms at a time, during all of that'
printf '%-13s%10s, ready again after %s, %s without an answer\n' 'kills' 1 "$recovery" \
    "$(in_ms stall_us)"
printf '%-13s%10s of %s acknowledged orders, one by one; all items by their sums\n' 'asked back' \
    "$(grouped "$(result asked_back)")" "$(grouped "$(result acknowledged)")"
kept=yes
for promise in oversold undersold lost duplicated; do
    count=$(result "$promise")
    printf '%-13s%10s\n' "$promise" "${count:-?}"
    [ "${count:-1}" = 0 ] || kept=
done
note=$(sed -n 's/.*"note":"\([^"]*\)".*/\1/p' "$work/load.json")
[ -z "$note" ] || echo "note: $note"

echo
say "the machine itself, and nng's bare echo at the rate of the sale"
python3 -B "$root/bench/machine.py" --build "$root/build" --dir "$(dirname "$work")" \
    --json "$work/machine.json" --quick --rate "$rate" --batch 64 2>"$work/machine.log" &
machine_pid=$!
# That its directory is no disk is no fault of the sale.
wait "$machine_pid" || tail -n 3 "$work/machine.log"
machine_pid=

if [ -n "$keep" ]; then
    trap - EXIT INT TERM HUP
    echo
    say "the engine keeps running, process $engine_pid, data and log in $work"
    sed -n 's/^listening on /    /p' "$work/engine.out"
    echo "look:  $holdfast status --url $url"
    echo "stop:  kill $engine_pid && rm -r $work"
fi
if [ -z "$kept" ] || [ "$load_status" -ne 0 ]; then
    echo "rush.sh: a promise was not kept (the load generator's exit status is $load_status)" >&2
    exit 1
fi
