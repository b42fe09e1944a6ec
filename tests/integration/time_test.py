"""An engine whose wall clock jumps: paid orders stay paid, holds last as long as they should, sales
keep to their hours, and the operator is told. docs/operations.md, "Time".

The clock is shifted by a preloaded library (shifted_clock.c). No test waits for the 300 s after which
a jump is believed; those are in unit/base/timekeeper_test.c and in sim.
"""

import json
import mmap
import os
import struct
import sys
import tempfile
import time

from harness import Engine, main, preloaded, run, wait_until
from shop import Shop, edit, edits, line, new_id
from wire import CLOSED, NOT_OPEN, OK

LIBRARY = os.environ.get("HOLDFAST_SHIFTED_CLOCK") or sys.exit("HOLDFAST_SHIFTED_CLOCK is not set")
HOUR_S = 3600
HELD, COMMITTED, EXPIRED = 1, 2, 4


class ShiftedEngine(Engine):
    def __init__(self, *options, shift_s=0):
        self.shift_file = tempfile.NamedTemporaryFile(prefix="holdfast-shift-")
        self.shift_file.write(bytes(4096))
        self.shift_file.flush()
        self.memory = mmap.mmap(self.shift_file.fileno(), 4096)
        self.shift(shift_s)
        super().__init__(*options)

    def shift(self, seconds):
        self.memory[0:8] = struct.pack("<q", int(seconds * 1000))

    def start(self, *more):
        with preloaded(LIBRARY, CLOCK_SHIFT=self.shift_file.name):
            super().start(*more)

    def clock(self):
        return json.loads(run("status", "--url", self.url, "--json"))["clock"]


def reserve_one(shop, order_id, item, hold_ms=600000):
    return shop.reserve(order_id, [line(item)], hold_ms=hold_ms)


def commit_all(shop, ids):
    return shop.must(commit=edits(*[edit(i) for i in ids])).orders.results


def glitch(engine, seconds, lasts_s):
    """The clock is off for a while, and the engine has seen it, before and after."""
    seen = engine.clock()["steps_seen"]
    engine.shift(seconds)
    wait_until(lambda: engine.clock()["state"] == "doubted", "the jump is seen")
    time.sleep(lasts_s)
    assert engine.clock()["steps_seen"] == seen + 1
    engine.shift(0)
    wait_until(lambda: engine.clock()["state"] == "steady", "the jump is gone")


def fifty_paid_and_fifty_held(engine, shop):
    item = shop.define("PHONE", 1000)
    ids = [new_id() for _ in range(100)]
    for order_id in ids:
        assert reserve_one(shop, order_id, item).status == OK
    assert all(r.status == OK for r in commit_all(shop, ids[:50]))
    return item, ids


def check_fifty_and_fifty(shop, item, ids):
    now = shop.stock(item)
    assert (now.sold, now.held) == (50, 50), now
    for order_id in ids[:50]:
        result = reserve_one(shop, order_id, item)
        assert result.status == OK and result.replayed and result.state == COMMITTED, result
    assert all(r.status == OK and r.replayed for r in commit_all(shop, ids[:50]))
    assert all(shop.state(i) == HELD for i in ids[50:])
    now = shop.stock(item)
    assert (now.sold, now.held) == (50, 50), now


def test_a_jump_ahead_forgets_no_paid_order_and_expires_no_hold():
    for hours, lasts_s in ((26, 2), (48, 0.3), (24 * 400, 1)):
        with ShiftedEngine() as engine:
            shop = Shop(engine.url)
            item, ids = fifty_paid_and_fifty_held(engine, shop)
            time.sleep(1.2)
            glitch(engine, hours * HOUR_S, lasts_s)
            check_fifty_and_fifty(shop, item, ids)
            assert all(r.status == OK for r in commit_all(shop, ids[50:]))
            assert shop.stock(item).sold == 100
            engine.stop()


def test_a_clock_that_was_set_back_lets_holds_end():
    with ShiftedEngine() as engine:
        shop = Shop(engine.url)
        item = shop.define("PHONE", 10)
        order_id = new_id()
        engine.shift(-HOUR_S)
        began = time.monotonic()
        assert reserve_one(shop, order_id, item, hold_ms=1000).status == OK
        wait_until(lambda: shop.state(order_id) == EXPIRED, "the hold ends")
        assert time.monotonic() - began >= 1.0
        assert shop.stock(item).held == 0


def test_a_hold_after_a_glitch_ends_in_its_time_also_after_a_restart():
    with ShiftedEngine() as engine:
        shop = Shop(engine.url)
        item = shop.define("PHONE", 10)
        glitch(engine, 24 * HOUR_S, 0.2)
        first, second = new_id(), new_id()
        result = reserve_one(shop, first, item, hold_ms=1000)
        assert abs(result.deadline_ms / 1000 - 1 - time.time()) < 60, "the deadline is a day ahead"
        wait_until(lambda: shop.state(first) == EXPIRED, "the hold ends")
        assert reserve_one(shop, second, item, hold_ms=2000).status == OK
        engine.kill()
        engine.start()
        shop = Shop(engine.url)
        wait_until(lambda: shop.state(second) == EXPIRED, "the hold ends after the restart")


def test_a_clock_that_is_wrong_at_a_restart_is_not_believed():
    for hours in (26, -26):
        with ShiftedEngine() as engine:
            shop = Shop(engine.url)
            item, ids = fifty_paid_and_fifty_held(engine, shop)
            engine.kill()
            engine.shift(hours * HOUR_S)
            engine.start()
            shop = Shop(engine.url)
            clock = engine.clock()
            assert clock["state"] == "doubted" and clock["steps_seen"] == 1, clock
            assert abs(clock["difference_ms"] - hours * HOUR_S * 1000) < 60000, clock
            assert abs(clock["wall_ms"] / 1000 - time.time()) < 60, clock
            check_fifty_and_fifty(shop, item, ids)
            engine.shift(0)
            wait_until(lambda: engine.clock()["state"] == "steady", "the jump is gone")
            check_fifty_and_fifty(shop, item, ids)


def test_a_restart_counts_the_time_that_it_took():
    with ShiftedEngine() as engine:
        shop = Shop(engine.url)
        item = shop.define("PHONE", 10)
        order_id = new_id()
        assert reserve_one(shop, order_id, item, hold_ms=1500).status == OK
        engine.kill()
        time.sleep(1.6)
        engine.start()
        shop = Shop(engine.url)
        wait_until(lambda: shop.state(order_id) == EXPIRED, "the hold ends")


def test_a_glitch_opens_no_sale_and_closes_none():
    with ShiftedEngine() as engine:
        shop = Shop(engine.url)
        now_ms = int(time.time() * 1000)
        day_ms = 24 * HOUR_S * 1000
        tomorrow = shop.define("TOMORROW", 10)
        today = shop.define("TODAY", 10)
        shop.rule("TOMORROW", opens_at_ms=now_ms + day_ms)
        shop.rule("TODAY", closes_at_ms=now_ms + day_ms)
        engine.shift(48 * HOUR_S)
        wait_until(lambda: engine.clock()["state"] == "doubted", "the jump is seen")
        assert reserve_one(shop, new_id(), tomorrow).status != OK
        assert reserve_one(shop, new_id(), today).status == OK
        engine.shift(0)
        assert reserve_one(shop, new_id(), tomorrow).status != OK


def test_commands_go_by_the_engines_time_and_not_by_their_own():
    with ShiftedEngine(shift_s=-2 * HOUR_S) as engine:
        shop = Shop(engine.url)
        item = shop.define("BEHIND", 10)
        there = ("BEHIND", "--url", engine.url)
        # A closing time by this machine's clock would be two hours away for the engine.
        run("stock", "close", *there)
        assert reserve_one(shop, new_id(), item).status == CLOSED
        assert "closed" in run("stock", "show", *there)
        # An opening time that is past here, and to come there.
        opens_at_ms = engine.clock()["wall_ms"] + HOUR_S * 1000
        run("stock", "define", *there, "--closes-at", "0", "--opens-at", str(opens_at_ms))
        assert "not open yet" in run("stock", "show", *there)
        assert reserve_one(shop, new_id(), item).status == NOT_OPEN
        run("stock", "open", *there)
        order_id = new_id()
        assert reserve_one(shop, order_id, item, hold_ms=HOUR_S * 1000).status == OK
        shown = run("order", "show", order_id.hex(), "--url", engine.url)
        assert "(in " in shown and " ago)" not in shown, shown


def test_the_operator_is_told_and_may_say_that_the_clock_is_right():
    with ShiftedEngine() as engine:
        clock = engine.clock()
        assert clock["state"] == "steady" and clock["steps_seen"] == 0, clock
        glitch(engine, 26 * HOUR_S, 0)
        clock = engine.clock()
        assert (clock["steps_seen"], clock["steps_believed"]) == (1, 0), clock
        assert abs(clock["step_ms"] - 26 * HOUR_S * 1000) < 60000, clock
        assert "has jumped: it is 26 h 0 min 0 s ahead" in engine.errors() or \
            "has jumped: it is 25 h 59 min 59 s ahead" in engine.errors(), engine.errors()
        assert "the machine's clock is right again" in engine.errors()
        text = run("status", "--url", engine.url)
        assert "clock         steady" in text and "clock jumps   1, believed 0" in text, text
        engine.shift(1000 * HOUR_S)
        wait_until(lambda: engine.clock()["state"] == "doubted", "the jump is seen")
        text = run("status", "--url", engine.url)
        assert "will be believed in" in text, text
        engine.stop()
        engine.start("--trust-clock")
        clock = engine.clock()
        assert clock["state"] == "steady", clock
        assert abs(clock["wall_ms"] / 1000 - time.time() - 1000 * HOUR_S) < 60, clock
        assert "because of trust-clock" in engine.errors()


def dump(data, *more):
    return [json.loads(text) for text in
            run("wal", "dump", "--data", data, "--json", *more).splitlines()]


def test_the_log_is_searched_by_the_times_that_its_records_have():
    """A log that was begun two days ahead, was set right, and goes on: times go back in it."""
    with ShiftedEngine(shift_s=48 * HOUR_S) as engine:
        shop = Shop(engine.url)
        item = shop.define("PHONE", 100)
        early, late = new_id(), new_id()
        assert reserve_one(shop, early, item).status == OK
        engine.stop()
        engine.shift(0)
        engine.start("--trust-clock")
        shop = Shop(engine.url)
        result = reserve_one(shop, late, item)
        assert abs(result.deadline_ms / 1000 - 600 - time.time()) < 60, result
        engine.stop()
        now_ms = int(time.time() * 1000)
        hour_ms = HOUR_S * 1000
        today = ("--from", "@%d" % (now_ms - hour_ms), "--to", "@%d" % (now_ms + hour_ms))
        rows = dump(engine.data, *today, "--type", "ORDER_HELD")
        assert [r["id"] for r in rows] == [dump(engine.data, "--type", "ORDER_HELD")[1]["id"]]
        assert abs(rows[0]["deadline_ms"] - 600000 - now_ms) < 60000, rows
        ahead = ("--from", "@%d" % (now_ms + 40 * hour_ms), "--to", "@%d" % (now_ms + 50 * hour_ms))
        assert len(dump(engine.data, *ahead, "--type", "ORDER_HELD")) == 1
        counted = json.loads(run("wal", "stats", "--data", engine.data, "--json", *today))
        assert counted["orders"] == 1, counted
        # All up to the last block of today: of the two days ahead too, since it lies before that.
        replayed = json.loads(run("wal", "replay", "--data", engine.data, "--json", "--until",
                                  "@%d" % (now_ms + hour_ms)))
        assert replayed["orders"]["held"] == 2, replayed
        assert run("wal", "verify", "--data", engine.data)


main(globals())
