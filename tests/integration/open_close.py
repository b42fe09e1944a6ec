"""Runs open_close_test.c beside an engine that is killed, paused and slowed, with all processors busy.

usage: open_close.py PROGRAM
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time

from harness import BINARY, WAIT_S, Engine

STEP_S = 0.3
COMMAND_MS = 300


class Trouble(threading.Thread):
    """What becomes of the engine: one thing after the other, until told to end."""

    def __init__(self, engine, seed):
        super().__init__()
        self.engine = engine
        self.random = random.Random(seed)
        self.ending = threading.Event()
        self.counts = {"left alone": 0, "killed": 0, "paused": 0, "slowed": 0}

    def run(self):
        while not self.ending.wait(self.random.random() * STEP_S):
            what = self.random.choice(list(self.counts))
            self.counts[what] += 1
            if what == "killed":
                self.engine.kill()
                self.ending.wait(self.random.random() * STEP_S)
                self.engine.start()
            elif what == "paused":
                self.pause(self.random.random() * 2 * STEP_S)
            elif what == "slowed":
                for _ in range(20):
                    self.pause(0.02)
                    time.sleep(0.003)

    def pause(self, seconds):
        self.engine.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.engine.process.send_signal(signal.SIGCONT)


class Commands(threading.Thread):
    """The command line, again and again: 0 or 3, and never a hang."""

    def __init__(self, url):
        super().__init__()
        self.url = url
        self.ending = threading.Event()
        self.counts = {0: 0, 3: 0}
        self.longest = 0.0
        self.wrong = None

    def run(self):
        while not self.ending.is_set() and not self.wrong:
            begin = time.monotonic()
            try:
                done = subprocess.run(
                    [BINARY, "status", "--url", self.url, "--timeout", "%dms" % COMMAND_MS],
                    capture_output=True, text=True, timeout=WAIT_S)
            except subprocess.TimeoutExpired:
                self.wrong = "holdfast status hangs"
                return
            self.longest = max(self.longest, time.monotonic() - begin)
            if done.returncode in self.counts:
                self.counts[done.returncode] += 1
            else:
                self.wrong = "exit %d: %s" % (done.returncode, done.stderr)


spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"])
            for _ in range(2 * len(os.sched_getaffinity(0)))]
try:
    with Engine() as engine:
        trouble = Trouble(engine, os.environ.get("SEED", "1"))
        commands = Commands(engine.url)
        trouble.start()
        commands.start()
        try:
            code = subprocess.run([sys.argv[1], engine.url]).returncode
        finally:
            for thread in (commands, trouble):
                thread.ending.set()
                thread.join()
        engine.stop()
finally:
    for process in spinning:
        process.kill()
        process.wait()
print("the engine was", ", ".join("%s %d times" % (what, n) for what, n in trouble.counts.items()))
print("holdfast status, with %d ms: exit 0 %d times, exit 3 %d times; the longest took %.3f s" % (
    COMMAND_MS, commands.counts[0], commands.counts[3], commands.longest))
if commands.wrong:
    sys.exit(commands.wrong)
sys.exit(code)
