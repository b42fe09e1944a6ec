"""What the measuring scripts have in common: programs that run and are ended again, an engine with
its load and its memory, rounds, the machine, and where figures go.

Everything that a script starts it ends itself, by process id, also when it is interrupted."""

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

BENCH = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(BENCH, "peers"))

import settle  # noqa: E402  (bench/settle.py)
import table  # noqa: E402  (bench/peers/table.py)
from table import spaced  # noqa: E402,F401  (for the scripts)

ROOT = os.path.dirname(BENCH)
SKIPPED = 77  # the exit status of a test that can't be done here


class Failed(Exception):
    """Something that the script needs did not work; its text says what."""


def say(text):
    """One line of progress."""
    print("== " + text, file=sys.stderr, flush=True)


# ---- Options ----

def parser_for(script):
    """A parser with the options that all scripts have; bench/<script>.sh --help explains them."""
    parser = argparse.ArgumentParser(prog=script, usage="see bench/%s.sh --help" % script)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--json")
    parser.add_argument("--dir", default=os.environ.get("TMPDIR", "/var/tmp"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--tiny", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--where", action="store_true", help=argparse.SUPPRESS)
    return parser


def parse(parser):
    """The options; with --where prints the build tree instead, and ends."""
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    if options.where:
        print(options.build)
        sys.exit(0)
    options.json = options.json or os.path.join(options.build, parser.prog + ".json")
    return options


def number_with_unit(text):
    """64M, 250K, 1000: decimal, as numbers of orders are."""
    match = re.fullmatch(r"([0-9]+)([KM]?)", text)
    if not match or int(match[1]) == 0:
        raise argparse.ArgumentTypeError("%r is not a number such as 1000, 250K or 64M" % text)
    return int(match[1]) * {"": 1, "K": 1000, "M": 1000000}[match[2]]


# ---- Life of the script ----

_started = []  # every process of this script


def start(command, **settings):
    """subprocess.Popen of a process that does not outlive the script."""
    process = subprocess.Popen(command, **settings)
    _started.append(process)
    return process


def end(process):
    if process.poll() is None:
        process.kill()
    process.wait()


def _end(number, _frame):
    sys.exit(128 + number)


def run_script(name, measure):
    """Runs measure(); a signal or a failure ends it with all that it started."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        measure()
    except Failed as failure:
        print("%s: %s" % (name, failure), file=sys.stderr)
        sys.exit(1)
    finally:
        for process in _started:
            end(process)


def check_disk(options, name):
    """What is durable must be on a disk: ends with 2, or as a skipped test."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", options.dir], capture_output=True, text=True,
                          check=False).stdout.strip()
    if kind in ("", "tmpfs", "ramfs"):
        print("%s: %s is no directory on a disk: use --dir" % (name, options.dir), file=sys.stderr)
        sys.exit(SKIPPED if options.tiny else 2)


def load_average():
    """Before the first measurement; a warning when it will show in the figures."""
    average = os.getloadavg()[0]
    if average > 1:
        say("this machine has other work (load average %.1f): the figures will mean little" %
            average)
    return average


class Work:
    """A temporary directory on the disk that is measured, gone with the block."""

    def __init__(self, options):
        self.path = tempfile.mkdtemp(prefix="holdfast-measure.", dir=options.dir)

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


# ---- Programs ----

def run_json(*command):
    """Runs a program to its end; the JSON object that it printed."""
    process = start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = process.communicate()
    if process.returncode != 0:
        raise Failed("exit status %d of %s\n%s%s" % (process.returncode, " ".join(command),
                                                     out[-2000:], err[-2000:]))
    return json.loads(out)


class Server:
    """A program that serves until it is ended; ready once a line of its output begins so."""

    def __init__(self, command, ready, log):
        self.lines = []
        with open(log, "ab") as errors:
            self.process = start(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        for line in self.process.stdout:
            self.lines.append(line.strip())
            if line.startswith(ready):
                return
        self.kill()
        with open(log, encoding="utf-8", errors="replace") as errors:
            raise Failed("%s did not start: %s" % (command[0], errors.read()[-2000:]))

    @property
    def pid(self):
        return self.process.pid

    def kill(self):
        end(self.process)
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


class Engine(Server):
    """An engine on an empty data directory, which goes with it."""

    def __init__(self, options, work, *settings):
        self.binary = os.path.join(options.build, "engine", "cli", "holdfast")
        self.data = tempfile.mkdtemp(prefix="data.", dir=work)
        self.tiny = options.tiny
        if options.tiny:
            settings = ("--wal-segment-bytes", "4M", *settings)
        super().__init__([self.binary, "serve", "--data", self.data, "--listen",
                          "tcp://127.0.0.1:0", *settings], "ready",
                         os.path.join(work, "engine.log"))
        self.url = next(line.split()[2] for line in self.lines
                        if line.startswith("listening on tcp"))

    def kill(self):
        super().kill()
        shutil.rmtree(self.data, ignore_errors=True)
        if not self.tiny:
            settle.settle(os.path.dirname(self.data))

    def load_command(self, **settings):
        """holdfast load: batch=100 is --batch 100, oracle=False is --no-oracle."""
        command = [self.binary, "load", "--url", self.url, "--quiet", "--json"]
        for name, value in settings.items():
            if value is False:
                command.append("--no-" + name.replace("_", "-"))
            else:
                command += ["--" + name.replace("_", "-"), str(value)]
        return command

    def load(self, **settings):
        """One run of the load generator, to its end."""
        return check_load(run_json(*self.load_command(**settings)))

    def rss(self):
        """Resident bytes of the engine's process."""
        with open("/proc/%d/status" % self.pid, encoding="ascii") as file:
            return int(re.search(r"^VmRSS:\s+([0-9]+) kB", file.read(), re.M)[1]) * 1024

    def settled_rss(self):
        """The same once nothing moves it any more: allocators give memory back a little later."""
        before = self.rss()
        for _ in range(20):
            time.sleep(0.25)
            now = self.rss()
            if abs(now - before) < 64 * 1024:
                break
            before = now
        return now


def check_load(result):
    if result["errors"] or result["error"]:
        raise Failed("the engine answered %d orders with errors: %s" % (result["errors"],
                                                                       result["error"]))
    return result


# ---- Figures ----

def median(values):
    return statistics.median(values)


def ms(us):
    """Microseconds as people read them."""
    if us < 1000:
        return "%.0f us" % us
    return "%.2f ms" % (us / 1000) if us < 100000 else "%.0f ms" % (us / 1000)


def verdict(met):
    return "" if met is None else ("met" if met else "missed")


def machine_line(where):
    return "%s, %d cores, Linux %s, %s; load average before: %.1f" % (
        where["cpu"], where["cores"], where["kernel"], where["file_system"], where["load_average"])


def write_json(options, load, **figures):
    """The figures with the machine that they are of."""
    where = table.machine(options.dir, load)
    with open(options.json, "w", encoding="utf-8") as file:
        json.dump({"format": 1, "quick": options.quick or options.tiny, "machine": where,
                   **figures}, file, indent=1)
        file.write("\n")
    say("the figures are in " + options.json)
    return where
