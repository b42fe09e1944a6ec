"""Plants the mutations of this folder one by one and runs the test that must catch each.

usage: run.py [--lanes N] [--work DIR] [--limit SECONDS] [NAME...]
   or: sh tests/run.sh --mutants [NAME...]

NAME picks some, with * for any letters, such as 'io-*'; without any, all are run. Each lane has a
copy of the source and a release build of its own in DIR (default: build-mutants), in which only
what the test needs is built again. First the named tests run without any mutation: those that fail
then show nothing, and are left out.

A mutant is caught when its test fails by an assertion. A test that fails in another way (a signal,
a time limit) has not told anybody what is wrong, and counts as a miss. So does one whose tests all
fail without it. Exit status: 0 all are caught; 1 some are not; 2 wrong usage, or no build.
"""

import argparse
import fcntl
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import namedtuple

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mutants  # noqa: E402

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

# What an assertion prints: cmocka's, the engine's own CHECK, the randomized tests' with their seed, the
# fuzz targets', Python's, the C library's, the shell tests'.
ASSERTIONS = (
    r"\[   LINE   \] --- .*: error: Failure!",
    r"check failed: .*",
    r"\bSEED=\d+: .*",
    r"^\S*tests/\S+\.[ch]:\d+: .*",
    r"^\w*AssertionError.*",
    r"Assertion `.*' failed",
    r"^FAIL(?:ED)?: .*",
    r"^not ok\b.*",
)
# Tells more than the line above it, where there is one.
DETAILS = (r"^\[  ERROR   \] --- (?!.*Test failed)(.*)", r"^\[   LINE   \] --- (.*): error: Failure!")

Outcome = namedtuple("Outcome", "verdict test seconds message")


class Failed(Exception):
    """What keeps the run from going on."""


def assertion_of(output):
    """The assertion that a failed test's output tells of, or None."""
    found = None
    for pattern in ASSERTIONS:
        match = re.search(pattern, output, re.MULTILINE)
        if match and (found is None or match.start() < found.start()):
            found = match
    if found is None:
        return None
    parts = []
    for pattern in DETAILS:
        match = re.search(pattern, output, re.MULTILINE)
        if match:
            parts.append(match.group(1).strip())
    return " @ ".join(parts) if parts else found.group(0).strip()


class Lane:
    """A copy of the source with a build."""

    def __init__(self, number, work, limit_s):
        self.folder = os.path.join(work, "lane-%d" % number)
        self.source = os.path.join(self.folder, "source")
        self.build = os.path.join(self.folder, "build")
        self.limit_s = limit_s
        self.tests = {}

    def prepare(self):
        """Brings the copy up to date without touching what has not changed, and builds it."""
        os.makedirs(self.source, exist_ok=True)
        keep = set()
        for folder, folders, names in os.walk(ROOT):
            if folder == ROOT:
                folders[:] = [name for name in folders
                              if name != ".git" and not name.startswith("build") and name != "holdfast-data"]
            folders[:] = [name for name in folders if name != "__pycache__"]
            into = os.path.join(self.source, os.path.relpath(folder, ROOT))
            os.makedirs(into, exist_ok=True)
            for name in names:
                path, copy = os.path.join(folder, name), os.path.join(into, name)
                keep.add(os.path.normpath(copy))
                if not os.path.isfile(copy) or read_bytes(path) != read_bytes(copy):
                    shutil.copyfile(path, copy)
        for folder, _, names in os.walk(self.source):
            for name in names:
                if os.path.normpath(os.path.join(folder, name)) not in keep:
                    os.unlink(os.path.join(folder, name))
        self.command("cmake", "-S", self.source, "-B", self.build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
                     "-DCMAKE_C_FLAGS_RELEASE=-O2", "-DCMAKE_CXX_FLAGS_RELEASE=-O2",
                     "-DHOLDFAST_TEST_TIMEOUT=%d" % self.limit_s)
        self.command("cmake", "--build", self.build)
        listed = json.loads(self.command("ctest", "--test-dir", self.build, "--show-only=json-v1"))
        for test in listed["tests"]:
            self.tests[test["name"]] = self.targets(test)

    def command(self, *words):
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                              errors="replace")
        if done.returncode != 0:
            raise Failed("%s: exit status %d\n%s" % (" ".join(words), done.returncode, done.stdout[-3000:]))
        return done.stdout

    def targets(self, test):
        """The files of the build that a test's command and environment name."""
        words = list(test.get("command", []))
        for prop in test.get("properties", []):
            if prop["name"] == "ENVIRONMENT":
                words += prop["value"]
        found = set()
        for word in words:
            for path in re.findall(re.escape(self.build) + r"/[^\s:;=]+", word):
                if os.path.isfile(path):
                    found.add(os.path.relpath(path, self.build))
        return sorted(found)

    def run_test(self, name):
        """Builds what one test needs and runs it."""
        if name not in self.tests:
            return Outcome("no such test", name, 0.0, "")
        targets = self.tests[name]
        built = subprocess.run(["ninja", "-C", self.build, *targets], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, check=False, errors="replace")
        if built.returncode != 0:
            lines = [line for line in built.stdout.splitlines() if "error" in line]
            return Outcome("does not build", name, 0.0, lines[0] if lines else built.stdout[-300:])
        began = time.monotonic()
        ran = subprocess.run(["ctest", "--test-dir", self.build, "-R", "^%s$" % re.escape(name),
                              "--output-on-failure", "--timeout", str(self.limit_s)],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                             errors="replace", env={"HOLDFAST_TEST_PATIENCE_MS": "15000", **os.environ})
        seconds = time.monotonic() - began
        output = re.sub(r"\x1b\[[0-9;]*m", "", ran.stdout)
        if "Not Run" in output or "Skipped" in output:
            return Outcome("skipped", name, seconds, "")
        if ran.returncode == 0:
            return Outcome("SURVIVED", name, seconds, "")
        if "***Timeout" in output:
            return Outcome("TIMED OUT", name, seconds, "")
        said = assertion_of(output)
        if said:
            return Outcome("caught", name, seconds, said.replace(self.source + os.sep, ""))
        tail = [line for line in output.splitlines() if line.strip()]
        how = next((line for line in tail if "***Exception" in line), tail[-1] if tail else "")
        return Outcome("FAILED, no assertion", name, seconds, how.strip())

    def run_clean(self, name):
        """Runs one test without a mutation."""
        outcome = self.run_test(name)
        return outcome._replace(verdict="passed") if outcome.verdict == "SURVIVED" else outcome

    def plant(self, mutant, bad):
        """One mutant's outcome; bad: the tests that fail without it, too."""
        tests = [name for name in mutant.tests if name not in bad]
        if not tests:
            return Outcome("no sound test", mutant.tests[0], 0.0, "")
        try:
            texts = mutants.planted(self.source, mutant)
        except mutants.Wrong as what:
            return Outcome("does not fit", "", 0.0, str(what))
        before = {path: read_bytes(os.path.join(self.source, path)) for path in texts}
        try:
            for path, text in texts.items():
                write_bytes(os.path.join(self.source, path), text.encode())
            outcome = None
            for name in tests:
                outcome = self.run_test(name)
                if outcome.verdict == "caught":
                    break
            return outcome
        finally:
            for path, content in before.items():
                write_bytes(os.path.join(self.source, path), content)


def read_bytes(path):
    with open(path, "rb") as file:
        return file.read()


def write_bytes(path, content):
    with open(path, "wb") as file:
        file.write(content)


class Work:
    """What the lanes have in common."""

    def __init__(self, jobs):
        self.lock = threading.Lock()
        self.jobs = list(jobs)
        self.all = len(self.jobs)
        self.outcomes = {}
        self.failure = None

    def take(self):
        with self.lock:
            return self.jobs.pop(0) if self.jobs and not self.failure else None

    def put(self, name, outcome):
        with self.lock:
            self.outcomes[name] = outcome
            print("%3d/%d  %-46s %-14s %-28s %5.1f s" % (
                len(self.outcomes), self.all, name, outcome.verdict, outcome.test, outcome.seconds), flush=True)


def in_lanes(lanes, work, do):
    """Each lane does one job after the other until there are none."""

    def run(lane):
        try:
            while True:
                job = work.take()
                if job is None:
                    return
                work.put(*do(lane, job))
        except Failed as failure:
            work.failure = failure

    threads = [threading.Thread(target=run, args=(lane,)) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if work.failure:
        raise work.failure
    return work.outcomes


def table(chosen, outcomes):
    """What people compare: one line a mutant."""
    lines = ["%-46s %-20s %-28s %7s  %s" % ("mutant", "verdict", "test", "seconds", "assertion"),
             "-" * 140]
    for mutant in chosen:
        if mutant.equivalent:
            lines.append("%-46s %-20s %-28s %7s  %s" % (mutant.name, "equivalent", "", "", mutant.equivalent))
            continue
        outcome = outcomes[mutant.name]
        lines.append("%-46s %-20s %-28s %7.1f  %s" % (mutant.name, outcome.verdict, outcome.test, outcome.seconds,
                                                      outcome.message[:160]))
    counts = {}
    for mutant in chosen:
        verdict = "equivalent" if mutant.equivalent else outcomes[mutant.name].verdict
        counts[verdict] = counts.get(verdict, 0) + 1
    lines.append("-" * 140)
    lines.append("%d mutants: %s" % (len(chosen), ", ".join("%d %s" % (counts[key], key) for key in sorted(counts))))
    return "\n".join(lines) + "\n"


def choose(names):
    every = mutants.read_all(os.path.join(ROOT, "tests", "mutants"))
    if not names:
        return every
    chosen = [mutant for mutant in every if any(fnmatch.fnmatchcase(mutant.name, name) for name in names)]
    for name in names:
        if not any(fnmatch.fnmatchcase(mutant.name, name) for mutant in every):
            raise Failed("no mutant is called %s" % name)
    return chosen


def arguments():
    parser = argparse.ArgumentParser(prog="run.sh --mutants", description="Plants each mutation, and runs the test "
                                     "that must catch it.")
    parser.add_argument("--lanes", type=int, default=os.cpu_count() or 1, help="copies that work side by side")
    parser.add_argument("--work", default=os.path.join(ROOT, "build-mutants"), help="folder of the copies")
    parser.add_argument("--limit", type=int, default=300, help="seconds after which a test is taken to hang")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; * stands for any letters")
    return parser.parse_args()


def main():
    options = arguments()
    chosen = choose(options.names)
    planted = [mutant for mutant in chosen if not mutant.equivalent]
    lanes = [Lane(number + 1, os.path.abspath(options.work), options.limit)
             for number in range(max(1, min(options.lanes, len(planted))))]
    os.makedirs(options.work, exist_ok=True)
    # Held until the process ends: two runs would plant into the same copies.
    lock = open(os.path.join(options.work, "lock"), "w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as what:
        raise Failed("another run is at work in %s: wait for it, or name another folder with --work" % (
            options.work)) from what
    print("%d mutants, %d lanes: building each without a mutation" % (len(planted), len(lanes)), flush=True)
    for lane in lanes:
        lane.prepare()
    tests = sorted({name for mutant in planted for name in mutant.tests})
    print("%d tests, without a mutation" % len(tests), flush=True)
    clean = in_lanes(lanes, Work(tests), lambda lane, name: (name, lane.run_clean(name)))
    bad = [name for name, outcome in clean.items() if outcome.verdict != "passed"]
    if bad:
        print("without any mutation these do not pass, so they show nothing: %s" % ", ".join(sorted(bad)), flush=True)
    began = time.monotonic()
    outcomes = in_lanes(lanes, Work(planted), lambda lane, mutant: (mutant.name, lane.plant(mutant, bad)))
    text = table(chosen, outcomes)
    with open(os.path.join(options.work, "table.txt"), "w", encoding="utf-8") as file:
        file.write(text)
    print("\n" + text + "%.0f s; the table is also in %s" % (
        time.monotonic() - began, os.path.relpath(os.path.join(options.work, "table.txt"))))
    sys.exit(0 if all(outcome.verdict == "caught" for outcome in outcomes.values()) else 1)


if __name__ == "__main__":
    try:
        main()
    except (Failed, mutants.Wrong) as what:
        print("mutants: %s" % what, file=sys.stderr)
        sys.exit(2)
