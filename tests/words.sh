#!/bin/sh
# words.sh - refuses expressions that the house has given up: they must be read twice.
#
#   sh tests/words.sh [ROOT]       checks README.md, docs, include, proto and the engine's headers
#   sh tests/words.sh --self-test  checks that one is seen in a made-up tree
#
# docs/decisions and docs/CHANGELOG.md are left alone: they quote. A list of words makes no text good:
# docs/contributing.md says what does. Exit status: 0 none found; 1 some; 2 usage.

set -u
export LC_ALL=C.UTF-8

# One a line: an extended regular expression, a tab, what to write instead.
expressions() {
    printf '%s\t%s\n' \
        'givings? back' 'credits, credit' \
        '(gone|goes|went) on with' 'resumed, continues with' \
        'anew' 'again, from scratch, new' \
        'repl(y|ies) that lies?' 'unread replies' \
        'wears? away' 'unlinks gradually' \
        'told by (its|their)' 'described by' \
        'what is told' 'what is reported' \
        'likewise' 'the same' \
        'broken? off' 'interrupted'
}

check_tree() (
    cd "$1" || exit
    files=$(find README.md docs include proto engine -type f \
        \( -name '*.md' -o -name '*.h' -o -name '*.proto' \) 2>/dev/null |
        grep -v -e '^docs/decisions/' -e '^docs/CHANGELOG.md$' | sort)
    expressions | while IFS='	' read -r expression instead; do
        # shellcheck disable=SC2086  # a list of words is meant
        grep -nwE "$expression" $files /dev/null | sed "s|\$|   <- write: $instead|"
    done
)

if [ "${1-}" = --self-test ]; then
    tree=$(mktemp -d "${TMPDIR:-/tmp}/holdfast-words-XXXXXX") || exit 2
    trap 'rm -rf "$tree"' EXIT
    mkdir -p "$tree/docs/decisions" "$tree/engine/core"
    echo 'The log is read again.' >"$tree/docs/good.md"
    echo 'It is read anew.' >"$tree/docs/decisions/0001-quoted.md"
    before=$(check_tree "$tree")
    echo '/* The log is read anew. */' >"$tree/engine/core/x.h"
    found=$(check_tree "$tree")
    case $before/$found in
    "/engine/core/x.h:1:"*"write: again"*) echo "words: self-test: seen" ;;
    *)
        echo "words: self-test: expected nothing, then one finding, got: $before/$found"
        exit 1
        ;;
    esac
    exit
fi
root=${1:-$(cd "$(dirname "$0")/.." && pwd)}
found=$(check_tree "$root")
if [ -n "$found" ]; then
    printf '%s\n' "$found"
    exit 1
fi
echo "words: none of those that were given up"
