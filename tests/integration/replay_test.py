"""The log offline: restoring a moment of the past, comparing, and explaining an item's number."""

import json
import os
import shutil
import subprocess
import tempfile
import time

import harness
import wire
from harness import BINARY, Engine, run
from shop import Shop, line

HOLD_MS = 3600 * 1000
SMALL = ("--wal-segment-bytes", "4M", "--wal-bytes-max", "16M")


class Folders:
    """Temporary directories, removed at the end."""

    def __enter__(self):
        self.root = tempfile.mkdtemp(prefix="holdfast-replay-")
        return self

    def __exit__(self, *unused):
        shutil.rmtree(self.root, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.root, name)

    def make(self, name):
        os.mkdir(self.path(name))
        return self.path(name)


def all_stock(url):
    """(sku, pool) -> the numbers of all items, as the engine tells them."""
    rows = json.loads(run("stock", "list", "--url", url, "--json"))
    return {(r["sku"], r["pool"]): (r["stocked"], r["held"], r["sold"], r["available"])
            for r in rows}


def stock_of(state):
    return {(r["sku"], r["pool"]): (r["stocked"], r["held"], r["sold"], r["available"])
            for r in state["stock"]}


def status(url):
    return json.loads(run("status", "--url", url, "--json"))


def fill(shop, items, count, held):
    """Reserves `count` one-line orders in batches; commits a third and releases a third of them."""
    ids = [os.urandom(16) for _ in range(count)]
    for at in range(0, count, 1000):
        part = ids[at:at + 1000]
        handles = [items[(at + i) % len(items)] for i in range(len(part))]
        assert set(shop.reserve_batch(part, handles, hold_ms=HOLD_MS)) == {wire.OK}
        for i, order in enumerate(part[:60]):
            if i % 3 == 0:
                assert shop.commit(order).status == wire.OK
            elif i % 3 == 1:
                assert shop.release(order).status == wire.OK
            else:
                held.append(order)
    return ids


def log_files(folder):
    return sorted(n for n in os.listdir(folder) if n.startswith("wal-"))


def grow_until(shop, items, condition, what):
    """Writes orders until segments have been archived, or the like."""
    held = []
    deadline = time.monotonic() + harness.WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "not in time: " + what
        fill(shop, items, 10000, held)


def digest_of(path):
    """Name and content of every file below a folder."""
    found = {}
    for folder, _, names in os.walk(path):
        for name in names:
            full = os.path.join(folder, name)
            with open(full, "rb") as f:
                found[os.path.relpath(full, path)] = f.read()
    return found


def assert_dump_reads_the_archive(data, archive):
    first = ("wal", "dump", "--data", data, "--json", "--limit", "1")
    part = subprocess.run([BINARY, *first], capture_output=True, text=True, check=True)
    assert "recycled the records up to" in part.stderr and "--archive" in part.stderr, part.stderr
    whole = subprocess.run([BINARY, *first, "--archive", archive], capture_output=True, text=True,
                           check=True)
    assert whole.stderr == "" and json.loads(whole.stdout)["type"] == "ITEM_DEFINED", whole
    last = str(json.loads(part.stdout)["lsn"])
    assert subprocess.run([BINARY, *first, "--from", last], capture_output=True, text=True,
                          check=True).stderr == ""
    missing = subprocess.run([BINARY, *first, "--archive", archive + ".not"], capture_output=True,
                             text=True)
    assert missing.returncode == 1 and len(missing.stderr.splitlines()) == 1, missing
    for word in ("stats", "verify"):
        records = [json.loads(run("wal", word, "--data", data, "--json", *more))["records"]
                   for more in ((), ("--archive", archive))]
        assert records[0] < records[1] or word == "verify", (word, records)


def test_restore_drill_gives_the_state_of_an_earlier_moment():
    with Folders() as folders:
        archive = folders.make("archive")
        data = folders.make("data")
        with Engine(*SMALL, "--archive-dir", archive, data=data) as engine:
            shop = Shop(engine.url)
            items = [shop.define("DRILL-%d" % i, 1000000) for i in range(5)]
            items.append(shop.define("DRILL-0", 500, pool="shop", safety=7))
            held = []
            ids = fill(shop, items, 3000, held)
            noted_stock = all_stock(engine.url)
            noted = status(engine.url)
            noted_states = {order: shop.state(order) for order in ids[:60]}
            # On: the noted moment's segment is recycled, and only its copy is left.
            grow_until(shop, items[:5], lambda: "wal-%016x.seg" % 3 in log_files(archive),
                       "three archived segments")
            engine.stop()

            lsn = str(noted["commit_lsn"])
            before = digest_of(os.path.join(data, "wal"))
            assert "wal-%016x.seg" % 1 not in before
            message = run("wal", "replay", "--data", data, "--until", lsn, expect=1)
            assert_dump_reads_the_archive(data, archive)
            assert message == ""
            printed = json.loads(run("wal", "replay", "--data", data, "--archive", archive,
                                     "--until", lsn, "--json"))
            assert stock_of(printed) == noted_stock
            assert printed["digest_agrees"] and printed["lsn"] == noted["commit_lsn"]
            assert printed["orders"]["held"] == noted["orders_held"]

            restored = folders.path("restored")
            run("wal", "replay", "--data", data, "--archive", archive, "--until", lsn,
                "--out", restored)
            assert digest_of(os.path.join(data, "wal")) == before, "the source was touched"
            verified = json.loads(run("wal", "verify", "--data", restored, "--json"))
            assert verified["condition"] == "whole", verified
            assert verified["lsn"] == noted["commit_lsn"]
            refused = run("wal", "replay", "--data", data, "--out", restored, expect=1)
            assert refused == ""

        with Engine(data=restored) as engine:
            assert all_stock(engine.url) == noted_stock
            now = status(engine.url)
            assert now["orders_held"] == noted["orders_held"]
            assert now["orders_known"] == noted["orders_known"]
            shop = Shop(engine.url)
            for order, state in noted_states.items():
                assert shop.state(order) == state
            # It goes on from there.
            assert shop.commit(held[0]).status == wire.OK
            assert shop.reserve(os.urandom(16), [line(items[0])]).status == wire.OK
            engine.stop()
        verified = json.loads(run("wal", "verify", "--data", restored, "--json"))
        assert verified["condition"] == "whole"


def test_replay_cuts_at_every_record_of_a_block():
    """A batch is one block of many records: each of its LSNs is a moment."""
    with Folders() as folders:
        data = folders.make("data")
        with Engine(data=data) as engine:
            shop = Shop(engine.url)
            item = shop.define("CUT", 1000)
            first = status(engine.url)["commit_lsn"]
            ids = [os.urandom(16) for _ in range(8)]
            assert set(shop.reserve_batch(ids, [item] * 8, hold_ms=HOLD_MS)) == {wire.OK}
            engine.stop()
        for count in range(9):
            lsn = first + 48 * count
            out = folders.path("out-%d" % count)
            state = json.loads(run("wal", "replay", "--data", data, "--until", str(lsn + 15),
                                   "--out", out, "--json"))
            assert state["lsn"] == lsn and state["orders"]["held"] == count, state
            verified = json.loads(run("wal", "verify", "--data", out, "--json"))
            assert verified["condition"] == "whole" and verified["lsn"] == lsn, verified
            with Engine(data=out) as engine:
                assert all_stock(engine.url)[("CUT", "default")] == (1000, count, 0, 1000 - count)


def test_replay_until_a_time_ends_with_the_block_before_it():
    with Folders() as folders:
        data = folders.make("data")
        moments = []
        with Engine(data=data) as engine:
            shop = Shop(engine.url)
            item = shop.define("TIME", 1000)
            for _ in range(4):
                time.sleep(0.02)
                moments.append(time.time_ns() // 1000000)
                time.sleep(0.02)
                assert shop.reserve(os.urandom(16), [line(item)],
                                    hold_ms=HOLD_MS).status == wire.OK
            engine.stop()
        for count, moment in enumerate(moments):
            iso = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment // 1000))
            for until in ("@%d" % moment, "%s.%03dZ" % (iso, moment % 1000)):
                state = json.loads(run("wal", "replay", "--data", data, "--until", until, "--json"))
                assert state["orders"]["held"] == count, (until, state)
        for bad in ("yesterday", "@yesterday", "@"):
            run("wal", "replay", "--data", data, "--until", bad, expect=2)
        end = json.loads(run("wal", "replay", "--data", data, "--json"))["lsn"]
        run("wal", "replay", "--data", data, "--until", str(end))
        beyond = run("wal", "replay", "--data", data, "--until", str(end + 1), "--json", expect=1)
        assert "which is LSN %d" % end in json.loads(beyond)["message"], beyond
        before = run("wal", "replay", "--data", data, "--until", "@1000", "--json", expect=1)
        assert "before the log's beginning" in json.loads(before)["message"], before


def test_replay_ends_just_behind_a_checkpoint():
    """Nothing follows the checkpoint then: a block that proves it is written all the same."""
    with Folders() as folders:
        data = folders.make("data")
        archive = folders.make("archive")
        with Engine(*SMALL, "--archive-dir", archive, data=data) as engine:
            shop = Shop(engine.url)
            items = [shop.define("CKP", 10000000)]
            grow_until(shop, items,
                       lambda: any(n.endswith(".ckp") for n in os.listdir(os.path.join(data, "wal"))),
                       "a checkpoint")
            engine.stop()
        state = json.loads(run("wal", "replay", "--data", data, "--json"))
        assert state["checkpoint"] > 0
        lsn = state["checkpoint_lsn"]
        out = folders.path("out")
        there = json.loads(run("wal", "replay", "--data", data, "--until", str(lsn), "--out", out,
                               "--json"))
        assert there["lsn"] == lsn and there["checkpoint"] == state["checkpoint"], there
        with Engine(data=out) as engine:
            assert all_stock(engine.url) == stock_of(there)


def test_replay_diff_agrees_with_a_quiet_engine_and_finds_another_log():
    with Folders() as folders:
        data = folders.make("data")
        with Engine(data=data) as engine, Engine() as other:
            shop = Shop(engine.url)
            items = [shop.define("DIFF-%d" % i, 1000) for i in range(3)]
            fill(shop, items, 100, [])
            text = run("wal", "replay", "--data", data, "--diff", engine.url)
            assert "3 items compared" in text and " 0 differences" in text, text
            run("wal", "replay", "--data", data, "--diff", other.url, expect=1)
            text = run("wal", "replay", "--data", other.data, "--diff", engine.url, expect=1)
            assert "DIFF-0@default: stocked: rebuilt 0, engine 1000" in text, text


def test_replay_diff_names_each_number_that_differs():
    with Folders() as folders:
        data = folders.make("data")
        with Engine(data=data) as engine, Engine() as other:
            shops = [Shop(engine.url), Shop(other.url)]
            items = [shop.define("DIFF", 100) for shop in shops]
            # The same numbers by another way: nothing differs, but it is another log.
            for delta in (5, -5):
                assert shops[1].adjust_status(os.urandom(16), items[1], delta=delta) == wire.OK
            done = subprocess.run([BINARY, "wal", "replay", "--data", data, "--diff", other.url],
                                  capture_output=True, text=True)
            assert done.returncode == 1 and " 0 differences" in done.stdout, done
            assert "is it that engine's?" in done.stderr, done
            orders = [os.urandom(16) for _ in range(3)]
            for i, order in enumerate(orders):
                assert shops[0].reserve(order, [line(items[0], i + 1)]).status == wire.OK
            assert shops[0].commit(orders[1]).status == wire.OK
            shops[1].define("ZZZ", 1)
            shops[1].define("DIFF", 1, pool="shop")
            text = run("wal", "replay", "--data", data, "--diff", other.url, expect=1)
            for told in ("DIFF@default: held: rebuilt 4, engine 0",
                         "DIFF@default: sold: rebuilt 2, engine 0",
                         "DIFF@shop: defined: rebuilt 0, engine 1",
                         "ZZZ@default: defined: rebuilt 0, engine 1",
                         "engine: items: rebuilt 1, engine 3",
                         "orders: held: rebuilt 2, engine 0",
                         "orders: known: rebuilt 3, engine 0"):
                assert told in text, (told, text)
            assert "DIFF@default: stocked" not in text, text
            # And the other way: what is there here is not there.
            text = run("wal", "replay", "--data", other.data, "--diff", engine.url, expect=1)
            assert "ZZZ@default: defined: rebuilt 1, engine 0" in text, text


def test_why_adds_up_for_every_kind_of_change():
    with Folders() as folders:
        data = folders.make("data")
        with Engine(data=data) as engine:
            shop = Shop(engine.url)
            item = shop.define("WHY", 0)
            other = shop.define("WHY", 10, pool="shop")
            run("stock", "adjust", "WHY@default", "+100", "--url", engine.url, "--reason", "delivery",
                "--reference", "PO-1")
            orders = [os.urandom(16) for _ in range(8)]
            for order in orders:
                assert shop.reserve(order, [line(item, 4), line(other, 1)],
                                    hold_ms=HOLD_MS).status == wire.OK
            assert shop.commit(orders[0]).status == wire.OK
            assert shop.commit(orders[1], [(1, 3), (2, 1)]).status == wire.OK
            assert shop.release(orders[2]).status == wire.OK
            assert shop.release(orders[3], [(1, 1)]).status == wire.OK
            assert shop.give_back(orders[0], [(1, 2)]).status == wire.OK
            late = os.urandom(16)
            gone = os.urandom(16)
            for order in (late, gone):
                assert shop.reserve(order, [line(item, 5)], hold_ms=1).status == wire.OK
                harness.wait_until(lambda o=order: shop.state(o) == wire.STATE_EXPIRED, "expiry")
            assert shop.commit(late, late_ok=True).status == wire.OK
            run("stock", "move", "WHY", "3", "--from", "default", "--to", "shop", "--url",
                engine.url, expect=None)
            rows = json.loads(run("wal", "why", "WHY", "--data", data, "--all", "--json"))
            now = all_stock(engine.url)
            text = run("wal", "why", "WHY@default", "--data", data)
            engine.stop()
        assert [r["pool"] for r in rows] == ["default", "shop"]
        row = rows[0]
        assert row["agree"] and rows[1]["agree"]
        units = row["units"]
        # 8 orders of 4, two of 5; by hand.
        assert units["reserved"] == 8 * 4 + 2 * 5
        assert units["committed"] == 4 + 3 and units["not_wanted"] == 1
        assert units["committed_late"] == 5 and units["expired"] == 10
        assert units["released"] == 4 + 1 and units["returned"] == 2
        for row in rows:
            is_now = row["now"]
            assert (is_now["stocked"], is_now["held"], is_now["sold"], is_now["available"]) == now[
                ("WHY", row["pool"])]
        assert rows[0]["stock"][0]["reason"] == "delivery"
        assert rows[0]["stock"][0]["reference"] == "PO-1"
        assert sum(h["units"] for h in rows[0]["held_by"]) == rows[0]["now"]["held"] == 4 * 4 + 3
        assert "The sums are the item's numbers." in text
        run("wal", "why", "NOBODY", "--data", data, expect=1)


def test_why_begins_with_the_oldest_checkpoint_when_the_beginning_is_gone():
    with Folders() as folders:
        data = folders.make("data")
        with Engine(*SMALL, data=data) as engine:
            shop = Shop(engine.url)
            items = [shop.define("OLD", 10000000)]
            wal = os.path.join(data, "wal")
            grow_until(shop, items, lambda: "wal-%016x.seg" % 1 not in log_files(wal), "recycling")
            engine.stop()
        row = json.loads(run("wal", "why", "OLD", "--data", data, "--json"))[0]
        assert row["agree"] and row["before"]["lsn"] > 0 and row["before"]["stocked"] == 10000000
        assert "before LSN" in run("wal", "why", "OLD", "--data", data)


def assert_refused(what, *options, data=None):
    try:
        with Engine(*options, data=data):
            pass
    except RuntimeError as error:
        assert what in str(error), error
    else:
        raise AssertionError("started with " + " ".join(options))


def test_an_archive_belongs_to_one_engine():
    with Folders() as folders:
        archive = folders.make("archive")
        data = folders.make("data")
        with Engine(*SMALL, "--archive-dir", archive) as first:
            assert_refused("another engine is using the directory", "--archive-dir", archive)
            first.stop()
        with Engine(*SMALL, "--archive-dir", archive, data=data):
            pass
        for own in (data, os.path.join(data, "wal"), os.path.join(data, ".", "wal", "..")):
            assert_refused("the engine's own directory", "--archive-dir", own, data=data)
        with Engine(*SMALL, data=data):
            pass


if __name__ == "__main__":
    harness.main(globals())
