"""Runs a real engine on a temporary data directory, and the command line beside it."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

BINARY = os.environ.get("HOLDFAST_BINARY") or sys.exit(
    "HOLDFAST_BINARY is not set: the path of the engine's program, such as build/engine/cli/holdfast")
# Only what hangs takes so long, also on a slow and busy machine with sanitizers.
WAIT_S = 300


def free_port():
    """A port that nobody listens on now, and that the system gives to nobody by itself: an engine that
    was killed finds it free again, also with another suite at work on the machine."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        least = int(file.read().split()[0])
    for _ in range(1000):
        port = random.SystemRandom().randrange(10000, least) if least > 11000 else 0
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return s.getsockname()[1]
    raise RuntimeError("no port is free")


@contextlib.contextmanager
def preloaded(library, **settings):
    """Programs that are started inside load this library before all others, and find the settings in
    their environment. By its name, and its folder apart: LD_PRELOAD ends a path at a space."""
    before = dict(os.environ)
    folder, name = os.path.split(library)
    folders = [folder] + [f for f in [before.get("LD_LIBRARY_PATH")] if f]
    os.environ.update(settings, LD_PRELOAD=name, LD_LIBRARY_PATH=":".join(folders))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Engine:
    """ipc: listens on a socket in its directory too; `urls` then has both."""

    def __init__(self, *options, data=None, ipc=False):
        self.own_data = data is None
        self.data = data or tempfile.mkdtemp(prefix="holdfast-test-")
        self.options = options
        if ipc:
            self.options += ("--listen", "ipc://" + os.path.join(self.data, "test.sock"))
        self.process = None
        self.port = free_port()
        self.start()

    def start(self, *more):
        """Starts the engine, on the same port as before, and waits until it is ready."""
        self.spawn(*more)
        self.await_ready()

    def spawn(self, *more):
        """Starts the process, and waits for nothing: it may be killed in the middle of its start."""
        self.log = open(os.path.join(self.data, "stderr.txt"), "ab")
        self.process = subprocess.Popen(
            [BINARY, "serve", "--data", self.data, "--listen", "tcp://127.0.0.1:%d" % self.port,
             "--wal-segment-bytes", "8M", "--orders-max", "2000000", *self.options, *more],
            stdout=subprocess.PIPE, stderr=self.log, text=True)

    def await_ready(self):
        self.urls = []
        for text in self.process.stdout:
            if text.strip() == "ready":
                break
            if text.startswith("listening on "):
                self.urls.append(text.removeprefix("listening on ").strip())
        else:
            raise RuntimeError("the engine did not start: " + self.errors())
        self.url = self.urls[0]

    def errors(self):
        with open(os.path.join(self.data, "stderr.txt"), errors="replace") as f:
            return f.read()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, expect=0):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(WAIT_S)
        assert code == expect, "exit %s, expected %s: %s" % (code, expect, self.errors())

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()
        if self.own_data:
            shutil.rmtree(self.data, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def run(*arguments, expect=0, **options):
    """Runs the binary; returns what it printed. It waits longer for an engine than it would by itself."""
    if arguments[0] in ("order", "reconcile", "status", "stock") and "--url" in arguments:
        if "--timeout" not in arguments:
            arguments += ("--timeout", "%ds" % WAIT_S)
    done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=2 * WAIT_S, **options)
    if expect is not None and done.returncode != expect:
        raise AssertionError("holdfast %s: exit %d, expected %d\n%s%s" % (
            " ".join(arguments), done.returncode, expect, done.stdout, done.stderr))
    return done.stdout


def wait_until(condition, what, seconds=WAIT_S):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("not within %d s: %s" % (seconds, what))
        time.sleep(0.01)


def main(module):
    """Runs every function of the module whose name begins with test_, or those named."""
    wanted = sys.argv[1:]
    tests = [(n, f) for n, f in module.items() if n.startswith("test_") and callable(f)]
    failed = 0
    for name, function in tests:
        if wanted and name not in wanted:
            continue
        begin = time.monotonic()
        try:
            function()
            print("ok      %s (%.1f s)" % (name, time.monotonic() - begin), flush=True)
        except Exception:
            failed += 1
            import traceback
            traceback.print_exc()
            print("FAILED  %s" % name, flush=True)
    sys.exit(1 if failed else 0)
