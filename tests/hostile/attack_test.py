"""One attack after another on the real engine, each small and short. While it lasts, and after it,
well-behaved neighbours are answered; the listener was never closed; memory stays bounded; nothing is
oversold or lost, and the log is sound.

No verdict depends on speed: an answer may take GIVE_UP_MS, which only a client meets that is
forgotten or starved."""

import contextlib
import os
import shutil
import sys
import tempfile
import time

import hostile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))

import harness  # noqa: E402  (tests/integration)
from harness import Engine, run  # noqa: E402

BEFORE_S, ATTACK_S, AFTER_S = 0.5, 3, 1
GIVE_UP_MS = 5000
RATE = 150000  # orders a second at most: the table of orders is small here, however fast the machine
# By which the engine's process may grow: what connections may hold is 1 GiB, and there are buffers
# of fixed size. Who has sent little makes it grow by little.
MEMORY_BYTES = 1280 * hostile.MIB
LITTLE_BYTES = 200 * hostile.MIB


class Floods:
    """Floods in the place of an attack."""

    def __init__(self, *floods):
        self.floods = floods

    def end(self):
        return [flood.stop() for flood in self.floods]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for flood in self.floods:
            flood.kill()


@contextlib.contextmanager
def folder():
    path = tempfile.mkdtemp(prefix="holdfast-hostile-")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def check_neighbours(neighbours, from_s):
    """Each order was accepted at once or refused with BUSY; each newcomer since then was served."""
    account = neighbours.account
    del account["windows"]  # too long to be read
    assert account["disconnected"] == 0, "a neighbour was disconnected: %s" % account
    assert account["none"] == 0, "a neighbour waited %d ms for an answer: %s" % (GIVE_UP_MS, account)
    assert set(account["status"]) <= {"0", "3"}, "a neighbour was refused: %s" % account
    visits = [visit for visit in neighbours.visits if visit.at_s >= from_s]
    turned_away = [visit for visit in visits if visit.status != 0]
    assert visits and not turned_away, "%d of %d newcomers: %s" % (
        len(turned_away), len(visits), turned_away)


def check_sound(engine, stock, accepted, sent):
    """Whatever was accepted is held, and no more than was sent; the log says the same."""
    held = stock.held()
    assert accepted <= held <= sent, "%d units are held; accepted %d, sent %d" % (
        held, accepted, sent)
    engine.stop()
    run("wal", "verify", "--state", "--data", engine.data)
    assert hostile.LISTENER_CLOSED not in engine.errors(), engine.errors()


def besiege(attack, *settings, seconds=ATTACK_S, memory_bytes=MEMORY_BYTES, newcomers_after_s=-1):
    """Runs attack(engine, stock, work), a context as Attack and Floods are; returns its account.
    newcomers_after_s: of the attack, from when on newcomers must be served."""
    with folder() as work, Engine(*settings) as engine:
        stock = hostile.Stock(engine.url)
        memory = hostile.memory_peak(engine.process.pid)
        with hostile.Neighbours(engine.url, stock, work, rate=50, connections=2, newcomers=5,
                                give_up_ms=GIVE_UP_MS) as neighbours:
            time.sleep(BEFORE_S)
            from_s = time.monotonic() + newcomers_after_s
            with attack(engine, stock, work) as attackers:
                time.sleep(seconds)
                account = attackers.end()
            time.sleep(AFTER_S)
            neighbours.stop()
        grown = hostile.memory_peak(engine.process.pid) - memory
        floods = account if isinstance(account, list) else []
        print("attackers: %s; neighbours: %d orders accepted, %d BUSY, worst %.0f ms; "
              "memory grew by %d MiB" % (account if not floods else "%d messages" % sum(
                  flood["sent"] for flood in floods), neighbours.account["orders_ok"],
                  neighbours.account["status"].get("3", 0),
                  max(sample.took_ms for sample in neighbours.orders), grown // hostile.MIB))
        check_neighbours(neighbours, from_s)
        assert grown < memory_bytes, "memory grew by %d MiB" % (grown // hostile.MIB)
        accounts = floods + [neighbours.account]
        check_sound(engine, stock, sum(flood["orders_ok"] for flood in accounts),
                    sum(flood["orders_sent"] for flood in accounts))
        return account


def attack_with(function, addresses=4, **shape):
    """For besiege(): one of hostile.py's attacks."""
    return lambda engine, stock, work: hostile.Attack(engine.url, function, 60, addresses, **shape)


# ---- Connections that are a burden ----

def test_never_read():
    """Lists of stock are asked for, and no answer is read."""
    account = besiege(attack_with(hostile.never_read, connections=64))
    assert account["bytes"] > 0, account


def test_read_slowly():
    besiege(attack_with(hostile.read_slowly, connections=16))


def test_announce():
    """Long messages are announced and not sent. Meanwhile a neighbour's own, of 1 MiB, gets through."""
    def attack(engine, stock, work):
        long = hostile.Flood(engine.url, hostile.Messages.batches(work, stock.items, 20000), work,
                             rate=2, give_up_ms=GIVE_UP_MS, drain_ms=GIVE_UP_MS)
        # As many as would fill the memory of all connections with what is not there.
        count = min(4200, hostile.raise_file_limit() - 200)
        return Both(hostile.Attack(engine.url, hostile.announce, 60, 4, connections=count), long)
    long, = besiege(attack, memory_bytes=LITTLE_BYTES)
    assert long["messages_ok"] >= 2 and long["messages_ok"] == long["sent"], long
    assert long["disconnected"] == 0, long


class Both:
    """An attack, and a flood that must not suffer from it; end() returns the flood's account."""

    def __init__(self, attack, flood):
        self.attack = attack
        self.flood = flood

    def end(self):
        account = self.flood.stop()
        print("attackers:", self.attack.end())
        return [account]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.flood.kill()
        self.attack.__exit__()


def test_send_long():
    """Messages that are too long come in at full speed, and are refused."""
    account = besiege(attack_with(hostile.send_long, connections=8, size=16 * hostile.MIB))
    assert account["bytes"] > 16 * hostile.MIB, account


def test_idle_to_limit():
    """More idle connections than the engine accepts. Newcomers are served all the same, once those
    have been idle for the second that nobody is disconnected for."""
    with folder() as work, few_files(work, 700):
        account = besiege(attack_with(hostile.idle, connections=1000, addresses=16),
                          seconds=5, memory_bytes=LITTLE_BYTES, newcomers_after_s=3.5)
    assert account["most"] > 200, account


@contextlib.contextmanager
def few_files(work, count):
    """Engines that are started inside may have so many descriptors."""
    binary = harness.BINARY
    script = os.path.join(work, "holdfast")
    with open(script, "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\nulimit -n %d && exec '%s' \"$@\"\n" % (count, binary))
    os.chmod(script, 0o755)
    harness.BINARY = script
    try:
        yield
    finally:
        harness.BINARY = binary


def test_idle():
    """Idle connections that the engine has room for are left alone."""
    account = besiege(attack_with(hostile.idle, connections=500, addresses=16),
                      memory_bytes=LITTLE_BYTES)
    assert account["at the end"] == 500, account


def test_half_greet():
    besiege(attack_with(hostile.half_greet, connections=300), memory_bytes=LITTLE_BYTES)


def test_speak_otherwise():
    besiege(attack_with(hostile.speak_otherwise, connections=50), memory_bytes=LITTLE_BYTES)


def test_storm():
    """Connections that are made and closed; each is served."""
    def attack(engine, stock, work):
        return Floods(hostile.Flood(
            engine.url, hostile.Messages.status(work), work, rate=500, once=1, connections=1000,
            nice=10, give_up_ms=GIVE_UP_MS, drain_ms=GIVE_UP_MS,
            **{"from": hostile.ATTACKERS_FROM, "sources": 16}))
    account, = besiege(attack, memory_bytes=LITTLE_BYTES)
    assert account["unconnected"] == 0 and account["none"] == 0, account


# ---- Loads ----

def test_greedy():
    """One connection sends as much as its socket takes, or nearly."""
    def attack(engine, stock, work):
        flood = hostile.Flood(engine.url, hostile.Messages.orders(work, stock.items), work,
                              rate=RATE, nice=10, give_up_ms=100000, drain_ms=100000)
        return Floods(flood)
    account, = besiege(attack)
    assert account["messages_ok"] > 0, account


def overload(batch, connections, in_flight, *settings, **options):
    """Many connections with as much under way as their sockets and the engine take; most of it waits
    longer than it may. Everything is answered, and the engine works on."""
    def attack(engine, stock, work):
        messages = (hostile.Messages.orders(work, stock.items, 200) if batch == 1 else
                    hostile.Messages.batches(work, stock.items, batch, 200))
        return Floods(hostile.Flood(engine.url, messages, work, connections=connections,
                                    in_flight=in_flight, timeout_ms=200, nice=10,
                                    give_up_ms=100000, drain_ms=100000, **options))
    account, = besiege(attack, *settings)
    assert account["none"] == 0 and account["disconnected"] == 0, account
    assert set(account["status"]) <= {"0", "3"}, account
    assert account["messages_ok"] > 0, account
    return account


def test_overload():
    overload(1, 64, 100, rate=RATE)


def test_overload_batches():
    overload(100, 64, 16, rate=RATE // 100)


def test_slow_disk():
    """Each durable write takes 300 ms. What can't be done within its time is refused, and no answer
    comes before its write."""
    with folder() as work:
        disk = hostile.SlowDisk(work)
        with harness.preloaded(hostile.SlowDisk.library, **disk.settings()):
            disk.set(0)

            @contextlib.contextmanager
            def attack(engine, stock, work):
                disk.set(300)
                messages = hostile.Messages.orders(work, stock.items, 400)
                with hostile.Flood(engine.url, messages, work, connections=16, in_flight=50,
                                   keep_samples=True, give_up_ms=100000, drain_ms=100000) as flood:
                    yield Floods(flood)
                samples = flood.samples()
                early = [sample for sample in samples if sample.status == 0 and sample.took_ms < 299]
                assert samples and not early, early
                disk.set(0)

            account, = besiege(attack, "--wal-io", "sync")
    # A write takes most of an order's time, so the engine knows that many can't be done in theirs.
    assert account["status"].get("3", 0) > 0, account


if __name__ == "__main__":
    harness.main(globals())
