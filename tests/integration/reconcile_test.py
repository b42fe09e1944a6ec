"""`holdfast reconcile`: finds each kind of difference, mends what can be mended, and stays there."""

import json
import os
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
        assert "orphan_hold" in text and "12 differences, 0 mended, 12 remain" in text, text

        rows = reconcile(engine, path, "--apply", expect=1)
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
        reconcile(engine, path, "--apply", expect=1)
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
        assert "the engine is at LSN %d" % now in found["message"], found
        assert "; release: done" in run("reconcile", path, "--url", engine.url, "--apply", expect=0)
        os.unlink(path)


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
                ([], None, "there is no row below the header"),
                ([], "order,state,sku", "row 1: the column qty is missing")):
            path = write(rows, header or "order,state,sku,pool,qty")
            found = reconcile(engine, path, "--apply", expect=1)
            assert found["status"] == "INVALID" and wanted in found["message"], found
            os.unlink(path)


if __name__ == "__main__":
    harness.main(globals())
