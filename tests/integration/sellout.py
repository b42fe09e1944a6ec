"""Runs a program that rushes a shop (sellout_test.c, crowd_test.c) against a real engine.

usage: sellout.py PROGRAM [argument...]     the program is given the engine's URL before those
"""

import subprocess
import sys

from harness import Engine

with Engine() as engine:
    code = subprocess.run([sys.argv[1], engine.url, *sys.argv[2:]]).returncode
    engine.stop()
sys.exit(code)
