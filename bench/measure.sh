# shellcheck shell=sh
# measure.sh - what the measuring scripts beside it have in common; sourced by latency.sh, memory.sh
# and scaling.sh, which define usage. POSIX sh.

set -u
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=../tests/lib/deps.sh
. "$root/tests/lib/deps.sh"

# measure SCRIPT ARGUMENT...: installs and builds what is missing, then becomes the Python script of
# that name. Progress goes to stderr: stdout is for the table.
measure() {
    measure_script=$root/bench/$1
    shift
    for measure_argument in "$@"; do
        case $measure_argument in
        --help | -h)
            usage
            exit 0
            ;;
        esac
    done
    install_missing_packages python3 >&2 || exit 2
    # The script reads its options: what is wrong with them is said before anything is built.
    if ! measure_build=$(python3 -B "$measure_script" --where "$@"); then
        usage >&2
        exit 2
    fi
    build_release "$root" "$measure_build" -DHOLDFAST_BENCH=ON >&2 || exit 1
    exec python3 -B "$measure_script" "$@"
}
