#!/bin/sh
# check.sh - searches a spin model exhaustively, every interleaving.
#
#   check.sh holds|breaks|deadlocks MODEL [-DNAME[=VALUE]]...
#
# holds: passes when there is no error; breaks: passes when an assertion fails, which shows that
# the model can see the fault; deadlocks: likewise, when threads wait for each other. Exit 77
# (skipped) without spin or a C compiler.
set -eu

usage() {
    echo "usage: check.sh holds|breaks|deadlocks MODEL [-DNAME[=VALUE]]..." >&2
    exit 2
}

[ $# -ge 2 ] || usage
expected=$1
model=$2
shift 2

compiler=${CC:-cc}
for tool in spin "$compiler"; do
    if ! command -v "$tool" >/dev/null; then
        echo "skipped: $tool is not installed"
        exit 77
    fi
done

model=$(realpath "$model")
work=$(mktemp -d "${TMPDIR:-/tmp}/holdfast-model.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work"

spin -a "$@" "$model"
# SAFETY: assertions and deadlocks; COLLAPSE: states take a third of the memory.
"$compiler" -O2 -w -DSAFETY -DCOLLAPSE -DVECTORSZ=2048 -o pan pan.c
./pan -m100000 >result 2>&1 || true
cat result

if grep -q -e 'max search depth too small' -e 'out of memory' -e 'Search not completed' result &&
    [ "$expected" = holds ]; then
    echo "FAILED: the search did not end"
    exit 1
fi
case $expected in
holds)
    grep -q 'errors: 0$' result || { echo "FAILED: spin found an error"; exit 1; }
    ;;
breaks)
    grep -q 'assertion violated' result || { echo "FAILED: spin found nothing"; exit 1; }
    ;;
deadlocks)
    grep -q '^pan.*invalid end state' result || { echo "FAILED: spin found no deadlock"; exit 1; }
    ;;
*)
    usage
    ;;
esac
