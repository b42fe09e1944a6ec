#!/usr/bin/env python3
"""What an answer takes; bench/latency.sh --help says what is measured."""

import json
import os
import sys
import threading
import time

import machine
import measure
from measure import Engine, Failed, median, ms, say, spaced, verdict

sys.path.insert(0, os.path.join(measure.ROOT, "tests", "integration"))

import wire  # noqa: E402  (tests/integration/wire.py: asks the engine for its status)

PARTS = ["rates", "single", "expiry", "growth"]
SHARES = {0.1: "a tenth", 0.25: "a quarter", 0.5: "half"}  # of the greatest rate

# The targets (docs/benchmarks.md) are ratios, so that they hold on any machine. A p99.9 against that
# of a sleeping thread's lateness beside spinning threads; the same load with what disturbs it against
# without; a p50 against what one order can't do without; CPU an order at the least rate against most.
RATES_RATIO = 2.0
DISTURBED_RATIO = 1.5
SINGLE_RATIO = 0.90
CPU_RATIO = 1.25


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
        self.probe_s, self.greatest_s, self.open_s, self.warm_up_s = 0.8, 4, 8, 1
        self.settle_s = 2  # an engine that has just started prepares its log's files
        self.rounds, self.single_s = 3, 4
        self.base_warm_up_s = 1
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
            self.open_s, self.warm_up_s, self.base_warm_up_s = 0.5, 0.1, 0.1
            self.rounds, self.single_s = 1, 1
            self.holds, self.hold_batch, self.hold_s, self.growth_s = 2000, 500, 2.5, 0.3
        self.rate = 1000 if options.tiny else None  # a sanitized engine may find no greatest one


class Latency:
    def __init__(self, options, work):
        self.options = options
        self.plan = Plan(options)
        self.work = work
        self.machine = machine.Machine(options, work)
        self.figures = {"floor": self.machine.gather()}
        self.greatest = {}  # by batch: (orders per second, connections, in flight)

    def engine(self, ready):
        settings = ["--orders-ready", str(ready)]
        if self.options.tiny:
            settings += ["--orders-max", "1000000"]
        engine = Engine(self.options, self.work, *settings)
        time.sleep(self.plan.settle_s)
        return engine

    # ---- The greatest rate, and shares of it ----

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
        """A run at a share of the greatest rate, with the data of its report, and what the machine
        and the engine's process did beside it."""
        rate, connections, in_flight = self.share_of_greatest(batch, share)
        command = engine.load_command(skus=self.plan.skus, batch=batch, connections=connections,
                                      in_flight=in_flight, rate="%.0f" % rate,
                                      warm_up="%dms" % (1000 * warm_up_s),
                                      duration="%dms" % (1000 * seconds), **more)
        with self.machine.beside(seconds, warm_up_s, engine.pid) as beside:
            run = self.report_of(command)
        return {**run, **beside.figures}

    def rates(self):
        """Open loop at shares of each batch size's greatest rate; in each round first hiccups."""
        plan = self.plan
        for batch in plan.batches:
            self.find_greatest(batch)
            spinning = []
            runs = {share: [] for share in SHARES}
            for _ in range(plan.rounds):
                spinning.append(self.machine.busy_hiccups())
                target_us = RATES_RATIO * spinning[-1]["p999_us"]
                for share in SHARES:
                    oracle = plan.oracle if share == max(SHARES) else {"oracle": False}
                    with self.engine(plan.ready) as engine:
                        runs[share].append(self.open_loop(engine, batch, share, plan.open_s,
                                                          plan.warm_up_s, **oracle))
                    say("at %s of it: %s" % (SHARES[share], brief(runs[share][-1], target_us)))
            for share in SHARES:
                self.note_rate(batch, share, runs[share], machine.medians(spinning))

    def note_rate(self, batch, share, runs, spinning):
        rate, connections, in_flight = self.share_of_greatest(batch, share)
        row = summary(runs, RATES_RATIO * spinning["p999_us"])
        self.figures.setdefault("rates", []).append({
            "share": share, "greatest_per_s": self.greatest[batch][0], "in_flight": in_flight,
            "echo": self.machine.echo_of_orders(rate, batch, connections, in_flight),
            "hiccups_spinning": spinning, "ratio": machine.over(row["p999_us"], spinning["p999_us"]),
            "target_ratio": RATES_RATIO, **row})

    # ---- One order from one client ----

    def single(self):
        plan = self.plan
        took = {"disk": [], "echo": [], "order": []}
        beside = []
        for _ in range(plan.rounds):
            took["disk"].append(self.machine.write(plan.single_s)["p50_us"])
            took["echo"].append(self.machine.echo(seconds=plan.single_s)["p50_us"])
            with self.engine(plan.ready) as engine, \
                    self.machine.beside(plan.single_s, 0.1, engine.pid) as watch:
                run = engine.load(skus=1, batch=1, connections=1, in_flight=1, warm_up="0.1s",
                                  duration="%dms" % (1000 * plan.single_s), oracle=False)
            took["order"].append(run["p50_us"])
            beside.append(watch.figures["hiccups"])
            say("one order %s, nng's echo %s, durable 4 KiB %s" %
                tuple(ms(took[name][-1]) for name in ("order", "echo", "disk")))
        order, echo, disk = (median(took[name]) for name in ("order", "echo", "disk"))
        self.figures["single"] = {
            "order_p50_us": order, "echo_p50_us": echo, "disk_p50_us": disk,
            "hiccups": machine.medians(beside), "ratio": machine.over(order, echo + disk),
            "target_ratio": SINGLE_RATIO, "rounds": plan.rounds}

    # ---- With windows ----

    def report_of(self, command):
        """One run of the load generator, with the data of its report: windows of 100 ms."""
        path = os.path.join(self.work, "report.html")
        measure.check_load(measure.run_json(*command, "--report", path))
        with open(path, encoding="utf-8") as file:
            return json.loads(file.read().split('id="data">')[1].split("</script>")[0])

    def expiry(self):
        """Very many deadlines pass in one second, while orders keep coming at a quarter of the rate;
        and then the same load for as long without."""
        plan = self.plan
        batch = plan.batches[0]
        self.find_greatest(batch)
        runs = {"expiry": [], "expiry_without": []}
        notes = []
        for _ in range(plan.rounds):
            with self.engine(plan.ready) as engine:
                run, note, seconds = self.expire(engine, batch)
                runs["expiry"].append(run)
                notes.append(note)
                runs["expiry_without"].append(self.open_loop(
                    engine, batch, 0.25, seconds, plan.base_warm_up_s, hold="1h", oracle=False))
            say("p99.9 %s while they expire, %s without" % tuple(
                ms(runs[name][-1]["result"]["p999_us"]) for name in ("expiry", "expiry_without")))
        self.note_disturbed("expiry", runs)
        self.figures["expiry"].update(
            {"holds": plan.holds, **{name: median([note[name] for note in notes])
                                     for name in notes[0]}})

    def expire(self, engine, batch):
        """The run, what else is to be said of it, and how long it was."""
        plan = self.plan
        engine.load(skus=plan.skus, orders=1, batch=1, oracle=False)  # defines the items
        say("taking %s orders that are held for %g s" % (spaced(plan.holds), plan.hold_s))
        held = self.report_of(engine.load_command(
            skus=plan.skus, orders=plan.holds, batch=plan.hold_batch, connections=2,
            in_flight=4, hold="%dms" % (1000 * plan.hold_s), oracle=False))
        # Deadlines lie between these two; the first is a little early, the last a little late.
        first_s = held["started_ms"] / 1000 + plan.hold_s
        last_s = first_s + held["result"]["elapsed_s"]
        # Measuring begins just before the first, and ends soon after the last.
        lead_s = first_s - 0.1 - time.time()
        seconds = last_s - first_s + 0.4
        if lead_s <= 0.1:
            raise Failed("taking the orders took longer than they are held")
        say("their deadlines pass within %.2f s; orders keep coming" % (last_s - first_s))
        with Watch(engine.url, plan.holds) as watch:
            run = self.open_loop(engine, batch, 0.25, seconds, lead_s, hold="1h", oracle=False)
            watch.wait(last_s + 20)
        begin_s = run["started_ms"] / 1000 + lead_s  # when measuring began
        end_s = max(last_s, watch.done_s) + 0.2  # what expiring put off comes a little later
        within = [window for window in run["windows"]
                  if begin_s + window[END] > first_s and begin_s + window[0] < end_s]
        return run, {"deadlines_within_s": last_s - first_s,
                     "expired_after_last_deadline_s": watch.done_s - last_s,
                     "worst_window_p999_us": max((w[P999] for w in within), default=0),
                     "worst_window_p50_us": max((w[P50] for w in within), default=0)}, seconds

    def growth(self):
        """Open loop from the first order on, with no memory ready, and with it, in turn."""
        plan = self.plan
        batch = plan.batches[0]
        self.find_greatest(batch)
        ready_of = {"growth": 0, "growth_without": plan.ready}
        runs = {name: [] for name in ready_of}
        rss = {}
        for _ in range(plan.rounds):
            for name, ready in ready_of.items():
                with self.engine(ready) as engine:
                    runs[name].append(self.open_loop(engine, batch, 0.25, plan.growth_s, 0,
                                                     oracle=False))
                    rss[name] = engine.rss()
                result = runs[name][-1]["result"]
                say("%s orders into a table with %s orders ready: p99.9 %s, max %s" % (
                    spaced(result["ok"]), spaced(ready), ms(result["p999_us"]),
                    ms(result["max_us"])))
        self.note_disturbed("growth", runs)
        for name, ready in ready_of.items():
            self.figures[name].update({"orders_ready": ready, "rss_bytes": rss[name]})

    def note_disturbed(self, name, runs):
        """A load with what disturbs it (`name`), and without."""
        without = name + "_without"
        base_us = median([run["result"]["p999_us"] for run in runs[without]])
        for key in (name, without):
            self.figures[key] = summary(runs[key], DISTURBED_RATIO * base_us)
        self.figures[name].update({"ratio": machine.over(self.figures[name]["p999_us"], base_us),
                                   "target_ratio": DISTURBED_RATIO})


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
    row = {"batch": results[0]["batch"], "connections": results[0]["connections"],
           "rounds": len(runs), "p999_us_all": [result["p999_us"] for result in results],
           **{name: median([result[name] for result in results]) for name in (
               "rate", "ok", "p50_us", "p99_us", "p999_us", "max_us", "stall_us", "unsent",
               "generator_cores")},
           "engine_cores": median([run["cores"] or 0 for run in runs]),
           "hiccups": machine.medians([run["hiccups"] for run in runs]),
           "slow_share": median([len(slow_windows(run, target_us)) / max(len(run["windows"]), 1)
                                 for run in runs]),
           "slow_us": target_us}
    return {**row, "engine_ns_per_order": row["engine_cores"] * 1e9 / row["rate"]}


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

LINE = "{:<62}{:>10}{:>10}{:>10}{:>10}{:>10}{:>7}{:>12}{:>9}{:>10}{:>10}"
TARGET = "{:<82}{:>9}{:>9}  {}"


def latency_line(what, row):
    return LINE.format(
        what, spaced(row["rate"]),
        *(ms(row[name]) for name in ("p50_us", "p99_us", "p999_us", "max_us")),
        "%.0f %%" % (100 * row["slow_share"]),
        "%.2f + %.2f" % (row["engine_cores"], row["generator_cores"]),
        "%.0f ns" % row["engine_ns_per_order"], ms(row["hiccups"]["p999_us"]),
        ms(row["echo"]["p999_us"]) if "echo" in row else "")


def print_rows(figures):
    print(LINE.format("open loop, latency from when a message was due", "orders/s", "p50", "p99",
                      "p99.9", "max", "slow", "CPU", "an order", "hiccups", "nng echo"))
    print("-" * 160)
    for row in figures.get("rates", []):
        print(latency_line("%s of %s/s; batches of %d, %d x %d" % (
            SHARES[row["share"]], spaced(row["greatest_per_s"]), row["batch"], row["connections"],
            row["in_flight"]), row))
    if "expiry" in figures:
        row = figures["expiry"]
        print(latency_line("a quarter; %s holds expire; batches of %d" % (
            spaced(row["holds"]), row["batch"]), row))
        print("    deadlines within %.2f s, all expired %.2f s after the last; worst 100 ms: "
              "p50 %s, p99.9 %s" % (row["deadlines_within_s"],
                                    max(0, row["expired_after_last_deadline_s"]),
                                    ms(row["worst_window_p50_us"]), ms(row["worst_window_p999_us"])))
        print(latency_line("    the same without", figures["expiry_without"]))
    for name in ("growth", "growth_without"):
        if name in figures:
            row = figures[name]
            print(latency_line("a quarter; %s orders into a table, %s ready" % (
                spaced(row["ok"]), spaced(row["orders_ready"])), row))
    if "single" in figures:
        row = figures["single"]
        print("one order, one client: p50 %s; nng's round trip %s, durable 4 KiB %s; hiccups beside "
              "it p99.9 %s" % (ms(row["order_p50_us"]), ms(row["echo_p50_us"]),
                               ms(row["disk_p50_us"]), ms(row["hiccups"]["p999_us"])))
    print("slow: windows of 100 ms with a p99.9 beyond the target. CPU: cores of the engine + the "
          "generator; an order: the\nengine's. hiccups: p99.9 of a sleeping thread's lateness beside "
          "the run; nng echo: p99.9 at the same rate, alone.")


def targets_of(figures):
    """(what, target, reached, met)"""
    def ratio(what, row):
        return (what, "%.2fx" % row["target_ratio"], "%.2fx" % row["ratio"],
                row["ratio"] <= row["target_ratio"] and not row.get("unsent"))

    rates = figures.get("rates", [])
    for row in rates:
        yield ratio("p99.9 at %s of the rate, batches of %d / hiccups beside spinning threads" % (
            SHARES[row["share"]], row["batch"]), row)
    for least in rates:
        for most in rates:
            if least["batch"] == most["batch"] and (least["share"], most["share"]) == (
                    min(SHARES), max(SHARES)) and most["engine_ns_per_order"] > 0:
                reached = least["engine_ns_per_order"] / most["engine_ns_per_order"]
                yield ("CPU an order at %s of the rate, batches of %d / at %s" % (
                    SHARES[least["share"]], least["batch"], SHARES[most["share"]]),
                       "%.2fx" % CPU_RATIO, "%.2fx" % reached,
                       None if least["unsent"] or most["unsent"] else reached <= CPU_RATIO)
    if "single" in figures:
        yield ratio("p50 of one order / (nng round trip + 4 KiB durable write)", figures["single"])
    if "expiry" in figures:
        yield ratio("p99.9 while %s holds expire / the same load without" % spaced(
            figures["expiry"]["holds"]), figures["expiry"])
    if "growth" in figures:
        yield ratio("p99.9 while the order table grows from nothing / with memory ready",
                    figures["growth"])


def print_table(figures, where, targets):
    print()
    print(measure.machine_line(where) + "; client included")
    print()
    print_rows(figures)
    print()
    spinning = {row["batch"]: row["hiccups_spinning"] for row in figures.get("rates", [])}
    machine.print_table(figures["floor"], [
        ("    in turn with the runs of batches of %d" % batch, row)
        for batch, row in spinning.items()])
    print()
    print(TARGET.format("target", "at most", "reached", ""))
    print("-" * 110)
    for target in targets:
        print(TARGET.format(target["what"], target["target"], target["reached"],
                            verdict(target["met"])))
    print("Medians of rounds. A latency is a message's: of all its orders. Where orders that were due "
          "could not be\nsent (unsent in the JSON), the rate was too high and the target is missed.")


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
