#!/usr/bin/env python3
"""What the machine itself does to whoever runs on it; bench/machine.sh --help says what is measured.

The other scripts import it, and print its table beside theirs, from the same run:

    machine = Machine(options, work)
    floor = machine.gather()                    a few seconds, while nothing else is measured
    with machine.beside(10, 1, pid) as beside:  hiccups, and the CPU of a process, beside a run of 10 s
        run()                                   after 1 s of warm-up; afterwards beside.figures
    echo = machine.echo(rate, bytes, 1, 16)     nng's bare echo at the same rate
    print_table(floor, [("beside the run", beside.figures["hiccups"])])

Targets of latencies are ratios to these figures: they hold on any machine (docs/benchmarks.md)."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import measure
from measure import Failed, Server, median, ms, say, spaced

MISS_MIB = 512  # far more than caches have
# Bytes of a request of N one-line orders: measured on the wire (30.1 to 30.8 an order, with headers).
ORDER_BYTES, REQUEST_BYTES = 30, 32
# Quiet enough for absolute targets: so little other work, and an idle core is given so soon.
QUIET_LOAD, QUIET_P999_US = 1.0, 1000
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def request_bytes(batch):
    """Of a message with so many one-line reserves."""
    return REQUEST_BYTES + ORDER_BYTES * batch


class Plan:
    """Seconds for each figure: for a table, in short, or only to see that it runs."""

    def __init__(self, options):
        self.hiccups_s, self.write_s, self.echo_s, self.miss_s = 4, 2, 2, 0.5
        self.mib = MISS_MIB
        if options.quick:
            self.hiccups_s, self.write_s, self.echo_s, self.miss_s = 1.5, 0.6, 0.6, 0.2
        if options.tiny:
            self.hiccups_s, self.write_s, self.echo_s, self.miss_s = 0.1, 0.2, 0.2, 0.02
            self.mib = 4


class Machine:
    """Measures the machine. options: those of measure.parser_for; work: a directory on the disk that
    is measured, the caller's."""

    def __init__(self, options, work):
        self.plan = Plan(options)
        self.work = work
        self.cores = len(os.sched_getaffinity(0))
        self.program = os.path.join(options.build, "bench", "machine", "holdfast_machine")
        peers = os.path.join(options.build, "bench", "peers")
        self.nng, self.disk = os.path.join(peers, "peer_nng"), os.path.join(peers, "peer_disk")

    def hiccups(self, seconds=None, spinning=0):
        """How late a thread wakes that sleeps a millisecond, alone or beside threads that spin."""
        return measure.run_json(self.program, "hiccups", "--seconds",
                                str(seconds or self.plan.hiccups_s), "--spinning", str(spinning))

    def busy_hiccups(self, seconds=None):
        """The same, while a thread spins for each core: what the tail of a latency is judged by."""
        return self.hiccups(seconds, self.cores)

    def write(self, seconds=None, size=4096):
        """Durable writes (O_DIRECT, RWF_DSYNC over prepared blocks), one after another."""
        return measure.run_json(self.disk, "--file", os.path.join(self.work, "disk"), "--mode",
                                "write", "--batch", str(size), "--warm-up", "0.1", "--seconds",
                                str(seconds or self.plan.write_s))

    def echo(self, rate=0, size=64, connections=1, in_flight=1, seconds=None):
        """nng's bare echo of messages of `size` bytes: in open loop at `rate` messages a second, with
        latency from when a message was due; 0: as fast as answers come."""
        with Server([self.nng, "--mode", "serve", "--url", "tcp://127.0.0.1:0"], "listening",
                    os.path.join(self.work, "nng.log")) as server:
            result = measure.run_json(
                self.nng, "--url", server.lines[0].split()[2], "--request-bytes", str(size),
                "--connections", str(connections), "--in-flight", str(in_flight), "--rate",
                "%.3f" % rate, "--warm-up", "0.1", "--seconds", str(seconds or self.plan.echo_s))
        return {**result, "rate": rate, "request_bytes": size}

    def echo_of_orders(self, orders_per_s, batch, connections=1, in_flight=16, seconds=None):
        """The echo at the rate and with the messages of so many orders a second in such batches."""
        return self.echo(orders_per_s / batch, request_bytes(batch), connections, in_flight, seconds)

    def miss(self):
        """An access to memory that no cache has: alone, eight in flight, the same on all cores."""
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") >> 20
        return measure.run_json(self.program, "miss", "--mib",
                                str(max(1, min(self.plan.mib, free // 4))), "--seconds",
                                str(self.plan.miss_s), "--threads", str(self.cores))

    def beside(self, seconds, warm_up_s=0, pid=None):
        return Beside(self.program, seconds, warm_up_s, pid)

    def gather(self):
        """All that needs the machine for itself. What a script then measures is compared with it."""
        say("the machine itself: hiccups, durable writes, nng's echo, memory")
        return {"cores": self.cores, "hiccups_idle": self.hiccups(),
                "hiccups_spinning": self.busy_hiccups(), "write_4k": self.write(),
                "echo_64": self.echo(), "miss": self.miss()}


class Beside:
    """Hiccups beside a run, and the cores that the process `pid` takes meanwhile. It counts
    `seconds` after `warm_up_s`, or until the block ends."""

    def __init__(self, program, seconds, warm_up_s, pid):
        self.command = [program, "hiccups", "--seconds", "%.3f" % max(seconds, 0.001), "--warm-up",
                        "%.3f" % warm_up_s]
        self.seconds, self.warm_up_s, self.pid = seconds, warm_up_s, pid
        self.over = threading.Event()
        self.cores = None
        self.figures = {}

    def watch_cpu(self):
        if self.over.wait(self.warm_up_s):
            return
        cpu, since = cpu_s(self.pid), time.monotonic()
        self.over.wait(self.seconds)
        self.cores = (cpu_s(self.pid) - cpu) / (time.monotonic() - since)

    def __enter__(self):
        self.process = measure.start(self.command, stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self.watch_cpu if self.pid else lambda: None,
                                       daemon=True)
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.over.set()
        self.thread.join()
        self.process.send_signal(signal.SIGTERM)  # has no effect when it has ended already
        out, _ = self.process.communicate()
        if kind is None:
            if self.process.returncode != 0:
                raise Failed("exit status %d of %s" % (self.process.returncode,
                                                       " ".join(self.command)))
            self.figures = {"hiccups": json.loads(out), "cores": self.cores}


def cpu_s(pid):
    """Seconds of processor time that a process has taken; 0 when it is gone."""
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS  # utime, stime


def quiet(floor, load):
    """Whether absolute targets may be judged here. load: the load average before the run."""
    return load <= QUIET_LOAD and floor["hiccups_idle"]["p999_us"] <= QUIET_P999_US


def medians(results):
    """Of rounds of one thing."""
    return {name: median([result[name] for result in results])
            for name in ("p50_us", "p99_us", "p999_us", "max_us")}


def over(us, base_us):
    """One latency by another. None is finer than a microsecond, and a tiny run may have none."""
    return us / max(base_us, 1)


# ---- The table ----

LINE = "{:<66}{:>10}{:>10}{:>10}{:>10}"


def print_table(floor, beside=()):
    """floor: of Machine.gather(); beside: (what, figures with p50_us and so on), further rows."""
    rows = [("a thread that sleeps 1 ms wakes late: idle", floor["hiccups_idle"]),
            ("the same, beside %d spinning threads" % floor["cores"], floor["hiccups_spinning"]),
            *beside,
            ("durable write of 4 KiB, one after another", floor["write_4k"]),
            ("nng's echo of 64 bytes, one at a time", floor["echo_64"])]
    print(LINE.format("the machine itself, in the same run", "p50", "p99", "p99.9", "max"))
    print("-" * 106)
    for what, row in rows:
        print(LINE.format(what, *(ms(row[name]) for name in (
            "p50_us", "p99_us", "p999_us", "max_us"))))
    miss = floor["miss"]
    print("memory, an access that misses: alone %.0f ns; %d in flight %.1f ns each, on %d cores at "
          "once %.1f ns\n    (%d MiB, %.0f %% of it in huge pages)" % (
              miss["alone_ns"], miss["in_flight"], miss["in_flight_ns"], miss["threads"],
              miss["all_in_flight_ns"], miss["bytes"] >> 20, 100 * miss["huge_share"]))


def echo_row(echo):
    """A further row of the table."""
    return ("nng's echo of %s bytes at %s/s" % (spaced(echo["request_bytes"]),
                                                spaced(echo["rate"])), echo)


def main():
    parser = measure.parser_for("machine")
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--show")
    options = measure.parse(parser)
    if options.show:
        with open(options.show, encoding="utf-8") as file:
            figures = json.load(file)
    else:
        measure.check_disk(options, "machine.sh")
        load = measure.load_average()
        figures = {"floor": None, "echo": None}
        with measure.Work(options) as work:
            machine = Machine(options, work)
            figures["floor"] = machine.gather()
            if options.rate > 0:
                figures["echo"] = machine.echo_of_orders(options.rate, options.batch)
        figures["quiet"] = quiet(figures["floor"], load)
        figures["machine"] = measure.write_json(options, load, **figures)
    print(measure.machine_line(figures["machine"]))
    print_table(figures["floor"], [echo_row(figures["echo"])] if figures["echo"] else [])


if __name__ == "__main__":
    measure.run_script("machine.sh", main)
