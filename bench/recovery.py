#!/usr/bin/env python3
"""How long an engine takes to come back; bench/recovery.sh --help says what is measured."""

import os
import re
import shutil
import signal
import subprocess
import time

import measure
from measure import Failed, Server, say, spaced, verdict

TARGET_RECORDS_PER_S = 10000000  # docs/benchmarks.md
TARGET_DISK_SHARE = 0.8
TARGET_SECONDS = 5  # for 20 million live orders
READ_BYTES = 4 << 20


def numbers(text):
    return [measure.number_with_unit(part) for part in text.split(",")]


def drop_cache():
    """False: not allowed, files will come from memory."""
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
            file.write("3\n")
        return True
    except OSError:
        return False


def files_of(data, kind):
    folder = os.path.join(data, "wal")
    return sorted(os.path.join(folder, name) for name in os.listdir(folder)
                  if name.endswith(kind))


def read_speed(paths):
    """Bytes a second of reading files one after another."""
    began = time.monotonic()
    count = 0
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
            while True:
                got = len(file.read(READ_BYTES))
                if got == 0:
                    break
                count += got
    return count / (time.monotonic() - began)


class Life:
    """One engine on a data directory that stays."""

    def __init__(self, options, work, data, orders):
        self.log = os.path.join(work, "engine.log")
        self.binary = os.path.join(options.build, "engine", "cli", "holdfast")
        self.data = data
        if os.path.exists(self.log):
            os.unlink(self.log)
        self.server = Server([self.binary, "serve", "--data", data, "--listen",
                              "tcp://127.0.0.1:0", "--orders-max", str(orders * 21 // 20 + 1000),
                              "--orders-ready", str(orders), "--hold-ms", "12h", "--wal-bytes-max",
                              "0", *(["--wal-segment-bytes", "4M"] if orders <= 1000000 else [])],
                             "ready", self.log)
        self.url = next(line.split()[2] for line in self.server.lines
                        if line.startswith("listening on tcp"))

    def recovered(self):
        """Records, milliseconds."""
        with open(self.log, encoding="utf-8") as file:
            match = re.search(r"recovered ([0-9]+) records .* in ([0-9]+) ms", file.read())
        if not match:
            raise Failed("the engine did not say what it recovered")
        return int(match[1]), int(match[2])

    def stop(self):
        self.server.process.send_signal(signal.SIGTERM)
        self.server.process.wait()
        self.server.process.stdout.close()


def fill(options, work, data, orders):
    life = Life(options, work, data, orders)
    # In one go at most the batches that a rate of a slow disk makes; a batch is far below a request's.
    measure.check_load(measure.run_json(
        life.binary, "load", "--url", life.url, "--quiet", "--json", "--orders", str(orders),
        "--skus", "1000" if not options.tiny else "10", "--batch", "1000", "--hold", "12h",
        "--no-oracle"))
    life.stop()


def come_back(options, work, data, orders, kinds):
    """What a start takes; the files of those kinds are read."""
    cold = drop_cache()
    paths = [path for kind in kinds for path in files_of(data, kind)]
    speed = read_speed(paths)
    cold = drop_cache() and cold
    life = Life(options, work, data, orders)
    records, took_ms = life.recovered()
    life.stop()
    count = sum(os.path.getsize(path) for path in paths)
    seconds = max(took_ms, 1) / 1000
    return {"orders": orders, "records": records, "seconds": seconds, "bytes": count,
            "disk_bytes_per_s": speed, "disk_share": count / seconds / speed, "cold": cold}


def measure_orders(options, work, orders):
    data = os.path.join(work, "data")
    say("%s orders: filling" % spaced(orders))
    fill(options, work, data, orders)
    rows = []
    say("%s orders: from the log" % spaced(orders))
    rows.append({"from": "log", **come_back(options, work, data, orders, [".seg"])})
    say("%s orders: making a checkpoint" % spaced(orders))
    began = time.monotonic()
    made = subprocess.run([os.path.join(options.build, "engine", "cli", "holdfast"), "wal",
                           "checkpoint", "--data", data], capture_output=True, text=True,
                          check=False)
    took = time.monotonic() - began
    if files_of(data, ".ckp"):
        say("%s orders: from the checkpoint" % spaced(orders))
        rows.append({"from": "checkpoint", "made_s": took,
                     **come_back(options, work, data, orders, [".ckp"])})
    elif not options.tiny:  # so few orders don't fill a segment
        raise Failed("no checkpoint could be made: %s%s" % (made.stdout[-500:], made.stderr[-500:]))
    shutil.rmtree(data)
    return rows


def print_table(rows, where):
    print()
    print(measure.machine_line(where))
    print()
    print("| live orders | from | seconds | orders/s | files | disk, read alone | share of it |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print("| %s | %s | %.2f | %s | %.2f GB | %.2f GB/s | %.0f %% |" % (
            spaced(row["orders"]), row["from"], row["seconds"],
            spaced(int(row["orders"] / row["seconds"])), row["bytes"] / 1e9,
            row["disk_bytes_per_s"] / 1e9, 100 * row["disk_share"]))
    print()
    for row in rows:
        if row["from"] == "checkpoint":
            print("making the checkpoint of %s orders took %.1f s" % (spaced(row["orders"]),
                                                                     row["made_s"]))
    if not all(row["cold"] for row in rows):
        print("note: the page cache could not be dropped: files came from memory")
    greatest = [row for row in rows if row["orders"] == max(r["orders"] for r in rows)]
    for row in greatest:
        rate = row["orders"] / row["seconds"]
        met = rate >= TARGET_RECORDS_PER_S or row["disk_share"] >= TARGET_DISK_SHARE
        print("target: %s a second, or %.0f %% of the disk; from the %s reached %s  %s" % (
            spaced(TARGET_RECORDS_PER_S), 100 * TARGET_DISK_SHARE, row["from"], spaced(int(rate)),
            verdict(met)))


def main():
    parser = measure.parser_for("recovery")
    parser.add_argument("--orders", type=numbers, default=[1000000, 10000000, 50000000])
    options = measure.parse(parser)
    if options.quick:
        options.orders = [1000000]
    if options.tiny:
        options.orders = [20000]
    measure.check_disk(options, "recovery.sh")
    load = measure.load_average()
    rows = []
    with measure.Work(options) as work:
        for orders in options.orders:
            rows += measure_orders(options, work, orders)
    where = measure.write_json(options, load, rows=rows)
    print_table(rows, where)


if __name__ == "__main__":
    measure.run_script("recovery.sh", main)
