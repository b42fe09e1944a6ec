"""What the kill loops have in common: a seed, and one kill in the middle of a load generator's run."""

import json
import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from budget import Budget  # noqa: E402


def begin(floor, seconds, many):
    """The kills' numbers (so many as the command line says, or by lib/budget.py), and the random
    numbers. A SEED repeats the moments, not one kill alone."""
    exactly = int(sys.argv[1]) if len(sys.argv) > 1 else None
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    print("SEED=%d" % seed, flush=True)
    return Budget("kills", floor, seconds, many, exactly), random.Random(seed)


def no_faults():
    return {"oversold": 0, "undersold": 0, "lost": 0, "duplicated": 0}


def add_faults(totals, result):
    for name in totals:
        totals[name] += result[name]


def kill_in_load(engine, command, number, pause_s, dying, restarted=lambda: None):
    """Starts the load, kills the engine after the pause, starts it again, and waits for the load's
    end. dying(load) is called around the kill: it kills, and what it returns is given back;
    restarted() once the engine is up. Returns the load's result, that, and seconds of recovery."""
    load = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        time.sleep(pause_s)
        seen = dying(load)
        began = time.monotonic()
        engine.start()
        recovery_s = time.monotonic() - began
        restarted()
        out, errors = load.communicate(timeout=600)
    finally:
        if load.poll() is None:
            load.kill()
            load.wait()
    if load.returncode != 0:
        sys.exit("kill %d: the load generator ended with %d\n%s%s\n%s" % (
            number + 1, load.returncode, out, errors, engine.errors()[-2000:]))
    return json.loads(out), seen, recovery_s
