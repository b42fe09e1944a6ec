"""Kills the engine with SIGKILL in the middle of full load, again and again, and asks everything back.

usage: kill_loop.py [KILLS]     (default 5, or 50 when HOLDFAST_LONG is set)

One engine directory lives through all of it, so each start recovers all that came before. For each
kill a load generator runs against the engine, which goes on with the same order ids after the
restart and ends with its oracle: oversold, undersold, lost and duplicated must be 0. SEED makes the
moments of the kills repeatable as far as a real machine can.
"""

import json
import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "integration"))
from harness import BINARY, Engine, run  # noqa: E402


def load_command(engine, number):
    # Every other run is unbatched, so that single records meet the kill too.
    batch = "1" if number % 2 else "256"
    orders = "20000" if number % 2 else "300000"
    return [BINARY, "load", "--url", engine.url, "--orders", orders, "--batch", batch,
            "--skus", "50", "--stock", "2000000", "--zipf", "1.1", "--qty-max", "2", "--connections", "2",
            "--in-flight", "8", "--mix", "100,50,20", "--seed", str(number + 1), "--json", "--quiet",
            "--give-up", "120"]


def main():
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 50 if os.environ.get("HOLDFAST_LONG") else 5
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    rng = random.Random(seed)
    print("SEED=%d, %d kills" % (seed, kills), flush=True)
    totals = {"oversold": 0, "undersold": 0, "lost": 0, "duplicated": 0}
    with Engine("--orders-max", "40000000") as engine:
        for number in range(kills):
            load = subprocess.Popen(load_command(engine, number), stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True)
            try:
                time.sleep(rng.uniform(0.05, 0.6))
                in_the_middle = load.poll() is None
                engine.kill()
                begin = time.monotonic()
                engine.start()
                recovery_s = time.monotonic() - begin
                out, errors = load.communicate(timeout=300)
            finally:
                if load.poll() is None:
                    load.kill()
                    load.wait()
            if load.returncode != 0:
                sys.exit("kill %d: the load generator ended with %d\n%s%s\n%s" % (
                    number + 1, load.returncode, out, errors, engine.errors()[-2000:]))
            result = json.loads(out)
            for name in totals:
                totals[name] += result[name]
            print("kill %2d%s: %d ok, %d sold out, recovered in %.2f s, oversold %d, undersold %d, lost %d" % (
                number + 1, "" if in_the_middle else " (after the load's end)", result["ok"],
                result["sold_out"], recovery_s, result["oversold"], result["undersold"],
                result["lost"]), flush=True)
        engine.stop()
        run("wal", "verify", "--data", engine.data)
    print("%d kills: " % kills + ", ".join("%s %d" % item for item in totals.items()))
    sys.exit(1 if any(totals.values()) else 0)


main()
