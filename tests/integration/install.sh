#!/bin/sh
# install.sh - installs a build into a directory of its own and builds programs against it, as
# others would: with CMake's find_package and with pkg-config, shared and static.
#
# usage: install.sh BUILD_DIR
# Exit: 0 passed; 77 skipped (a sanitized build installs no library; no pkg-config); else failed.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: install.sh BUILD_DIR" >&2
    exit 2
fi
build=$1
work=$(mktemp -d "${TMPDIR:-/tmp}/holdfast-install-XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

if grep -Eq '^HOLDFAST_(SANITIZE_ADDRESS|SANITIZE_THREAD|FUZZ):BOOL=(ON|1|TRUE|YES)' \
    "$build/CMakeCache.txt"; then
    echo "install.sh: a sanitized build installs no library: skipped"
    exit 77
fi
command -v pkg-config >/dev/null || {
    echo "install.sh: no pkg-config: skipped"
    exit 77
}

cmake --install "$build" --prefix "$work/prefix" >"$work/install.log" 2>&1 ||
    { cat "$work/install.log" >&2; fail "cmake --install failed"; }
# The prefix may be moved: nothing in it may name where it was.
mv "$work/prefix" "$work/moved"
prefix=$work/moved
libdir=$(dirname "$(find "$prefix" -name libholdfast.a)")
[ -f "$prefix/include/holdfast/client.h" ] || fail "no client.h"
[ -x "$prefix/bin/holdfast" ] || fail "no holdfast binary"

# Nothing but hf_* is visible, and no public function is missing.
exported=$(nm -D --defined-only "$libdir/libholdfast.so" | awk '$2 ~ /[TDBRV]/ { print $3 }')
echo "$exported" | grep -v '^hf_' && fail "libholdfast.so shows names that are not hf_*"
for name in $(sed -n 's/^HF_API.*[ *]\(hf_[a-z_]*\)(.*/\1/p' "$prefix"/include/holdfast/*.h); do
    echo "$exported" | grep -qx "$name" || fail "libholdfast.so lacks $name"
done
nm --defined-only "$libdir/libholdfast.a" | awk '$2 ~ /[TDBR]/ { print $3 }' | grep -v '^hf_' &&
    fail "libholdfast.a shows names that are not hf_*"
readelf -d "$libdir/libholdfast.so" | grep -q 'SONAME.*libholdfast\.so\.0\]' || fail "wrong soname"

# A program that needs no engine: it gets as far as not reaching one.
cat >"$work/main.c" <<'EOF'
#include <holdfast/client.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    struct hf_options options = {.timeout_ms = 60000}; /* no path: refused at once */
    struct hf_client *client = NULL;
    char text[37];
    hf_id_to_text(hf_id_from_text("00112233445566778899aabbccddeeff"), text);
    if (strcmp(text, "00112233-4455-6677-8899-aabbccddeeff") != 0) {
        return 1;
    }
    if (hf_client_open(&client, "ipc:///nonexistent/holdfast.sock", &options) != HF_OK) {
        return 2;
    }
    struct hf_engine_status status;
    enum hf_status got = hf_get_status(client, &status);
    hf_client_close(client);
    puts(hf_status_name(got));
    return got == HF_UNREACHABLE ? 0 : 3;
}
EOF
cp "$work/main.c" "$work/main.cc"
cat >"$work/CMakeLists.txt" <<'EOF'
cmake_minimum_required(VERSION 3.25)
project(example LANGUAGES C CXX)
find_package(holdfast 0.1 REQUIRED)
add_executable(shared main.c)
target_link_libraries(shared PRIVATE holdfast::holdfast)
add_executable(static main.c)
target_link_libraries(static PRIVATE holdfast::holdfast-static)
add_executable(cplusplus main.cc)
target_link_libraries(cplusplus PRIVATE holdfast::holdfast)
EOF
{
    cmake -G Ninja -S "$work" -B "$work/build" -DCMAKE_PREFIX_PATH="$prefix" &&
        cmake --build "$work/build"
} >"$work/cmake.log" 2>&1 || { cat "$work/cmake.log" >&2; fail "find_package: does not build"; }
for program in shared static cplusplus; do
    "$work/build/$program" >/dev/null || fail "find_package: $program: status $?"
done

export PKG_CONFIG_PATH="$libdir/pkgconfig"
# The version is written down once, in CMakeLists.txt.
version=$(sed -n 's/^CMAKE_PROJECT_VERSION:STATIC=//p' "$build/CMakeCache.txt")
[ "$("$prefix/bin/holdfast" --version | head -n 1)" = "holdfast $version" ] || fail "--version is not $version"
[ "$(pkg-config --modversion holdfast)" = "$version" ] || fail "holdfast.pc is not $version"
[ -f "$libdir/libholdfast.so.$version" ] || fail "libholdfast.so is not $version"
grep -q "PACKAGE_VERSION \"$version\"" "$libdir/cmake/holdfast/holdfastConfigVersion.cmake" ||
    fail "holdfastConfigVersion.cmake is not $version"
# shellcheck disable=SC2046  # lists of words are meant
cc "$work/main.c" -o "$work/pc" $(pkg-config --cflags --libs holdfast) || fail "pkg-config: shared"
LD_LIBRARY_PATH=$libdir "$work/pc" >/dev/null || fail "pkg-config: shared: status $?"
# Of ours the static library, of others what the system has.
# shellcheck disable=SC2046
cc "$work/main.c" -o "$work/pcs" $(pkg-config --cflags holdfast) "$libdir/libholdfast.a" \
    $(pkg-config --static --libs holdfast | sed 's/-lholdfast//g') || fail "pkg-config: static"
"$work/pcs" >/dev/null || fail "pkg-config: static: status $?"
if readelf -d "$work/pcs" | grep -q libholdfast; then
    fail "the static program needs libholdfast.so"
fi
echo "install.sh: passed"
