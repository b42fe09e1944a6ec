"""An engine whose disk fails, fills up, is interrupted or does less than asked for: what was
acknowledged is there after the next start, nothing else was acknowledged, and it says what it does.
docs/operations.md, "Faults".

The faults are made by a preloaded library, disk_faults.c, below the whole engine.
"""

import errno
import json
import mmap
import os
import random
import struct
import sys
import tempfile
import time

from harness import WAIT_S, Engine, main, preloaded, run, wait_until
from shop import Shop, batch, line, new_id, pb
from wire import BUSY, OK, READ_ONLY

LIBRARY = os.environ.get("HOLDFAST_DISK_FAULTS") or sys.exit("HOLDFAST_DISK_FAULTS is not set")
OPEN, CLOSE, READ, WRITE, DATA_SYNC, SYNC, TRUNCATE, ALLOCATE, RENAME = range(9)
ALWAYS = 0xffffffff
ALL = 0xffffffffffffffff
RULE = struct.Struct("<IIIiQ64sII")
RULES = 4
REST = struct.Struct("<QIIII")
HELD = 1
PAGE = 4096


class Faults:
    """The control page of one engine after another."""

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile(prefix="holdfast-faults-")
        self.file.write(bytes(PAGE))
        self.file.flush()
        self.memory = mmap.mmap(self.file.fileno(), PAGE)

    def set(self, op, error=0, ending="", skip=0, times=ALWAYS, take=0, delay_ms=0, place=0):
        at = place * RULE.size
        RULE.pack_into(self.memory, at, op, skip, 0, error, take, ending.encode(), 0,
                       delay_ms)
        struct.pack_into("<I", self.memory, at + 8, times)

    def clear(self):
        self.memory[0:RULES * RULE.size + REST.size] = bytes(RULES * RULE.size + REST.size)

    def met(self, place=0):
        return RULE.unpack_from(self.memory, place * RULE.size)[6]

    def disturb(self, seed, one_in):
        REST.pack_into(self.memory, RULES * RULE.size, seed, one_in, 0, 0, 0)

    def counts(self):
        """Harmless faults; log writes through the ring; with pwritev2."""
        return REST.unpack_from(self.memory, RULES * RULE.size)[2:]


class FaultyEngine(Engine):
    """below: the directory whose files are watched; the engine's own unless it is given."""

    def __init__(self, *options, faults, below=None, data=None):
        self.faults = faults
        self.below = below
        super().__init__("--wal-segment-bytes", "4M", *options, data=data)

    def spawn(self, *more):
        with preloaded(LIBRARY, DISK_FAULTS=self.faults.file.name,
                       DISK_FAULTS_BELOW=self.below or self.data):
            super().spawn(*more)

    def ends_with(self, status):
        code = self.process.wait(WAIT_S)
        assert code == status, "exit %s, expected %s: %s" % (code, status, self.errors())


def has_ring():
    """Whether io_uring is permitted here."""
    with Engine() as engine:
        return json.loads(run("status", "--url", engine.url, "--json"))["wal_io"] == "io_uring"


def ways():
    if not has_ring():
        print("io_uring is not permitted here: its part is skipped")
        return ["sync"]
    return ["uring", "sync"]


def reserve_until_it_fails(shop, item, most):
    """Orders that were acknowledged, and the ones that were asked for and were not."""
    done, open_ids = [], []
    for _ in range(most):
        ids = [new_id() for _ in range(random.choice((1, 1, 3, 60)))]
        open_ids = ids
        try:
            response = shop.ask(reserve_batch=batch(ids, [item] * len(ids)))
        except (OSError, EOFError, AssertionError):
            return done, open_ids
        if response.status != OK:
            return done, open_ids
        assert not response.batch.status or set(response.batch.status) == {OK}, response
        done += ids
    return done, []


def check_orders(engine, item, done, unknown=()):
    """All that was acknowledged is held, and the stock's sums say the same."""
    shop = Shop(engine.url)
    missing = [i for i in done if shop.state(i) != HELD]
    assert not missing, "%d of %d acknowledged orders are lost" % (len(missing), len(done))
    held = shop.stock(item).held
    assert len(done) <= held <= len(done) + len(unknown), (held, len(done), len(unknown))


def begin(engine):
    shop = Shop(engine.url)
    return shop, shop.define("PHONE", 1000000)


def test_a_failed_log_write_ends_the_engine_and_loses_nothing():
    # Also when the disk works again at once: what follows a write that is missing is worth nothing.
    cases = [(errno.EIO, 0, ALWAYS), (errno.EIO, PAGE // 2, 1), (errno.ENOSPC, 0, 1), (0, 0, 1)]
    for way in ways():
        for error, take, times in cases:
            faults = Faults()
            with FaultyEngine("--wal-io", way, faults=faults) as engine:
                shop, item = begin(engine)
                faults.set(WRITE, error, ending=".seg", skip=7, take=take,
                           times=times)
                done, unknown = reserve_until_it_fails(shop, item, 200)
                assert unknown, "the engine took no notice: %s, errno %d" % (way, error)
                engine.ends_with(4)
                _, ring, called = faults.counts()
                # A write that is waited for at once is a call in either way (io/uring.c).
                assert ring + called > 0 and (ring == 0 or way == "uring")
                assert faults.met() >= 1
                assert "the log is closed" in engine.errors(), engine.errors()
                faults.clear()
                engine.start()
                check_orders(engine, item, done, unknown)
                engine.stop()


def test_short_counts_and_interruptions_change_nothing():
    for way in ways():
        seed = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
        print("seed %d, %s" % (seed, way), flush=True)
        faults = Faults()
        faults.disturb(seed, 3)
        with FaultyEngine("--wal-io", way, faults=faults) as engine:
            shop, item = begin(engine)
            done, unknown = reserve_until_it_fails(shop, item, 150)
            assert not unknown
            check_orders(engine, item, done)
            engine.kill()
            engine.start()
            check_orders(engine, item, done)
            more, unknown = reserve_until_it_fails(Shop(engine.url), item, 50)
            assert not unknown
            engine.stop()
            assert faults.counts()[0] > 20, faults.counts()
            assert " ERROR " not in engine.errors(), engine.errors()
            faults.clear()
            engine.start()
            check_orders(engine, item, done + more)
            engine.stop()
            run("wal", "verify", "--data", engine.data)


def status_of(engine):
    return json.loads(run("status", "--url", engine.url, "--json"))


def reserve_many(shop, item):
    """A thousand, unless the log is busy. Their ids, or none, and the response."""
    ids = [new_id() for _ in range(1000)]
    response = shop.ask(reserve_batch=batch(ids, [item] * len(ids)))
    if response.status == BUSY:
        time.sleep(0.001 * response.retry_after_ms)
    if response.status == OK:
        assert not response.batch.status, response
        return ids, response
    return [], response


def grow_until(shop, item, condition):
    """How many orders it took."""
    count = 0
    for _ in range(10000):
        if condition():
            return count
        ids, response = reserve_many(shop, item)
        assert response.status in (OK, BUSY), response
        count += len(ids)
    raise AssertionError("it never came to that")


def fill(shop, item, most=4000):
    """Until changes are refused. The acknowledged orders, and the last response."""
    done = []
    for _ in range(most):
        ids, response = reserve_many(shop, item)
        if response.status not in (OK, BUSY):
            return done, response
        done += ids
    raise AssertionError("the log never got full")


def test_a_full_disk_makes_it_read_only_until_there_is_room():
    for error, op in ((errno.EDQUOT, ALLOCATE), (errno.ENOSPC, WRITE), (errno.ENOSPC, RENAME)):
        faults = Faults()
        with FaultyEngine("--wal-io", "sync", "--wal-spare-segments", "1", faults=faults) as engine:
            shop, item = begin(engine)
            faults.set(op, error, ending=".seg.tmp")
            done, response = fill(shop, item)
            assert response.status == READ_ONLY, response
            assert faults.met() > 0
            assert shop.stock(item).held == len(done)
            wait_until(lambda: not [n for n in os.listdir(engine.data + "/wal") if n.endswith(".tmp")],
                       "nothing is left of what could not be made")
            faults.clear()
            order = new_id()
            wait_until(lambda: shop.reserve_response(order, [line(item)]).status == OK,
                       "there is room again")
            engine.kill()
            engine.start()
            assert Shop(engine.url).stock(item).held == len(done) + 1
            assert Shop(engine.url).state(order) == HELD
            engine.stop()


def test_a_checkpoint_or_copy_that_fails_is_not_built_upon():
    """It is told, and it gets no name; what it stands for stays, and it is made when that can be."""
    no_checkpoint, no_copy = "a checkpoint can't be made", "can't be archived"
    # One failed write among many that go well is as bad.
    cases = (("wal", ".ckp", no_checkpoint, WRITE, errno.EIO, 1),
             ("wal", ".ckp", no_checkpoint, DATA_SYNC, errno.EIO, ALWAYS),
             ("archive", "archive/wal-%016x.seg" % 1, no_copy, WRITE, errno.ENOSPC, 1),
             ("archive", "archive/wal-%016x.seg" % 1, no_copy, DATA_SYNC, errno.EIO, ALWAYS))
    for folder, ending, told, op, error, times in cases:
        faults = Faults()
        with tempfile.TemporaryDirectory(prefix="holdfast-test-") as parent:
            archive = parent + "/archive"
            options = ("--wal-spare-segments", "1", "--wal-bytes-max", "20M", "--archive-dir", archive)
            os.mkdir(parent + "/data", 0o750)
            with FaultyEngine(*options, below=parent, data=parent + "/data", faults=faults) as engine:
                where = engine.data + "/wal" if folder == "wal" else archive
                made = lambda: [n for n in os.listdir(where) if (where + "/" + n).endswith(ending)]
                shop, item = begin(engine)
                faults.set(op, error, ending=ending + ".tmp", times=times)
                count = grow_until(shop, item, lambda: told in engine.errors() or made())
                assert told in engine.errors(), engine.errors()
                assert times == 1 or not made(), made()
                faults.clear()
                wait_until(made, "it is made when that can be")
                engine.stop()
                engine.start()
                assert Shop(engine.url).stock(item).held == count
                engine.stop()


def test_a_directory_that_can_not_be_synced_is_not_built_upon():
    """At the start: nothing is acknowledged upon names that may be gone. The next start is fine."""
    faults = Faults()
    with FaultyEngine(faults=faults) as engine:
        shop, item = begin(engine)
        done, _ = reserve_until_it_fails(shop, item, 20)
        engine.kill()
        for op, ending in ((SYNC, ""), (DATA_SYNC, ".seg")):
            skip = 0
            while True:
                faults.clear()
                faults.set(op, errno.EIO, ending=ending, skip=skip, times=1)
                engine.spawn()
                ready = any(text.strip() == "ready" for text in engine.process.stdout)
                assert not (ready and op == DATA_SYNC and faults.met()), "it was built upon"
                if faults.met() == 0:
                    assert ready
                    break
                if ready:  # it was a matter for later, or of no promise
                    engine.kill()
                else:
                    assert engine.process.wait(WAIT_S) in (1, 4)
                skip += 1
            # The folder's name, and the names in it; what was read, and the first new block.
            assert skip >= 2, skip
            check_orders(engine, item, done)
            engine.kill()


def longest(answer):
    stages = {name: answer[name + "_ns"] for name in ("queue", "decide", "append", "sync", "reply")}
    assert sum(stages.values()) == answer["total_ns"], answer
    return max(stages, key=stages.get)


def test_a_slow_write_is_seen_in_the_slowest_answers_as_sync():
    for way in ways():
        faults = Faults()
        with FaultyEngine("--wal-io", way, faults=faults) as engine:
            shop, item = begin(engine)
            faults.set(WRITE, ending=".seg", take=ALL, delay_ms=300)
            ids = [new_id() for _ in range(3)]
            response = shop.ask(reserve_batch=batch(ids, [item] * 3))
            assert response.status == OK and faults.met() >= 1, response
            faults.clear()
            slow = []

            def is_told():  # it is noted after the answer has left
                told = json.loads(run("status", "--url", engine.url, "--slowest", "--json"))
                assert told["state"] == "serving", told
                slow[:] = [a for a in told["slowest"] if a["request"] == "reserve_batch"]
                return slow

            wait_until(is_told, "the slow answer is listed")
            assert len(slow) == 1, slow
            # The handler may lose its processor between the append and its stamp: then a part of
            # the 300 ms is counted as decide.
            assert slow[0]["total_ns"] >= 300e6, slow
            assert slow[0]["sync_ns"] >= 150e6 and longest(slow[0]) == "sync", slow
            assert (slow[0]["orders"], slow[0]["lines"]) == (3, 3), slow
            assert slow[0]["status"] == "OK" and slow[0]["lsn"] >= response.lsn, slow
            assert slow[0]["request_bytes"] > 48 and slow[0]["answer_bytes"] > 0, slow
            table = run("status", "--url", engine.url, "--slowest").splitlines()
            assert table[1].split()[0] == "time" and "sync" in table[1], table
            rows = [row.split() for row in table[2:] if " reserve_batch " in row]
            assert len(rows) == 1 and rows[0][5].endswith("*"), table
            # Who does not ask does not get them.
            assert not shop.ask(status=pb.StatusRequest()).status_info.slowest
            assert shop.ask(status=pb.StatusRequest(slowest=True)).status_info.slowest
            engine.stop()


if __name__ == "__main__":
    main(globals())
