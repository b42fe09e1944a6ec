"""The log's tools on the log of a real engine: outputs and exit codes, whole, torn and damaged."""

import glob
import json
import os
import shutil
import subprocess
import time

from harness import BINARY, Engine, main, run, wait_until

PAGE = 4096


def make_log(engine, orders=20):
    run("stock", "import", "--url", engine.url, "-", input="sku,stock\nPHONE,100\n")
    for i in range(orders):
        run("order", "reserve", "--url", engine.url, "order-%d" % i, "PHONE:1")
    run("order", "commit", "--url", engine.url, "order-0")
    run("order", "release", "--url", engine.url, "order-1")


def tool(data, word, *more, expect=0):
    return json.loads(run("wal", word, "--data", data, "--json", *more, expect=expect))


def lines(data, *more, expect=0):
    out = run("wal", "dump", "--data", data, "--json", *more, expect=expect)
    return [json.loads(line) for line in out.splitlines()]


def damage(data, name, offset, size=1):
    with open(os.path.join(data, "wal", name), "r+b") as f:
        f.seek(offset)
        old = f.read(size)
        f.seek(offset)
        f.write(bytes(b ^ 1 for b in old))


def order_block(data, number):
    """The offset of the block that holds order number's reserve, in the first segment."""
    for offset in range(PAGE, 4 << 20, PAGE):
        with open(os.path.join(data, "wal", "wal-0000000000000001.seg"), "rb") as f:
            f.seek(offset)
            page = f.read(PAGE)
        if page[:8] == b"HFWALBLK" and page[12] == 1 and page[128] == 1:
            if number == 0:
                return offset
            number -= 1
    raise AssertionError("no such block")


def test_what_is_told_of_a_whole_log():
    with Engine() as engine:
        make_log(engine)
        for running in (True, False):
            if not running:
                engine.stop()
            verified = tool(engine.data, "verify")
            assert verified["condition"] == "whole" and verified["state"] == "fits", verified
            assert verified["checkpoints"] == []
            stats = tool(engine.data, "stats")
            assert stats["orders"] == 20 and stats["units"] == 20, stats
            assert stats["types"]["ORDER_HELD"] == 20 and stats["types"]["ORDER_COMMITTED"] == 1
            assert stats["skus"] == [{"sku": "PHONE", "orders": 20, "units": 20}], stats["skus"]
            assert sum(b["orders"] for b in stats["timeline"]) == 20
            assert sum(b["blocks"] for b in stats["group_records"]) == stats["groups"]
            assert "PHONE" in run("wal", "stats", "--data", engine.data)
        assert tool(engine.data, "repair")["needed"] is False
        assert "nothing to repair" in run("wal", "repair", "--data", engine.data)
        assert tool(engine.data, "checkpoint")["made"] is False


def test_dump_filters():
    with Engine() as engine:
        make_log(engine)
        rows = lines(engine.data)
        held = [r for r in rows if r["type"] == "ORDER_HELD"]
        assert len(held) == 20
        assert lines(engine.data, "--type", "ORDER_HELD") == held
        both = lines(engine.data, "--type", "order_committed,ORDER_RELEASED")
        assert [r["type"] for r in both] == ["ORDER_COMMITTED", "ORDER_RELEASED"]
        assert len(lines(engine.data, "--order", "order-0")) == 2
        assert lines(engine.data, "--from", str(held[5]["lsn"]), "--to",
                     str(held[7]["lsn"])) == held[5:8]
        at = held[3]["wall_ms"]
        for text in ("@%d" % at, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at // 1000)) +
                     ".%03dZ" % (at % 1000)):
            assert lines(engine.data, "--from", text, "--type", "ORDER_HELD")[0]["wall_ms"] >= at
            assert all(r["wall_ms"] <= at for r in lines(engine.data, "--to", text))
        assert len(lines(engine.data, "--limit", "3")) == 3
        assert lines(engine.data, "--sku", "PHONE@elsewhere") == []
        run("wal", "dump", "--data", engine.data, "--type", "NONSENSE", expect=2)
        run("wal", "dump", "--data", engine.data, "--from", "yesterday", expect=2)
        for word in "dump", "stats":
            for begin, end in ("21", "20"), ("2026-11-12", "2026-11-11"), ("@2", "@1"):
                told = tool(engine.data, word, "--from", begin, "--to", end, expect=2)
                assert told["message"] == "--from %s is after --to %s" % (begin, end), told
            run("wal", word, "--data", engine.data, "--from", "20", "--to", "20")


def test_dump_follows_the_engine():
    with Engine() as engine:
        make_log(engine, 2)
        with subprocess.Popen([BINARY, "wal", "dump", "--data", engine.data, "--follow", "--json",
                               "--type", "ORDER_HELD", "--limit", "3"],
                              stdout=subprocess.PIPE, text=True) as dump:
            got = [json.loads(dump.stdout.readline()) for _ in range(2)]
            run("order", "reserve", "--url", engine.url, "later", "PHONE:7")
            got.append(json.loads(dump.stdout.readline()))
            assert got[2]["lines"][0]["qty"] == 7, got[2]
            assert dump.wait(60) == 0


def test_damage_is_told_and_repaired():
    with Engine() as engine:
        make_log(engine)
        engine.stop()
        offset = order_block(engine.data, 4)
        damage(engine.data, "wal-0000000000000001.seg", offset + 140)
        verified = tool(engine.data, "verify", expect=1)
        assert verified["condition"] == "damaged", verified
        assert (verified["file"], verified["offset"]) == ("wal-0000000000000001.seg", offset)
        assert verified["valid_after_index"] > 0
        assert "DAMAGED" in verified["status"], verified
        tool(engine.data, "stats", expect=1)

        # Shown, not done.
        before = sorted(os.listdir(os.path.join(engine.data, "wal")))
        told = tool(engine.data, "repair", expect=1)
        assert told["possible"] and not told["repaired"], told
        assert told["blocks_unreadable"] == 1 and told["records_lost"] == len(told["lost"]) == 17
        skipped = tool(engine.data, "repair", "--skip", expect=1)
        assert skipped["records_lost"] == 0 and skipped["records_kept"] == 17, skipped
        assert sorted(os.listdir(os.path.join(engine.data, "wal"))) == before
        assert "--yes" in run("wal", "repair", "--data", engine.data, expect=1)

        # Cut, in a copy.
        copy = engine.data + "-cut"
        shutil.copytree(engine.data, copy, ignore=shutil.ignore_patterns("*.sock"))
        try:
            done = tool(copy, "repair", "--yes")
            assert done["repaired"] and os.path.isdir(done["before"]), done
            assert sorted(os.listdir(done["before"])) == before
            assert tool(copy, "verify")["condition"] == "whole"
            with Engine(data=copy) as cut:
                assert "HELD" in run("order", "show", "--url", cut.url, "order-3")
                run("order", "show", "--url", cut.url, "order-4", expect=1)
                run("order", "show", "--url", cut.url, "order-5", expect=1)
                cut.stop()
        finally:
            shutil.rmtree(copy)

        # Skipped.
        assert tool(engine.data, "repair", "--skip", "--yes")["repaired"]
        assert tool(engine.data, "verify")["condition"] == "whole"
        engine.start()
        run("order", "show", "--url", engine.url, "order-4", expect=1)
        assert "HELD" in run("order", "show", "--url", engine.url, "order-5")
        assert "COMMITTED" in run("order", "show", "--url", engine.url, "order-0")


def test_a_torn_tail_is_no_damage():
    with Engine() as engine:
        make_log(engine, 3)
        engine.kill()
        path = os.path.join(engine.data, "wal", "wal-0000000000000001.seg")
        with open(path, "rb") as f:
            content = f.read()
        end = max(o for o in range(PAGE, len(content), PAGE) if content[o:o + 8] == b"HFWALBLK")
        damage(engine.data, "wal-0000000000000001.seg", end + 100)
        assert tool(engine.data, "verify")["condition"] == "torn tail"
        assert tool(engine.data, "repair", expect=1)["torn_bytes"] > 0
        assert tool(engine.data, "repair", "--yes")["repaired"]
        assert tool(engine.data, "verify")["condition"] == "whole"


def test_verify_beside_an_engine_finds_nothing_torn():
    with Engine("--wal-segment-bytes", "64M") as engine:
        make_log(engine, 3)
        with subprocess.Popen([BINARY, "load", "--url", engine.url, "--orders", "300000", "--skus",
                               "5"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as load:
            seen = set()
            while load.poll() is None:
                seen.add(tool(engine.data, "verify", "--no-state")["condition"])
            assert seen <= {"whole", "being written"}, seen


def test_checkpoints_are_made_verified_and_left_out():
    with Engine("--wal-segment-bytes", "4M") as engine:
        run("load", "--url", engine.url, "--orders", "200000", "--skus", "5")
        for word in ("checkpoint", "repair"):
            refused = tool(engine.data, word, expect=1)
            assert "engine" in refused["message"], refused
        engine.stop()
        out = os.path.join(engine.data, "elsewhere")
        there = tool(engine.data, "checkpoint", "--out", out)
        made = tool(engine.data, "checkpoint")
        assert made["made"] and made["base"] == 0 and made["checkpoint"] >= 1, made
        name = made["file"]
        with open(os.path.join(out, name), "rb") as a, \
                open(os.path.join(engine.data, "wal", name), "rb") as b:
            assert a.read() == b.read() and there["checkpoint"] == made["checkpoint"]
        assert tool(engine.data, "checkpoint")["made"] is False
        verified = tool(engine.data, "verify")
        assert verified["condition"] == "whole" and verified["state"] == "fits", verified
        assert verified["checkpoints"][0]["orders"] == made["orders"]

        # Names are there when the log's beginning is not.
        os.unlink(os.path.join(engine.data, "wal", "wal-0000000000000001.seg"))
        for n in range(2, made["checkpoint"] + 1):
            os.unlink(os.path.join(engine.data, "wal", "wal-%016x.seg" % n))
        assert tool(engine.data, "verify")["condition"] == "whole"
        row = lines(engine.data, "--type", "ORDER_HELD", "--limit", "1")[0]
        assert row["lines"][0]["sku"].startswith("LOAD-"), row
        assert all(s["sku"].startswith("LOAD-") for s in tool(engine.data, "stats")["skus"])

        # Nothing else has what the checkpoint has.
        damage(engine.data, name, PAGE + 100)
        assert tool(engine.data, "verify", expect=1)["condition"] == "damaged"
        refused = tool(engine.data, "repair", "--yes", expect=1)
        assert refused["possible"] is False and not refused["repaired"], refused
        shutil.copy(os.path.join(out, name), os.path.join(engine.data, "wal", name))
        assert tool(engine.data, "verify")["condition"] == "whole"
        engine.start()


if __name__ == "__main__":
    main(globals())
