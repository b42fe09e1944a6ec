"""Runs linear_test.c against a real engine, which it kills and starts again whenever the program asks
for it.

usage: linear.py PROGRAM
"""

import subprocess
import sys

from harness import Engine

with Engine("--wal-spare-segments", "1", ipc=True) as engine:
    program = subprocess.Popen([sys.argv[1], *engine.urls], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    try:
        for line in program.stdout:
            if line.strip() != "kill":
                print(line, end="", flush=True)
                continue
            engine.kill()
            engine.start()
            program.stdin.write("up\n")
            program.stdin.flush()
        code = program.wait()
    finally:
        if program.poll() is None:
            program.kill()
            program.wait()
    if code == 0:
        engine.stop()
sys.exit(1 if code else 0)
