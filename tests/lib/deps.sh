# shellcheck shell=sh
# deps.sh - what the build needs on Debian 12 and 13, and how to build; sourced by tests/run.sh and
# bench/rush.sh, which set `root`, the source tree, before. POSIX sh; needs nothing beyond Debian's
# base system. Variables that start with deps_ are this file's own.
#
# The libraries' packages are not listed here: they stand beside each hf_find() in the CMake lists.

# say TEXT...: one line of progress.
say() {
    printf '== %s\n' "$*"
}

# missing_packages PACKAGE...: prints those that are not installed, separated by spaces.
missing_packages() {
    deps_missing=
    for deps_package in "$@"; do
        if ! dpkg-query -W -f '${Status}\n' "$deps_package" 2>/dev/null |
            grep -q '^install ok installed$'; then
            deps_missing="$deps_missing $deps_package"
        fi
    done
    printf '%s' "${deps_missing# }"
}

# need_packages PACKAGE...: installs those that are missing, as root or through sudo.
# Returns 0 when all are there; 2, having said what to do, when they can't be installed.
need_packages() {
    if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
        say "this is not a Debian; taking it that the equivalents of these are there: $*"
        return 0
    fi
    deps_missing=$(missing_packages "$@")
    if [ -z "$deps_missing" ]; then
        return 0
    fi
    if [ "$(id -u)" -eq 0 ]; then
        deps_as_root=
    elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        deps_as_root=sudo
    else
        echo "Debian packages are missing, and neither root nor sudo is at hand. Run as root:" >&2
        echo "    apt-get update && apt-get install --no-install-recommends $deps_missing" >&2
        return 2
    fi
    say "installing: $deps_missing"
    # Old lists may do; the installation tells.
    $deps_as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 update ||
        say "apt-get update failed; going on with the package lists that are there"
    # shellcheck disable=SC2086  # a list of words is meant
    if ! $deps_as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
        install --no-install-recommends $deps_missing; then
        echo "These Debian packages could not be installed: $deps_missing" >&2
        echo "Install them by hand, then run this again:" >&2
        echo "    apt-get update && apt-get install --no-install-recommends $deps_missing" >&2
        return 2
    fi
}

# library_packages: those that the CMake lists name in hf_find(target header library package).
library_packages() {
    # shellcheck disable=SC2154  # root is the sourcing script's
    sed -n 's/^ *hf_find(\([^ ]* \)\{3\}\([^ )]*\)).*/\2/p' \
        "$root/engine/Build.cmake" "$root/CMakeLists.txt" "$root"/engine/*/CMakeLists.txt \
        "$root"/bench/CMakeLists.txt "$root"/tests/CMakeLists.txt 2>/dev/null | sort -u
}

# install_missing_packages [PACKAGE...]: all that the build needs, and PACKAGE besides. Returns as
# need_packages does.
install_missing_packages() {
    # g++ is for the Google Benchmark suites; libc6-dev is only recommended by gcc. The tests'
    # client speaks with another protobuf than the engine's: Python's, with messages made by protoc.
    # shellcheck disable=SC2046  # a list of words is meant
    need_packages gcc g++ libc6-dev cmake ninja-build protobuf-c-compiler \
        protobuf-compiler python3-protobuf \
        $(library_packages) "$@"
}

# build_tree ROOT BUILD_DIR [cmake option...]: configures and builds, with all cores.
build_tree() {
    deps_tree=$1
    deps_build=$2
    shift 2
    say "configuring $deps_build"
    cmake -S "$deps_tree" -B "$deps_build" -G Ninja "$@" || return
    say "building $deps_build"
    cmake --build "$deps_build" --parallel "$(nproc)"
}

# build_release ROOT BUILD_DIR [cmake option...]: as build_tree, the way it is measured and shipped.
build_release() {
    deps_tree=$1
    deps_build=$2
    shift 2
    build_tree "$deps_tree" "$deps_build" -DCMAKE_BUILD_TYPE=Release "-DCMAKE_C_FLAGS_RELEASE=-O2" \
        "-DCMAKE_CXX_FLAGS_RELEASE=-O2" "$@"
}
