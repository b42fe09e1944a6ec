"""What the tools and the engine said was done is durable when they end: the files' bytes and their
names, by what was synced (durable_check.c, preloaded). A power loss just after must take nothing.
"""

import glob
import json
import os
import shutil
import sys
import tempfile
import time

from harness import Engine, main, preloaded, run
from shop import Shop, batch, line, new_id
from wire import BUSY, OK

LIBRARY = os.environ.get("HOLDFAST_DURABLE_CHECK") or sys.exit("HOLDFAST_DURABLE_CHECK is not set")


def is_promised(what):
    """A lock's file need not be there, nor gone; nor a segment in the making, which a stop may meet:
    the next start removes it."""
    return not what.endswith(("/LOCK", ".seg.tmp"))


class Checked:
    """What runs inside is watched below a directory."""

    def __init__(self, below):
        self.report = tempfile.NamedTemporaryFile(prefix="holdfast-report-")
        self.environment = preloaded(LIBRARY, DURABLE_BELOW=below,
                                     DURABLE_REPORT=self.report.name)

    def __enter__(self):
        self.environment.__enter__()
        return self

    def __exit__(self, *error):
        self.environment.__exit__(*error)

    def left(self):
        with open(self.report.name, encoding="utf-8") as file:
            told = [text.strip() for text in file]
        assert told and told[-1].startswith("files ") and told[-1] != "files 0", told
        return [text for text in told[:-1] if is_promised(text)]


def checked_run(below, *arguments):
    with Checked(below) as checked:
        out = run(*arguments)
    assert not checked.left(), "%s: not durable: %s" % (" ".join(arguments[:2]), checked.left())
    return out


def some_orders(engine, count=30):
    shop = Shop(engine.url)
    item = shop.define("PHONE-%s" % os.urandom(4).hex(), 1000)
    for _ in range(count):
        assert shop.reserve(new_id(), [line(item)]).status == OK


def grow_until(engine, condition, what):
    shop = Shop(engine.url)
    item = shop.define("MANY-%s" % os.urandom(4).hex(), 10000000)
    for _ in range(10000):
        if condition():
            return
        ids = [new_id() for _ in range(1000)]
        response = shop.ask(reserve_batch=batch(ids, [item] * len(ids)))
        if response.status == BUSY:
            time.sleep(0.001 * response.retry_after_ms)
        else:
            assert response.status == OK, response
    raise AssertionError("it never came to that: " + what)


SMALL = ("--wal-segment-bytes", "4M", "--wal-spare-segments", "1")


def test_the_engine_leaves_nothing_to_be_synced():
    """Its log, a checkpoint, and the archive."""
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as parent:
        data = os.path.join(parent, "data")
        archive = os.path.join(parent, "archive")
        os.mkdir(data)
        with Checked(parent) as checked:
            engine = Engine(*SMALL, "--wal-bytes-max", "20M", "--archive-dir", archive, data=data)
        with engine:
            some_orders(engine)
            grow_until(engine, lambda: glob.glob(archive + "/*.seg"), "a segment is archived")
            assert glob.glob(data + "/wal/*.ckp")
            engine.stop()
            assert not checked.left(), checked.left()


def damage_a_block(path):
    """Not the segment's first, nor its last."""
    with open(path, "r+b") as file:
        pages = [page for page in range(1, 1024)
                 if file.seek(page * 4096) >= 0 and file.read(8) == b"HFWALBLK"]
        assert len(pages) > 3, pages
        file.seek(pages[2] * 4096)
        file.write(os.urandom(100))


def test_what_the_tools_make_is_durable():
    with Engine(*SMALL) as engine, tempfile.TemporaryDirectory(prefix="holdfast-test-") as parent:
        some_orders(engine)
        grow_until(engine, lambda: glob.glob(engine.data + "/wal/*%016x.mark" % 2), "a second segment")
        some_orders(engine)
        engine.stop()
        checked_run(parent, "wal", "replay", "--data", engine.data, "--out", parent + "/out")
        os.mkdir(parent + "/alone")
        checked_run(parent, "wal", "checkpoint", "--data", engine.data, "--out", parent + "/alone/wal")
        checked_run(parent, "wal", "replay", "--data", engine.data, "--until", "100", "--out",
                    parent + "/early")

        # Cut off, in a segment behind one that is copied as it is; skipped, in the first.
        for number, more in ((2, ()), (1, ("--skip",))):
            data = parent + "/damaged-%d" % number
            shutil.copytree(engine.data, data)
            damage_a_block("%s/wal/wal-%016x.seg" % (data, number))
            checked_run(data, "wal", "repair", "--data", data, "--yes", *more)
            verified = json.loads(run("wal", "verify", "--data", data, "--json", expect=None))
            assert verified["condition"] == "whole", verified


if __name__ == "__main__":
    main(globals())
