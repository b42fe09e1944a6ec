#!/bin/sh
# format.sh - checks that C and C++ files are formatted as .clang-format says.
#
#   sh tests/format.sh [--fix] [ROOT]   --fix formats them
#
# Versions of clang-format differ in small things, so only version 14 (Debian 12's) judges.
# Exit status: 0 all are formatted; 1 some are not; 77 (skipped): there is no clang-format 14.

set -u
fix=
if [ "${1-}" = --fix ]; then
    fix=1
    shift
fi
root=${1:-$(cd "$(dirname "$0")/.." && pwd)}
cd "$root" || exit 1

format=
for command in clang-format-14 clang-format; do
    if "$command" --version 2>/dev/null | grep -q 'version 14\.'; then
        format=$command
        break
    fi
done
if [ -z "$format" ]; then
    echo "format: skipped: clang-format 14 is not installed (Debian 12: apt-get install clang-format-14)"
    exit 77
fi

# list: the files' paths, one a line.
list() {
    find engine bench include tests -type f \( -name '*.c' -o -name '*.h' -o -name '*.cc' \) | sort
}

if [ -n "$fix" ]; then
    list | xargs "$format" -i
    exit
fi
list | xargs -P 2 -n 40 "$format" --dry-run --Werror >/dev/null 2>&1 && {
    echo "format: all files are formatted"
    exit 0
}
for file in $(list); do
    if ! "$format" --dry-run --Werror "$file" >/dev/null 2>&1; then
        echo "$file is not formatted: run sh tests/format.sh --fix"
    fi
done
exit 1
