"""Runs the rush of eight clients on one item (sellout_test.c) against a real engine.

usage: sellout.py SELLOUT_TEST_BINARY [ROUNDS]
"""

import subprocess
import sys

from harness import Engine

with Engine() as engine:
    code = subprocess.run([sys.argv[1], engine.url, *sys.argv[2:]]).returncode
    engine.stop()
sys.exit(code)
