#!/usr/bin/env python3
"""Many orders through a small data directory; bench/soak.sh --help says what is measured."""

import json
import os
import re
import subprocess
import sys
import threading
import time

import machine
import measure
from measure import Engine, Failed, median, ms, say, spaced, verdict

BATCH = 250
LONGEST_S = 3600  # that hiccups are measured beside a run, which ends when it ends
SAMPLE_S = 0.05  # how often the log's folder is read
# Levelled off: the last third of the run is no higher than this above the third before it.
LEVEL_SLACK = 1.10
P999_RATIO = 1.5  # while a checkpoint is made, by that of the same load without
THROUGHPUT_TARGET = 0.9
UNITS_US = {"ns": 0.001, "us": 1, "ms": 1000, "s": 1000000}
PROGRESS = re.compile(r" *([0-9.]+) s  ([0-9 ]+) orders  ([0-9 ]+)/s .* p99\.9 (?:([0-9.]+) (ns|us|ms|s)|-)")


class Plan:
    def __init__(self, options):
        self.orders = options.orders or (20000000 if options.quick else 200000000)
        self.live = options.live
        self.calibration = 2000000
        self.line_s = 5
        self.cost_s = 30 if options.quick else 80
        if options.tiny:
            self.orders, self.live, self.calibration = 400000, 200000, 50000
            self.line_s, self.cost_s = 1, 3


class Watch(threading.Thread):
    """Looks at the engine's process and log folder from aside."""

    def __init__(self, engine):
        super().__init__(daemon=True)
        self.engine = engine
        self.folder = os.path.join(engine.data, "wal")
        self.stop = False
        self.newest = 0
        self.checkpoints = 0
        self.busy = []  # [from, to] of each checkpoint that was being made
        self.start()

    def run(self):
        making = False
        while not self.stop:
            names = self.names()
            now = time.monotonic()
            found = any(name.endswith(".ckp.tmp") for name in names)
            if found and not making:
                self.busy.append([now, now])
            elif found:
                self.busy[-1][1] = now
            making = found
            numbers = [int(name[11:27], 16) for name in names
                       if re.fullmatch(r"checkpoint-[0-9a-f]{16}\.ckp", name)]
            if numbers and max(numbers) > self.newest:
                self.newest = max(numbers)
                self.checkpoints += 1
            time.sleep(SAMPLE_S)

    def names(self):
        try:
            return os.listdir(self.folder)
        except FileNotFoundError:
            return []

    def busy_share(self, begin, end):
        return sum(max(0, min(end, to) - max(begin, at)) for at, to in list(self.busy)) / (end - begin)

    def bytes(self):
        """Of the whole directory, and of the log's segments."""
        whole = log = 0
        for name in self.names():
            try:
                size = os.stat(os.path.join(self.folder, name)).st_blocks * 512
            except FileNotFoundError:
                continue  # renamed since it was listed
            whole += size
            log += size if name.startswith("wal-") else 0
        return whole, log


class Run:
    """One run of the load generator, line by line of its progress."""

    def __init__(self, engine, retain_ms, each, **settings):
        command = engine.load_command(batch=BATCH, skus=1000, zipf=1, mix="100,60,40", hold="2s",
                                      stock=1 << 40, retain="%dms" % retain_ms, **settings)
        command = [word for word in command if word != "--quiet"] + ["--progress"]
        process = measure.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.errors = ""
        for line in process.stderr:
            match = PROGRESS.match(line)
            if match:
                p999 = float(match[4]) * UNITS_US[match[5]] if match[4] else None
                each(float(match[1]), int(match[2].replace(" ", "")),
                     int(match[3].replace(" ", "")), p999)
            else:
                self.errors = (self.errors + line)[-2000:]
        out = process.stdout.read()
        if process.wait() != 0:
            raise Failed("holdfast load: exit status %d\n%s%s" % (process.returncode, out[-2000:],
                                                                  self.errors))
        self.result = measure.check_load(json.loads(out))


def bytes_of(text):
    match = re.fullmatch(r"([0-9]+)([KMG]?)", text)
    if not match:
        raise Failed("--wal-bytes-max: %r is not a size such as 256M or 1G" % text)
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[match[2]]


def engine_on(options, work, plan, retain_ms, rate=0, share=1, ready=False):
    """An engine with that share of --wal-bytes-max; sixteen segments, of at most the default size,
    make its log."""
    most = int(bytes_of(options.wal_bytes_max) * share)
    segment = max(4 << 20, min(64 << 20, most // 16 // 4096 * 4096))
    # Forgetting takes a part of retain-ended longer, and the rate may grow: room for both.
    orders_max = max(4 * plan.live, int(4 * rate * retain_ms / 1000))
    return Engine(options, work, "--retain-ended", "%dms" % retain_ms, "--wal-bytes-max",
                  str(most), "--wal-segment-bytes", str(segment), "--orders-max", str(orders_max),
                  "--orders-ready", str(orders_max if ready else 0))


def calibrate(options, work, plan):
    """The rate of a short run, and the retain-ended that keeps about plan.live orders."""
    with engine_on(options, work, plan, 1000) as engine:
        rate = Run(engine, 1000, lambda *_: None, orders=plan.calibration,
                   oracle=False).result["orders_per_s"]
    retain_ms = max(1000, int(plan.live / rate * 1000))
    say("%s orders/s in a short run: retain-ended %d ms" % (spaced(int(rate)), retain_ms))
    return rate, retain_ms


def mib(count):
    return "%s MiB" % spaced(count >> 20)


# ---- Many orders ----

def level(rows, key):
    """Greatest value of the last third against that of the third before."""
    third = len(rows) // 3
    if third == 0:
        return None
    before = max(row[key] for row in rows[-2 * third:-third])
    return max(row[key] for row in rows[-third:]) <= before * LEVEL_SLACK


def soak(options, work, plan):
    host = machine.Machine(options, work)
    floor = host.gather()
    rate, retain_ms = calibrate(options, work, plan)
    rows = []
    print("%12s %12s %9s %11s %11s %11s %6s" % ("orders", "orders/s", "p99.9", "memory",
                                                "directory", "log", "ckpts"))
    with engine_on(options, work, plan, retain_ms, rate) as engine:
        watch = Watch(engine)
        window = {"at": 0.0, "orders": 0, "p999": []}

        def each(at, orders, _rate, p999):
            window["p999"] += [p999] if p999 else []
            if at - window["at"] < plan.line_s:
                return
            whole, log = watch.bytes()
            row = {"at_s": at, "orders": orders,
                   "orders_per_s": (orders - window["orders"]) / (at - window["at"]),
                   "p999_us": max(window["p999"], default=0), "rss": engine.rss(),
                   "disk": whole, "log": log, "checkpoints": watch.checkpoints}
            rows.append(row)
            print_row(row)
            window.update(at=at, orders=orders, p999=[])

        with host.beside(LONGEST_S, 0, engine.pid) as beside:
            result = Run(engine, retain_ms, each, orders=plan.orders).result
        watch.stop = True
        rss = engine.settled_rss()
    return {"floor": floor, "beside": beside.figures, "calibrated_orders_per_s": rate, "retain_ms": retain_ms, "rows": rows,
            "result": result, "settled_rss": rss, "checkpoints": watch.checkpoints,
            "level": {key: level(rows, key) for key in ("rss", "disk", "log")}}


def print_row(row):
    print("%12s %12s %9s %11s %11s %11s %6d" % (
        spaced(row["orders"]), spaced(int(row["orders_per_s"])), ms(row["p999_us"]),
        mib(row["rss"]), mib(row["disk"]), mib(row["log"]), row["checkpoints"]), flush=True)


def print_soak(figures):
    result = figures["result"]
    print("\n%s orders in %.0f s: %s/s, p99.9 %s, max %s; %d checkpoints; retain-ended %.1f s" % (
        spaced(result["orders"]), result["elapsed_s"], spaced(int(result["orders_per_s"])),
        ms(result["p999_us"]), ms(result["max_us"]), figures["checkpoints"],
        figures["retain_ms"] / 1000))
    print("asked back %s, of these forgotten as they may be %s; oversold %d, undersold %d, lost %d, "
          "duplicated %d" % (spaced(result["asked_back"]), spaced(result["forgotten"]),
                             result["oversold"], result["undersold"], result["lost"],
                             result["duplicated"]))
    names = {"rss": "memory", "disk": "data directory", "log": "log"}
    for key, name in names.items():
        if figures["rows"]:
            most = max(row[key] for row in figures["rows"])
            ended = {True: "levelled off", False: "GREW TO THE END", None: "too short a run to tell"}
            print("%-15s at most %s: %s" % (name, mib(most), ended[figures["level"][key]]))
    print("%-15s %.2f cores for the engine" % ("CPU", figures["beside"]["cores"]))
    print()
    machine.print_table(figures["floor"], [("the same, beside the run", figures["beside"]["hiccups"])])


# ---- What a checkpoint costs ----

def windows_of(engine, watch, retain_ms, **settings):
    """Windows of a second, with and without a checkpoint under way; those between are left out, and
    those before the engine forgets as many orders as come in: it does in both kinds."""
    from_s = 2 + 2 * retain_ms / 1000
    windows = {True: [], False: []}
    last = {"at": 0.0}

    def each(at, _orders, rate, p999):
        now = time.monotonic()
        share = watch.busy_share(now - (at - last["at"]), now) if at > last["at"] else 0
        last["at"] = at
        if at > from_s and p999 and (share > 0.5 or share == 0):
            windows[share > 0.5].append({"orders_per_s": rate, "p999_us": p999})

    result = Run(engine, retain_ms, each, **settings).result
    return windows, result


def summary(windows):
    return {"seconds": len(windows),
            "orders_per_s": median(window["orders_per_s"] for window in windows) if windows else None,
            "p999_us": median(window["p999_us"] for window in windows) if windows else None,
            "p999_max_us": max((window["p999_us"] for window in windows), default=None)}


def checkpoint_cost(options, work, plan):
    host = machine.Machine(options, work)
    floor = host.gather()
    rate, retain_ms = calibrate(options, work, plan)
    parts = {}
    checkpoints = 0
    for name, share, settings in (("closed loop", 1, {}),
                                  ("half rate", 0.5, {"rate": int(rate / 2)})):
        # A log of its own each: no checkpoint is due for the first quarter of wal-bytes-max.
        with engine_on(options, work, plan, retain_ms, rate, share,
                       ready=not options.tiny) as engine:
            watch = Watch(engine)
            with host.beside(plan.cost_s, 0, engine.pid) as beside:
                windows, _ = windows_of(engine, watch, retain_ms, duration="%ds" % plan.cost_s,
                                        **settings)
            watch.stop = True
        checkpoints += watch.checkpoints
        parts[name] = {"with": summary(windows[True]), "without": summary(windows[False]),
                       "beside": beside.figures}
    return {"floor": floor, "retain_ms": retain_ms, "checkpoints": checkpoints, "parts": parts,
            "targets": judge_cost(parts)}


def judge_cost(parts):
    """None where there were no windows of one kind."""
    closed, half = parts["closed loop"], parts["half rate"]
    both = closed["with"]["seconds"] and closed["without"]["seconds"]
    return {"throughput": closed["with"]["orders_per_s"] >=
            THROUGHPUT_TARGET * closed["without"]["orders_per_s"] if both else None,
            "p999": half["with"]["p999_us"] <= P999_RATIO * half["without"]["p999_us"]
            if half["with"]["seconds"] and half["without"]["seconds"] else None}


def print_cost(figures):
    print("%-12s %-20s %8s %12s %10s %10s" % ("", "", "seconds", "orders/s", "p99.9", "worst"))
    for name, part in figures["parts"].items():
        for kind in ("without", "with"):
            row = part[kind]
            print("%-12s %-20s %8d %12s %10s %10s" % (
                name, kind + " a checkpoint", row["seconds"],
                spaced(int(row["orders_per_s"])) if row["seconds"] else "-",
                ms(row["p999_us"]) if row["seconds"] else "-",
                ms(row["p999_max_us"]) if row["seconds"] else "-"))
    print("%d checkpoints. Medians of windows of a second." % figures["checkpoints"])
    print("targets: throughput within 10 %%  %s; p99.9 at half of the rate at most %g of that without  "
          "%s" % (verdict(figures["targets"]["throughput"]), P999_RATIO,
                  verdict(figures["targets"]["p999"])))
    print()
    machine.print_table(figures["floor"], [
        ("the same, beside the run, " + name, part["beside"]["hiccups"])
        for name, part in figures["parts"].items()])
    print("; ".join("%s: %.2f cores for the engine" % (name, part["beside"]["cores"])
                    for name, part in figures["parts"].items()))


def main():
    parser = measure.parser_for("soak")
    parser.add_argument("--orders", type=measure.number_with_unit)
    parser.add_argument("--live", type=measure.number_with_unit, default=8000000)
    parser.add_argument("--checkpoint-cost", action="store_true")
    parser.add_argument("--wal-bytes-max", default=None)
    options = measure.parse(parser)
    if not options.wal_bytes_max:
        usual = "24G" if options.checkpoint_cost else "1G"
        if options.tiny:
            usual = "32M" if options.checkpoint_cost else "16M"
        options.wal_bytes_max = usual
    measure.check_disk(options, "soak.sh")
    plan = Plan(options)
    load = measure.load_average()
    with measure.Work(options) as work:
        run, show = (checkpoint_cost, print_cost) if options.checkpoint_cost else (soak, print_soak)
        figures = run(options, work, plan)
    where = measure.write_json(options, load, **figures)
    print(measure.machine_line(where))
    show(figures)
    if not options.checkpoint_cost and False in figures["level"].values() and not options.tiny:
        sys.exit(1)


if __name__ == "__main__":
    measure.run_script("soak.sh", main)
