"""Kills the engine with SIGKILL while it makes checkpoints, changes segments, fills the archive,
forgets orders and starts again, again and again, and asks everything back.

usage: kill_checkpoint.py [LOADS | --seconds N]
       default: 10 s of them and 3 at least, or 60 when HOLDFAST_LONG is set

The log is as small as it may be, so that at full load there is always a checkpoint being made or a
segment on its way to the archive. One data directory lives through all of it. Each load meets one
kill at its aim, and after some of these one or two more while the engine starts again. Aims are
taken in turn; where a kill really fell is told from what it left behind. After each load its oracle
must find nothing oversold, undersold, lost or duplicated (orders that ended longer ago than
retain-ended may be forgotten), nothing half made is left over, and the log is no longer than allowed.

The archive with the log behind it, from the log's beginning or from a checkpoint that was kept from
before, must lead to the same stock without any later checkpoint. That is looked at whenever the
archive has grown large, and in the end; what was looked at then goes, so that no more than some
400 MB of disk are in use however long it runs. At the end a table tells what was met.
"""

import collections
import json
import os
import re
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "integration"))
from harness import BINARY, Engine, run, wait_until  # noqa: E402
from kills import add_faults, begin, kill_in_load, no_faults  # noqa: E402

SEGMENT_BYTES = 4 << 20
WAL_BYTES_MAX = 16 << 20
ARCHIVE_SEGMENTS_MAX = 32
RETAIN = "3s"
OPTIONS = ["--wal-segment-bytes", str(SEGMENT_BYTES), "--wal-bytes-max", str(WAL_BYTES_MAX),
           "--checkpoint-memory", "2M", "--retain-ended", RETAIN, "--orders-max", "3000000"]
# In turn. Every other load is a small one (load_command), in which segments hardly change.
AIMS = ("segment", "load", "checkpoint", "checkpoint", "archive", "load")
CHANGE_S = 0.02  # a segment that was begun so short a time ago was being changed to
AIM_S = 1.5      # for as long a kill waits for its aim
PROGRESS_S = 60


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


# ---- Where a kill falls ----

def half_made(folder, ending):
    return any(name.endswith(ending) for name in os.listdir(folder))


def segment_just_begun(data):
    """True: the mark of the segment in use is being changed, or was a moment ago. It is renamed."""
    folder = log_folder(data)
    marks = [name for name in os.listdir(folder) if name.startswith("begun-")]
    try:
        changed = [os.stat(os.path.join(folder, name)).st_ctime for name in marks]
    except FileNotFoundError:
        return True
    return len(marks) > 1 or any(time.time() - at < CHANGE_S for at in changed)


def what_is_under_way(data, archive):
    found = []
    if half_made(log_folder(data), ".ckp.tmp"):
        found.append("checkpoint")
    if segment_just_begun(data) or half_made(log_folder(data), ".seg.tmp"):
        found.append("segment")
    if half_made(archive, ".tmp"):
        found.append("archive")
    return found


class Killer:
    """Kills at the aims in turn, and counts where it hit. One kill may count twice: a checkpoint may
    be in the making while a segment is changed."""

    def __init__(self, engine, archive, rng):
        self.engine = engine
        self.archive = archive
        self.rng = rng
        self.kills = 0
        self.hits = collections.Counter()
        self.recoveries_s = []

    def await_aim(self, aim, load):
        if aim == "load":
            time.sleep(self.rng.uniform(0.05, 0.7))
            return
        time.sleep(self.rng.uniform(0.02, 0.4))
        deadline = time.monotonic() + AIM_S
        while time.monotonic() < deadline and load.poll() is None:
            if aim in what_is_under_way(self.engine.data, self.archive):
                if aim != "segment":
                    time.sleep(self.rng.uniform(0, 0.01))
                return
            time.sleep(0.0005)

    def dying(self, number):
        """The callback that kills, once at its aim, and then perhaps in the middle of the start."""
        def die(load):
            self.await_aim(AIMS[number % len(AIMS)], load)
            self.engine.kill()
            self.kills += 1
            found = what_is_under_way(self.engine.data, self.archive)
            found += ["load"] if load.poll() is None and not found else []
            for _ in range(self.rng.choice((0, 1, 1, 2))):
                found.append(self.kill_start())
            self.hits.update(found)
            return found
        return die

    def kill_start(self):
        """Kills the engine some way into its start. Returns which step that was."""
        begun = len(self.engine.errors())
        usual_s = self.recoveries_s[-1] if self.recoveries_s else 0.1
        self.engine.spawn()
        time.sleep(self.rng.uniform(0, 0.9 * usual_s))
        self.engine.kill()
        self.kills += 1
        said = self.engine.errors()[begun:]
        output = self.engine.process.stdout.read()
        assert self.engine.process.returncode == -9, (self.engine.process.returncode, said)
        if "ready" in output:
            return "after the start"
        return "start" if " recovered " in said or " holdfast " not in said else "recovery"


# ---- What must be so after it ----

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


class Archive:
    """The archive's folder, and a checkpoint from before what is left in it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="holdfast-archive-")
        self.base = tempfile.mkdtemp(prefix="holdfast-base-")
        self.base_number = 0
        self.segments = 0  # archived and looked at, in all

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.base, ignore_errors=True)

    def numbers(self):
        return names(self.folder, r"wal-([0-9a-f]{16})\.seg")

    def replay(self, engine):
        """The stock that the base, the archive and the present segments lead to."""
        archived = self.numbers()
        assert archived == list(range(self.base_number + 1, self.base_number + 1 + len(archived))), (
            self.base_number, archived)
        whole = tempfile.mkdtemp(prefix="holdfast-whole-")
        try:
            os.mkdir(log_folder(whole))
            for name in os.listdir(self.base):
                shutil.copy(os.path.join(self.base, name), log_folder(whole))
            for folder in (self.folder, log_folder(engine.data)):
                for name in os.listdir(folder):
                    if re.fullmatch(r"wal-[0-9a-f]{16}\.seg", name):
                        shutil.copy(os.path.join(folder, name), log_folder(whole))
            with Engine("--wal-segment-bytes", str(SEGMENT_BYTES), "--wal-bytes-max", "0",
                        "--retain-ended", RETAIN, "--orders-max", "3000000", data=whole) as replayed:
                return stock(replayed)
        finally:
            shutil.rmtree(whole, ignore_errors=True)

    def check(self, engine):
        """Stops the engine, and holds what it said against its files. Returns its checkpoints."""
        wait_until(lambda: not any(row["held"] for row in stock(engine).values()),
                   "what is still held expires")
        before = stock(engine)
        engine.stop()
        checkpoints = check_directory(engine, self.folder)
        assert len(checkpoints) == 2, checkpoints
        run("wal", "verify", "--data", engine.data, "--archive", self.folder)
        replayed = self.replay(engine)
        assert replayed == before, "replayed %s, expected %s" % (replayed, before)
        return checkpoints

    def trim(self, engine, checkpoints):
        """The older checkpoint becomes the base; what it covers goes from the archive."""
        for name in os.listdir(self.base):
            os.unlink(os.path.join(self.base, name))
        name = "checkpoint-%016x.ckp" % checkpoints[0]
        shutil.copy(os.path.join(log_folder(engine.data), name), self.base)
        for number in self.numbers():
            if number <= checkpoints[0]:
                os.unlink(os.path.join(self.folder, "wal-%016x.seg" % number))
                self.segments += 1
        self.base_number = checkpoints[0]


# ---- The run ----

def one_load(killer, archive, number):
    result, found, recovery_s = kill_in_load(
        killer.engine, load_command(killer.engine, number), number, killer.dying(number),
        lambda: check_directory(killer.engine, archive.folder))
    killer.recoveries_s.append(recovery_s)
    print("load %2d, killed in: %s: %d ok, forgotten %d of %d asked, recovered in %.2f s" % (
        number + 1, ", ".join(found) or "-", result["ok"], result["forgotten"], result["asked_back"],
        recovery_s), flush=True)
    return result


def print_table(killer, totals, archive, loads, checks, answers, begun):
    times = sorted(killer.recoveries_s)
    rows = [("seconds", "%.0f" % (time.monotonic() - begun)), ("loads", loads),
            ("orders acknowledged", answers["ok"]), ("orders asked back", answers["asked_back"]),
            ("of these forgotten, as they may be", answers["forgotten"]), ("kills", killer.kills)]
    rows += [("  in the middle of: " + name, killer.hits[name])
             for name in ("checkpoint", "segment", "archive", "recovery", "start")]
    rows += [("  under load, none of these", killer.hits["load"]),
             ("  just after a start", killer.hits["after the start"])]
    rows += list(totals.items())
    rows += [("segments archived", archive.segments + len(archive.numbers())),
             ("archive replayed and compared", checks),
             ("recovery, median", "%.2f s" % times[len(times) // 2]),
             ("recovery, longest", "%.2f s" % times[-1])]
    for name, value in rows:
        print("%-36s %s" % (name, value))
    sys.stdout.flush()


def main():
    kills, rng = begin(3, 10, 60)
    totals = no_faults()
    answers = collections.Counter()
    archive = Archive()
    begun = told = time.monotonic()
    checks = 0
    try:
        with Engine("--archive-dir", archive.folder, *OPTIONS) as engine:
            killer = Killer(engine, archive.folder, rng)
            for number in kills:
                result = one_load(killer, archive, number)
                add_faults(totals, result)
                answers.update({key: result[key] for key in ("ok", "asked_back", "forgotten")})
                if len(archive.numbers()) >= ARCHIVE_SEGMENTS_MAX:
                    archive.trim(engine, archive.check(engine))
                    checks += 1
                    engine.start()
                if time.monotonic() - told > PROGRESS_S:
                    told = time.monotonic()
                    print_table(killer, totals, archive, number + 1, checks, answers, begun)
            checkpoints = archive.check(engine)
            assert checks > 0 or len(archive.numbers()) >= 2, archive.numbers()
            print("%d kills: " % killer.kills + ", ".join("%s %d" % item for item in totals.items()) +
                  "; checkpoint %d" % checkpoints[-1])
            print_table(killer, totals, archive, kills.done, checks + 1, answers, begun)
    finally:
        archive.close()
    sys.exit(1 if any(totals.values()) else 0)


main()
