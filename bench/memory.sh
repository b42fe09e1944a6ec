#!/bin/sh
# memory.sh - resident bytes of what an engine remembers: orders, lines, items, limited buyers. See
# --help; memory.py does it.
#
# Exit status: 0: it ran, whatever the figures; 1: something failed; 2: wrong usage, or packages are
# missing and could not be installed.

. "$(dirname "$0")/measure.sh"

usage() {
    cat <<'END'
usage: sh bench/memory.sh [--orders N] [--json FILE] [--build DIR] [--dir DIR]

Installs and builds what is missing, then fills engines that took no memory for orders at start, and
reads their resident memory (VmRSS) before and after: one-line orders up to N, orders of 2 and 5
lines, buyers of a SKU with a limit, SKUs, items, items that are defined hot. Ends with a table of
bytes for each, one of what a million, 10 and 64 millions need, and one JSON file.

  --orders N    live one-line orders (default 64M; such as 1M or 250K). 64M: 6 GB of memory, 4 GB of
                disk for the log, which is removed afterwards; 2 minutes
  --quick       the same as --orders 1M
  --json FILE   where the figures go (default memory.json in the build tree)
  --build DIR   build tree (default build)
  --dir DIR     where the engine keeps its log (default $TMPDIR or /var/tmp)
  --help        this
END
}

measure memory.py "$@"
