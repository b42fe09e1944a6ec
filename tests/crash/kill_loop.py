"""Kills the engine with SIGKILL in the middle of full load, again and again, and asks everything back.

usage: kill_loop.py [KILLS | --seconds N]

The default is 10 s and at least 2 kills, or 50 kills when HOLDFAST_LONG is set.

One engine directory lives through all of it, so each start recovers all that came before. For each
kill a load generator runs against the engine, which goes on with the same order ids after the
restart and ends with its oracle: oversold, undersold, lost and duplicated must be 0. SEED makes the
moments of the kills repeatable as far as a real machine can.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "integration"))
from harness import BINARY, Engine, run  # noqa: E402
from kills import add_faults, begin, kill_in_load, no_faults  # noqa: E402


def load_command(engine, number):
    # Every other run is unbatched, so that single records meet the kill too.
    batch = "1" if number % 2 else "256"
    orders = "20000" if number % 2 else "300000"
    return [BINARY, "load", "--url", engine.url, "--orders", orders, "--batch", batch,
            "--skus", "50", "--stock", "2000000", "--zipf", "1.1", "--qty-max", "2", "--connections", "2",
            "--in-flight", "8", "--mix", "100,50,20", "--seed", str(number + 1), "--json", "--quiet",
            "--give-up", "120s"]


def main():
    kills, rng = begin(2, 10, 50)
    totals = no_faults()
    with Engine("--orders-max", "40000000") as engine:
        def dying(load):
            time.sleep(rng.uniform(0.05, 0.6))
            in_the_middle = load.poll() is None
            engine.kill()
            return in_the_middle

        for number in kills:
            result, in_the_middle, recovery_s = kill_in_load(
                engine, load_command(engine, number), number, dying)
            add_faults(totals, result)
            print("kill %2d%s: %d ok, %d sold out, recovered in %.2f s, oversold %d, undersold %d, lost %d" % (
                number + 1, "" if in_the_middle else " (after the load's end)", result["ok"],
                result["sold_out"], recovery_s, result["oversold"], result["undersold"],
                result["lost"]), flush=True)
        engine.stop()
        run("wal", "verify", "--data", engine.data)
    print("%d kills: " % kills.done + ", ".join("%s %d" % item for item in totals.items()))
    sys.exit(1 if any(totals.values()) else 0)


main()
