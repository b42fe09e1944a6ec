#!/bin/sh
# micro.sh - builds and runs the micro-benchmarks. See --help.
#
# Exit status: 0: all that was asked for ran; 1: the build failed, a check in a benchmark failed, or
# the filter matches none; 2: wrong usage, or packages are missing and could not be installed.

set -u
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tests/lib/deps.sh"

usage() {
    cat <<'END'
usage: sh bench/micro.sh [--filter RE] [--large] [--repetitions N] [--out FILE] [--list]

Installs the Debian packages that are missing (as root, or through sudo), builds into build/, runs
the suites counters, orders, codec, record, log, commit, expiry, recovery, engine and scaling, and
writes all results as one JSON file.

  --filter RE      only benchmarks whose name matches, such as ^engine/ or live:1000000
  --large          order tables of 16 M and 64 M orders too: 6 GB of memory
  --repetitions N  run each N times; also gives mean, median, deviation (default 1)
  --out FILE       the JSON file (default build/micro.json)
  --list           names only
  --help           this

Files for commit, recovery and engine/durable go to a temporary directory under $TMPDIR, or /tmp: up
to 1 GB, on the disk that is to be measured. Times per order are the counters per_order (seconds in
JSON) and those that end in _ns.
END
}

# wrong TEXT: says what is wrong with the command line.
wrong() {
    echo "micro.sh: $1" >&2
    usage >&2
    exit 2
}

filter=.
out=$root/build/micro.json
repetitions=1
large=
list=
while [ $# -gt 0 ]; do
    case $1 in
    --filter | --out | --repetitions)
        [ $# -ge 2 ] || wrong "$1 needs a value"
        case $1 in
        --filter) filter=$2 ;;
        --out) out=$2 ;;
        --repetitions) repetitions=$2 ;;
        esac
        shift
        ;;
    --large) large=--large ;;
    --list) list=--benchmark_list_tests ;;
    --help | -h)
        usage
        exit 0
        ;;
    *) wrong "unknown option $1" ;;
    esac
    shift
done
case $repetitions in
'' | *[!0-9]* | 0) wrong "--repetitions: a number from 1 up" ;;
esac

# python3: the build configures the tests too.
install_missing_packages python3 || exit 2
build_release "$root" "$root/build" -DHOLDFAST_BENCH=ON || exit 1

say "measuring; the machine should have nothing else to do"
# shellcheck disable=SC2086  # no word, or one
"$root/build/bench/micro/holdfast_micro" $large $list "--benchmark_filter=$filter" \
    "--benchmark_repetitions=$repetitions" "--benchmark_out=$out" --benchmark_out_format=json || exit 1
[ -n "$list" ] || say "results: $out"
