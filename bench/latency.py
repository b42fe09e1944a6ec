#!/usr/bin/env python3
"""What an answer takes; bench/latency.sh --help says what is measured."""

import json
import os
import sys
import threading
import time

import measure
from measure import Engine, Failed, Server, median, ms, say, spaced, verdict

sys.path.insert(0, os.path.join(measure.ROOT, "tests", "integration"))

import wire  # noqa: E402  (tests/integration/wire.py: asks the engine for its status)

PARTS = ["half", "single", "expiry", "growth"]

# The first two are targets (docs/benchmarks.md). The others bound what parts may cost an answer.
HALF_P999_US = 2000
SINGLE_RATIO = 1.10
EXPIRY_P999_US = 5000
GROWTH_P999_US = 5000


class Plan:
    """How long, how many: for figures, for a look, or only to see that it runs."""

    def __init__(self, options):
        self.skus = 10000
        self.batches = [100, 250, 1000]
        # By batch: connections x messages in flight on each, as many as make the engine busy. Fewer
        # would also bound how fast open loop catches up after a stall.
        self.shapes = {100: [(1, 16), (1, 64), (2, 32), (2, 64), (4, 32)],
                       250: [(1, 16), (1, 64), (2, 16), (2, 32)],
                       1000: [(1, 16), (2, 8), (2, 16)]}
        self.ready = 50000000  # orders whose memory the engine takes at start, as before a sale
        self.probe_s, self.greatest_s, self.open_s, self.warm_up_s = 0.8, 4, 10, 1
        self.settle_s = 2  # an engine that has just started prepares its log's files
        self.rounds, self.single_s = 3, 4
        self.holds, self.hold_batch, self.hold_s = 1000000, 4000, 8
        self.growth_s = 10
        self.oracle = {}
        if options.quick:
            self.batches, self.rounds = [100, 1000], 1
            self.probe_s, self.greatest_s, self.open_s, self.single_s = 0.4, 1.5, 3, 1
            self.ready, self.hold_s, self.growth_s = 20000000, 5, 4
            self.oracle = {"oracle": False}
        if options.tiny:
            self.skus, self.batches, self.shapes, self.ready = 20, [10], {10: [(1, 4)]}, 10000
            self.settle_s, self.probe_s, self.greatest_s = 0, 0.2, 0.3
            self.open_s, self.warm_up_s = 0.5, 0.1
            self.rounds, self.single_s = 1, 1
            self.holds, self.hold_batch, self.hold_s, self.growth_s = 2000, 500, 2.5, 0.3
        self.rate = 1000 if options.tiny else None  # a sanitized engine may find no greatest one


class Latency:
    def __init__(self, options, work):
        self.options = options
        self.plan = Plan(options)
        self.work = work
        self.peers = os.path.join(options.build, "bench", "peers")
        self.figures = {}
        self.greatest = {}  # by batch: (orders per second, connections, in flight)

    def engine(self, ready):
        settings = ["--orders-ready", str(ready)]
        if self.options.tiny:
            settings += ["--orders-max", "1000000"]
        engine = Engine(self.options, self.work, *settings)
        time.sleep(self.plan.settle_s)
        return engine

    # ---- The greatest rate, and half of it ----

    def closed_loop(self, engine, batch, shape, seconds, **more):
        return engine.load(skus=self.plan.skus, batch=batch, connections=shape[0],
                           in_flight=shape[1], warm_up="%dms" % (1000 * min(seconds / 4, 0.5)),
                           duration="%dms" % (1000 * seconds), **more)

    def find_greatest(self, batch):
        """The best of some short runs says how to connect; a longer one gives the rate."""
        if batch in self.greatest:
            return self.greatest[batch]
        plan = self.plan
        with self.engine(plan.ready) as engine:
            tries = {shape: self.closed_loop(engine, batch, shape, plan.probe_s, oracle=False)
                     for shape in plan.shapes[batch]}
        shape = max(tries, key=lambda shape: tries[shape]["orders_per_s"])
        with self.engine(plan.ready) as engine:
            run = self.closed_loop(engine, batch, shape, plan.greatest_s, **plan.oracle)
        say("batches of %d: at most %s orders/s, %d x %d messages in flight" %
            (batch, spaced(run["orders_per_s"]), *shape))
        self.greatest[batch] = (run["orders_per_s"], *shape)
        return self.greatest[batch]

    def share_of_greatest(self, batch, share):
        greatest, connections, in_flight = self.find_greatest(batch)
        return self.plan.rate or greatest * share, connections, in_flight

    def open_loop(self, engine, batch, share, seconds, warm_up_s, **more):
        rate, connections, in_flight = self.share_of_greatest(batch, share)
        return engine.load_command(skus=self.plan.skus, batch=batch, connections=connections,
                                   in_flight=in_flight, rate="%.0f" % rate,
                                   warm_up="%dms" % (1000 * warm_up_s),
                                   duration="%dms" % (1000 * seconds), **more)

    def half(self):
        """Open loop at half of each batch size's greatest rate."""
        plan = self.plan
        for batch in plan.batches:
            runs = []
            for _ in range(plan.rounds):
                with self.engine(plan.ready) as engine:
                    command = self.open_loop(engine, batch, 0.5, plan.open_s, plan.warm_up_s,
                                             **plan.oracle)
                    runs.append(self.report_of(command))
                say("at half of it: " + brief(runs[-1], HALF_P999_US))
            self.figures.setdefault("half", []).append({
                "greatest_per_s": self.greatest[batch][0],
                "in_flight": runs[0]["result"]["in_flight"], **summary(runs, HALF_P999_US)})

    # ---- One order from one client ----

    def single(self):
        plan = self.plan
        took = {"disk": [], "echo": [], "order": []}
        for _ in range(plan.rounds):
            took["disk"].append(measure.run_json(
                os.path.join(self.peers, "peer_disk"), "--file", os.path.join(self.work, "disk"),
                "--mode", "write", "--batch", "4096", "--warm-up", "0.1",
                "--seconds", str(plan.single_s))["p50_us"])
            nng = os.path.join(self.peers, "peer_nng")
            with Server([nng, "--mode", "serve", "--url", "tcp://127.0.0.1:0"], "listening",
                        os.path.join(self.work, "nng.log")) as echo:
                took["echo"].append(measure.run_json(
                    nng, "--url", echo.lines[0].split()[2], "--request-bytes", "64",
                    "--connections", "1", "--in-flight", "1", "--warm-up", "0.1",
                    "--seconds", str(plan.single_s))["p50_us"])
            with self.engine(plan.ready) as engine:
                run = engine.load(skus=1, batch=1, connections=1, in_flight=1, warm_up="0.1s",
                                  duration="%dms" % (1000 * plan.single_s), oracle=False)
                took["order"].append(run["p50_us"])
            say("one order %s, nng's echo %s, durable 4 KiB %s" %
                tuple(ms(took[name][-1]) for name in ("order", "echo", "disk")))
        order, echo, disk = (median(took[name]) for name in ("order", "echo", "disk"))
        self.figures["single"] = {
            "order_p50_us": order, "echo_p50_us": echo, "disk_p50_us": disk,
            "ratio": order / (echo + disk), "target_ratio": SINGLE_RATIO, "rounds": plan.rounds}

    # ---- With windows ----

    def report_of(self, command):
        """One run of the load generator, with the data of its report: windows of 100 ms."""
        path = os.path.join(self.work, "report.html")
        measure.check_load(measure.run_json(*command, "--report", path))
        with open(path, encoding="utf-8") as file:
            return json.loads(file.read().split('id="data">')[1].split("</script>")[0])

    def expiry(self):
        """Very many deadlines pass in one second, while orders go on at a quarter of the rate."""
        plan = self.plan
        batch = plan.batches[0]
        self.find_greatest(batch)
        with self.engine(plan.ready) as engine:
            engine.load(skus=plan.skus, orders=1, batch=1, oracle=False)  # defines the items
            say("taking %s orders that are held for %g s" % (spaced(plan.holds), plan.hold_s))
            held = self.report_of(engine.load_command(
                skus=plan.skus, orders=plan.holds, batch=plan.hold_batch, connections=2,
                in_flight=4, hold="%dms" % (1000 * plan.hold_s), oracle=False))
            # Deadlines lie between these two; the first is a little early, the last a little late.
            first_s = held["started_ms"] / 1000 + plan.hold_s
            last_s = first_s + held["result"]["elapsed_s"]
            lead_s = first_s - 0.4 - time.time()
            if lead_s <= 0.1:
                raise Failed("taking the orders took longer than they are held")
            say("their deadlines pass within %.2f s; orders keep coming" % (last_s - first_s))
            # Measuring ends half a second after the last deadline.
            with Watch(engine.url, plan.holds) as watch:
                run = self.report_of(self.open_loop(engine, batch, 0.25, last_s - first_s + 1.1,
                                                    lead_s, hold="1h", oracle=False))
                watch.wait(last_s + 20)
        self.note_expiry(run, lead_s, first_s, last_s, watch)

    def note_expiry(self, run, lead_s, first_s, last_s, watch):
        result = run["result"]
        begin_s = run["started_ms"] / 1000 + lead_s  # when measuring began
        end_s = max(last_s, watch.done_s) + 0.2  # what expiring put off comes a little later
        within = [window for window in run["windows"]
                  if begin_s + window[END] > first_s and begin_s + window[0] < end_s]
        self.figures["expiry"] = {
            "holds": self.plan.holds, "deadlines_within_s": last_s - first_s,
            "expired_after_last_deadline_s": watch.done_s - last_s,
            "measured_s": result["elapsed_s"], "rate": result["rate"], "batch": result["batch"],
            **{name: result[name] for name in ("p50_us", "p99_us", "p999_us", "max_us", "unsent")},
            # The windows that the deadlines and their expiry fall in. The p99.9 of all of them
            # together is at most the worst window's.
            "windows": len(within),
            "worst_window_p999_us": max((w[P999] for w in within), default=0),
            "worst_window_p50_us": max((w[P50] for w in within), default=0),
            "target_p999_us": EXPIRY_P999_US}

    def growth(self):
        """Open loop from the first order on, with no memory ready, and with it."""
        plan = self.plan
        batch = plan.batches[0]
        self.find_greatest(batch)
        for name, ready in (("growth", 0), ("growth_ready", plan.ready)):
            runs = []
            for _ in range(plan.rounds):
                with self.engine(ready) as engine:
                    runs.append(self.report_of(self.open_loop(engine, batch, 0.25, plan.growth_s, 0,
                                                              oracle=False)))
                    rss = engine.rss()
                say("%s orders into a table with %s orders ready: %s" % (
                    spaced(runs[-1]["result"]["ok"]), spaced(ready),
                    brief(runs[-1], GROWTH_P999_US)))
            self.figures[name] = {"orders_ready": ready, "rss_bytes": rss,
                                  **summary(runs, GROWTH_P999_US)}


# Of a report's window: where it ends, and its latencies.
END, P50, P999 = 1, 5, 8


def slow_windows(run, target_us):
    """When a run was slow: the ends, in seconds, of windows whose p99.9 is beyond the target."""
    return [window[END] for window in run["windows"] if window[P999] > target_us]


def brief(run, target_us):
    slow = slow_windows(run, target_us)
    return "p99.9 %s, max %s; above %s in %d of %d windows of 100 ms%s" % (
        ms(run["result"]["p999_us"]), ms(run["result"]["max_us"]), ms(target_us), len(slow),
        len(run["windows"]), ", at s: " + ", ".join("%.1f" % at for at in slow[:8]) if slow else "")


def summary(runs, target_us):
    """Medians of the rounds."""
    results = [run["result"] for run in runs]
    return {"batch": results[0]["batch"], "connections": results[0]["connections"],
            "rounds": len(runs), "p999_us_all": [result["p999_us"] for result in results],
            **{name: median([result[name] for result in results]) for name in (
                "rate", "ok", "p50_us", "p99_us", "p999_us", "max_us", "stall_us", "unsent")},
            "slow_share": median([len(slow_windows(run, target_us)) / max(len(run["windows"]), 1)
                                  for run in runs]),
            "target_p999_us": target_us}


class Watch:
    """Asks the engine every 20 ms how many orders have expired, until it is `count`."""

    def __init__(self, url, count):
        self.connection = wire.Connection(url)
        self.count = count
        self.done_s = float("inf")
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.ended.is_set():
            status = self.connection.call(40, b"").body(40)
            # Nothing is committed or released: what is known and not held has expired.
            if wire.first(status, 8) - wire.first(status, 7) >= self.count:
                self.done_s = time.time()
                return
            time.sleep(0.02)

    def wait(self, until_s):
        self.thread.join(max(0, until_s - time.time()))
        if self.thread.is_alive():
            raise Failed("not all of %d orders have expired" % self.count)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.connection.close()


# ---- The table ----

LINE = "{:<66}{:>11}{:>10}{:>10}{:>10}{:>10}{:>7}"
TARGET = "{:<66}{:>12}{:>12}  {}"


def latency_line(what, row):
    return LINE.format(what, spaced(row["rate"]), *(ms(row[name]) for name in (
        "p50_us", "p99_us", "p999_us", "max_us")),
        "%.0f %%" % (100 * row["slow_share"]) if "slow_share" in row else "")


def print_rows(figures):
    print(LINE.format("open loop, latency from when a message was due", "orders/s", "p50", "p99",
                      "p99.9", "max", "slow"))
    print("-" * 124)
    for row in figures.get("half", []):
        print(latency_line("half of the greatest rate, %s/s; batches of %d, %d x %d" % (
            spaced(row["greatest_per_s"]), row["batch"], row["connections"], row["in_flight"]),
            row))
    if "expiry" in figures:
        row = figures["expiry"]
        print(latency_line("a quarter; %s holds expire; batches of %d" % (
            spaced(row["holds"]), row["batch"]), row))
        print("    deadlines within %.2f s, all expired %.2f s after the last; worst 100 ms: "
              "p50 %s, p99.9 %s" % (row["deadlines_within_s"],
                                    max(0, row["expired_after_last_deadline_s"]),
                                    ms(row["worst_window_p50_us"]), ms(row["worst_window_p999_us"])))
    for name in ("growth", "growth_ready"):
        if name in figures:
            row = figures[name]
            print(latency_line("a quarter; %s orders into a table, %s ready" % (
                spaced(row["ok"]), spaced(row["orders_ready"])), row))
    if "single" in figures:
        row = figures["single"]
        print("one order, one client: p50 %s; nng's round trip %s, durable 4 KiB %s" % (
            ms(row["order_p50_us"]), ms(row["echo_p50_us"]), ms(row["disk_p50_us"])))


def targets_of(figures):
    """(what, target, reached, met)"""
    for row in figures.get("half", []):
        yield ("p99.9 at half of the greatest rate, batches of %d" % row["batch"],
               ms(row["target_p999_us"]), ms(row["p999_us"]),
               row["p999_us"] <= row["target_p999_us"] and not row["unsent"])
    if "single" in figures:
        row = figures["single"]
        yield ("p50 of one order / (nng round trip + 4 KiB durable write)",
               "%.2f" % row["target_ratio"], "%.2f" % row["ratio"],
               row["ratio"] <= row["target_ratio"])
    if "expiry" in figures:
        row = figures["expiry"]
        worst = row["worst_window_p999_us"]
        yield ("p99.9 while %s holds expire, worst 100 ms" % spaced(row["holds"]),
               ms(row["target_p999_us"]), ms(worst), worst < row["target_p999_us"])
    if "growth" in figures:
        row = figures["growth"]
        yield ("p99.9 while the order table grows from nothing", ms(row["target_p999_us"]),
               ms(row["p999_us"]), row["p999_us"] < row["target_p999_us"] and not row["unsent"])


def print_table(figures, where, targets):
    print()
    print(measure.machine_line(where) + "; client included")
    print()
    print_rows(figures)
    print()
    print(TARGET.format("target", "at most", "reached", ""))
    print("-" * 98)
    for target in targets:
        print(TARGET.format(target["what"], target["target"], target["reached"],
                            verdict(target["met"])))
    print("Medians of rounds. A latency is a message's: of all its orders. slow: windows of 100 ms "
          "with a\np99.9 beyond the target. Where orders that were due could not be sent (unsent in "
          "the JSON), the\nrate was too high and the target is missed.")


def main():
    parser = measure.parser_for("latency")
    parser.add_argument("--only", action="append", choices=PARTS)
    options = measure.parse(parser)
    measure.check_disk(options, "latency.sh")
    load = measure.load_average()
    with measure.Work(options) as work:
        latency = Latency(options, work)
        for part in PARTS:
            if not options.only or part in options.only:
                say("measuring: " + part)
                getattr(latency, part)()
    targets = [dict(zip(("what", "target", "reached", "met"), target))
               for target in targets_of(latency.figures)]
    where = measure.write_json(options, load, rows=latency.figures, targets=targets)
    print_table(latency.figures, where, targets)


if __name__ == "__main__":
    measure.run_script("latency.sh", main)
