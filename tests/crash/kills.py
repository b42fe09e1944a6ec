"""What the kill loops have in common: a seed, and kills in the middle of a load generator's run."""

import json
import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from budget import Budget  # noqa: E402


def begin(floor, seconds, many):
    """The kills' numbers, and the random numbers. So many kills as the command line says, or as fit
    into its --seconds, or by lib/budget.py. A SEED repeats the moments, not one kill alone."""
    arguments = sys.argv[1:]
    exactly = None
    if arguments[:1] == ["--seconds"] and len(arguments) == 2:
        os.environ["HOLDFAST_TEST_SECONDS"] = arguments[1]
        os.environ["HOLDFAST_LONG"] = "0"
    elif len(arguments) == 1 and arguments[0].isdigit():
        exactly = int(arguments[0])
    elif arguments:
        print("usage: %s [KILLS | --seconds N]" % os.path.basename(sys.argv[0]), file=sys.stderr)
        sys.exit(2)
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    print("SEED=%d" % seed, flush=True)
    return Budget("kills", floor, seconds, many, exactly), random.Random(seed)


def no_faults():
    return {"oversold": 0, "undersold": 0, "lost": 0, "duplicated": 0}


def add_faults(totals, result):
    for name in totals:
        totals[name] += result[name]


def kill_in_load(engine, command, number, dying, restarted=lambda: None):
    """Starts the load, kills the engine, starts it again, and waits for the load's end. dying(load)
    says when: it waits, kills, and what it returns is given back; restarted() is called once the
    engine is up. Returns the load's result, what dying returned, and the seconds of recovery."""
    load = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
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
