#!/bin/sh
# latency.sh - what an answer takes: from a tenth to half of the greatest rate, alone, while a million
# holds expire, and while the order table grows; beside what the machine itself takes. See --help; latency.py does it.
#
# Exit status: 0: it ran, whatever the figures; 1: something failed, or the oracle of `holdfast
# load` found a broken promise; 2: wrong usage, or packages are missing and could not be installed.

. "$(dirname "$0")/measure.sh"

usage() {
    cat <<'END'
usage: sh bench/latency.sh [--quick] [--only PART]... [--json FILE] [--build DIR] [--dir DIR]

Installs and builds what is missing, then measures, on temporary directories and over loopback:
  rates     for batches of 100, 250 and 1000: the greatest rate in closed loop, then open loop at a
            tenth, a quarter and half of it (latency from when a message was due)
  single    one order from one client, beside nng's round trip and a durable write of 4 KiB
  expiry    open loop at a quarter of the greatest rate, while a million holds come due in a second,
            and without that
  growth    the same, while an order table that had no memory ready grows by millions, and ready
  always    what bench/machine.sh measures; and beside each run hiccups and the CPU of the engine
Ends with one table, the targets of docs/benchmarks.md, and one JSON file. 10 minutes.

  --quick       shorter runs: 2 minutes, and less exact
  --only PART   only these: rates, single, expiry, growth; may be repeated
  --json FILE   where the figures go (default latency.json in the build tree)
  --build DIR   build tree (default build)
  --dir DIR     where the engine keeps its log: a disk, not a tmpfs (default $TMPDIR or /var/tmp)
  --help        this
END
}

measure latency.py "$@"
