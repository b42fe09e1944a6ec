#!/usr/bin/env python3
"""settle.py DIRECTORY - waits until the disk below it has nothing to do any more.

Removed files still cost time afterwards: a file system mounted with `discard` reports their blocks
to the disk some seconds later, and a gigabyte of it holds up the writes of whoever runs next. So what
measures removes what it made, and then waits here."""

import os
import sys
import time

QUIET_S = 0.3
LONGEST_S = 10
IN_FLIGHT, DISCARDS = 8, 11  # columns of a block device's stat file


def device_state(directory):
    """What must stand still; None where the system does not tell."""
    number = os.stat(directory).st_dev
    path = "/sys/dev/block/%d:%d/stat" % (os.major(number), os.minor(number))
    try:
        with open(path, encoding="ascii") as file:
            columns = [int(word) for word in file.read().split()]
    except OSError:
        return None
    return (columns[DISCARDS] if len(columns) > DISCARDS else 0, columns[IN_FLIGHT] == 0)


def settle(directory):
    os.sync()
    end = time.monotonic() + LONGEST_S
    before = device_state(directory)
    while before and time.monotonic() < end:
        time.sleep(QUIET_S)
        now = device_state(directory)
        if now == before and now[1]:
            break
        before = now


if __name__ == "__main__":
    settle(sys.argv[1])
