#!/usr/bin/env python3
"""What more cores would give, from one thread, two threads and the serial parts.

The Universal Scalability Law (N. Gunther, Guerrilla Capacity Planning, 2007) gives the speed-up on
N cores as

    C(N) = N / (1 + sigma (N - 1) + kappa N (N - 1))

sigma: the share of the work that only one core can do at a time; kappa: what it costs each pair of
cores to keep what they share in step. Two cores tell one number only:

    t2 / t1 - 1 = sigma + 2 kappa      t: CPU time of an order on its own thread, one or two threads

So sigma is measured apart: the operations on an order's way that all threads share, counted in the
source, each with the time that such an operation takes when two threads do nothing else; over t1.
What remains of t2 / t1 - 1 is kappa.

The law lets that remainder grow with the number of cores. It need not: where it comes from cache
lines that another core wrote last (the heads of the order table's shards, its index), half of the
accesses meet such a line with two cores, 1 - 1/N of them with N, and never more than all. So there
is a second reading,

    C(N) = N / (1 + sigma (N - 1) + 2 (t2 / t1 - 1 - sigma) (1 - 1/N))

which agrees with the first for one core and two. The truth should lie between them.
bench/scaling.sh --help says how to run it."""

import json
import os
import re
import subprocess
import sys

import measure
from measure import Failed, median, say, spaced

CORES = [4, 16, 64]
FILTER = ("^(scaling/|counters/(take|refuse)/.*/threads:[12]$|log/append/bytes:48/"
          "|log/append/bytes:48000/|log/running/bytes:48/)")
HOT_TARGET = 1.9  # two threads on one hot item against one (docs/benchmarks.md)

# (key, what, orders a request)
WAYS = [
    ("one_item", "one item (splits itself)", 1000),
    ("one_hot_item", "one item, defined hot", 1000),
    ("10000_items", "10 000 items", 1000),
    ("refuse", "refusals, one item", 1000),
    ("refuse_hot", "refusals, one hot item", 1000),
    ("one_item_single", "one item, one order a request", 1),
]
REFUSALS = {"refuse", "refuse_hot"}

# What all threads share: (name, unit, times a request, times an order, also when refused, why so
# many). A unit is the time of one such operation while two threads do nothing else: `lock` a spin
# lock with an addition inside, `line` an addition to one counter. Keep in step with the source.
SHARED = [
    ("append lock", "lock", 4, 0, False,
     "wal_append, wal_wait; the writer seals and retires a block, at most one a request"),
    ("commit watermark, log's tail and digest", "line", 5, 0, True,
     "admission, tail, commit_lsn, bytes copied, digest"),
    ("list of workers", "lock", 2, 0, True, "a worker is taken and given back"),
    ("clock", "line", 1, 0, True, "the engine's time never goes back"),
    ("expiry: pool of chunks", "lock", 0, 1 / 15, False, "a chunk holds 15 deadlines"),
    ("expiry: wheel lock", "lock", 0, 1 / 64, False,
     "for 64 deadlines; 16 wheels, so shared by more than 16 threads, and by the expirer"),
    ("entry allocator", "line", 0, 1 / 256, False, "blocks of 256 entries"),
    ("order shard lock", "lock", 0, 3 / 1024, False,
     "reserve and publish, 1024 shards; a third for the expirer"),
]


# ---- Running the suites ----

class Runs:
    """All repetitions of each benchmark, by its name without settings."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.runs = [run for run in json.load(file)["benchmarks"]
                         if run["run_type"] == "iteration"]

    def values(self, name, threads, field):
        """Of the benchmark whose name begins so; nanoseconds."""
        found = []
        for run in self.runs:
            if re.match(re.escape(name) + "(/|$)", run["name"]) and run["threads"] == threads:
                if field == "cpu":
                    found.append(run.get("cpu_ns", run["cpu_time"]))
                elif field == "wall":
                    found.append(run["per_order"] * 1e9)
                else:
                    found.append(run[field])
        if not found:
            raise Failed("no benchmark %s with %d threads has run" % (name, threads))
        return found

    def median(self, name, threads, field):
        return median(self.values(name, threads, field))


def run_suites(options, repetitions, path):
    command = [os.path.join(options.build, "bench", "micro", "holdfast_micro"),
               "--benchmark_filter=" + FILTER, "--benchmark_repetitions=%d" % repetitions,
               "--benchmark_out=" + path, "--benchmark_out_format=json"]
    if options.tiny:
        command.insert(1, "--tiny")
    code = measure.start(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait()
    if code != 0:
        raise Failed("%s: exit status %d" % (command[0], code))
    return Runs(path)


# ---- The law ----

def by_the_law(sigma, kappa, cores):
    return cores / (1 + sigma * (cores - 1) + kappa * cores * (cores - 1))


def by_misses(sigma, rest, cores):
    return cores / (1 + sigma * (cores - 1) + 2 * rest * (1 - 1 / cores))


def quartile(values, share):
    """The value that so much of the sorted values lies below; the nearest one."""
    ordered = sorted(values)
    return ordered[round(share * (len(ordered) - 1))]


class Way:
    """One case of the whole way of an order."""

    def __init__(self, runs, key, what, batch, parts):
        name = "scaling/way/" + key
        self.key, self.what, self.batch = key, what, batch
        one, two = (runs.values(name, threads, "cpu") for threads in (1, 2))
        self.one_ns, self.two_ns = median(one), median(two)
        self.wall_ratio = runs.median(name, 1, "wall") / runs.median(name, 2, "wall")
        # Threads that take turns on a core don't meet: their CPU time says nothing then.
        self.together = self.wall_ratio > 0.75 * min(2 * self.one_ns / self.two_ns, 2)
        self.excess = self.two_ns / self.one_ns - 1
        # Quartiles against quartiles: how far off the medians may be.
        self.excess_low = quartile(two, 0.25) / quartile(one, 0.75) - 1
        self.excess_high = quartile(two, 0.75) / quartile(one, 0.25) - 1
        self.serial = {part["name"]: part["request_ns"] / batch + part["order_ns"]
                       for part in parts if key not in REFUSALS or part["refused_too"]}
        self.serial_ns = sum(self.serial.values())
        self.sigma = min(self.serial_ns / self.one_ns, 1.0)
        self.rest = max(0.0, self.excess - self.sigma)
        self.kappa = self.rest / 2

    def predict(self, cores):
        """(the law, the reading by misses) times one core."""
        return (by_the_law(self.sigma, self.kappa, cores), by_misses(self.sigma, self.rest, cores))

    def as_json(self):
        return {"key": self.key, "what": self.what, "batch": self.batch, "one_ns": self.one_ns,
                "two_ns": self.two_ns, "cpu_ratio": 2 * self.one_ns / self.two_ns,
                "wall_ratio": self.wall_ratio, "together": self.together, "excess": self.excess,
                "excess_quartiles": [self.excess_low, self.excess_high],
                "serial_ns": self.serial_ns, "serial": self.serial, "sigma": self.sigma,
                "kappa": self.kappa,
                "speed_up": {str(cores): dict(zip(("law", "misses"), self.predict(cores)))
                             for cores in CORES}}


# ---- Parts ----

def shared_parts(runs):
    """What the operations of SHARED take, by the contended units of this machine."""
    units = {"lock": runs.median("scaling/part/lock", 2, "wall"),
             "line": runs.median("scaling/part/add", 2, "wall")}
    return units, [{"name": name, "request_ns": request * units[unit],
                    "order_ns": order * units[unit], "refused_too": refused, "why": why}
                   for name, unit, request, order, refused, why in SHARED]


def measured_parts(runs):
    """Parts that were run alone, with one thread and two: CPU time of each operation."""
    names = [("stock cell, take: one item", "counters/take/one_item"),
             ("stock cell, take: one item, defined hot", "counters/take/one_hot_item"),
             ("stock cell, take: 10 000 items", "counters/take/10000_items"),
             ("stock cell, refuse: one item", "counters/refuse/one_item"),
             ("stock cell, refuse: one hot item", "counters/refuse/one_hot_item"),
             ("order table: shard lock, look-up, entry", "scaling/part/enter"),
             ("deadline, each thread its own wheel", "scaling/part/own_wheel"),
             ("deadline, all threads in one wheel", "scaling/part/same_wheel"),
             ("append of one record, writer running", "log/running/bytes:48"),
             ("a lock that all take, and nothing else", "scaling/part/lock"),
             ("a counter that all add to, and nothing else", "scaling/part/add")]
    return [{"what": what, "benchmark": name, "one_ns": runs.median(name, 1, "cpu"),
             "two_ns": runs.median(name, 2, "cpu"),
             "wall_ratio": runs.median(name, 1, "wall") / runs.median(name, 2, "wall")}
            for what, name in names]


def ceilings(parts, writer_ns):
    """The greatest rate that each serial part alone allows, whatever the cores: orders per second,
    in requests of 1000 and of 1."""
    found = []
    for part in parts:
        by_batch = [part["request_ns"] / batch + part["order_ns"] for batch in (1000, 1)]
        found.append({"name": part["name"], "ns_1000": by_batch[0], "ns_1": by_batch[1],
                      "why": part["why"]})
    found.append({"name": "log's writer: seal, checksum", "ns_1000": writer_ns, "ns_1": writer_ns,
                  "why": "one thread beside the others: a ceiling, not a part of sigma"})
    for part in found:
        part["ceiling_1000"], part["ceiling_1"] = 1e9 / part["ns_1000"], 1e9 / part["ns_1"]
    return found


# ---- The table ----

def print_parts(measured, parts):
    line = "{:<48}{:>12}{:>12}{:>9}{:>9}"
    print(line.format("parts alone, CPU time of an operation", "1 thread", "2 threads", "2x CPU",
                      "2x wall"))
    print("-" * 90)
    for part in measured:
        print(line.format(part["what"], "%.1f ns" % part["one_ns"], "%.1f ns" % part["two_ns"],
                          "%.2f" % (2 * part["one_ns"] / part["two_ns"]),
                          "%.2f" % part["wall_ratio"]))
    print()
    line = "{:<46}{:>16}{:>14}{:>18}"
    print(line.format("shared by all threads: serial time an order", "1000 a request",
                      "1 a request", "ceiling, orders/s"))
    print("-" * 90)
    for part in parts:
        print(line.format(part["name"], "%.3f ns" % part["ns_1000"], "%.1f ns" % part["ns_1"],
                          spaced(part["ceiling_1000"])))


def print_ways(ways):
    line = "{:<30}{:>9}{:>10}{:>8}{:>8}{:>17}{:>9}{:>9}"
    print(line.format("the whole way, CPU of an order", "1 thread", "2 threads", "2x CPU",
                      "2x wall", "t2/t1 - 1", "sigma", "kappa"))
    print("-" * 100)
    for way in ways:
        print(line.format(way.what, "%.0f ns" % way.one_ns, "%.0f ns" % way.two_ns,
                          "%.2f" % (2 * way.one_ns / way.two_ns), "%.2f" % way.wall_ratio,
                          "%.2f to %.2f" % (way.excess_low, way.excess_high),
                          "%.4f" % way.sigma, "%.4f" % way.kappa))
    apart = [way.what for way in ways if not way.together]
    if apart:
        print("THE TWO THREADS HAVE NOT RUN AT THE SAME TIME, because other work had the cores. "
              "Don't use:\n    " + "; ".join(apart))
    print()
    line = "{:<30}" + "{:>18}" * len(CORES)
    print(line.format("times one core: law, misses", *("%d cores" % cores for cores in CORES)))
    print("-" * 100)
    for way in ways:
        print(line.format(way.what, *("%.1f, %.1f" % way.predict(cores) for cores in CORES)))


def print_notes(hot_ratio):
    print("""
2x: what two threads do in a time, over what one does: by CPU time of each thread (others' work on
the cores does not count, waiting for locks does) and by the wall clock, where on 2 cores the log's
writer competes with the second thread. t2/t1 - 1: by the quartiles of the repetitions. sigma: the
sum of the serial times over an order's, from counted operations and their contended cost. kappa:
what sigma leaves of t2/t1 - 1, halved. law: the Universal Scalability Law, which lets that remainder
grow with the cores. misses: the remainder is cache lines that another core wrote last, which two
cores meet half of the time and many cores always. bench/scaling.py opens with both formulas.
This is extrapolation from two cores of a virtual machine: no transport, one socket, one cache. Take
4 cores as an estimate, 16 as a guess, and 64 as a hint at which part gives way first.""")
    print("target: two threads on one hot item against one, at least %.1fx; "
          "reached %.2fx (wall)  %s" % (HOT_TARGET, hot_ratio,
                                        measure.verdict(hot_ratio >= HOT_TARGET)))


def main():
    parser = measure.parser_for("scaling")
    parser.add_argument("--repetitions", type=measure.number_with_unit)
    options = measure.parse(parser)
    if len(os.sched_getaffinity(0)) < 2:
        print("scaling.sh: needs two cores", file=sys.stderr)
        sys.exit(measure.SKIPPED if options.tiny else 1)
    load = measure.load_average()
    repetitions = options.repetitions or (1 if options.tiny else 3 if options.quick else 9)
    say("running the suites, %d times each" % repetitions)
    with measure.Work(options) as work:
        runs = run_suites(options, repetitions, os.path.join(work, "micro.json"))
    units, parts = shared_parts(runs)
    measured = measured_parts(runs)
    ways = [Way(runs, key, what, batch, parts) for key, what, batch in WAYS]
    limits = ceilings(parts, runs.median("log/append/bytes:48000", 1, "write_ns"))
    hot = next(part for part in measured if part["benchmark"] == "counters/take/one_hot_item")
    where = measure.write_json(
        options, load, repetitions=repetitions, units_ns=units, parts=measured, serial=limits,
        ways=[way.as_json() for way in ways],
        target={"what": "two threads on one hot item against one", "target": HOT_TARGET,
                "reached": hot["wall_ratio"], "met": hot["wall_ratio"] >= HOT_TARGET})
    print()
    print(measure.machine_line(where))
    print()
    print_parts(measured, limits)
    print()
    print_ways(ways)
    print_notes(hot["wall_ratio"])


if __name__ == "__main__":
    measure.run_script("scaling.sh", main)
