"""How many rounds a random test runs: as many as fit into its seconds. The rule of budget.h, in Python.

    for number in Budget("kills", 2, 10, 60):
        kill(number)

At the end it prints a line such as "ran 5 kills in 10.3 s (floor 2)". Nothing that a test asserts may
depend on the number beyond the floor.
"""

import math
import os
import sys
import time


def is_long():
    return os.environ.get("HOLDFAST_LONG", "0")[:1] not in ("", "0")


def seconds_from_env(otherwise):
    text = os.environ.get("HOLDFAST_TEST_SECONDS") or str(otherwise)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < math.inf:
        print("HOLDFAST_TEST_SECONDS=%s is not a number of seconds" % text, file=sys.stderr)
        sys.exit(2)
    return seconds


class Budget:
    """Iterates over the rounds' numbers, from 0.

    floor: runs whatever the time. seconds: for the whole of it; HOLDFAST_TEST_SECONDS takes their
    place. many: exactly so many run when HOLDFAST_LONG is set. exactly: so many and no other."""

    def __init__(self, what, floor, seconds, many, exactly=None, clock=time.monotonic):
        self.what = what
        self.floor = self.most = many if is_long() else None
        if exactly is not None:
            self.floor = self.most = exactly
        if self.most is None:
            self.floor, self.most = floor, math.inf
        self.seconds = seconds_from_env(seconds)
        self.clock = clock
        self.done = 0

    def __iter__(self):
        begun = self.clock()
        while self.done < self.floor or (self.done < self.most
                                         and self.clock() - begun < self.seconds):
            yield self.done
            self.done += 1
        print("ran %d %s in %.1f s (floor %d)" % (self.done, self.what, self.clock() - begun, self.floor),
              flush=True)
