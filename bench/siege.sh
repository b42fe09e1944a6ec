#!/bin/sh
# siege.sh - the engine under attack and under loads beyond its strength, and what well-behaved
# clients see beside them. See --help; siege.py does it.
#
# Exit status: 0: it ran, whatever the figures; 1: something failed, or more was sold than there was;
# 2: wrong usage, or packages are missing and could not be installed.

. "$(dirname "$0")/measure.sh"

usage() {
    cat <<'END'
usage: sh bench/siege.sh [--quick] [--only ROW]... [--json FILE] [--build DIR] [--dir DIR]

Installs and builds what is missing, then attacks engines on temporary directories, over loopback.
Meanwhile well-behaved neighbours send 400 orders a second, one a message, over 4 connections, and
20 newcomers a second connect, ask for the status and leave. Rows:
  never-read-16, never-read-64   ask for lists of 3000 items and never read an answer
  read-slowly       the same, and read a byte a second
  announce          4096 connections announce 60 MiB each and send 212 bytes
  send-long         48 connections send messages of 64 MiB
  limit             as many idle connections as the engine accepts
  idle              10 000 idle connections
  half-greet        connections that send a part of the greeting
  protocols         other protocols, and broken messages
  storm             5000 connections a second, each for one request
  greedy            one connection sends batches as fast as it can, beside 255 that send single orders
  overload-small    10 times the greatest rate, one order a message, 256 connections
  overload-large    the same with batches of 250
  slow-disk         each durable write takes 300 ms; 64 connections x 100 messages under way
Ends with one table, the machine's own figures (bench/machine.sh), and one JSON file. 8 minutes.

  --quick       shorter: 3 minutes, and less exact
  --only ROW    only these; may be repeated
  --json FILE   where the figures go (default siege.json in the build tree)
  --build DIR   build tree (default build)
  --dir DIR     where the engine keeps its log: a disk, not a tmpfs (default $TMPDIR or /var/tmp)
  --help        this
END
}

measure siege.py "$@"
