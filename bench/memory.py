#!/usr/bin/env python3
"""Resident bytes of what an engine remembers; bench/memory.sh --help says what is measured."""

import os
import shutil
import sys

import measure
from measure import Engine, Failed, say, spaced, verdict

sys.path.insert(0, os.path.join(measure.ROOT, "tests", "integration"))

import wire  # noqa: E402  (tests/integration/wire.py)

TARGET_BYTES = 80  # a live one-line order, at 64 M orders (docs/benchmarks.md)
ORDERS_MAX = 1 << 26  # the engine's default
POINTS = [1000000, 10000000, 64000000]  # how many the sizing table is for
ITEMS_MAX = 1 << 24  # the most that an engine can be set to
RECORD_BYTES = 60  # of log for a one-line order, digests and blocks included, with some to spare

# Fields of a Request, by the wire contract.
RESERVE_BATCH, DEFINE, ADJUST = 15, 30, 31


class Plan:
    def __init__(self, options):
        self.orders = 1000000 if options.quick else options.orders
        self.orders_max = max(ORDERS_MAX, self.orders * 21 // 20)
        self.warm_up, self.small, self.batch = 1000000, 1000000, 1000
        self.items, self.hot_items = 100000, 100000
        if options.tiny:
            self.orders, self.orders_max = 20000, 100000
            self.warm_up, self.small, self.batch = 2000, 10000, 500
            self.items, self.hot_items = 1000, 100


class Shop:
    """One engine, and a client by hand that sends columns."""

    def __init__(self, options, work, orders_max):
        # No checkpoints: one that is being made takes up to checkpoint-memory.
        settings = ["--orders-ready", "0", "--orders-max", str(orders_max), "--hold-ms", "12h",
                    "--wal-bytes-max", "0"]
        self.engine = Engine(options, work, *settings)
        self.connection = wire.Connection(self.engine.url, timeout=600)
        self.run_hi = 1
        self.next_id = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()
        self.engine.kill()

    def define(self, skus, pool=None, **item):
        """Handles of the items: one SKU each, in one pool."""
        handles = []
        for at in range(0, len(skus), 1000):
            reply = self.connection.call(DEFINE, wire.message(*(
                (2, "msg", wire.item_def(sku, pool=pool, **item)) for sku in skus[at:at + 1000])))
            if reply.status != wire.OK:
                raise Failed("items could not be defined: " + reply.message)
            packed = wire.first(reply.body(DEFINE), 1)
            handles += [int.from_bytes(packed[i:i + 4], "little")
                        for i in range(0, len(packed), 4)]
        return handles

    def stock(self, handles, units):
        for at in range(0, len(handles), 1000):
            reply = self.connection.call(ADJUST, wire.message(*(
                (1, "msg", wire.adjustment(os.urandom(16), item, set_to=units))
                for item in handles[at:at + 1000])))
            if reply.status != wire.OK:
                raise Failed("items could not be stocked: " + reply.message)

    def limit(self, sku, units):
        """Sets limit_per_buyer. False: this version of the engine has no such rule."""
        reply = self.connection.call(DEFINE, wire.message(
            (1, "msg", wire.message((1, "bytes", sku), (3, "int", units)))))
        if reply.status == wire.INVALID and "not supported" in reply.message:
            return False
        if reply.status != wire.OK:
            raise Failed("a limit could not be set: " + reply.message)
        return True

    def reserve(self, count, batch, items, lines=1, refused=False):
        """Orders of `lines` different items each, every one of another buyer. refused: there must
        be nothing left to sell, so that they leave no memory in use."""
        for done in range(0, count, batch):
            some = min(batch, count - done)
            numbers = range(self.next_id + 1, self.next_id + 1 + some)
            self.next_id += some
            fields = [(1, "packed64", [self.run_hi * 0x9E3779B97F4A7C15 % 2**64] * some),
                      (2, "packed64", numbers), (3, "packed64", numbers),
                      (4, "packed32", [items[(number * lines + i) % len(items)]
                                       for number in numbers for i in range(lines)])]
            if lines > 1:
                fields.append((6, "bytes", bytes([lines]) * some))  # varints below 128
            while True:
                reply = self.connection.call(RESERVE_BATCH, wire.message(*fields))
                if reply.status != wire.BUSY:
                    break
            if reply.status != wire.OK or reply.batch_ok != (0 if refused else some):
                raise Failed("orders did not come out as they must: status %d, %s, %d of %d" % (
                    reply.status, reply.message, reply.batch_ok, some))

    def grown_by(self, work):
        """What work() adds to the resident memory."""
        before = self.engine.settled_rss()
        work()
        return self.engine.settled_rss() - before


def skus_named(kind, count):
    """Codes of 10 bytes."""
    return ["%s-%08d" % (kind, number) for number in range(count)]


class Memory:
    def __init__(self, options, work):
        self.options = options
        self.plan = Plan(options)
        self.work = work
        self.rows = []
        self.notes = []
        self.points = []  # one-line orders: (orders, resident bytes of them)
        self.fixed = {}

    def shop(self, orders_max=None):
        return Shop(self.options, self.work, orders_max or self.plan.orders_max)

    def row(self, key, what, each_bytes, count):
        self.rows.append({"key": key, "what": what, "bytes": each_bytes, "count": count})
        say("%s: %.1f bytes, from %s" % (what, each_bytes, spaced(count)))

    # ---- Orders of one line, many ----

    def one_line(self):
        """By the load generator, in steps: the index grows by doubling, so bytes each differ."""
        plan = self.plan
        with self.shop() as shop:
            self.fixed["started_bytes"] = shop.engine.settled_rss()

            def load(orders, **more):
                shop.engine.load(skus=1000, orders=orders, batch=plan.batch, connections=2,
                                 in_flight=4, hold="12h", oracle=False, **more)

            # Buffers of messages and workers, the items: what is sold out leaves nothing else.
            load(plan.warm_up, stock=0)
            base = shop.engine.settled_rss()
            self.fixed["warm_bytes"] = base
            taken = 0
            for point in sorted({*(p for p in POINTS if p < plan.orders), plan.orders}):
                load(point - taken)
                taken = point
                self.points.append((point, shop.engine.settled_rss() - base))
                say("%s live one-line orders: %.1f bytes each" % (
                    spaced(point), self.points[-1][1] / point))
        count, grown = self.points[-1]
        self.row("one_line", "one-line order, %s live" % spaced(count), grown / count, count)

    # ---- Orders of several lines, limited buyers: beside one-line orders of the same number ----

    def orders_of(self, lines, limited=False):
        """Bytes an order; None when the engine has no limits."""
        plan = self.plan
        with self.shop() as shop:
            skus = skus_named("M", 100)
            items = shop.define(skus)
            if limited:
                if not shop.limit(skus[0], 10):
                    return None
                items = items[:1]
            shop.reserve(plan.warm_up // 4, plan.batch, items, lines, refused=True)
            shop.stock(items, 10**9)
            return shop.grown_by(
                lambda: shop.reserve(plan.small, plan.batch, items, lines)) / plan.small

    def several_lines(self):
        plan = self.plan
        one = self.orders_of(1)
        self.row("one_line_small", "one-line order, %s live, beside the next" % spaced(plan.small),
                 one, plan.small)
        for lines in (2, 5):
            each = self.orders_of(lines)
            self.row("lines_%d" % lines, "order of %d lines, %s live" % (lines, spaced(plan.small)),
                     each, plan.small)
        limited = self.orders_of(1, limited=True)
        if limited is None:
            self.notes.append("limited buyers: skipped, this engine does not support "
                              "limit_per_buyer yet")
        else:
            self.row("buyer", "buyer of a SKU with a limit, in addition to the order",
                     limited - one, plan.small)

    # ---- Items ----

    def items(self):
        """Each item is stocked once, as every item is, by an adjustment that is remembered."""
        plan = self.plan
        with self.shop() as shop:

            def make(skus, **item):
                shop.stock(shop.define(skus, **item), 1000)

            def row(key, what, count, work):
                self.row(key, what, shop.grown_by(work) / count, count)

            make(skus_named("W", max(plan.items // 10, 100)))  # warm-up
            skus = skus_named("S", plan.items)
            hot = skus_named("H", plan.hot_items)
            row("sku", "SKU (a code of 10 bytes) with its item, stocked once", len(skus),
                lambda: make(skus))
            row("item", "further item (pool) of a SKU, stocked once", len(skus),
                lambda: make(skus, pool="pool-2"))
            row("hot_sku", "SKU with its item, defined hot, stocked once", len(hot),
                lambda: make(hot, hot=True))

    # ---- Sizes ----

    def size_of(self, key, count):
        """Of `count` things: as measured, if that number was; else bytes each times it."""
        if key in ("sku", "item", "hot_sku") and count > ITEMS_MAX:
            return ""
        if key == "one_line":
            for orders, grown in self.points:
                if orders == count:
                    return size(grown)
        return size(next(row["bytes"] for row in self.rows if row["key"] == key) * count)


# ---- The table ----

def size(count):
    return "%.2f GB" % (count / 1e9) if count >= 1e9 else "%.1f MB" % (count / 1e6)


def print_table(memory, where, reached):
    print()
    print(measure.machine_line(where))
    print("VmRSS of the engine; nothing ready at start (orders-ready 0). Started: %s; with the "
          "buffers of\nits first messages: %s. All below is beyond that." % (
              size(memory.fixed["started_bytes"]), size(memory.fixed["warm_bytes"])))
    print()
    print("| what | bytes each | 1 M | 10 M | 64 M |")
    print("|---|---|---|---|---|")
    for row in memory.rows:
        print("| %s | %.1f | %s |" % (row["what"], row["bytes"], " | ".join(
            memory.size_of(row["key"], count) for count in POINTS)))
    measured = ", ".join("%s: %.1f bytes each" % (spaced(orders), grown / orders)
                         for orders, grown in memory.points)
    print()
    print("One-line orders as measured: %s. Other columns are bytes each times the number." %
          measured)
    for note in memory.notes:
        print("note: " + note)
    print("target: at most %d bytes for a one-line order at 64 M; reached %.1f at %s  %s" % (
        TARGET_BYTES, reached["bytes"], spaced(reached["orders"]), verdict(reached["met"])))


def check_room(options, plan):
    disk = shutil.disk_usage(options.dir).free
    wanted = plan.orders * RECORD_BYTES + (1 << 30)
    if disk < wanted and not options.tiny:
        raise Failed("%s has %s free, and the log needs %s" % (options.dir, size(disk),
                                                               size(wanted)))
    with open("/proc/meminfo", encoding="ascii") as file:
        free = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvail"))
    wanted = plan.orders * 100 + (1 << 30)
    if free < wanted and not options.tiny:
        raise Failed("%s of memory are free, and the orders need about %s" % (size(free),
                                                                              size(wanted)))


def main():
    parser = measure.parser_for("memory")
    parser.add_argument("--orders", type=measure.number_with_unit, default=64000000)
    options = measure.parse(parser)
    load = measure.load_average()
    with measure.Work(options) as work:
        memory = Memory(options, work)
        check_room(options, memory.plan)
        memory.one_line()
        memory.several_lines()
        memory.items()
    count, grown = memory.points[-1]
    reached = {"orders": count, "bytes": grown / count, "target": TARGET_BYTES,
               # The target is for 64 M: fewer orders say nothing about it.
               "met": grown / count <= TARGET_BYTES if count >= POINTS[-1] else None}
    where = measure.write_json(options, load, rows=memory.rows, points=memory.points,
                               fixed=memory.fixed, notes=memory.notes, target=reached)
    print_table(memory, where, reached)


if __name__ == "__main__":
    measure.run_script("memory.sh", main)
