#!/bin/sh
# latency.sh - what an answer takes: at half of the greatest rate, alone, while a million holds
# expire, and while the order table grows. See --help; latency.py does it.
#
# Exit status: 0: it ran, whatever the figures; 1: something failed, or the oracle of `holdfast
# load` found a broken promise; 2: wrong usage, or packages are missing and could not be installed.

. "$(dirname "$0")/measure.sh"

usage() {
    cat <<'END'
usage: sh bench/latency.sh [--quick] [--only PART]... [--json FILE] [--build DIR] [--dir DIR]

Installs and builds what is missing, then measures, on temporary directories and over loopback:
  half      for batches of 100, 250 and 1000: the greatest rate in closed loop, then open loop at
            half of it (latency from when a message was due)
  single    one order from one client, beside nng's round trip and a durable write of 4 KiB
  expiry    open loop at a quarter of the greatest rate, while a million holds come due in a second
  growth    the same, while an order table that had no memory ready grows by millions
Ends with one table, the targets of docs/benchmarks.md, and one JSON file. 5 minutes.

  --quick       shorter runs: 1 minute, and less exact
  --only PART   only these: half, single, expiry, growth; may be repeated
  --json FILE   where the figures go (default latency.json in the build tree)
  --build DIR   build tree (default build)
  --dir DIR     where the engine keeps its log: a disk, not a tmpfs (default $TMPDIR or /var/tmp)
  --help        this
END
}

measure latency.py "$@"
