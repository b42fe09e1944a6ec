#!/bin/sh
# run.sh - installs what is missing, builds, and runs every test. See --help.
#
# Exit status: ctest's (0: all passed); 1: the build failed; 2: wrong usage, or packages are
# missing and could not be installed.

set -u
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tests/lib/deps.sh"

usage() {
    cat <<'END'
usage: sh tests/run.sh [--asan | --tsan | --clang | --coverage] [--long] [-- CTEST-OPTION...]
       sh tests/run.sh --mutants [--lanes N] [NAME...]
       sh tests/run.sh --fuzz [--lanes N] [SECONDS] [TARGET...]
       sh tests/run.sh --tidy [FILE...]

Installs the Debian packages that are missing (as root, or through sudo), builds into build/
and runs every test.

  --asan   build with gcc and the address and undefined-behaviour sanitizers, into build-asan/
  --tsan   build with gcc and the thread sanitizer, into build-tsan/
  --clang  build with clang and -Werror, into build-clang/
  --coverage
           build with gcc's counters into build-coverage/, and print by folder what the tests ran
  --long   many more seeds and rounds in the randomized tests, whatever the time (HOLDFAST_LONG=1)
  --mutants
           plant each mutation of tests/mutants/ (or those called NAME, such as 'io-*') and run
           the test that must catch it: an hour or more, in N lanes (default: one a core)
  --fuzz   build with clang, libFuzzer and the sanitizers into build-fuzz/, and fuzz each target
           (or each TARGET) for SECONDS (default: 3600), in N lanes (default: 1)
  --tidy   check the sources of engine/ (or each FILE) with clang-tidy, as .clang-tidy says:
           some minutes
  --help   this

SEED=N in the environment makes the randomized tests run that seed alone; HOLDFAST_TEST_SECONDS=S
gives each of them S seconds (0: the fewest seeds).
What follows -- goes to ctest, such as -R unit.core to run only tests whose names match.
END
}

kind=release
long=
# Only what hangs meets it: several times what the longest test takes on a slow and busy machine.
timeout_s=900
while [ $# -gt 0 ]; do
    case $1 in
    --asan | --tsan | --clang | --coverage)
        if [ "$kind" != release ]; then
            echo "run.sh: only one of --asan, --tsan, --clang and --coverage at a time" >&2
            exit 2
        fi
        kind=${1#--}
        ;;
    --mutants | --fuzz | --tidy)
        if [ "$kind" != release ] || [ -n "$long" ]; then
            echo "run.sh: $1 goes with no other option: it has a build of its own" >&2
            exit 2
        fi
        kind=${1#--}
        shift
        break
        ;;
    --long)
        long=1
        export HOLDFAST_LONG=1
        timeout_s=14400
        ;;
    --help | -h)
        usage
        exit 0
        ;;
    --)
        shift
        break
        ;;
    *)
        echo "run.sh: unknown option $1" >&2
        usage >&2
        exit 2
        ;;
    esac
    shift
done

# What the tests need in addition to the build: spin checks the models, python3 drives whole
# processes, pkg-config builds against an installed library.
test_packages='python3 spin pkg-config'
case $kind in
clang | fuzz) test_packages="$test_packages clang" ;;
tidy) test_packages="$test_packages clang-tidy" ;;
esac
# The test of the format needs version 14 of clang-format, which Debian 13 does not have.
if grep -q '^VERSION_CODENAME=bookworm' /etc/os-release 2>/dev/null; then
    test_packages="$test_packages clang-format-14"
fi
# shellcheck disable=SC2086  # a list of words is meant
install_missing_packages $test_packages || exit

if [ "$kind" = mutants ]; then
    exec python3 -B "$root/tests/mutants/run.py" "$@"
elif [ "$kind" = fuzz ]; then
    exec sh "$root/tests/fuzz/run.sh" "$root" "$root/build-fuzz" "$@"
elif [ "$kind" = tidy ]; then
    exec sh "$root/tests/tidy.sh" "$root" "$root/build-tidy" "$@"
fi

# Sanitized programs run several times slower.
case $kind in
asan | tsan | coverage) [ $timeout_s -ge 3600 ] || timeout_s=3600 ;;
esac

build_dir=$root/build
runner=
case $kind in
release)
    build_release "$root" "$build_dir" -DHOLDFAST_TEST_TIMEOUT=$timeout_s || exit 1
    ;;
clang)
    build_dir=$root/build-clang
    build_release "$root" "$build_dir" -DHOLDFAST_TEST_TIMEOUT=$timeout_s -DHOLDFAST_WERROR=ON \
        -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ || exit 1
    say "clang: no warnings"
    ;;
asan)
    build_dir=$root/build-asan
    build_tree "$root" "$build_dir" -DHOLDFAST_TEST_TIMEOUT=$timeout_s \
        -DCMAKE_C_COMPILER=gcc -DCMAKE_CXX_COMPILER=g++ -DHOLDFAST_SANITIZE_ADDRESS=ON || exit 1
    ;;
coverage)
    build_dir=$root/build-coverage
    build_tree "$root" "$build_dir" -DHOLDFAST_TEST_TIMEOUT=$timeout_s \
        -DCMAKE_C_COMPILER=gcc -DCMAKE_CXX_COMPILER=g++ -DHOLDFAST_COVERAGE=ON || exit 1
    # Counts of an earlier run are not this one's.
    find "$build_dir" -name '*.gcda' -exec rm -f {} +
    ;;
tsan)
    build_dir=$root/build-tsan
    build_tree "$root" "$build_dir" -DHOLDFAST_TEST_TIMEOUT=$timeout_s \
        -DCMAKE_C_COMPILER=gcc -DCMAKE_CXX_COMPILER=g++ -DHOLDFAST_SANITIZE_THREAD=ON || exit 1
    # The thread sanitizer of gcc 12 stops with "unexpected memory mapping" where the kernel
    # randomizes addresses with more than 28 bits.
    if setarch "$(uname -m)" -R true 2>/dev/null; then
        runner="setarch $(uname -m) -R"
    fi
    ;;
esac

say "testing"
cd "$build_dir" || exit 1
$runner ctest --output-on-failure -j2 "$@"
status=$?
say "random tests, within their time budgets:"
awk '/^[0-9]+\/[0-9]+ Test(ing)?: / { name = $NF }
     /^ran [0-9]+ / && name !~ /budget|testlib/ { print "   " name ": " substr($0, 5) }' \
    Testing/Temporary/LastTest.log
if [ "$kind" = coverage ]; then
    say "what the tests ran, without engines that were killed:"
    python3 -B "$root/tests/coverage.py" "$root" "$build_dir" || exit
fi
exit $status
