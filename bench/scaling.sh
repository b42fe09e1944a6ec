#!/bin/sh
# scaling.sh - what a second core gives, which parts are shared, and what more cores would give by
# the Universal Scalability Law. See --help; scaling.py does it.
#
# Exit status: 0: it ran, whatever the figures; 1: something failed; 2: wrong usage, or packages are
# missing and could not be installed.

. "$(dirname "$0")/measure.sh"

usage() {
    cat <<'END'
usage: sh bench/scaling.sh [--quick] [--repetitions N] [--json FILE] [--build DIR]

Installs and builds what is missing, then runs the micro-benchmarks of what threads share, with one
thread and with two: the whole way of an order in memory (decide, append, publish, with the log's
writer on a log that keeps nothing), stock counters, order table, deadlines, append, a bare lock.
From one and two threads and the serial parts, measured apart, it computes the two parameters of the
Universal Scalability Law, and what the law says for 4, 16 and 64 cores. That is extrapolation from
two points: the table says how far to trust it. 2 minutes, 2 idle cores.

  --quick          3 repetitions: less than a minute, and less exact
  --repetitions N  of each benchmark (default 9)
  --json FILE      where the figures go (default scaling.json in the build tree)
  --build DIR      build tree (default build)
  --help           this
END
}

measure scaling.py "$@"
