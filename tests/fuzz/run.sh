#!/bin/sh
# run.sh - fuzzes each target for a while with libFuzzer, and prints what came of it. Called by
# sh tests/run.sh --fuzz; see tests/run.sh --help.
#
# usage: run.sh ROOT BUILD [--lanes N] [SECONDS] [TARGET...]
#
# Inputs that reach something of their own are kept, from one run to the next, in
# $HOLDFAST_FUZZ_CACHE/TARGET (default: BUILD/corpus), made as few as reach as much (-merge=1) before
# each target's turn. What fails is kept as a file in BUILD/crashes/TARGET: the command that runs it
# again is printed. Exit status: 0: nothing failed; 1: something did; 2: wrong usage.

set -u
root=$1
build=$2
shift 2
. "$root/tests/lib/deps.sh"
seconds=3600
lanes=1
targets=
while [ $# -gt 0 ]; do
    case $1 in
    --lanes)
        lanes=${2:-}
        [ $# -gt 1 ] && shift
        ;;
    [0-9]*) seconds=$1 ;;
    *) targets="$targets $1" ;;
    esac
    shift
done
case $seconds$lanes in
'' | *[!0-9]*)
    echo "run.sh: --lanes and the seconds are whole numbers" >&2
    exit 2
    ;;
esac
for target in $targets; do
    case $target in
    fuzz_* | *[!a-z]*) known=no ;;
    *) [ -f "$root/tests/fuzz/$target.c" ] && known=yes || known=no ;;
    esac
    if [ $known = no ]; then
        echo "run.sh: there is no target $target: each is a tests/fuzz/TARGET.c without fuzz_" >&2
        exit 2
    fi
done
say "building $build"
cmake -S "$root" -B "$build" -G Ninja -DHOLDFAST_FUZZ=ON -DCMAKE_C_COMPILER=clang \
    -DCMAKE_CXX_COMPILER=clang++ >/dev/null &&
    cmake --build "$build" --parallel "$(nproc)" --target fuzzers || exit 1
if [ -z "$targets" ]; then
    for program in "$build"/tests/fuzz/libfuzzer_*; do
        targets="$targets ${program##*/libfuzzer_}"
    done
fi
cache=${HOLDFAST_FUZZ_CACHE:-$build/corpus}
results=$build/fuzz-results
mkdir -p "$cache" "$build/crashes" "$results" || exit 2
rm -f "$results"/*

# One target: a corpus that is as small as it can be, then so many seconds of it.
fuzz_one() {
    name=$1
    program=$build/tests/fuzz/libfuzzer_$name
    corpus=$cache/$name
    crashes=$build/crashes/$name
    log=$results/$name.log
    mkdir -p "$corpus" "$corpus.new" "$crashes"
    "$build/tests/fuzz/fuzz_$name" --corpus "$corpus.new" >"$log" 2>&1
    # What is there and fails stops nobody: it is left out, and reported by the run that found it.
    merged=$corpus.merged
    rm -rf "$merged"
    mkdir -p "$merged"
    "$program" -merge=1 -max_len=16384 -rss_limit_mb=2048 -artifact_prefix="$crashes/" \
        "$merged" "$corpus" "$corpus.new" \
        >>"$log" 2>&1 && rm -rf "$corpus" && mv "$merged" "$corpus"
    rm -rf "$merged" "$corpus.new"
    before=$(find "$crashes" -type f | wc -l)
    # A failure ends a run: the next one takes the time that is left, so the hour is used whatever is
    # found in it; but not without end.
    runs=0
    edges=0
    tries=0
    until=$(($(date +%s) + seconds))
    while left=$((until - $(date +%s))) && [ "$left" -gt 0 ] && [ "$tries" -lt 20 ]; do
        tries=$((tries + 1))
        "$program" -timeout=60 -rss_limit_mb=2048 -max_len=16384 -max_total_time="$left" \
            -print_final_stats=1 -artifact_prefix="$crashes/" "$corpus" >"$log.part" 2>&1
        ended=$?
        more=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log.part" | tail -1)
        runs=$((runs + ${more:-0}))
        edges=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log.part" | tail -1)
        tail -n 200 "$log.part" >>"$log"
        [ "$ended" -eq 0 ] && break
    done
    rm -f "$log.part"
    files=$(find "$corpus" -type f | wc -l)
    found=$(($(find "$crashes" -type f | wc -l) - before))
    printf '%-12s %12s %8s %8s %8s\n' "$name" "$runs" "${edges:--}" "$files" "$found" \
        >"$results/$name.row"
    cat "$results/$name.row"
}

# Each lane takes every so-manieth target.
run_lane() {
    at=0
    for target in $targets; do
        [ $((at % lanes)) -eq "$1" ] && fuzz_one "$target"
        at=$((at + 1))
    done
}

say "fuzzing$targets, ${seconds} s each, in $lanes lanes"
lane=0
while [ "$lane" -lt "$lanes" ]; do
    run_lane "$lane" &
    lane=$((lane + 1))
done
wait

echo
printf '%-12s %12s %8s %8s %8s\n' target executions edges corpus crashes
cat "$results"/*.row
status=0
for file in "$build"/crashes/*/*; do
    [ -f "$file" ] || continue
    name=$(basename "$(dirname "$file")")
    echo "failed: build/tests/fuzz/fuzz_$name $file"
    status=1
done
exit $status
