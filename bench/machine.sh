#!/bin/sh
# machine.sh - what the machine itself does to whoever runs on it: hiccups, durable writes, nng's echo,
# misses of memory. See --help; machine.py does it.
#
# Exit status: 0: it ran, whatever the figures; 1: something failed; 2: wrong usage, or packages are
# missing and could not be installed.

. "$(dirname "$0")/measure.sh"

usage() {
    cat <<'END'
usage: sh bench/machine.sh [--quick] [--rate R [--batch N]] [--json FILE] [--build DIR] [--dir DIR]

Installs and builds what is missing, then measures, without an engine, what no engine on this machine
can beat: how late a thread wakes that sleeps a millisecond (idle, and beside a spinning thread for
each core), a durable write of 4 KiB, nng's echo, and an access to memory that misses the caches,
alone and with eight in flight. The other scripts print the same beside their latencies. 15 seconds.

  --rate R      also nng's echo at the rate and size of R orders a second
  --batch N     in messages of N orders (default 100)
  --quick       4 seconds, and less exact
  --json FILE   where the figures go (default machine.json in the build tree)
  --show FILE   only print the table of such a file
  --build DIR   build tree (default build)
  --dir DIR     a directory on the disk to be measured, not a tmpfs (default $TMPDIR or /var/tmp)
  --help        this
END
}

measure machine.py "$@"
