"""The files of a real log lost, emptied, exchanged: start and verify say the same, and a refusal touches nothing."""

import glob
import hashlib
import json
import os
import shutil
import subprocess
import tempfile

from harness import BINARY, WAIT_S, Engine, main, run

SMALL = ("--wal-segment-bytes", "4M", "--wal-spare-segments", "2", "--orders-max", "1000000")
CHECKPOINTS = SMALL + ("--wal-bytes-max", "16M")


def load(engine, orders):
    run("load", "--url", engine.url, "--orders", str(orders), "--skus", "5", "--quiet", expect=None)


def known(engine):
    return json.loads(run("status", "--url", engine.url, "--json"))["orders_known"]


def snapshot(data):
    """Every name below a directory, with what a change of any kind would change."""
    found = {}
    for where, folders, files in os.walk(data):
        about = os.lstat(where)
        found[where] = (about.st_ino, about.st_mode, about.st_mtime_ns, sorted(folders + files))
        for name in files:
            path = os.path.join(where, name)
            about = os.lstat(path)
            contents = b""
            if os.path.isfile(path):
                with open(path, "rb") as f:
                    contents = hashlib.sha256(f.read()).digest()
            found[path] = (about.st_ino, about.st_mode, about.st_size, about.st_mtime_ns, contents)
    return found


def refused(data, *options):
    """Starts an engine that must refuse, and must leave all as it was; what it said."""
    before = snapshot(data)
    done = subprocess.run([BINARY, "serve", "--data", data, "--listen", "tcp://127.0.0.1:0", *SMALL, *options],
                          capture_output=True, text=True, timeout=WAIT_S * 4)
    assert done.returncode == 1 and "ready" not in done.stdout, (done.returncode, done.stdout, done.stderr)
    after = snapshot(data)
    assert before == after, {path: (before.get(path), after.get(path)) for path in set(before) | set(after)
                             if before.get(path) != after.get(path)}
    return done.stderr


def verify(data, expect):
    return json.loads(run("wal", "verify", "--data", data, "--json", expect=expect))


def segments(data, kind="wal-*.seg"):
    return sorted(glob.glob(os.path.join(data, "wal", kind)))


def last_used(data):
    """The mark's segment, unless a later one was begun since."""
    number = 0
    for path in segments(data):
        with open(path, "rb") as f:
            head = f.read(48)
        if head[:8] == b"HFWALSEG" and int.from_bytes(head[32:40], "little") == int(path[-20:-4], 16):
            number = max(number, int(path[-20:-4], 16))
    return os.path.join(data, "wal", "wal-%016x.seg" % number)


class Moved:
    """A file that is elsewhere meanwhile."""

    def __init__(self, path):
        self.path = path
        self.aside = tempfile.mkdtemp(prefix="holdfast-aside-")

    def __enter__(self):
        shutil.move(self.path, os.path.join(self.aside, "file"))
        return self

    def __exit__(self, *unused):
        if os.path.isdir(self.path):
            shutil.rmtree(self.path)
        shutil.move(os.path.join(self.aside, "file"), self.path)
        shutil.rmtree(self.aside)


def test_newest_used_segment_that_is_gone_is_noticed():
    with Engine(*SMALL) as engine:
        load(engine, 120000)
        orders = known(engine)
        engine.kill()
        data = engine.data
        newest = last_used(data)
        name = os.path.basename(newest)
        prepared = [path for path in segments(data) if path > newest]
        assert prepared and len(segments(data)) >= 4, segments(data)
        with Moved(newest):
            told = refused(data)
            assert "segment %d is missing" % int(name[4:20], 16) in told, told
            found = verify(data, 1)
            assert (found["condition"], found["start"], found["file"]) == ("damaged", "refused", name), found
            assert os.path.basename(prepared[0]) in found["reason"], found
            assert all(os.path.exists(path) for path in prepared)
            for word in "dump", "stats", "checkpoint":
                done = subprocess.run([BINARY, "wal", word, "--data", data], capture_output=True, text=True)
                assert done.returncode == 1 and name in done.stderr, (word, done.stderr)
            # What the repair would cost.
            shown = json.loads(run("wal", "repair", "--data", data, "--json", expect=1))
            assert shown["needed"] and shown["possible"] and name in shown["file"], shown
            assert "is missing" in shown["reason"], shown
            # With all that were prepared: the mark says it.
            for path in prepared:
                os.rename(path, path + ".aside")
            assert "begun-" in refused(data)
            assert verify(data, 1)["start"] == "refused"
            for path in prepared:
                os.rename(path + ".aside", path)
        verified = verify(data, 0)
        assert verified["start"] == "from the log's beginning", verified
        engine.start()
        assert known(engine) == orders


def test_repair_goes_on_without_the_missing_segment():
    with Engine(*SMALL) as engine:
        load(engine, 120000)
        engine.kill()
        os.unlink(last_used(engine.data))
        run("wal", "repair", "--data", engine.data, "--yes")
        assert verify(engine.data, 0)["condition"] == "whole"
        engine.start()
        assert known(engine) > 0


def test_other_kinds_of_refusal_touch_nothing_either():
    with Engine(*SMALL) as engine:
        load(engine, 60000)
        data = engine.data
        assert "another engine" in refused(data)
        engine.kill()
        first = segments(data)[0]
        # Leftovers stay until it is decided to go on.
        leftover = os.path.join(data, "wal", "checkpoint-0000000000000001.ckp.tmp")
        with open(leftover, "wb") as f:
            f.write(b"half")
        with open(first, "r+b") as f:
            f.seek(3 * 4096 + 200)
            old = f.read(1)
            f.seek(-1, os.SEEK_CUR)
            f.write(bytes([old[0] ^ 1]))
        assert "wal verify" in refused(data)
        assert verify(data, 1)["start"] == "refused"
        # A lock file that the refused start had to make is gone again.
        os.unlink(os.path.join(data, "LOCK"))
        refused(data)
        with open(first, "r+b") as f:
            f.seek(3 * 4096 + 200)
            f.write(old)
        with Moved(first):
            refused(data)
            assert verify(data, 1)["start"] == "refused"
            # A repair that only tells what it would do leaves no trace either.
            before = snapshot(data)
            run("wal", "repair", "--data", data, expect=1)
            assert snapshot(data) == before
            os.mkdir(first)
            refused(data)
        with Moved(segments(data)[1]):
            refused(data)
        lock = os.path.join(data, "LOCK")
        os.mkfifo(lock)
        refused(data)
        assert verify(data, 1)["start"] == "refused: LOCK is not a regular file"
        os.unlink(lock)
        # More orders than there is room for.
        assert "orders-max" in refused(data, "--orders-max", "1000")
        engine.start()
        assert not os.path.exists(leftover)


def test_log_folder_that_is_empty_or_anothers_is_not_taken_for_this_ones():
    with Engine(*SMALL) as engine, Engine(*SMALL) as stranger:
        load(engine, 1000)
        orders = known(engine)
        engine.stop()
        stranger.stop()
        folder = os.path.join(engine.data, "wal")
        with Moved(folder):
            assert "CLUSTER" in refused(engine.data)
            os.mkdir(folder)
            assert "mounted" in refused(engine.data)
            found = verify(engine.data, 1)
            assert found["start"] == "refused" and "mounted" in found["reason"], found
            os.rmdir(folder)
            shutil.copytree(os.path.join(stranger.data, "wal"), folder)
            assert "another log" in refused(engine.data)
            assert verify(engine.data, 1)["start"] == "refused"
        # Without its only used segment nothing says which log it is: not that it is another one.
        with Moved(segments(engine.data)[0]):
            assert "another log" not in refused(engine.data)
            told = subprocess.run([BINARY, "wal", "verify", "--data", engine.data], capture_output=True,
                                  text=True, timeout=WAIT_S).stderr
            assert "begins with segment 2" in told and "another log" not in told, told
        engine.start()
        assert known(engine) == orders


def test_newest_checkpoint_that_cant_be_read_is_passed_over():
    with Engine(*CHECKPOINTS) as engine:
        for _ in range(60):
            load(engine, 30000)
            if len(segments(engine.data, "checkpoint-*.ckp")) >= 2:
                break
        orders = known(engine)
        engine.stop()
        older, newest = segments(engine.data, "checkpoint-*.ckp")[-2:]
        with Moved(newest):
            os.mkdir(newest)  # reading it is refused by the system, whoever asks
            found = verify(engine.data, 1)
            assert found["start"] == "from checkpoint %d" % int(older[-20:-4], 16), found
            engine.start()
            assert known(engine) == orders
            said = engine.errors()
            assert os.path.basename(newest) + " can't be read: Is a directory" in said, said
            engine.stop()
        # A gap in what the checkpoint covers: nothing is lost, but a file is.
        covered = [path for path in segments(engine.data) if path[-20:-4] < newest[-20:-4]]
        if len(covered) >= 2:
            with Moved(covered[1]):
                assert "is missing" in refused(engine.data)
                assert verify(engine.data, 1)["start"] == "refused"
        engine.start()
        assert known(engine) == orders


if __name__ == "__main__":
    main(globals())
