#!/usr/bin/env python3
"""The table of bench/peers.sh: what was measured, Holdfast beside it, and the targets.

usage: table.py --runs FILE --versions FILE --floor FILE --place DIR --load NUMBER
                --quick true|false --json FILE

FILE of runs: a JSON object a line, {"key", "name", "what", "result", "hiccups", "log_bytes"}: hiccups
beside the run, and the log's bytes an order, or null. Several with one key are rounds of the same
thing, and count with their medians. FILE of the floor: of bench/machine.py."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys

# TigerBeetle is in no Debian archive, so its rate is quoted: its own `benchmark` command on a
# machine of 2 cores, batches of 8190 transfers, client included.
# What an order must fetch that no cache has: its slot in the index, and its entry (core/orders.h).
MISSES_AN_ORDER = 2

TIGERBEETLE = {"name": "TigerBeetle", "low": 262000, "high": 315000}


class Row:
    """The rounds of one thing."""

    def __init__(self, key, runs):
        results = [run["result"] for run in runs]
        self.key = key
        self.name = runs[-1]["name"]
        self.what = runs[-1]["what"]
        self.rounds = len(runs)
        self.per_s = median(results, "orders_per_s" if "orders_per_s" in results[0] else "per_s")
        self.p50_us = median(results, "p50_us")
        self.p99_us = median(results, "p99_us")
        self.p999_us = median(results, "p999_us")
        self.hiccups_p999_us = median_of([run["hiccups"] and run["hiccups"]["p999_us"]
                                          for run in runs])
        self.log_bytes = median_of([run["log_bytes"] for run in runs])
        last = results[-1]
        self.settings = {name: last.get(name) for name in ("connections", "in_flight", "batch")}

    def as_json(self):
        return {"key": self.key, "name": self.name, "what": self.what, "per_s": self.per_s,
                "p50_us": self.p50_us, "p99_us": self.p99_us, "p999_us": self.p999_us,
                "hiccups_p999_us": self.hiccups_p999_us, "log_bytes": self.log_bytes,
                "rounds": self.rounds,
                **self.settings}


def median(results, field):
    return statistics.median(result[field] for result in results)


def median_of(values):
    """Of those that are known; None if none is."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def read_rows(path):
    by_key = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            run = json.loads(line)
            by_key.setdefault(run["key"], []).append(run)
    return {key: Row(key, runs) for key, runs in by_key.items()}


# ---- Ratios: of two measured things, so that another machine can be compared ----

def rate_of(over, under):
    """(what is divided, by what) of two rates."""
    return lambda rows: rows[over].per_s / rows[under].per_s


def floor_ratio(rows):
    floor = rows["nng_round_trip"].p50_us + rows["disk_write_4k"].p50_us
    return rows["holdfast_single"].p50_us / floor


def alone_allows(rows, floor, row):
    """(orders/s, what limits them): as fast as all cores could fetch what orders miss in the caches,
    eight at a time, with nothing else to do; or as the disk could take their log, in large writes
    one after another. Whichever is less."""
    memory = floor["cores"] * 1e9 / (MISSES_AN_ORDER * floor["miss"]["all_in_flight_ns"])
    bytes_per_s = max(rows[key].per_s * rows[key].settings["batch"]
                      for key in ("disk_write_256k", "disk_write_4m"))
    disk = bytes_per_s / rows[row].log_bytes
    return (memory, "memory") if memory < disk else (disk, "the disk")


# key, what, function, target (None: no target), whether less is better
RATIOS = [
    ("redis_hot", "batched / Redis, always, 100 a call; one hot SKU",
     rate_of("holdfast_batched_hot", "redis_always_hot_100"), 40, False),
    ("redis_spread", "batched / Redis, always, 100 a call; 10 000 SKUs",
     rate_of("holdfast_batched_spread", "redis_always_spread_100"), 40, False),
    ("redis_expiring_hot", "the same, deadlines indexed in Redis; one hot SKU",
     rate_of("holdfast_batched_hot", "redis_always_hot_100_expiring"), 80, False),
    ("redis_expiring_spread", "the same, deadlines indexed in Redis; 10 000 SKUs",
     rate_of("holdfast_batched_spread", "redis_always_spread_100_expiring"), 80, False),
    ("nng_echo", "one order a message / nng's bare echo, 64 under way",
     rate_of("holdfast_unbatched", "nng_echo_64"), 3, False),
    ("latency_floor", "p50 of one order / (nng round trip + 4 KiB durable write)",
     floor_ratio, 0.90, True),
    ("redis_everysec_hot", "batched / Redis, everysec, 100 a call; one hot SKU",
     rate_of("holdfast_batched_hot", "redis_everysec_hot_100"), None, False),
    ("redis_everysec_spread", "batched / Redis, everysec, 100 a call; 10 000 SKUs",
     rate_of("holdfast_batched_spread", "redis_everysec_spread_100"), None, False),
    ("redis_pipelined_spread", "one order a message / Redis, always, pipelined; 10 000 SKUs",
     rate_of("holdfast_unbatched", "redis_always_spread_pipelined"), None, False),
    ("postgres_hot", "batched / PostgreSQL, 100 a statement; one hot SKU",
     rate_of("holdfast_batched_hot", "postgres_hot_100"), None, False),
    ("postgres_spread", "batched / PostgreSQL, 100 a statement; 10 000 SKUs",
     rate_of("holdfast_batched_spread", "postgres_spread_100"), None, False),
    ("postgres_single_spread", "one order a message / PostgreSQL, one a call; 10 000 SKUs",
     rate_of("holdfast_unbatched", "postgres_spread"), None, False),
    ("batched_echo", "batched hot / messages of nng's 9 KiB echo",
     rate_of("holdfast_batched_hot", "nng_echo_9k"), None, False),
    ("sold_out", "sold out / batched, one hot SKU",
     rate_of("holdfast_sold_out", "holdfast_batched_hot"), 2, False),
    ("sold_out_redis", "sold out / Redis that only looks at the stock, 100 a call",
     rate_of("holdfast_sold_out", "redis_sold_out_100"), 10, False),
]

# key, what, row: of what memory and disk alone allow
ALONE = [
    ("alone_hot", "batched / what memory and disk alone allow; one hot SKU",
     "holdfast_batched_hot"),
    ("alone_spread", "batched / what memory and disk alone allow; 10 000 SKUs",
     "holdfast_batched_spread"),
]
ALONE_TARGET = 0.6

# key, what, row, target: rates on a quiet machine of 2 cores, judged only there (docs/benchmarks.md)
RATES = [
    ("batched_hot", "batched, one hot SKU", "holdfast_batched_hot", 6e6),
    ("batched_spread", "batched, 10 000 SKUs", "holdfast_batched_spread", 6e6),
    ("sold_out", "refusing what is sold out, batched", "holdfast_sold_out", 10e6),
]


def judged(key, what, reached, target, less=False):
    met = None if target is None else (reached <= target if less else reached >= target)
    return {"key": key, "what": what, "reached": reached, "target": target,
            "less_is_better": less, "met": met}


def compute_ratios(rows, floor):
    ratios = []
    for key, what, function, target, less in RATIOS:
        try:
            reached = function(rows)
        except KeyError:  # not measured in this run
            continue
        ratios.append(judged(key, what, reached, target, less))
    for key, what, row in ALONE:
        try:
            allowed, limit = alone_allows(rows, floor, row)
        except KeyError:
            continue
        ratios.append({**judged(key, what, rows[row].per_s / allowed, ALONE_TARGET),
                       "allowed_per_s": allowed, "limit": limit})
    return ratios


def compute_rates(rows, quiet):
    """Absolute: without a verdict on a machine that is not quiet."""
    rates = [{"key": key, "what": what, "reached": rows[row].per_s, "target": target,
              "met": rows[row].per_s >= target if quiet else None}
             for key, what, row, target in RATES if row in rows]
    if "holdfast_batched_hot" in rows:
        reached = rows["holdfast_batched_hot"].per_s / TIGERBEETLE["high"]
        rates.append({"key": "tigerbeetle", "what": "batched, one hot SKU / TigerBeetle (quoted)",
                      "reached": reached, "target": 20, "met": reached >= 20 if quiet else None})
    return rates


# ---- Print ----

def spaced(number):
    return f"{number:,.0f}".replace(",", " ")


def times(number):
    return f"{number:.1f}x" if number >= 10 else f"{number:.2f}x"


def in_time(us):
    if us is None:
        return ""
    return f"{us:.0f} us" if us < 1000 else f"{us / 1000:.2f} ms"


def beside(row, rows):
    """Holdfast's batched rate over this one's; of the same number of SKUs where there is one."""
    if row.name == "disk":
        return ""
    key = "holdfast_batched_spread" if "spread" in row.key else "holdfast_batched_hot"
    return times(rows[key].per_s / row.per_s) if key in rows else ""


def print_table(rows):
    order = ["Holdfast", "Redis", "PostgreSQL", "nng", "disk"]
    line = "{:<12}{:<50}{:>12}{:>11}{:>11}{:>11}{:>11}{:>11}"
    print(line.format("name", "what", "orders/s", "p50", "p99", "p99.9", "hiccups", "batched is"))
    print("-" * 129)
    for row in sorted(rows.values(), key=lambda row: order.index(row.name)):
        print(line.format(row.name, row.what, spaced(row.per_s), in_time(row.p50_us),
                          in_time(row.p99_us), in_time(row.p999_us),
                          in_time(row.hiccups_p999_us), beside(row, rows)))
        if row.name == "disk":
            print(f"{'':<12}  {row.per_s * row.settings['batch'] / 1e6:.0f} MB/s")
    quoted = ""
    if "holdfast_batched_hot" in rows:
        quoted = times(rows["holdfast_batched_hot"].per_s / TIGERBEETLE["high"])
    print(line.format(TIGERBEETLE["name"], "its own benchmark: quoted, not measured here",
                      f"{spaced(TIGERBEETLE['low'])}", "", "", "", "", ""))
    print(line.format("", "  to", spaced(TIGERBEETLE["high"]), "", "", "", "", quoted))
    print("Latency is a call's: of all its orders. nng and disk: messages/s, operations/s. hiccups: the "
          "p99.9 of how late a\nthread woke beside the run that slept 1 ms at a time.")


def verdict(met):
    return "" if met is None else ("met" if met else "missed")


def print_targets(ratios, rates, quiet):
    line = "{:<62}{:>14}{:>14}  {}"
    print(line.format("Holdfast", "target", "reached", ""))
    print("-" * 98)
    for ratio in ratios:
        show = (lambda value: f"{value:.2f}") if ratio["reached"] < 10 else times
        sign = "at most" if ratio["less_is_better"] else "at least"
        target = f"{sign} {ratio['target']:g}" if ratio["target"] is not None else ""
        print(line.format(ratio["what"], target, show(ratio["reached"]), verdict(ratio["met"])))
        if "limit" in ratio:
            print(f"    {spaced(ratio['allowed_per_s'])}/s, as {ratio['limit']} limits it")
    if rates:
        print("rates on a quiet machine" + ("" if quiet else "; this one is not, so no verdicts"))
    for rate in rates:
        show = times if rate["key"] == "tigerbeetle" else spaced
        target = f"{rate['target']:g}x" if rate["key"] == "tigerbeetle" else spaced(rate["target"])
        print(line.format(rate["what"], target, show(rate["reached"]), verdict(rate["met"])))


# ---- The machine ----

def command_output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def cpu_model():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def machine(place, load):
    return {"cpu": cpu_model(), "cores": len(os.sched_getaffinity(0)),
            "kernel": platform.release(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "file_system": command_output("df", "--output=fstype", place).split("\n")[-1],
            "load_average": load}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for option in ("--runs", "--versions", "--floor", "--place", "--load", "--quick", "--json"):
        parser.add_argument(option, required=True)
    options = parser.parse_args()
    rows = read_rows(options.runs)
    with open(options.versions, encoding="utf-8") as file:
        versions = file.read().split("\n")
    with open(options.floor, encoding="utf-8") as file:
        floor = json.load(file)
    ratios = compute_ratios(rows, floor["floor"])
    rates = compute_rates(rows, floor["quiet"])
    where = machine(options.place, float(options.load))
    print()
    print(f"{where['cpu']}, {where['cores']} cores, Linux {where['kernel']}, "
          f"{where['file_system']}; clients included; load average before: "
          f"{where['load_average']:.1f}")
    print("; ".join(version for version in versions if version))
    print()
    print_table(rows)
    if ratios or rates:
        print()
        print_targets(ratios, rates, floor["quiet"])
    print()
    with open(options.json, "w", encoding="utf-8") as file:
        json.dump({"format": 1, "quick": options.quick == "true", "machine": where,
                   "versions": [version for version in versions if version],
                   "floor": floor["floor"], "quiet": floor["quiet"],
                   "rows": [row.as_json() for row in rows.values()],
                   "quoted": [TIGERBEETLE], "ratios": ratios, "rates": rates}, file, indent=1)
        file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
