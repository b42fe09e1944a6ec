#!/bin/sh
# soak.sh - hundreds of millions of orders through a small data directory, and what checkpoints cost
# while they are made. See --help; soak.py does it.
#
# Exit status: 0: it ran, and memory and disk levelled off; 1: they did not, something failed, or the
# oracle of `holdfast load` found a broken promise; 2: wrong usage, or packages are missing and could
# not be installed.

. "$(dirname "$0")/measure.sh"

usage() {
    cat <<'END'
usage: sh bench/soak.sh [--orders N] [--live N] [--checkpoint-cost] [--wal-bytes-max BYTES]
                        [--json FILE] [--build DIR] [--dir DIR]

Installs and builds what is missing, then sends orders in closed loop, in batches of 250, to an engine
with a short retain-ended and a small wal-bytes-max: 60 % of the orders are committed, 40 % released,
and soon after forgotten. Prints a line every few seconds: orders so far, orders/s, the p99.9 of the
reserves, the engine's resident memory, bytes of the data directory, of log alone, and checkpoints made.
Asks back what must still be known, and says whether memory and disk levelled off.

  --orders N         how many (default 200M; 1000, 250K and 64M are numbers)
  --live N           about how many the engine remembers at once (default 8M): retain-ended follows
                     from it and from the rate that a first short run reaches
  --checkpoint-cost  instead: what a checkpoint under way costs while the log may grow. Closed loop
                     for the throughput, then open loop at half of it for the latency; windows of a
                     second with and without a checkpoint being made are counted apart; the engine
                     forgets orders in both. Some 3 minutes
  --wal-bytes-max B  the engine's (default 1G). For --checkpoint-cost 24G, and half of it at half the
                     rate: from a quarter of it on checkpoints are made, from half of it on they
                     take more and more, in the end what they take without --checkpoint-cost
  --quick            --orders 20M, or shorter windows' runs
  --json FILE        where the figures go (default soak.json in the build tree)
  --build DIR        build tree (default build)
  --dir DIR          where the engine keeps its log: a disk, not a tmpfs (default $TMPDIR or /var/tmp)
  --help             this
END
}

measure soak.py "$@"
