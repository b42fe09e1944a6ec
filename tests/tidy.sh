#!/bin/sh
# tidy.sh - checks sources with clang-tidy, as .clang-tidy says. Called by sh tests/run.sh --tidy.
#
# usage: tidy.sh ROOT BUILD [FILE...]     FILE: a path below ROOT; without any, all of engine/
#
# Exit status: 0: nothing was found; 1: something was, or the build could not be configured.

set -u
root=$1
build=$2
shift 2
cd "$root" || exit 1
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release >/dev/null &&
    cmake --build "$build" --target hf_proto >/dev/null || exit 1
[ $# -gt 0 ] || set -- $(find engine -name '*.c' | sort)
echo "== clang-tidy: $# files"
printf '%s\n' "$@" | xargs -P "$(nproc)" -n 4 clang-tidy -p "$build" --quiet --warnings-as-errors='*' \
    2>/dev/null
status=$?
[ $status -eq 0 ] && echo "== clang-tidy: nothing found"
[ $status -eq 0 ]
