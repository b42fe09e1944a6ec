"""Kills the engine with SIGKILL while it makes checkpoints, changes segments, fills the archive and
forgets orders, again and again, and asks everything back.

usage: kill_checkpoint.py [KILLS]     (default: 10 s of them and 3 at least, or 60 when HOLDFAST_LONG is set)

The log is as small as it may be, so that at full load there is always a checkpoint being made or a
segment on its way to the archive. One data directory lives through all of it. After each kill: the
load generator's oracle must find nothing oversold, undersold, lost or duplicated (orders that ended
longer ago than retain-ended may be forgotten), nothing half made is left over, and the log is no
longer than allowed. In the end the archive and what is not in it yet must be the whole log: an engine
that replays it, without any checkpoint, tells the same stock.
"""

import json
import os
import re
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "integration"))
from harness import BINARY, Engine, run, wait_until  # noqa: E402
from kills import add_faults, begin, kill_in_load, no_faults  # noqa: E402

SEGMENT_BYTES = 4 << 20
WAL_BYTES_MAX = 16 << 20
RETAIN = "3s"
OPTIONS = ["--wal-segment-bytes", str(SEGMENT_BYTES), "--wal-bytes-max", str(WAL_BYTES_MAX),
           "--checkpoint-memory", "2M", "--retain-ended", RETAIN, "--orders-max", "3000000"]


def load_command(engine, number):
    # Every other run is nearly unbatched, so that single records meet the kill too.
    batch, orders = ("8", "40000") if number % 2 else ("256", "300000")
    return [BINARY, "load", "--url", engine.url, "--orders", orders, "--batch", batch,
            "--skus", "50", "--stock", "2000000", "--zipf", "1.1", "--qty-max", "2",
            "--connections", "2", "--in-flight", "8", "--mix", "100,60,35", "--hold", "2s",
            "--retain", RETAIN, "--seed", str(number + 1), "--json", "--quiet", "--give-up", "120s"]


def log_folder(data):
    return os.path.join(data, "wal")


def names(folder, pattern):
    found = (re.fullmatch(pattern, name) for name in os.listdir(folder))
    return sorted(int(match.group(1), 16) for match in found if match)


def check_directory(engine, archive):
    left = [name for folder in (log_folder(engine.data), archive)
            for name in os.listdir(folder) if name.endswith(".tmp")]
    # An engine that is at work again may be making one; it has one name more each time.
    assert len([name for name in left if name.startswith("checkpoint-")]) <= 1, left
    checkpoints = names(log_folder(engine.data), r"checkpoint-([0-9a-f]{16})\.ckp")
    assert len(checkpoints) <= 3, checkpoints  # three for the moment of the change
    return checkpoints


def stock(engine):
    rows = json.loads(run("stock", "list", "--url", engine.url, "--json"))
    rows = rows["items"] if isinstance(rows, dict) else rows
    return {(row["sku"], row["pool"]): {key: row[key] for key in ("stocked", "held", "sold", "available")}
            for row in rows}


def check_archive(engine, archive):
    """The archive and the present segments, without checkpoints, in a directory of their own."""
    archived = names(archive, r"wal-([0-9a-f]{16})\.seg")
    assert archived == list(range(1, len(archived) + 1)), archived
    whole = tempfile.mkdtemp(prefix="holdfast-whole-")
    try:
        os.mkdir(log_folder(whole))
        for folder in (archive, log_folder(engine.data)):
            for name in os.listdir(folder):
                if re.fullmatch(r"wal-[0-9a-f]{16}\.seg", name):
                    shutil.copy(os.path.join(folder, name), log_folder(whole))
        with Engine("--wal-segment-bytes", str(SEGMENT_BYTES), "--wal-bytes-max", "0",
                    "--retain-ended", RETAIN, "--orders-max", "3000000", data=whole) as replayed:
            return stock(replayed), len(archived)
    finally:
        shutil.rmtree(whole, ignore_errors=True)


def one_kill(engine, archive, number, rng):
    def dying(_load):
        engine.kill()
        return any(name.endswith(".tmp") for name in os.listdir(log_folder(engine.data)))

    result, making, recovery_s = kill_in_load(
        engine, load_command(engine, number), number, rng.uniform(0.05, 0.7), dying,
        lambda: check_directory(engine, archive))
    print("kill %2d%s: %d ok, forgotten %d of %d asked, recovered in %.2f s" % (
        number + 1, " (in the middle of a file)" if making else "", result["ok"],
        result["forgotten"], result["asked_back"], recovery_s), flush=True)
    return result


def main():
    kills, rng = begin(3, 10, 60)
    totals = no_faults()
    archive = tempfile.mkdtemp(prefix="holdfast-archive-")
    try:
        with Engine("--archive-dir", archive, *OPTIONS) as engine:
            for number in kills:
                add_faults(totals, one_kill(engine, archive, number, rng))
            wait_until(lambda: not any(row["held"] for row in stock(engine).values()),
                       "what is still held expires")
            before = stock(engine)
            engine.stop()
            checkpoints = check_directory(engine, archive)
            assert len(checkpoints) == 2, checkpoints
            run("wal", "verify", "--data", engine.data)
            replayed, archived = check_archive(engine, archive)
            assert archived >= 2, archived
            assert replayed == before, "replayed %s, expected %s" % (replayed, before)
    finally:
        shutil.rmtree(archive, ignore_errors=True)
    print("%d kills: " % kills.done + ", ".join("%s %d" % item for item in totals.items()) +
          "; checkpoint %d, %d segments archived" % (checkpoints[-1], archived))
    sys.exit(1 if any(totals.values()) else 0)


main()
