#!/bin/sh
# recovery.sh - how long an engine takes to come back, from its log and from a checkpoint. See --help;
# recovery.py does it.
#
# Exit status: 0: it ran, whatever the figures; 1: something failed; 2: wrong usage, or packages are
# missing and could not be installed.

. "$(dirname "$0")/measure.sh"

usage() {
    cat <<'END'
usage: sh bench/recovery.sh [--orders N[,N...]] [--json FILE] [--build DIR] [--dir DIR]

Installs and builds what is missing. For each number of live one-line orders: fills an engine, stops
it, starts it again on its log, then makes a checkpoint offline (holdfast wal checkpoint) and starts
it on that. Files are read from the disk, not from memory, where the page cache may be dropped (as
root). The disk's own speed is that of reading the same files one after another. Ends with a table
and one JSON file.

  --orders N    live orders, such as 1M,10M,50M (the default; 12 GB of disk, 6 GB of memory, some
                4 minutes)
  --quick       the same as --orders 1M
  --json FILE   where the figures go (default recovery.json in the build tree)
  --build DIR   build tree (default build)
  --dir DIR     where the engine keeps its log (default $TMPDIR or /var/tmp)
  --help        this
END
}

measure recovery.py "$@"
