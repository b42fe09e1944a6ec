#!/bin/sh
# layers.sh - holds the layer table (docs/architecture.md, Layers).
#
#   sh tests/layers.sh [ROOT]       checks the tree at ROOT (default: this one)
#   sh tests/layers.sh --self-test  checks that each rule is seen to be broken in a made-up tree
#
# Rules, for each C or C++ file under engine/, bench/, proto/ and include/:
#   - it includes only its own folder and the layers below; never another folder of its layer;
#   - <holdfast/status.h> may be included by all, <holdfast/client.h> by client, bench and cli;
#   - nng only in engine/rpc/nng.h and, to be measured bare, in bench/peers/;
#     protobuf-c only in engine/wire/codec*, liburing only in engine/io/; no include goes up with
#     "../";
#   - an include in quotes names a file of this tree.
# Files of C code must not call each other in a circle, but for those that allowed_circles() names
# (tests/structure.py finds them). And the top level holds only the entries that check_top_level
# names, and what .gitignore ignores.
#
# Needs a POSIX shell, find, awk and python3. Exit status: 0 all kept, 1 something broken, 2 usage.

set -u
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)

# check_includes ROOT: prints "file:line: what is wrong" for each include that breaks a rule.
check_includes() {
    (cd "$1" && for folder in engine bench proto include; do
        if [ -d "$folder" ]; then
            find "$folder" -type f \( -name '*.[ch]' -o -name '*.cc' -o -name '*.[ch]pp' \)
        fi
    done | sort) | awk -v root="$1" '
        BEGIN {
            split("base 0 io 1 core 1 wal 2 wire 2 rpc 2 client 3 checkpoint 3 history 4 " \
                  "server 5 feed 6 bench 6 cli 7", table, " ")
            for (i = 1; i in table; i += 2) layer[table[i]] = table[i + 1]
        }
        { files[++file_count] = $0; exists[$0] = 1 }
        END {
            for (i = 1; i <= file_count; i++) check_file(files[i])
        }

        # The module that a path belongs to: engine/<module>/..., bench, proto, include.
        function module_of(path,    parts) {
            split(path, parts, "/")
            return parts[1] == "engine" ? parts[2] : parts[1]
        }

        function wrong(path, line, why) { print path ":" line ": " why }

        function check_file(path,    line, text, quoted, name) {
            if (module_of(path) != "include" && module_of(path) != "proto" &&
                !(module_of(path) in layer)) {
                wrong(path, 1, "this folder is not in the layer table")
            }
            line = 0
            while ((getline text < (root "/" path)) > 0) {
                line++
                if (text !~ /^[ \t]*#[ \t]*include[ \t]*["<]/) continue
                quoted = text ~ /include[ \t]*"/
                name = text
                sub(/^[^"<]*["<]/, "", name)
                sub(/[">].*$/, "", name)
                check_include(path, line, name, quoted)
            }
            close(root "/" path)
        }

        function check_include(path, line, name, quoted,    from, to, target) {
            from = module_of(path)
            if (name ~ /(^|\/)\.\.\//) {
                wrong(path, line, name " goes up: name the folder")
                return
            }
            if (name ~ /^nng\//) {
                if (path != "engine/rpc/nng.h" && path !~ /^bench\/peers\//)
                    wrong(path, line, "nng belongs to engine/rpc/nng.h and bench/peers/")
                return
            }
            if (name ~ /^protobuf-c\// || name ~ /\.pb-c\.h$/) {
                if (path !~ /^engine\/wire\/codec(_layout)?\.[ch]$/)
                    wrong(path, line, "protobuf-c belongs to engine/wire/codec.c and codec_layout")
                return
            }
            if (name ~ /^liburing(\.h$|\/)/) {
                if (from != "io") wrong(path, line, "liburing belongs to engine/io alone")
                return
            }
            target = resolve(path, name)
            if (target == "") {
                if (quoted) wrong(path, line, name " is no file of this tree")
                return
            }
            to = module_of(target)
            if (to == from || target == "include/holdfast/status.h") return
            if (target == "include/holdfast/client.h") {
                if (from != "client" && from != "bench" && from != "cli")
                    wrong(path, line, "client.h is for client, bench, cli and tests")
                return
            }
            if (!(from in layer) || !(to in layer) || layer[to] >= layer[from])
                wrong(path, line, from " must not include " to " (" name ")")
        }

        # The file that an include means: beside the including one, or from an include root.
        function resolve(path, name,    beside) {
            beside = path
            sub(/[^\/]*$/, "", beside)
            if ((beside name) in exists) return beside name
            if (("engine/" name) in exists) return "engine/" name
            if (("include/" name) in exists) return "include/" name
            if (("bench/" name) in exists) return "bench/" name
            if (name in exists) return name
            return ""
        }'
}

# check_top_level ROOT: prints each entry of the top level that has no place there.
check_top_level() (
    cd "$1" || exit
    allowed='CMakeLists.txt engine proto include bench tests docs README.md LICENSE'
    ignored=
    if [ -f .gitignore ]; then
        ignored=$(sed -e 's/#.*//' -e 's,^/,,' -e 's,/*[[:space:]]*$,,' .gitignore)
    fi
    set -f # the patterns of .gitignore stay patterns
    ls | while read -r entry; do
        known=no
        for pattern in $allowed $ignored; do
            # shellcheck disable=SC2254  # a pattern is meant
            case $entry in $pattern) known=yes ;; esac
        done
        [ $known = yes ] || echo "$entry: has no place at the top level"
    done
)

# The circles of calls that are wanted, each with its reason: a line "file file ...: why".
allowed_circles() {
    cat <<'END'
engine/rpc/link engine/rpc/link_receive engine/rpc/link_send: one connection; a failed send or receive ends it
engine/wal/reader engine/wal/tail: where the log ends; the tail is judged by reading on
END
}

# check_circles ROOT: prints each circle that is not allowed, and each allowed one that is gone.
check_circles() {
    allowed_circles | python3 "$here/structure.py" --circles - "$1"
}

check_tree() {
    check_top_level "$1"
    check_includes "$1"
}

# ---- The self-test: a made-up tree that breaks each rule once ----

# put FILE LINE...: writes the lines to FILE in the made-up tree.
put() {
    mkdir -p "$(dirname "$tree/$1")"
    file=$tree/$1
    shift
    printf '%s\n' "$@" >"$file"
}

# An innocent tree that uses all that is allowed.
make_good_tree() {
    put include/holdfast/status.h '#include <stdint.h>'
    put include/holdfast/client.h '#include <holdfast/status.h>'
    put engine/base/bytes.h '#include <string.h>'
    put engine/base/bytes.c '#include "base/bytes.h"' '#include <holdfast/status.h>'
    put engine/io/storage.h '#include "base/bytes.h"'
    put engine/io/ring.c '#include <liburing.h>' '#include "io/storage.h"' '#include "storage.h"'
    put engine/core/stock.h '#include "base/bytes.h"'
    put engine/wal/wal.h '#include "core/stock.h"' '#include "io/storage.h"'
    put engine/checkpoint/checkpoint.h '#include "core/stock.h"' '#include "wal/wal.h"'
    put engine/history/check.h '#include "checkpoint/checkpoint.h"'
    put engine/feed/feed.h '#include "history/check.h"'
    put engine/wire/message.h '#include "base/bytes.h"'
    put engine/rpc/transport.h '#include "base/bytes.h"'
    put engine/rpc/nng.h '#include <nng/nng.h>'
    put engine/rpc/link.h '#include "rpc/nng.h"' '#include "base/bytes.h"'
    put engine/wire/codec.c '#include "holdfast.pb-c.h"' '#include <protobuf-c/protobuf-c.h>'
    put engine/client/client.c '#include <holdfast/client.h>' '#include "rpc/transport.h"'
    put engine/server/engine.h '#include "wal/wal.h"' '#include "rpc/transport.h"'
    put bench/load/load.h '#include <holdfast/client.h>' '#include "server/engine.h"'
    put bench/peers/nng.c '#include <nng/nng.h>' '#include "base/bytes.h"'
    put engine/cli/main.c '#include "load/load.h"' '#include "server/engine.h"' \
        '#include <holdfast/client.h>' '  #  include "base/bytes.h" // why'
    put CMakeLists.txt ''
    put .gitignore '/build*/' '/holdfast-data/'
    put build-asan/notes ''
    mkdir -p "$tree/proto" "$tree/tests" "$tree/docs"
}

# expect_broken FILE INCLUDE: with INCLUDE added to FILE, that line and no other is reported.
expect_broken() {
    saved=no
    [ -f "$tree/$1" ] && saved=yes && cp "$tree/$1" "$tree.saved"
    put "$1" "#include $2"
    found=$(check_tree "$tree")
    case $found in
    "$1:1: "*) checks=$((checks + 1)) ;;
    *)
        echo "self-test: $1 with #include $2: expected one finding, got: ${found:-none}"
        failures=$((failures + 1))
        ;;
    esac
    if [ "$(printf '%s\n' "$found" | wc -l)" -ne 1 ]; then
        echo "self-test: $1 with #include $2: more than one finding: $found"
        failures=$((failures + 1))
    fi
    rm "$tree/$1"
    [ $saved = no ] || mv "$tree.saved" "$tree/$1"
}

# Two files that call each other are seen, and not before they do.
expect_circle() {
    put engine/core/left.h 'int left_do(void);'
    put engine/core/right.h 'int right_do(void);'
    put engine/core/left.c '#include "core/right.h"' 'int left_do(void)' '{' '    return right_do();' '}'
    put engine/core/right.c '#include "core/left.h"' 'int right_do(void)' '{' '    return 1;' '}'
    before=$(python3 "$here/structure.py" --circles /dev/null "$tree")
    put engine/core/right.c '#include "core/left.h"' 'int right_do(void)' '{' '    return left_do();' '}'
    found=$(python3 "$here/structure.py" --circles /dev/null "$tree")
    case $before/$found in
    "/a circle that is not allowed: engine/core/left engine/core/right"*) checks=$((checks + 1)) ;;
    *)
        echo "self-test: a circle: expected nothing, then one finding, got: $before/$found"
        failures=$((failures + 1))
        ;;
    esac
    rm "$tree"/engine/core/left.[ch] "$tree"/engine/core/right.[ch]
}

self_test() {
    tree=$(mktemp -d "${TMPDIR:-/tmp}/holdfast-layers-XXXXXX") || exit 2
    trap 'rm -rf "$tree" "$tree.saved"' EXIT
    checks=0
    failures=0
    make_good_tree
    found=$(check_tree "$tree")
    if [ -n "$found" ]; then
        echo "self-test: the good tree is not clean: $found"
        failures=$((failures + 1))
    fi

    expect_broken engine/base/x.c '"core/stock.h"'            # upwards by one
    expect_broken engine/base/x.h '<io/storage.h>'            # angle brackets hide nothing
    expect_broken engine/core/x.c '"io/storage.h"'            # folders of one layer
    expect_broken engine/io/x.c '"core/stock.h"'
    expect_broken engine/wal/x.c '"rpc/transport.h"'
    expect_broken engine/rpc/x.c '"wal/wal.h"'
expect_broken engine/rpc/x.c '"wire/message.h"'          # wire stands beside rpc
expect_broken engine/wal/x.c '"checkpoint/checkpoint.h"'
expect_broken engine/checkpoint/x.c '"history/check.h"'
expect_broken engine/server/x.c '"feed/feed.h"'
    expect_broken engine/client/x.c '"server/engine.h"'
    expect_broken engine/core/x.c '"wal/wal.h"'
    expect_broken engine/server/x.c '"load/load.h"'           # bench is above the server
    expect_broken engine/rpc/x.c '<holdfast/client.h>'
    expect_broken engine/server/x.c '<holdfast/client.h>'
    expect_broken include/holdfast/x.h '"base/bytes.h"'       # the public API stands alone
    expect_broken proto/x.c '"base/bytes.h"'
    expect_broken engine/rpc/x.c '<nng/nng.h>'
    expect_broken bench/peers.cc '<nng/protocol/reqrep0/rep.h>'
    expect_broken engine/rpc/x.c '"holdfast.pb-c.h"'
    expect_broken engine/wire/message.h '"holdfast.pb-c.h"'
    expect_broken engine/server/x.c '<protobuf-c/protobuf-c.h>'
    expect_broken engine/wal/x.c '<liburing.h>'
    expect_broken engine/wal/x.c '"../io/storage.h"'
    expect_broken engine/wal/x.c '"wal/missing.h"'
    expect_broken engine/extra/x.c '<stdint.h>'               # a folder without a layer

    rm -rf "$tree/engine/extra"
    expect_circle

    : >"$tree/notes.txt"
    case $(check_tree "$tree") in
    "notes.txt: "*) checks=$((checks + 1)) ;;
    *)
        echo "self-test: a stray file at the top level was not seen"
        failures=$((failures + 1))
        ;;
    esac
    echo "layers: self-test: $checks broken rules seen, $failures failures"
    [ $failures -eq 0 ]
}

case ${1-} in
--self-test)
    self_test
    exit
    ;;
-*)
    echo "usage: sh tests/layers.sh [ROOT | --self-test]" >&2
    exit 2
    ;;
esac

root=${1:-$(cd "$(dirname "$0")/.." && pwd)}
if [ ! -d "$root/engine" ]; then
    echo "layers: $root holds no engine folder" >&2
    exit 2
fi
found=$(
    check_tree "$root"
    check_circles "$root"
)
if [ -n "$found" ]; then
    printf '%s\n' "$found"
    exit 1
fi
echo "layers: every include keeps to the layer table; no circle but those that are named here"
