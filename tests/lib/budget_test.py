"""Tests of budget.py: floors, seconds, the long run."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from budget import Budget  # noqa: E402

NAMES = ("SEED", "HOLDFAST_LONG", "HOLDFAST_TEST_SECONDS")


def rounds(floor, seconds, many, exactly=None, tick=1.0, **environment):
    """How many rounds are run when each takes a tick."""
    for name in NAMES:
        os.environ.pop(name, None)
    os.environ.update(environment)
    now, expected = [0.0], 0
    for number in Budget("rounds", floor, seconds, many, exactly, lambda: now[0]):
        assert number == expected, (number, expected)
        expected += 1
        now[0] += tick
    return expected


assert rounds(7, 0, 100) == 7
assert rounds(7, 1000, 100, HOLDFAST_TEST_SECONDS="0") == 7
assert rounds(0, 5, 100) == 5
assert rounds(0, 5, 100, tick=0.4) == 13
assert rounds(0, 5, 100, HOLDFAST_TEST_SECONDS="50") == 50
assert rounds(7, 5, 100) == 7
assert rounds(7, 5, 100, HOLDFAST_LONG="1") == 100
assert rounds(7, 500, 100, HOLDFAST_LONG="1") == 100
assert rounds(7, 5, 100, HOLDFAST_LONG="0") == 7
assert rounds(7, 500, 100, exactly=3, HOLDFAST_LONG="1") == 3
for text in ("soon", "-1", "inf", "nan"):
    wrong = subprocess.run([sys.executable, "-B", "-c", "from budget import *; Budget('x', 1, 1, 1)"],
                           cwd=os.path.dirname(os.path.abspath(__file__)), capture_output=True, text=True,
                           env={**os.environ, "HOLDFAST_TEST_SECONDS": text}, check=False)
    assert wrong.returncode == 2 and text in wrong.stderr, wrong
