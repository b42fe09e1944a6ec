"""`holdfast reconcile`: finds each kind of difference, mends what can be mended, and stays there."""

import json
import os
import subprocess
import tempfile
import uuid

import harness
import wire
from harness import Engine, run, wait_until
from shop import Shop, line

HOLD_MS = 3600 * 1000


def text_id(order):
    return str(uuid.UUID(bytes=order))


def write(rows, header="order,state,sku,pool,qty"):
    handle, path = tempfile.mkstemp(suffix=".csv", prefix="holdfast-orders-")
    with os.fdopen(handle, "w") as f:
        f.write(header + "\n")
        for row in rows:
            f.write(",".join(str(v) for v in row) + "\n")
    return path


def reconcile(engine, path, *options, expect=None):
    return json.loads(run("reconcile", path, "--url", engine.url, "--json", *options,
                          expect=expect))


class Case:
    """Orders in the engine, and the file that tells otherwise."""

    def __init__(self, engine):
        self.shop = shop = Shop(engine.url)
        self.item = item = shop.define("R", 10000)
        self.other = other = shop.define("R", 10000, pool="shop")
        self.ids = ids = {}
        self.rows = rows = []

        def order(name, lines, hold_ms=HOLD_MS):
            ids[name] = os.urandom(16)
            result = shop.reserve(ids[name], lines, hold_ms=hold_ms)
            assert result.status == wire.OK
            return ids[name]

        def told(name, state, qty, pool="default"):
            rows.append((text_id(ids[name]), state, "R", pool, qty))

        order("same held", [line(item, 2)])
        told("same held", "pending", 2)
        shop.commit(order("same paid", [line(item, 1), line(other, 4)]))
        told("same paid", "paid", 1)
        told("same paid", "paid", 4, "shop")
        shop.release(order("same cancelled", [line(item, 1)]))
        told("same cancelled", "expired", 1)

        order("orphan hold", [line(item, 3)])
        shop.commit(order("orphan commit", [line(item, 5)]))
        order("missing commit", [line(item, 7), line(other, 2)])
        told("missing commit", "paid", 6)
        told("missing commit", "paid", 2, "shop")
        expired = order("missing commit, expired", [line(item, 9)], hold_ms=1)
        wait_until(lambda: shop.state(expired) == wire.STATE_EXPIRED, "expiry")
        told("missing commit, expired", "paid", 8)
        shop.commit(order("too many", [line(item, 10)]))
        shop.give_back(ids["too many"], [(1, 3)])
        told("too many", "paid", 5)
        order("too many held", [line(item, 10)])
        shop.release(ids["too many held"], [(1, 1)])
        told("too many held", "held", 4)
        order("cancelled", [line(item, 2)])
        told("cancelled", "cancelled", "")
        shop.commit(order("refunded", [line(item, 2)]))
        told("refunded", "refunded", 2)
        # These nothing can mend from here.
        shop.commit(order("doubled", [line(item, 2)]))
        told("doubled", "paid", 2)
        told("doubled", "paid", 2)
        shop.commit(order("too few", [line(item, 2)]))
        told("too few", "paid", 3)
        ids["unknown"] = os.urandom(16)
        told("unknown", "paid", 3)
        shop.release(order("released", [line(item, 2)]))
        told("released", "paid", 2)

    def kinds(self, found):
        """name -> (kind, action)."""
        names = {text_id(i): n for n, i in self.ids.items()}
        return {names[d["id"]]: (d["kind"], d["action"]) for d in found}


FIXABLE = {
    "orphan hold": ("orphan_hold", "release"),
    "orphan commit": ("orphan_commit", "return"),
    "missing commit": ("missing_commit", "commit"),
    "missing commit, expired": ("missing_commit", "commit late"),
    "too many": ("wrong_quantity", "return"),
    "too many held": ("wrong_quantity", "release"),
    "cancelled": ("state_differs", "release"),
    "refunded": ("state_differs", "return"),
}
LEFT = {
    "doubled": ("double_commit", "none"),
    "too few": ("wrong_quantity", "none"),
    "unknown": ("missing_order", "none"),
    "released": ("state_differs", "none"),
}


def test_reconcile_finds_each_kind_and_apply_mends_what_can_be():
    with Engine() as engine:
        case = Case(engine)
        path = write(case.rows)
        lsn = json.loads(run("status", "--url", engine.url, "--json"))["commit_lsn"]
        assert case.kinds(reconcile(engine, path, expect=1)) == {**FIXABLE, **LEFT}
        # Dry by default.
        assert json.loads(run("status", "--url", engine.url, "--json"))["commit_lsn"] == lsn
        text = run("reconcile", path, "--url", engine.url, expect=1)
        assert "orphan_hold" in text and "12 differences, 0 corrected, 12 remain" in text, text

        # Told, with what it comes to, and wanting a word more.
        for counts in ("would commit: 1 order, 8 units", "would commit late: 1 order, 8 units",
                       "would release: 3 orders, 10 units", "would return: 3 orders, 9 units"):
            assert counts in text, text
        rows = reconcile(engine, path, "--apply", expect=1)
        assert len(rows) == 12 and not any(r["done"] for r in rows), rows
        assert json.loads(run("status", "--url", engine.url, "--json"))["commit_lsn"] == lsn

        rows = reconcile(engine, path, "--apply", "--yes", expect=1)
        assert all(r["done"] == (r["action"] != "none") for r in rows), rows
        assert case.kinds(reconcile(engine, path, expect=1)) == LEFT
        shop, item = case.shop, case.item
        assert shop.state(case.ids["orphan hold"]) == wire.RELEASED
        assert shop.state(case.ids["orphan commit"]) == wire.RETURNED
        for name, units in (("missing commit", [6, 2]), ("missing commit, expired", [8]),
                            ("too many", [5])):
            found = shop.order(case.ids[name])
            assert found.state == wire.COMMITTED and [g.qty for g in found.grants] == units, found
        found = shop.order(case.ids["too many held"])
        assert found.state == wire.HELD and found.grants[0].qty == 4
        stock = shop.stock(item)
        assert stock.held == 2 + 4
        assert stock.sold == 1 + 6 + 8 + 5 + 2 + 2

        # Once more changes nothing.
        lsn = json.loads(run("status", "--url", engine.url, "--json"))["commit_lsn"]
        reconcile(engine, path, "--apply", "--yes", expect=1)
        assert json.loads(run("status", "--url", engine.url, "--json"))["commit_lsn"] == lsn
        os.unlink(path)


def test_reconcile_exits_0_when_all_is_the_same():
    with Engine() as engine:
        shop = Shop(engine.url)
        item = shop.define("SAME", 10)
        order = os.urandom(16)
        assert shop.reserve(order, [line(item, 2)], hold_ms=HOLD_MS).status == wire.OK
        path = write([(text_id(order), "held", "SAME", 2)], "order,state,sku,qty")
        assert reconcile(engine, path, expect=0) == []
        # What came after the file was written is no orphan.
        lsn = json.loads(run("status", "--url", engine.url, "--json"))["commit_lsn"]
        assert shop.reserve(os.urandom(16), [line(item)], hold_ms=HOLD_MS).status == wire.OK
        assert len(reconcile(engine, path, expect=1)) == 1
        assert reconcile(engine, path, "--as-of", str(lsn), expect=0) == []
        now = json.loads(run("status", "--url", engine.url, "--json"))["commit_lsn"]
        assert len(reconcile(engine, path, "--as-of", str(now), expect=1)) == 1
        found = reconcile(engine, path, "--as-of", str(now + 1), "--apply", expect=1)
        assert isinstance(found, dict) and "the engine is at LSN %d" % now in found["message"], found
        assert "; release: done" in run("reconcile", path, "--url", engine.url, "--apply", "--yes",
                                          expect=0)
        os.unlink(path)


def paid_orders(engine, count):
    """So many committed orders, named in text; what a right file says of them."""
    item = Shop(engine.url).define("A", 1000)
    rows = []
    for i in range(count):
        run("order", "reserve", "ord-%d" % i, "A:2", "--url", engine.url)
        run("order", "commit", "ord-%d" % i, "--url", engine.url)
        rows.append(("ord-%d" % i, "paid", "A", 2))
    return item, rows


def told(path, engine, *options, expect=None):
    done = subprocess.run([harness.BINARY, "reconcile", path, "--url", engine.url, *options],
                          capture_output=True, text=True)
    assert expect is None or done.returncode == expect, done
    return done.stdout, done.stderr


def test_reconcile_reads_cells_with_white_space_around_them():
    with Engine() as engine:
        item, rows = paid_orders(engine, 3)
        path = write([(" %s\u3000 " % order, "\tpaid ", "A\u00a0", " 2 ")
                      for order, _, _, _ in rows], " order ,STATE,\u3000sku,qty\t")
        assert reconcile(engine, path, "--apply", "--yes", expect=0) == []
        # The command line names them as the file does.
        assert "COMMITTED" in run("order", "show", " ord-1 ", "--url", engine.url)
        assert Shop(engine.url).stock(item).sold == 6
        os.unlink(path)


def test_apply_stops_where_much_does_not_match():
    with Engine() as engine:
        item, rows = paid_orders(engine, 24)
        sold = lambda: Shop(engine.url).stock(item).sold

        def refused(file_rows, *words, options=()):
            path = write(file_rows, "order,state,sku,qty")
            text, error = told(path, engine, "--apply", "--yes", *options, expect=1)
            for word in ("Nothing was changed",) + words:
                assert word in error, error
            assert ": done" not in text and sold() == 48, text
            os.unlink(path)

        # Other ids: none is the engine's. Cut off. Half of them called returned.
        other = [("x" + row[0],) + row[1:] for row in rows]
        refused(other, "24 of the engine's 24", "24 of the file's 24", "--max-share")
        refused(rows[:10], "14 of the engine's 24")
        # All of the engine's are there, but most of the file's are another shop's.
        mixed = [(order, "returned" if i < 1 else "paid", "A", 2)
                 for i, (order, _, _, _) in enumerate(rows)]
        mixed += [("y%d" % i, "paid", "A", 2) for i in range(30)]
        refused(mixed, "0 of the engine's 24", "30 of the file's 53")
        ended = [(order, "returned" if i < 12 else "paid", "A", 2)
                 for i, (order, _, _, _) in enumerate(rows)]
        refused(ended, "12 orders would be changed", "--max-share, 1 %")
        refused(ended, "--max-share, 49 %", options=("--max-share", "49"))
        # A few, and what is asked for.
        path = write([(order, "returned" if i < 2 else "paid", "A", 2)
                      for i, (order, _, _, _) in enumerate(rows)], "order,state,sku,qty")
        text, _ = told(path, engine, "--apply", "--yes", expect=0)
        assert "return: 2 orders, 4 units" in text and "2 corrected, 0 remain" in text, text
        assert sold() == 44
        os.unlink(path)
        path = write(ended, "order,state,sku,qty")
        told(path, engine, "--apply", "--yes", "--max-share", "50", expect=0)
        assert sold() == 24
        os.unlink(path)


def test_reconcile_calls_only_the_same_row_twice_a_double_commit():
    with Engine() as engine:
        item, rows = paid_orders(engine, 3)
        ids = [row[0] for row in rows]
        path = write([(ids[0], "paid", "A", 2), (ids[0], "paid", "A", 2),   # the same, twice
                      (ids[1], "paid", "A", 2), (ids[1], "paid", "A", 1),   # two rows of one order
                      (ids[2], "paid", "A", 1), (ids[2], "paid", "A", 1)],  # which add up
                     "order,state,sku,qty")
        kinds = {d["order"]: d["kind"] for d in reconcile(engine, path, expect=1)}
        assert kinds == {ids[0]: "double_commit", ids[1]: "wrong_quantity"}, kinds
        os.unlink(path)


def test_reconcile_three_of_three_is_much():
    with Engine() as engine:
        item, rows = paid_orders(engine, 3)
        path = write([("ord_%d" % i, "paid", "A", 2) for i in range(3)], "order,state,sku,qty")
        _, error = told(path, engine, "--apply", "--yes", expect=1)
        assert "Nothing was changed: 3 of the engine's 3 orders" in error, error
        assert Shop(engine.url).stock(item).sold == 6
        os.unlink(path)


def test_files_in_another_encoding_are_named_and_converted():
    with Engine() as engine:
        Shop(engine.url).define("\u9a6c\u6876", 10)
        text = "order,state,sku,qty\r\nord-1,paid,\u9a6c\u6876,1\r\n"
        for encoding, option, named in (
                ("utf-16-le", "utf-16le", "UTF-16LE"), ("utf-16-be", "utf-16be", "UTF-16BE"),
                ("utf-16", "utf-16", "UTF-16LE"), ("gb18030", "gb18030", "GB18030")):
            with tempfile.NamedTemporaryFile(suffix=".csv") as f:
                f.write(text.encode(encoding))
                f.flush()
                found = reconcile(engine, f.name, expect=1)
                assert found["status"] == "INVALID" and named in found["message"], found
                assert "--encoding" in found["message"], found
                rows = reconcile(engine, f.name, "--encoding", option, expect=1)
                assert [row["kind"] for row in rows] == ["missing_order"], rows


def test_reconcile_names_the_row_of_a_bad_file():
    with Engine() as engine:
        Shop(engine.url).define("BAD", 10)
        good = ("a", "held", "BAD", "default", 1)
        for rows, header, wanted in (
                ([good, ("b", "lost", "BAD", "", 1)], None, "row 3, column state"),
                ([good, ("b", "held", "BAD", "", 0)], None, "row 3, column qty"),
                ([("b", "held", "NONE", "", 1)], None, "row 2, column sku"),
                ([("", "held", "BAD", "", 1)], None, "row 2, column order"),
                ([good, ("a", "paid", "BAD", "shop", 1)], None, "row 3"),
                ([("1.23E+15", "held", "BAD", "", 1)], None, "row 2, column order: '1.23E+15' is what a "
                                                             "spreadsheet"),
                ([("#N/A", "held", "BAD", "", 1)], None, "row 2, column order: '#N/A'"),
                ([good, ("", "", "", "", "")], None, "row 3: nothing but commas"),
                ([("b", "held", "BAD", "", "1.0")], None, "row 2, column qty: '1.0' has a decimal"),
                ([("b", "held", "BA\u200bD", "", 1)], None, "U+200B ZERO WIDTH SPACE"),
                ([], "1;2;3", "row 1: columns between semicolons"),
                ([], "a,paid,BAD,x,1", "is the header missing"),
                ([], None, "there is no row below the header"),
                ([], "order,state,sku", "row 1: the column qty is missing")):
            path = write(rows, header or "order,state,sku,pool,qty")
            found = reconcile(engine, path, "--apply", "--yes", expect=1)
            assert found["status"] == "INVALID" and wanted in found["message"], found
            os.unlink(path)


if __name__ == "__main__":
    harness.main(globals())
