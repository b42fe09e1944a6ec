#!/usr/bin/env python3
"""The engine under siege; bench/siege.sh --help says what is done to it."""

import contextlib
import os
import sys
import time

import machine
import measure
from measure import Engine, Failed, say, spaced, verdict

sys.path.insert(0, os.path.join(measure.ROOT, "tests", "hostile"))

import hostile  # noqa: E402  (tests/hostile/hostile.py: the attacks and the neighbours)

# Targets (README.md beside this has them in words). A neighbour may be slower by a factor, or by so much.
NEIGHBOUR_FACTOR, NEIGHBOUR_MORE_MS = 3, 2
BACK_S = 1
# What connections may hold (SERVER_MEMORY_BYTES_MAX), and buffers that are not counted in it.
MEMORY_BYTES = (1024 + 256) * hostile.MIB
OVERLOAD = 10
THROUGHPUT_SHARE = 0.9
ACCEPTED_P99_MS = 5 * 5  # five times the queue's target delay
LATE_MS = 10
SLOW_MS = 300


class Plan:
    """How long, how many: for figures, for a look, or only to see that it runs."""

    def __init__(self, options):
        self.before_s, self.attack_s, self.after_s, self.load_s, self.peak_s = 4, 8, 5, 30, 3
        self.slow_peak_s = 8
        self.rate, self.newcomers = 400, 20
        self.scale = 1
        self.orders_ready = 8000000
        if options.quick:
            self.before_s, self.attack_s, self.after_s, self.load_s, self.peak_s = 2, 3, 2, 5, 2
        if options.tiny:
            self.before_s, self.attack_s, self.after_s, self.load_s, self.peak_s = .3, .4, .3, .4, .2
            self.slow_peak_s = 0.4
            self.rate, self.newcomers = 50, 10
            self.scale = 64
            self.orders_ready = 10000

    def count(self, number):
        return max(1, number // self.scale)


# ---- What neighbours saw ----

def share(values, of):
    return values[min(len(values) - 1, int(of * len(values)))] if values else 0


def seen(samples):
    """Of neighbours' messages in one phase. What had no answer counts with the time that it waited
    for one; what was refused is counted apart."""
    took = sorted(sample.took_ms for sample in samples
                  if sample.status == 0 or sample.status >= hostile.NO_CONNECTION)
    lag = sorted(sample.lag_ms for sample in samples)
    return {"count": len(samples), "p50_ms": share(took, 0.5), "p99_ms": share(took, 0.99),
            "worst_ms": took[-1] if took else 0, "unanswered": hostile.unanswered(samples),
            "refused": hostile.refused(samples), "client_lag_p99_ms": share(lag, 0.99)}


def limit_ms(before):
    return max(NEIGHBOUR_FACTOR * before["p99_ms"], before["p99_ms"] + NEIGHBOUR_MORE_MS)


def back_after_s(samples, end_s, until_s, limit):
    """Seconds from the attack's end until nine in ten of the answers of 200 ms, and of the 200 ms
    after those, are within the limit. None: not until the neighbours ended."""
    good_before = False
    for step in range(int((until_s - end_s) / 0.1) - 1):
        from_s = end_s + 0.1 * step
        window = hostile.between(samples, from_s, from_s + 0.2)
        took = sorted(sample.took_ms for sample in window)
        good = bool(window) and hostile.unanswered(window) == 0 and share(took, 0.9) <= limit
        if good and good_before:
            return max(0, from_s - 0.1 - end_s)
        good_before = good
    return None


class Siege:
    def __init__(self, options, work):
        self.options = options
        self.plan = Plan(options)
        self.work = work
        self.rows = []

    def engine(self, *settings):
        settings = ("--orders-ready", str(self.plan.orders_ready), *settings)
        if self.options.tiny:
            settings += ("--orders-max", "1000000")
        return Engine(self.options, self.work, *settings)

    # ---- One row ----

    def besiege(self, name, what, engine, attack, seconds, rate=None):
        """Neighbours before, during and after `attack`, a context that is entered for so long;
        what it yields has end(), which returns its account."""
        plan = self.plan
        stock = hostile.Stock(engine.url)
        hostile.forget_peak(engine.pid)
        memory = hostile.memory_peak(engine.pid)
        with hostile.Neighbours(engine.url, stock, self.work, rate=rate or plan.rate,
                                newcomers=plan.newcomers) as neighbours:
            time.sleep(0.3)  # they connect
            begin_s = time.monotonic()
            time.sleep(plan.before_s)
            attacked_s = time.monotonic()
            cpu_s = machine.cpu_s(engine.pid)
            with attack(engine, stock) as attackers:
                pause(name, seconds)
                cores = machine.cpu_s(engine.pid) - cpu_s
                ended_s = time.monotonic()
                account = attackers.end()
            time.sleep(plan.after_s)
            until_s = time.monotonic()
            neighbours.stop()
        if engine.process.poll() is not None:
            raise Failed("%s: the engine has ended" % name)
        memory = hostile.memory_peak(engine.pid) - memory
        phases = {phase: seen(hostile.between(neighbours.orders, from_s, to_s))
                  for phase, from_s, to_s in (("before", begin_s, attacked_s),
                                              ("during", attacked_s, ended_s),
                                              ("after", ended_s, until_s))}
        visits = {phase: seen(hostile.between(neighbours.visits, from_s, to_s))
                  for phase, from_s, to_s in (("before", begin_s, attacked_s),
                                              ("during", attacked_s, until_s))}
        limit = limit_ms(phases["before"])
        row = {"name": name, "what": what, **phases, "newcomers": visits,
               "disconnected": neighbours.account["disconnected"], "limit_ms": limit,
               "back_s": back_after_s(neighbours.orders, ended_s, until_s, limit),
               "waited_s": until_s - ended_s, "memory_bytes": memory,
               "listener_closed": self.listener_closed(), "attack": account,
               "engine_cores": cores / (ended_s - attacked_s),
               "held": stock.held()}  # which also finds what was oversold
        if "connected" in account:
            row["note"] = crowd_note(account)
        row["missed"] = list(misses(row))
        self.rows.append(row)
        say("%s: %s" % (name, brief(row)))
        return row

    def listener_closed(self):
        """Since the last time that this was asked."""
        with open(os.path.join(self.work, "engine.log"), "r+", encoding="utf-8",
                  errors="replace") as log:
            closed = hostile.LISTENER_CLOSED in log.read()
            log.truncate(0)
        return closed

    def attack_row(self, name, what, function, addresses=1, **shape):
        seconds = self.plan.attack_s
        with self.engine() as engine:
            return self.besiege(name, what, engine, lambda engine, stock: hostile.Attack(
                engine.url, function, seconds + 60, addresses, **shape), seconds)

    def connections(self, wanted):
        """Fewer where this process may not have so many descriptors."""
        allowed = hostile.raise_file_limit() - 100
        if wanted > allowed:
            say("%d connections instead of %d: RLIMIT_NOFILE" % (allowed, wanted))
        return min(self.plan.count(wanted), allowed)

    def flood(self, engine, messages, **options):
        return hostile.Flood(engine.url, messages, self.work, **options)

    # ---- Attacks ----

    def never_read_16(self):
        self.attack_row("never-read-16", "16 connections never read", hostile.never_read,
                        connections=self.plan.count(16))

    def never_read_64(self):
        self.attack_row("never-read-64", "64 connections never read", hostile.never_read,
                        connections=self.plan.count(64))

    def read_slowly(self):
        self.attack_row("read-slowly", "64 connections read 1 B/s", hostile.read_slowly,
                        connections=self.plan.count(64))

    def announce(self):
        count = self.connections(4096)
        self.attack_row("announce", "%d announce 60 MiB, send 212 B" % count, hostile.announce,
                        addresses=16, connections=count)

    def send_long(self):
        count = self.plan.count(48)
        self.attack_row("send-long", "%d send 64 MiB messages" % count, hostile.send_long,
                        connections=count, size=64 * hostile.MIB // self.plan.scale)

    def limit(self):
        count = self.connections(17000)
        self.attack_row("limit", "%d idle: up to the limit" % count, hostile.idle,
                        addresses=64, connections=count)

    def idle(self):
        count = self.connections(10000)
        row = self.attack_row("idle", "%d idle connections" % count, hostile.idle,
                              addresses=64, connections=count)
        row["attack"]["wanted"] = count

    def half_greet(self):
        count = self.connections(2000)
        self.attack_row("half-greet", "%d half-sent greetings" % count, hostile.half_greet,
                        addresses=16, connections=count)

    def protocols(self):
        count = self.connections(200)
        self.attack_row("protocols", "%d speak other protocols" % count, hostile.speak_otherwise,
                        addresses=16, connections=count)

    def storm(self):
        rate = self.plan.count(5000)
        with self.engine() as engine:
            messages = hostile.Messages.status(self.work)
            row = self.besiege(
                "storm", "%s connections a second" % spaced(rate), engine,
                lambda engine, stock: Flooding(self.flood(
                    engine, messages, rate=rate, once=1, connections=min(rate, 4000), nice=10,
                    **{"from": hostile.ATTACKERS_FROM, "sources": 64})), self.plan.attack_s)
        account = row["attack"]
        if account["none"]:
            row["missed"].append("%d of the storm unanswered" % account["none"])

    def greedy(self):
        """255 connections with one order each under way, and one that sends batches."""
        crowd = {}

        @contextlib.contextmanager
        def attack(engine, stock):
            batches = hostile.Messages.batches(self.work, stock.items, self.plan.count(1000))
            with self.flood(engine, batches, nice=10) as greedy:
                yield Flooding(greedy)
            crowd["end_s"] = time.monotonic()

        with self.engine() as engine:
            singles = hostile.Messages.orders(self.work, hostile.Stock(engine.url).items)
            with self.flood(engine, singles, connections=self.plan.count(255), in_flight=1,
                            keep_samples=True) as flood:
                time.sleep(0.3)
                begin_s = time.monotonic()
                row = self.besiege("greedy", "one greedy connection of 256", engine, attack,
                                   self.plan.attack_s)
                flood.stop()
                samples = flood.samples()
        end_s = crowd["end_s"]
        before = len(hostile.between(samples, begin_s + .5, begin_s + .3 + self.plan.before_s))
        during = len(hostile.between(samples, end_s - self.plan.attack_s, end_s))
        row["others_before_per_s"] = before / max(self.plan.before_s - .2, .1)
        row["others_during_per_s"] = during / self.plan.attack_s
        row["others_share"] = row["others_during_per_s"] / max(row["others_before_per_s"], 1)
        if row["others_share"] < THROUGHPUT_SHARE:
            row["missed"].append("the others' rate")
        row["note"] = "the others: %s/s before, %s/s beside it (%.0f %%); it had %s orders/s" % (
            spaced(row["others_before_per_s"]), spaced(row["others_during_per_s"]),
            100 * row["others_share"],
            spaced(row["attack"]["orders_ok"] / max(row["attack"]["sending_s"], .1)))

    # ---- Loads ----

    def load_engine(self, *settings):
        """Orders end soon, so that an engine takes load for long."""
        return self.engine("--retain-ended", "1s", *settings)

    def messages(self, stock, batch, timeout_ms, hold_ms):
        more = {"timeout_ms": timeout_ms, "hold_ms": hold_ms}
        if batch == 1:
            return hostile.Messages.orders(self.work, stock.items, **more)
        return hostile.Messages.batches(self.work, stock.items, batch, **more)

    def peak(self, make_engine, batch, shapes, connections, seconds, hold_ms=1000):
        """The greatest rate in closed loop: orders a second, and messages under way for it."""
        best = (0, 0, 0)
        for in_flight in shapes:
            with make_engine() as engine:
                stock = hostile.Stock(engine.url)
                with self.flood(engine, self.messages(stock, batch, 0, hold_ms), in_flight=in_flight,
                                connections=connections, drain_ms=20000,
                                milliseconds=int(1000 * seconds)) as flood:
                    cpu_s = machine.cpu_s(engine.pid)
                    account = flood.wait()
                    cpu_s = machine.cpu_s(engine.pid) - cpu_s
            best = max(best, (accepted_per_s(account), in_flight, cpu_s / account["sending_s"]))
        say("at most %s orders/s, batches of %d, %d under way on each of %d connections" % (
            spaced(best[0]), batch, best[1], connections))
        return best[0], best[2]

    def load_row(self, name, what, make_engine, batch, peak, rate, timeout_ms, neighbours=None,
                 hold_ms=1000, **shape):
        """`rate` messages a second (0: as many as may be under way), for timeout_ms each."""
        begun = {}

        def attack(engine, stock):
            messages = self.messages(stock, batch, timeout_ms, hold_ms)
            begun["s"] = time.monotonic()
            return Flooding(self.flood(engine, messages, rate=int(rate), timeout_ms=timeout_ms,
                                       keep_samples=True, give_up_ms=100000, drain_ms=20000,
                                       **shape))

        with make_engine() as engine:
            row = self.besiege(name, what, engine, attack, self.plan.load_s, neighbours)
        account = row["attack"]
        row["peak_per_s"], row["peak_cores"] = peak
        peak = peak[0]
        row["accepted_per_s"] = accepted_per_s(account)
        row["throughput_share"] = row["accepted_per_s"] / max(peak, 1)
        row["offered"] = (account["sent"] + account["unsent"]) * batch / account["sending_s"] / max(
            peak, 1)
        row["late_share"] = account["late"] / max(account["messages_ok"], 1)
        row["note"] = load_note(row)
        return row

    def overload(self, name, batch, shapes, in_flight):
        peak = self.peak(self.load_engine, batch, shapes, self.plan.count(256),
                         self.plan.peak_s)
        row = self.load_row(
            name, "%dx overload, %s" % (OVERLOAD, "one order a message" if batch == 1
                                        else "batches of %d" % batch),
            self.load_engine, batch, peak, OVERLOAD * peak[0] / batch, 200,
            connections=self.plan.count(256), in_flight=in_flight)
        row["missed"] += load_misses(row, ACCEPTED_P99_MS)

    def overload_small(self):
        self.overload("overload-small", 1, [4, 16, 64], 250)

    def overload_large(self):
        self.overload("overload-large", min(250, self.plan.count(1600)), [1, 4], 64)

    def slow_disk(self):
        library = os.path.join(self.options.build, "tests", "hostile", "libslow_disk.so")
        if not os.path.exists(library):
            say("slow-disk: left out: a sanitized build loads no library before its own")
            return
        os.environ.setdefault("HOLDFAST_BINARY", Engine.__name__)
        sys.path.insert(0, os.path.join(measure.ROOT, "tests", "integration"))
        from harness import preloaded
        disk = hostile.SlowDisk(self.work)

        @contextlib.contextmanager
        def slow_engine():
            disk.set(0)
            with preloaded(library, **disk.settings()):
                engine = self.engine("--wal-io", "sync")
            with engine:
                hostile.Stock(engine.url)
                disk.set(SLOW_MS // (10 if self.options.tiny else 1))
                yield engine
                disk.set(0)

        # Neighbours are few here: all that the engine can do in a second is little.
        peak = self.peak(slow_engine, 1, [100], self.plan.count(64), self.plan.slow_peak_s,
                         hostile.HOLD_MS)
        row = self.load_row("slow-disk", "%d ms a write, 64 x 100 under way" % SLOW_MS,
                            slow_engine, 1, peak, 0, 400, neighbours=20, hold_ms=hostile.HOLD_MS,
                            connections=self.plan.count(64), in_flight=100)
        row["missed"] += load_misses(row, 400 + LATE_MS)
        if row["attack"]["took_us"]["min"] < 900 * (SLOW_MS // (10 if self.options.tiny else 1)):
            row["missed"].append("an acknowledgement before the write")


def accepted_per_s(account):
    """Orders a second that were accepted while messages were sent; what came later is not counted."""
    windows = account["windows"][:int(10 * account["sending_s"])]
    return 10 * sum(windows) / max(len(windows), 1)


class Flooding:
    """A flood in the place of an attack."""

    def __init__(self, flood):
        self.flood = flood

    def end(self):
        return self.flood.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.flood.kill()


def pause(name, seconds):
    """Sleeps; long ones show that something goes on."""
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        if left_s >= 10:
            say("%s: %d s more" % (name, left_s))
        time.sleep(min(left_s, 10))


# ---- Verdicts ----

def misses(row):
    """Which of the targets of every row were missed."""
    if row["during"]["p99_ms"] > row["limit_ms"]:
        yield "p99"
    if row["during"]["unanswered"] or row["after"]["unanswered"] or row["disconnected"]:
        yield "unanswered"
    if row["newcomers"]["during"]["unanswered"]:
        yield "newcomers"
    if row["back_s"] is None or row["back_s"] > BACK_S:
        yield "back"
    orders = row["attack"].get("orders_ok", 0)  # the table of which grows too
    if row["memory_bytes"] > MEMORY_BYTES and not orders:
        yield "memory"
    if row["listener_closed"]:
        yield "listener closed"


def load_misses(row, accepted_p99_ms):
    if row["throughput_share"] < THROUGHPUT_SHARE:
        yield "throughput"
    if row["attack"]["took_us"]["p99"] / 1000 > accepted_p99_ms:
        yield "accepted p99"
    if row["late_share"]:
        yield "late"
    if set(row["attack"]["status"]) - {"0", "3"} or row["attack"]["none"]:
        yield "answers other than OK and BUSY"


def crowd_note(account):
    return "the attackers: at most %s connections at once; %s made, %s closed by the engine, %s not made%s" % (
        *(spaced(account.get(name, 0)) for name in (
            "most", "connected", "disconnected", "not connected")),
        "; %s MB sent" % spaced(account["bytes"] / 1e6) if account.get("bytes", 0) > 1e5 else "")


def load_note(row):
    account = row["attack"]
    retry = account["retry_ms"]
    return ("offered %.1fx of %s/s; accepted %s/s (%.0f %%), p50 %s, p99 %s, %.1f %% late; "
            "%s BUSY, retry_after_ms %d/%d/%d (p50/p99/max); drained in %.1f s; %d disconnected\n"
            "    cores: engine %.2f at the peak, %.2f here; client %.2f here; an engine's core does "
            "%.0f %% of what it does at the peak" % (
                row["offered"], spaced(row["peak_per_s"]), spaced(row["accepted_per_s"]),
                100 * row["throughput_share"], ms(account["took_us"]["p50"] / 1000),
                ms(account["took_us"]["p99"] / 1000), 100 * row["late_share"],
                spaced(account["status"].get("3", 0)), retry["p50"], retry["p99"], retry["max"],
                account["drain_s"], account["disconnected"], row["peak_cores"], row["engine_cores"],
                account["cpu_s"] / (account["sending_s"] + account["drain_s"]),
                100 * row["throughput_share"] * row["peak_cores"] / max(row["engine_cores"], .01)))


# ---- The table ----

LINE = "{:<37} {:>21} {:>23} {:>6} {:>13} {:>6} {:>6} {:>8} {:>8}  {}"


def ms(value):
    return measure.ms(1000 * value)


def short(value):
    """Milliseconds in few letters."""
    return "%.2f" % value if value < 10 else "%.0f" % value


def three(phase):
    return "/".join(short(phase[name]) for name in ("p50_ms", "p99_ms", "worst_ms"))


def back(row):
    if row["back_s"] is None:
        return ">%.1f s" % row["waited_s"]
    return "%.1f s" % row["back_s"]


def brief(row):
    return "p99 %s before, %s during, %s after; %d unanswered, %d refused; %s" % (
        ms(row["before"]["p99_ms"]), ms(row["during"]["p99_ms"]), ms(row["after"]["p99_ms"]),
        row["during"]["unanswered"] + row["after"]["unanswered"], row["during"]["refused"],
        "missed: " + ", ".join(row["missed"]) if row["missed"] else "met")


def print_row(row):
    counts = "%d/%d" % (row["during"]["unanswered"] + row["after"]["unanswered"],
                        row["during"]["refused"])
    newcomers = row["newcomers"]["during"]
    print(LINE.format(row["what"][:37], three(row["before"]), three(row["during"]), counts,
                      "/".join(short(row["after"][name]) for name in ("p50_ms", "p99_ms")),
                      back(row), newcomers["unanswered"],
                      "%.0f MiB" % (row["memory_bytes"] / hostile.MIB), short(row["limit_ms"]),
                      "missed: " + ", ".join(row["missed"]) if row["missed"] else verdict(True)))
    if "note" in row:
        print("    " + row["note"])


def print_table(rows, where):
    print()
    print(measure.machine_line(where) + "; attackers included")
    print()
    print(LINE.format("neighbours' milliseconds (p50/p99/worst)", "before", "during", "fail", "after",
                      "back", "newc.", "memory", "p99 max", ""))
    print("-" * 160)
    for row in rows:
        print_row(row)
    print("-" * 160)
    print("during: while the attack lasts. fail: neighbours' messages unanswered after 3 s, and "
          "refused. back: until neighbours\nsee what they saw before. newc.: newcomers who were not "
          "served. memory: growth of VmHWM. p99 max: the target, %dx of\nbefore or %d ms more. Others: "
          "back within %d s, memory within %d MiB, nobody unanswered, the listener never closed;\nof "
          "loads: %d %% of the peak, accepted p99 within %d ms (slow disk: timeout_ms), nothing "
          "accepted %d ms after timeout_ms." % (
              NEIGHBOUR_FACTOR, NEIGHBOUR_MORE_MS, BACK_S, MEMORY_BYTES // hostile.MIB,
              100 * THROUGHPUT_SHARE, ACCEPTED_P99_MS, LATE_MS))


ROWS = {name.replace("_", "-"): name for name in (
    "never_read_16", "never_read_64", "read_slowly", "announce", "send_long", "limit", "idle",
    "half_greet", "protocols", "storm", "greedy", "overload_small", "overload_large", "slow_disk")}


def main():
    parser = measure.parser_for("siege")
    parser.add_argument("--only", action="append", choices=ROWS)
    options = measure.parse(parser)
    measure.check_disk(options, "siege.sh")
    load = measure.load_average()
    hostile.raise_file_limit()
    hostile.Flood.program = os.path.join(options.build, "tests", "hostile", "hostile_flood")
    with measure.Work(options) as work:
        floor = machine.Machine(options, work).gather()
        siege = Siege(options, work)
        for name, function in ROWS.items():
            if not options.only or name in options.only:
                say("under siege: " + name)
                getattr(siege, function)()
    where = measure.write_json(options, load, floor=floor, rows=siege.rows)
    print_table(siege.rows, where)
    print()
    machine.print_table(floor)


if __name__ == "__main__":
    measure.run_script("siege.sh", main)
