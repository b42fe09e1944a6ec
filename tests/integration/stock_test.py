"""Stock keeping with the real binary: imports that are checked whole by the engine before their first
change, and definitions that change nothing but what they name."""

import json
import os
import subprocess
import tempfile
import threading
import time

from harness import BINARY, Engine, main, run
from shop import *
from wire import *

COUNTS = ("items", "new_skus", "new_items", "changed_rules", "changed_items", "stock_set",
          "replayed", "changed_stock", "units_added", "units_removed", "refused", "rows", "skus",
          "units")


class Importer:
    def __init__(self, engine, directory):
        self.engine = engine
        self.path = os.path.join(directory, "stock.csv")

    def write(self, *rows, header="sku,stock"):
        with open(self.path, "w") as f:
            f.write("\n".join((header,) + rows) + "\n")

    def ask(self, *options, expect=0):
        """What an import prints as JSON, and on stderr."""
        done = subprocess.run([BINARY, "stock", "import", self.path, "--json", "--url",
                               self.engine.url, *options], capture_output=True, text=True,
                              timeout=600)
        assert done.returncode == expect, (done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout), done.stderr

    def both(self, *options, expect=0):
        """A dry run and the import, which must agree in every count."""
        planned, said = self.ask("--dry-run", *options, expect=expect)
        made, _ = self.ask(*options, expect=expect)
        assert planned["dry_run"] and not made["dry_run"]
        for count in COUNTS:
            assert planned[count] == made[count], (count, planned, made)
        assert planned.get("message") == made.get("message"), (planned, made)
        return made, said


def importing(*options):
    class Setup:
        def __enter__(self):
            self.directory = tempfile.TemporaryDirectory(prefix="holdfast-import-")
            self.engine = Engine(*options)
            return Importer(self.engine, self.directory.name), Shop(self.engine.url)

        def __exit__(self, *unused):
            self.engine.close()
            self.directory.cleanup()
    return Setup()


def empty(shop):
    return not shop.must(list_stock=pb.ListStockRequest()).stock.items


def test_nothing_is_imported_when_the_last_row_is_refused():
    with importing("--items-max", "4998") as (importer, shop):
        # One row of 5 000 has a hold that the engine does not allow.
        rows = ["S%05d,1," % i for i in range(4990)]
        importer.write(*rows, "S99999,1,8d", header="sku,stock,hold_ms")
        made, said = importer.both(expect=1)
        assert made["status"] == "INVALID"
        assert "row 4992 (S99999@default), column hold_ms: 691200000" in made["message"], made
        assert importer.path + ": row 4992" in said, said
        assert made["refused"] == 1 and made["stock_set"] == 0
        assert empty(shop)
        # The limit is reached at a row of the second batch.
        importer.write(*["S%05d,1" % i for i in range(5000)])
        made, _ = importer.both(expect=1)
        assert made["status"] == "FULL"
        assert made["message"] == "row 5000 (S04998@default): items-max (4998) is reached", made
        assert empty(shop)
        importer.write(*["S%05d,1" % i for i in range(4998)])
        made, _ = importer.both()
        assert made["new_items"] == made["new_skus"] == made["stock_set"] == 4998


def test_rules_of_a_sku_are_checked_as_they_would_be():
    with importing() as (importer, shop):
        shop.rule("A", closes_at_ms=1800000000000)
        # The sale would close before it opens; the row that says so is named, not the SKU's first.
        importer.write("A,east,1,", "A,west,1,2027-06-01T00:00:00Z", "B,east,1,",
                       header="sku,pool,stock,opens_at")
        made, _ = importer.both(expect=1)
        assert made["message"].startswith("row 3 (A@west), column opens_at: "), made
        assert shop.ask(get_stock=pb.GetStockRequest(sku=["B"])).status == UNKNOWN_ITEM
        # Several mistakes are told at once.
        importer.write("A,1,9d", "B,1,1s", "C,1,9d", "D,1,", header="sku,stock,hold_ms")
        made, said = importer.both(expect=1)
        assert made["refused"] == 2 and "row 2 (A" in said and "row 4 (C" in said, said


def test_what_would_oversell_stops_the_import():
    with importing() as (importer, shop):
        item = shop.define("A", 10)
        shop.define("B", 5)
        held = new_id()
        assert shop.reserve(held, [line(item, 8)]).status == OK
        importer.write("A,7", "B,9", "C,1")
        made, said = importer.both(expect=1)
        assert made["status"] == "WOULD_OVERSELL" and made["refused"] == 1
        assert "row 2 (A@default), column stock: 7" in said and "held 8" in said
        assert shop.stock(2).stocked == 5
        # What the same file lets be pre-sold counts.
        importer.write("A,7,1", "B,9,", "C,1,", header="sku,stock,presale_cap")
        made, _ = importer.both()
        assert made["changed_items"] == 1 and made["new_items"] == 1
        assert (made["units_added"], made["units_removed"]) == (5, 3)


def test_the_same_import_again_changes_nothing_and_an_interrupted_one_is_repeated():
    with importing() as (importer, shop):
        importer.write(*["S%05d,%d" % (i, i) for i in range(9000)])
        # As if an import had broken off: its first batch is there.
        whole = open(importer.path).read()
        reference = "r-1"
        importer.write(*["S%05d,%d" % (i, i) for i in range(4096)])
        importer.both("--reference", reference)
        assert shop.adjust_status(new_id(), 5, delta=100) == OK  # goods came in since
        with open(importer.path, "w") as f:
            f.write(whole)
        made, _ = importer.both("--reference", reference)
        assert made["replayed"] == 4096 and made["stock_set"] == 9000 - 4096
        made, _ = importer.both("--reference", reference)
        assert made["replayed"] == 9000
        assert made["new_items"] + made["changed_stock"] + made["stock_set"] == 0
        assert shop.stock(5).stocked == 104


def test_empty_cells_say_nothing_and_zeros_do():
    with importing() as (importer, shop):
        item = shop.define("A", 10, safety=5, presale_cap=3, hot=True)
        shop.rule("A", label="an A", limit_per_buyer=2, hold_ms=9000)
        header = "sku,safety,hot,label,limit_per_buyer,hold_ms"
        importer.write("A,,,,,", header=header)
        made, _ = importer.both()
        assert made["changed_items"] == made["changed_rules"] == 0
        importer.write("A")  # the columns are not there at all
        with open(importer.path, "w") as f:
            f.write("sku\nA\n")
        importer.both()
        stock = shop.stock(item)
        assert (stock.safety, stock.presale_cap) == (5, 3)
        importer.write("A,0,no,,0,0", header=header)
        made, _ = importer.ask()
        assert made["changed_items"] == made["changed_rules"] == 1
        assert shop.stock(item).safety == 0 and shop.stock(item).presale_cap == 3
        rule, = shop.rules("A")
        assert (rule.label, rule.limit_per_buyer, rule.hold_ms) == ("an A", 0, 0)


def test_definitions_of_different_fields_at_once_lose_none():
    with Engine() as engine:
        shop = Shop(engine.url)
        item = shop.define("A")
        fields = [("safety", SAFETY), ("presale_cap", PRESALE_CAP)]
        last = 200

        def define(field, bit):
            own = Shop(engine.url)
            for value in range(1, last + 1):
                own.must(define=pb.DefineRequest(
                    items=[pb.ItemDef(sku="A", fields=bit, **{field: value})]))

        threads = [threading.Thread(target=define, args=pair) for pair in fields]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stock = shop.stock(item)
        assert (stock.safety, stock.presale_cap) == (last, last)


def test_define_on_the_command_line_names_what_it_is_given():
    with Engine() as engine:
        shop = Shop(engine.url)

        def define(*options):
            run("stock", "define", "A", *options, "--url", engine.url)

        define("--hot", "--label", "one")
        define("--safety", "1")
        define("--presale-cap", "2")
        define()
        items = [json.loads(text) for text in
                 run("wal", "dump", "--data", engine.data, "--json").splitlines()]
        items = [record for record in items if record["type"] == "ITEM_DEFINED"]
        assert [(i["hot"], i["safety"], i["presale_cap"]) for i in items] == [
            (True, 0, 0), (True, 1, 0), (True, 1, 2)], items
        define("--label", "")
        rule, = shop.rules("A")
        assert rule.label == ""


class Sales:
    """The command line's words about sales, with what they print."""

    def __init__(self, engine, zone="CST-8"):
        self.engine = engine
        self.environment = dict(os.environ, TZ=zone)

    def __call__(self, word, *arguments, expect=0):
        done = subprocess.run([BINARY, "stock", word, *arguments, "--json", "--url",
                               self.engine.url], capture_output=True, text=True, timeout=600,
                              env=self.environment)
        assert done.returncode == expect, (done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout), done.stderr


HOUR = 3600 * 1000


def test_pause_and_resume_are_one_switch():
    with Engine() as engine:
        shop, sales = Shop(engine.url), Sales(engine)
        item = shop.define("P", 5)
        now = int(time.time() * 1000)
        opens, closes = now + HOUR, now + 2 * HOUR
        sales("define", "P", "--opens-at", str(opens), "--closes-at", str(closes))

        def rule():
            told, = shop.rules("P")
            return told.opens_at_ms, told.closes_at_ms, told.paused

        told, _ = sales("pause", "P")
        assert told["paused"] and told["changed"] == {} and rule() == (opens, closes, True)
        told, said = sales("resume", "P")
        assert not told["paused"] and rule() == (opens, closes, False)
        assert "not open yet" in said and len(told["warnings"]) == 1, told
        assert shop.reserve(new_id(), [line(item)]).status == NOT_OPEN
        # `open` changes the opening time alone, says so, and leaves the pause.
        sales("pause", "P")
        told, said = sales("open", "P")
        assert told["changed"].keys() == {"opens_at"} and told["changed"]["opens_at"]["was_ms"] == opens
        assert "paused" in said and "stock resume P" in said
        assert rule() == (0, closes, True)
        sales("resume", "P")
        assert shop.reserve(new_id(), [line(item)]).status == OK
        # `close` and `open` undo each other; a second `close` changes nothing.
        told, said = sales("close", "P")
        assert told["changed"].keys() == {"closes_at"} and not said
        closed = rule()[1]
        assert now <= closed <= now + HOUR
        told, _ = sales("close", "P")
        assert told["changed"] == {} and rule()[1] == closed
        told, _ = sales("open", "P")
        assert told["changed"]["closes_at"]["is"] == "none" and rule() == (0, 0, False)
        # A time to come stays what it was.
        sales("close", "P", "--at", str(closes))
        told, _ = sales("open", "P", "--at", str(opens))
        assert rule() == (opens, closes, False)
        told, said = sales("open", "P", "--at", str(closes), expect=1)
        assert "closes_at_ms" in told["message"] and rule() == (opens, closes, False)
        # A sale that has not opened can't be closed: what can be done instead is said.
        told, said = sales("close", "P", expect=1)
        assert "opens_at is 20" in told["message"] and "stock pause" in said, told
        assert rule() == (opens, closes, False)
        sales("open", "NONE", expect=1)
        sales("open", "P", "--at", "0", expect=2)
        assert shop.ask(get_stock=pb.GetStockRequest(sku=["NONE"])).status == UNKNOWN_ITEM


def test_times_are_local_plausible_and_said_when_past():
    with Engine() as engine:
        shop, sales = Shop(engine.url), Sales(engine)
        told, _ = sales("define", "P", "--opens-at", "2030-12-12 00:00")
        assert shop.rules("P")[0].opens_at_ms == 1923235200000
        assert told["changed"]["opens_at"]["is"] == "2030-12-12 00:00:00 +08:00", told
        done = subprocess.run([BINARY, "stock", "define", "P", "--opens-at", "2030-12-13", "--url",
                               engine.url], capture_output=True, text=True, env=sales.environment)
        assert "opens_at was 2030-12-12 00:00:00 +08:00, is now 2030-12-13 00:00:00 +08:00" in \
            done.stdout, done.stdout
        for text in ("20301212", "1923235200", "203012120000", "1", "2030-02-30", "2030"):
            told, _ = sales("define", "P", "--opens-at", text, expect=2)
            assert text in told["message"], told
        _, said = sales("define", "Q", "--closes-at", "2020-01-01")
        assert "has ended already: closes_at, 2020-01-01 00:00:00 +08:00" in said
        _, said = sales("close", "Q", "--at", "2021-01-01")
        assert "has ended already" in said
        _, said = sales("define", "Q", "--label", "x")
        assert not said


def test_times_in_a_file():
    with importing() as (importer, shop):
        importer.write("A,2020-01-01,", "B,20301212,", "C,,1923235200",
                       header="sku,closes_at,opens_at")
        _, said = importer.ask(expect=1)
        assert "row 3" in said and "write 2030-12-12" in said and "row 4" in said
        assert "looks like Unix seconds" in said, said
        importer.write("A,2020-01-01", "B,2030-12-12", header="sku,closes_at")
        told, said = importer.both()
        assert told["ended_sales"] == 1 and "row 2, column closes_at: the sale has ended" in said


def test_dry_runs_of_moves():
    with Engine() as engine:
        shop = Shop(engine.url)
        a, b = shop.define("A", 10, pool="east"), shop.define("A", pool="west")
        ids = [new_id() for _ in range(3)]
        moves = [pb.Adjustment(id=i, item=a, delta=4, to_item=b) for i in ids]
        results = shop.must(adjust=pb.AdjustRequest(adjustments=moves, dry_run=True)).adjust.results
        assert [r.status for r in results] == [OK, OK, INVALID]
        assert (results[1].stock.stocked, results[1].to_stock.stocked) == (2, 8)
        assert shop.stock(a).stocked == 10 and shop.stock(b).stocked == 0
        results = shop.must(adjust=pb.AdjustRequest(adjustments=moves)).adjust.results
        assert [r.status for r in results] == [OK, OK, INVALID]
        results = shop.must(adjust=pb.AdjustRequest(adjustments=moves[:1], dry_run=True)).adjust
        assert results.results[0].replayed and results.results[0].delta == 0


if __name__ == "__main__":
    main(globals())
