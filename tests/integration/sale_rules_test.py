"""Each sale rule of docs/sale-rules.md against the real engine, with numbers worked out by hand;
and that all of them outlive a kill -9.

A test ends with survives(): the engine is killed, started on the same log, and must tell the same
orders, stock and rules.
"""

import random
import threading
import time

from harness import Engine, main, wait_until
from shop import *
from wire import *

UP_TO, OPTIONAL = 1, 2
BUYER = 4711


def everything(shop):
    """All that an engine tells of its state, in an order of its own."""
    stock = shop.all_stock()
    skus = sorted({s.sku for s in stock})
    return ([s.SerializeToString() for s in stock],
            [r.SerializeToString() for r in shop.rules(*skus)],
            sorted(o.SerializeToString() for o in shop.orders()))


def survives(engine, shop):
    """Kills the engine and starts it again; returns a shop on the new one."""
    before = everything(shop)
    engine.kill()
    engine.start()
    shop = Shop(engine.url)
    assert everything(shop) == before
    return shop


def expect(result, status, blocking_line=0):
    assert (result.status, result.blocking_line) == (status, blocking_line), result


def held(shop, lines, expected=None, **other):
    """Reserves; checks what was granted (None: all as asked); returns the order's id."""
    order_id = new_id()
    result = shop.reserve(order_id, lines, **other)
    assert result.status == OK and result.state == HELD, result
    assert given(result.grants) == (expected or []), result
    return order_id


def expired(shop, order_id):
    return lambda: shop.state(order_id) == STATE_EXPIRED


def test_trade_in_as_in_the_document():
    with Engine() as engine:
        shop = Shop(engine.url)
        assert shop.define("WASHER-9KG", 10, pool="shanghai") == 1
        assert shop.define("COLLECT-1112", 10, pool="pudong") == 2
        assert shop.define("SUBSIDY-2026", 100000) == 3
        assert shop.define("DETERGENT", 1) == 4

        def trade_in(subsidy):
            return [line(1), line(2), line(3, subsidy), line(4, policy=OPTIONAL)]

        def free():
            return [shop.free(item) for item in (1, 2, 3, 4)]

        first = held(shop, trade_in(60000), buyer=BUYER, hold_ms=1000)
        assert free() == [9, 9, 40000, 0]
        second = new_id()
        response = shop.reserve_response(second, trade_in(60000), buyer=4712)
        assert response.status == OK
        assert response.message == "reserve.orders[0].lines[2]: fewer units are free than asked"
        expect(response.orders.results[0], SOLD_OUT, 3)
        assert free() == [9, 9, 40000, 0]
        # The first buyer does not pay.
        wait_until(expired(shop, first), "expiry")
        assert free() == [10, 10, 100000, 1]
        result = shop.reserve(second, trade_in(60000), buyer=4712)
        assert (result.status, result.replayed, given(result.grants)) == (OK, False, [])
        assert free() == [9, 9, 40000, 0]
        # Only the detergent is gone.
        third = held(shop, trade_in(40000), [(1, 1, 1, 0), (2, 2, 1, 0), (3, 3, 40000, 0)],
                     buyer=4713)
        assert free() == [8, 8, 0, 0]
        assert shop.commit(second).state == COMMITTED
        shop = survives(engine, shop)
        assert shop.grants(third) == [(1, 1, 1, 0), (2, 2, 1, 0), (3, 3, 40000, 0)]
        # A retry of an order that was granted less gets the same answer again.
        result = shop.reserve(third, trade_in(40000), buyer=4713)
        assert result.replayed and given(result.grants) == shop.grants(third)


def test_up_to_takes_what_there_is_but_not_less_than_its_minimum():
    with Engine() as engine:
        shop = Shop(engine.url)
        item, other = shop.define("TV", 10), shop.define("CABLE", 100)
        held(shop, [line(item, 4)])
        order_id = held(shop, [line(item, 10, policy=UP_TO, min_qty=4)], [(1, item, 6, 0)])
        assert shop.free(item) == 0
        # The retry must ask the same.
        for change in ({"min_qty": 5}, {"min_qty": 0}, {"policy": 0, "min_qty": 0}, {"qty": 9}):
            fields = {"qty": 10, "policy": UP_TO, "min_qty": 4, **change}
            expect(shop.reserve(order_id, [line(item, **fields)]), ID_CONFLICT)
        assert shop.reserve(order_id, [line(item, 10, policy=UP_TO, min_qty=4)]).replayed
        assert shop.release(order_id, [(1, 3)]).state == HELD
        # 3 are free: 4 at least is one too many, 3 at least is not.
        expect(shop.reserve(new_id(), [line(item, 9, policy=UP_TO, min_qty=4)]), SOLD_OUT, 1)
        three = held(shop, [line(item, 9, policy=UP_TO, min_qty=3)], [(1, item, 3, 0)])
        # None is free: no minimum will do with another line, but an order of nothing will not.
        none = line(item, 5, policy=UP_TO)
        held(shop, [none, line(other, 2)], [(2, other, 2, 0)])
        assert shop.reserve(new_id(), [none]).status == SOLD_OUT
        # What was not granted can't be committed.
        assert shop.commit(three, [(1, 4)]).status == INVALID
        assert shop.commit(three, [(1, 2)]).state == COMMITTED
        assert shop.free(item) == 1
        # Exactly what was asked is there: an answer like any.
        held(shop, [line(item, 1, policy=UP_TO)])
        survives(engine, shop)


def test_optional_lines_are_left_out_for_whatever_reason():
    with Engine() as engine:
        shop = Shop(engine.url)
        item, gift, bag = shop.define("PHONE", 100), shop.define("GIFT", 3), shop.define("BAG", 100)
        lines = [line(item), line(gift, 2, policy=OPTIONAL), line(bag, policy=OPTIONAL)]
        whole = held(shop, lines, buyer=BUYER)
        # One is left, and a gift is of two: whole or not at all.
        held(shop, lines, [(1, item, 1, 0), (3, bag, 1, 0)], buyer=BUYER)
        assert shop.free(gift) == 1
        assert shop.release(whole).state == RELEASED
        now = int(time.time() * 1000)
        for rule in ({"paused": True}, {"opens_at_ms": now + 3600000}, {"closes_at_ms": now - 1},
                     {"limit_per_buyer": 1}):
            shop.rule("GIFT", fields=ALL_RULES, **rule)
            held(shop, lines, [(1, item, 1, 0), (3, bag, 1, 0)], buyer=BUYER)
        held(shop, lines, [(1, item, 1, 0), (3, bag, 1, 0)])  # no buyer, but the gift has a limit
        shop.rule("GIFT", fields=ALL_RULES)
        shop.rule("BAG", paused=True)
        held(shop, lines, [(1, item, 1, 0), (2, gift, 2, 0)])
        # The line that is not optional still stops the order.
        shop.rule("PHONE", paused=True)
        expect(shop.reserve(new_id(), lines), PAUSED, 1)
        # Of nothing but gifts, none of which is to be had, there is no order.
        assert shop.reserve(new_id(), lines[1:]).status == SOLD_OUT
        survives(engine, shop)


def test_fallbacks_and_splits():
    with Engine() as engine:
        shop = Shop(engine.url)
        a, b, c = (shop.define("PHONE", 1, pool="a"), shop.define("PHONE", 5, pool="b"),
                   shop.define("PHONE-RED", 9))
        # 3: the first that has all of them, or 1 here and 2 there.
        whole = held(shop, [line(a, 3, fallback=[b, c])], [(1, b, 3, 0)])
        assert shop.release(whole).status == OK
        split = held(shop, [line(a, 3, fallback=[b, c], split=True)], [(1, a, 1, 0), (1, b, 2, 0)])
        assert (shop.free(a), shop.free(b), shop.free(c)) == (0, 3, 9)
        # The order of trying is the caller's; another one is another order.
        expect(shop.reserve(split, [line(a, 3, fallback=[c, b], split=True)]), ID_CONFLICT)
        expect(shop.reserve(split, [line(a, 3, fallback=[b, c])]), ID_CONFLICT)
        assert shop.reserve(split, [line(a, 3, fallback=[b, c], split=True)]).replayed
        # 0 + 3 + 9: twelve can be had together, thirteen not, and ten not of one.
        expect(shop.reserve(new_id(), [line(a, 13, fallback=[b, c], split=True)]), SOLD_OUT, 1)
        expect(shop.reserve(new_id(), [line(a, 10, fallback=[b, c])]), SOLD_OUT, 1)
        assert (shop.free(a), shop.free(b), shop.free(c)) == (0, 3, 9)
        twelve = held(shop, [line(a, 12, fallback=[b, c], split=True)],
                      [(1, b, 3, 0), (1, c, 9, 0)])
        assert shop.release(twelve).status == OK
        # As many as there are: of the first that has all, else of the first that has some.
        some = held(shop, [line(a, 10, policy=UP_TO, fallback=[b, c])], [(1, b, 3, 0)])
        assert shop.release(some).status == OK
        some = held(shop, [line(a, 9, policy=UP_TO, fallback=[b, c])], [(1, c, 9, 0)])
        assert shop.release(some).status == OK
        held(shop, [line(a, 20, policy=UP_TO, fallback=[b, c], split=True)],
             [(1, b, 3, 0), (1, c, 9, 0)])
        expect(shop.reserve(new_id(), [line(a, fallback=[b, c], split=True)]), SOLD_OUT, 1)
        # A fallback that is not on sale is not tried.
        shop.release(split)
        shop.rule("PHONE", paused=True)
        expect(shop.reserve(new_id(), [line(c, fallback=[b])]), SOLD_OUT, 1)
        survives(engine, shop)


def test_who_gets_what_first():
    with Engine() as engine:
        shop = Shop(engine.url)
        item, spare = shop.define("PHONE", 5), shop.define("SPARE", 2)
        # 5 units: 3 for ALL, the minimum of 1, 1 more of the rest; none for OPTIONAL.
        taken = held(shop, [line(item, 2, policy=OPTIONAL), line(item, 5, policy=UP_TO, min_qty=1),
                            line(item, 3)], [(2, item, 2, 0), (3, item, 3, 0)])
        assert shop.release(taken).status == OK
        # The line without a fallback comes first, wherever it stands.
        held(shop, [line(item, 2, fallback=[spare]), line(item, 4)],
             [(1, spare, 2, 0), (2, item, 4, 0)])
        # Lines of one item are added up.
        expect(shop.reserve(new_id(), [line(item), line(item)]), SOLD_OUT, 1)
        survives(engine, shop)


def test_parts_of_split_lines():
    with Engine() as engine:
        shop = Shop(engine.url)
        a, b, c = [shop.define("PHONE", 2, pool=pool) for pool in "abc"]
        lines = [line(a, 5, fallback=[b, c], split=True)]

        def free():
            return [shop.free(item) for item in (a, b, c)]

        # Released last to first; a total, so that a repetition changes nothing.
        order_id = held(shop, lines, [(1, a, 2, 0), (1, b, 2, 0), (1, c, 1, 0)])
        for _ in range(2):
            assert shop.release(order_id, [(1, 2)]).state == HELD
            assert free() == [0, 1, 2]
            assert shop.grants(order_id) == [(1, a, 2, 0), (1, b, 1, 0)]
        # Committed first to last, and the rest is free for good.
        assert shop.commit(order_id, [(1, 4)]).status == INVALID
        assert shop.commit(order_id, [(2, 1)]).status == INVALID
        assert free() == [0, 1, 2]
        for _ in range(2):
            assert shop.commit(order_id, [(1, 2)]).state == COMMITTED
            assert free() == [0, 2, 2]
        shop = survives(engine, shop)
        # Returned last to first.
        assert shop.give_back(order_id, [(1, 3)]).status == INVALID
        assert shop.give_back(order_id, [(1, 1)]).state == COMMITTED
        assert free() == [1, 2, 2] and shop.grants(order_id) == [(1, a, 1, 0)]
        assert shop.give_back(order_id, [(1, 1)]).replayed and free() == [1, 2, 2]
        assert shop.give_back(order_id, [(1, 2)]).state == RETURNED
        assert free() == [2, 2, 2]

        # Over three grants at once.
        order_id = held(shop, lines, [(1, a, 2, 0), (1, b, 2, 0), (1, c, 1, 0)])
        assert shop.commit(order_id, [(1, 5)]).state == COMMITTED
        assert shop.give_back(order_id, [(1, 2)]).state == COMMITTED
        assert free() == [0, 1, 2]
        assert shop.give_back(order_id, [(1, 4)]).state == COMMITTED
        assert free() == [1, 2, 2]
        assert shop.give_back(order_id).state == RETURNED
        assert free() == [2, 2, 2]

        # Released to nothing, line by line.
        order_id = held(shop, [line(a, 3, fallback=[b], split=True), line(c, 2)],
                        [(1, a, 2, 0), (1, b, 1, 0), (2, c, 2, 0)])
        assert shop.release(order_id, [(1, 3)]).state == HELD
        assert free() == [2, 2, 0]
        assert shop.release(order_id, [(2, 2)]).state == RELEASED
        assert free() == [2, 2, 2]
        survives(engine, shop)


def test_limit_over_pools_and_orders():
    with Engine() as engine:
        shop = Shop(engine.url)
        east, west = shop.define("PHONE", 50, pool="east"), shop.define("PHONE", 50, pool="west")
        other = shop.define("CASE", 50)
        shop.rule("PHONE", limit_per_buyer=3)

        def has(units):
            """The buyer has so many of 3: one more than the rest is too many, the rest is not."""
            expect(shop.reserve(new_id(), [line(west, 4 - units)], buyer=BUYER), LIMIT_EXCEEDED, 1)
            if units < 3:
                assert shop.release(held(shop, [line(west, 3 - units)], buyer=BUYER)).status == OK

        # The document's example.
        first = held(shop, [line(east, 2)], buyer=BUYER)
        response = shop.reserve_response(new_id(), [line(other), line(west, 2)], buyer=BUYER)
        expect(response.orders.results[0], LIMIT_EXCEEDED, 2)
        assert response.message.startswith("reserve.orders[0].lines[1]: ")
        assert "limit_per_buyer" in response.message
        second = held(shop, [line(west, 1)], buyer=BUYER)
        has(3)
        assert shop.commit(first).status == OK
        has(3)
        assert shop.give_back(first).state == RETURNED
        has(1)
        held(shop, [line(east, 2)], buyer=BUYER)
        has(3)
        # Other buyers are not concerned; none is not enough.
        held(shop, [line(east, 3)], buyer=BUYER + 1)
        response = shop.reserve_response(new_id(), [line(east)])
        expect(response.orders.results[0], BUYER_REQUIRED, 1)
        assert "a buyer is required" in response.message
        assert shop.reserve_batch([new_id(), new_id()], [east, other]) == [BUYER_REQUIRED, OK]
        # Released and expired, in part and whole.
        assert shop.release(second).status == OK
        has(2)
        brief = held(shop, [line(west, 1)], buyer=BUYER, hold_ms=50)
        wait_until(expired(shop, brief), "expiry")
        has(2)
        assert shop.reserve_batch([new_id() for _ in range(3)], [east, west, other],
                                  buyer=[BUYER] * 3) == [OK, LIMIT_EXCEEDED, OK]
        # Two lines of a SKU count together, also over pools, and a line of several grants.
        buyer = 5
        expect(shop.reserve(new_id(), [line(east, 2), line(west, 2)], buyer=buyer),
               LIMIT_EXCEEDED, 2)
        whole = held(shop, [line(east, 2), line(west, 1)], buyer=buyer)
        expect(shop.reserve(new_id(), [line(east)], buyer=buyer), LIMIT_EXCEEDED, 1)
        assert shop.release(whole, [(1, 1)]).state == HELD
        one = held(shop, [line(east)], buyer=buyer)
        assert shop.commit(whole, [(1, 1)]).state == COMMITTED  # gives the one of west back
        another = held(shop, [line(west)], buyer=buyer)
        expect(shop.reserve(new_id(), [line(east)], buyer=buyer), LIMIT_EXCEEDED, 1)
        shop = survives(engine, shop)
        expect(shop.reserve(new_id(), [line(east)], buyer=buyer), LIMIT_EXCEEDED, 1)
        expect(shop.reserve(new_id(), [line(east)], buyer=BUYER), LIMIT_EXCEEDED, 1)
        assert shop.release(one).status == OK and shop.release(another).status == OK
        held(shop, [line(east, 2)], buyer=buyer)
        assert shop.must(status=pb.StatusRequest()).status_info.buyers >= 3
        # What the buyer asks beyond the rest, a line of UP_TO does without.
        held(shop, [line(east, 9, policy=UP_TO, min_qty=3)], [(1, east, 3, 0)], buyer=6)
        # Without a minimum it does with nothing: alone that is no order, with another line it is.
        none = line(east, 9, policy=UP_TO)
        assert shop.reserve(new_id(), [none], buyer=6).status == SOLD_OUT
        held(shop, [none, line(other)], [(2, other, 1, 0)], buyer=6)
        held(shop, [line(east, 1)], buyer=7)
        expect(shop.reserve(new_id(), [line(east, 9, policy=UP_TO, min_qty=3)], buyer=7),
               LIMIT_EXCEEDED, 1)
        held(shop, [line(east, 9, policy=UP_TO, min_qty=2)], [(1, east, 2, 0)], buyer=7)


def test_limits_that_change():
    with Engine() as engine:
        shop = Shop(engine.url)
        item = shop.define("PHONE", 100)
        uncounted = held(shop, [line(item, 10)], buyer=1)
        shop.rule("PHONE", limit_per_buyer=2)
        # What was reserved before there was a limit does not count, nor when it is given back.
        two = held(shop, [line(item, 2)], buyer=1)
        expect(shop.reserve(new_id(), [line(item)], buyer=1), LIMIT_EXCEEDED, 1)
        assert shop.release(uncounted).status == OK
        expect(shop.reserve(new_id(), [line(item)], buyer=1), LIMIT_EXCEEDED, 1)
        # Lowered: takes nothing away. Raised: more may be had.
        shop.rule("PHONE", limit_per_buyer=1)
        assert shop.grants(two) == [(1, item, 2, 0)]
        assert shop.release(two, [(1, 1)]).status == OK
        expect(shop.reserve(new_id(), [line(item)], buyer=1), LIMIT_EXCEEDED, 1)
        shop.rule("PHONE", limit_per_buyer=3, fields=LIMIT)
        expect(shop.reserve(new_id(), [line(item, 3)], buyer=1), LIMIT_EXCEEDED, 1)
        held(shop, [line(item, 2)], buyer=1)
        shop = survives(engine, shop)
        expect(shop.reserve(new_id(), [line(item)], buyer=1), LIMIT_EXCEEDED, 1)
        shop.rule("PHONE", fields=LIMIT)
        held(shop, [line(item, 9)], buyer=1)
        held(shop, [line(item)])


def test_late_commit():
    with Engine() as engine:
        shop = Shop(engine.url)
        a, b = shop.define("PHONE", 2, pool="a"), shop.define("PHONE", 2, pool="b")
        shop.rule("PHONE", limit_per_buyer=4)
        lines = [line(a, 3, fallback=[b], split=True)]
        late = held(shop, lines, [(1, a, 2, 0), (1, b, 1, 0)], buyer=BUYER, hold_ms=30)
        wait_until(expired(shop, late), "expiry")
        assert shop.grants(late) == []
        # The same units of the same items: b has some left, a has not.
        other = held(shop, [line(a, 1)], buyer=1)
        expect(shop.commit(late, late_ok=True), EXPIRED_SOLD_OUT, 1)
        assert (shop.free(a), shop.free(b)) == (1, 2)
        assert shop.release(other).status == OK
        # The room under the limit was used for something else.
        room = held(shop, [line(b, 2)], buyer=BUYER)
        assert shop.release(room, [(1, 1)]).status == OK
        second = held(shop, [line(b, 1)], buyer=BUYER)
        assert shop.free(b) == 0
        assert shop.release(second).status == OK
        extra = shop.define("PHONE", 5, pool="c")
        more = held(shop, [line(extra, 1)], buyer=BUYER)
        assert shop.commit(late, late_ok=True).status == LIMIT_EXCEEDED
        assert shop.release(more).status == OK
        assert shop.commit(late).status == EXPIRED
        result = shop.commit(late, late_ok=True)
        assert (result.status, result.state, result.replayed) == (OK, COMMITTED, False)
        assert shop.commit(late, late_ok=True).replayed
        assert shop.grants(late) == [(1, a, 2, 0), (1, b, 1, 0)]
        expect(shop.reserve(new_id(), [line(extra)], buyer=BUYER), LIMIT_EXCEEDED, 1)
        # Paused, or closed: what was held in time may be paid for late.
        late = held(shop, [line(extra, 2)], buyer=2, hold_ms=30)
        wait_until(expired(shop, late), "expiry")
        assert shop.commit(late, [(1, 1)], late_ok=True).state == COMMITTED
        assert shop.grants(late) == [(1, extra, 1, 0)]
        shop = survives(engine, shop)
        assert shop.stock(extra).sold == 1


def test_presale_is_covered_oldest_first():
    with Engine() as engine:
        shop = Shop(engine.url)
        item = shop.define("NEW-PHONE", 1, presale_cap=5)

        def waits(order_id):
            return [(g.presale_qty, g.covered_qty) for g in shop.order(order_id).grants]

        # The document's example.
        first = held(shop, [line(item, 3)], [(1, item, 3, 2)])
        second = held(shop, [line(item, 2)], [(1, item, 2, 2)])
        ids = [new_id(), new_id()]
        assert shop.reserve_batch(ids, [item, item]) == [OK, SOLD_OUT]
        assert shop.free(item) == 0
        assert [waits(i) for i in (first, second, ids[0])] == [[(2, 0)], [(2, 0)], [(1, 0)]]
        for arrived, covered in ((1, (1, 0, 0)), (1, (2, 0, 0)), (1, (2, 1, 0)), (2, (2, 2, 1)),
                                 (-1, (2, 2, 0)), (-2, (2, 0, 0)), (1, (2, 1, 0))):
            assert shop.adjust_status(new_id(), item, delta=arrived, force=True) == OK
            assert [waits(i) for i in (first, second, ids[0])] == [
                [(2, covered[0])], [(2, covered[1])], [(1, covered[2])]], (arrived, covered)
        assert shop.commit(first).status == OK
        shop = survives(engine, shop)
        # Whoever leaves, covers those who come after: 4 are in stock, and 3 sold.
        assert waits(second) == [(2, 1)]
        assert shop.give_back(first, [(1, 1)]).status == OK
        assert [waits(second), waits(ids[0])] == [[(2, 2)], [(1, 0)]]
        assert shop.give_back(first).state == RETURNED
        assert [waits(second), waits(ids[0])] == [[(2, 2)], [(1, 1)]]
        survives(engine, shop)


def test_safety_stock():
    with Engine() as engine:
        shop = Shop(engine.url)
        item = shop.define("TV", 10, safety=3)
        assert shop.free(item) == 7
        expect(shop.reserve(new_id(), [line(item, 8)]), SOLD_OUT, 1)
        held(shop, [line(item, 9, policy=UP_TO)], [(1, item, 7, 0)])
        expect(shop.reserve(new_id(), [line(item)]), SOLD_OUT, 1)
        assert shop.define("TV", safety=1) == item
        assert shop.free(item) == 2
        held(shop, [line(item, 2)])
        expect(shop.reserve(new_id(), [line(item)]), SOLD_OUT, 1)
        # More kept back than there is: nothing to sell until stock has made up for it.
        assert shop.define("TV", safety=4) == item
        assert shop.free(item) == -3
        expect(shop.reserve(new_id(), [line(item)]), SOLD_OUT, 1)
        assert shop.adjust_status(new_id(), item, delta=3) == OK
        expect(shop.reserve(new_id(), [line(item)]), SOLD_OUT, 1)
        assert shop.adjust_status(new_id(), item, delta=1) == OK
        shop = survives(engine, shop)
        held(shop, [line(item)])
        expect(shop.reserve(new_id(), [line(item)]), SOLD_OUT, 1)


def test_extend_within_what_the_sku_allows():
    with Engine() as engine:
        shop = Shop(engine.url)
        item, other = shop.define("PHONE", 10), shop.define("CASE", 10)
        shop.rule("PHONE", hold_ms=60000, hold_ms_max=120000)
        before = int(time.time() * 1000)
        order_id = new_id()
        deadline = shop.reserve(order_id, [line(other), line(item)]).deadline_ms
        after = int(time.time() * 1000)
        assert before + 60000 <= deadline <= after + 60000
        expect(shop.reserve(new_id(), [line(other), line(item)], hold_ms=120001), INVALID, 2)
        held(shop, [line(item)], hold_ms=120000)
        # Earlier is no change; later is; too late is refused.
        result = shop.extend(order_id, 1000)
        assert (result.status, result.replayed, result.deadline_ms) == (OK, True, deadline)
        before = int(time.time() * 1000)
        result = shop.extend(order_id, 120000)
        assert result.status == OK and not result.replayed
        assert before + 120000 <= result.deadline_ms <= int(time.time() * 1000) + 120000
        assert shop.order(order_id).deadline_ms == result.deadline_ms
        assert shop.extend(order_id, 120001).status == INVALID
        assert shop.order(order_id).deadline_ms == result.deadline_ms
        shop = survives(engine, shop)
        assert shop.order(order_id).deadline_ms == result.deadline_ms
        # An extended order outlives its first deadline, and not its second.
        hold_ms, result = 250, None
        while result is None or result.status == EXPIRED:  # the machine was too busy for so short a hold
            hold_ms *= 2
            brief = held(shop, [line(item)], hold_ms=hold_ms)
            result = shop.extend(brief, hold_ms * 9 // 5)
        assert result.status == OK, result
        deadline = result.deadline_ms
        while time.time() * 1000 < deadline - 100:
            assert shop.state(brief) == HELD or time.time() * 1000 >= deadline
            time.sleep(0.02)
        wait_until(expired(shop, brief), "expiry")
        assert time.time() * 1000 >= deadline


def test_adjustments():
    with Engine() as engine:
        shop = Shop(engine.url)
        item = shop.define("TV", 10)
        held(shop, [line(item, 6)])

        def adjusted(status, stocked, **change):
            result = shop.adjust_result(change.pop("id", new_id()), item, **change)
            assert (result.status, result.stock.stocked) == (status, stocked), result

        same = new_id()
        adjusted(OK, 12, id=same, delta=2, reason="found", reference="PO-1")
        assert shop.adjust_result(same, item, delta=2, reason="found", reference="PO-1").replayed
        adjusted(ID_CONFLICT, 12, id=same, delta=3)
        adjusted(CONFLICT, 12, delta=-1, expected=11)
        adjusted(OK, 11, delta=-1, expected=12)
        adjusted(OK, 6, set_to=6, expected=11)
        adjusted(WOULD_OVERSELL, 6, delta=-1)
        adjusted(WOULD_OVERSELL, 6, set_to=5)
        adjusted(INVALID, 6, delta=-7, force=True)  # less than none
        adjusted(OK, 5, set_to=5, force=True)
        assert shop.free(item) == -1
        adjusted(OK, 7, delta=2)
        # By name; several in one request, each for itself.
        answer = shop.must(adjust=pb.AdjustRequest(adjustments=[
            pb.Adjustment(id=new_id(), sku="TV", delta=1),
            pb.Adjustment(id=new_id(), sku="RADIO", delta=1),
            pb.Adjustment(id=new_id(), sku="TV", delta=-3),
            pb.Adjustment(id=new_id(), item=item, set_to=20)]))
        assert [r.status for r in answer.adjust.results] == [OK, UNKNOWN_ITEM, WOULD_OVERSELL, OK]
        assert "adjust.adjustments[1]" in answer.message
        shop = survives(engine, shop)
        assert shop.adjust_result(same, item, delta=2, reason="found", reference="PO-1").replayed
        assert shop.stock(item).stocked == 20


def test_moves():
    with Engine() as engine:
        shop = Shop(engine.url)
        east, west = shop.define("PHONE-X", 10, pool="east"), shop.define("PHONE-X", pool="west")
        move = {"delta": 6, "to_pool": "west", "reason": "rebalance"}
        same = new_id()
        result = shop.adjust_result(same, east, **move)
        assert (result.status, result.replayed) == (OK, False)
        assert (result.stock.pool, result.stock.stocked) == ("east", 4)
        assert (result.to_stock.pool, result.to_stock.stocked) == ("west", 6)
        result = shop.adjust_result(same, east, **move)
        assert result.replayed and (result.stock.stocked, result.to_stock.stocked) == (4, 6)
        assert shop.adjust_status(same, east, delta=5, to_pool="west") == ID_CONFLICT
        assert shop.adjust_status(same, east, delta=6) == ID_CONFLICT
        # What is held stays where it is; what was never there can't be moved.
        assert shop.adjust_status(new_id(), east, delta=5, to_item=west, force=True) == INVALID
        held(shop, [line(east, 3)])
        assert shop.adjust_status(new_id(), east, delta=2, to_item=west) == WOULD_OVERSELL
        assert shop.adjust_status(new_id(), east, delta=1, to_item=west, expected=5) == CONFLICT
        assert (shop.free(east), shop.free(west)) == (1, 6)
        assert shop.adjust_status(new_id(), east, delta=1, to_item=west, expected=4) == OK
        assert (shop.free(east), shop.free(west)) == (0, 7)
        assert shop.adjust_status(new_id(), east, delta=2, to_item=west, force=True) == OK
        assert (shop.free(east), shop.free(west)) == (-2, 9)
        shop = survives(engine, shop)
        assert shop.adjust_result(same, east, **move).replayed
        assert (shop.free(east), shop.free(west)) == (-2, 9)


def test_lists_of_orders():
    with Engine() as engine:
        shop = Shop(engine.url)
        east, west = shop.define("PHONE", 1000, pool="east"), shop.define("PHONE", 1000, pool="west")
        case = shop.define("CASE", 1000)
        made = {}  # id: (buyer, items, state)
        seed = random.randrange(1 << 32)
        rng = random.Random(seed)
        for number in range(300):
            buyer = rng.randrange(5)
            lines = rng.choice(([east], [west], [case], [east, case], [west, east]))
            order_id = held(shop, [line(item) for item in lines], buyer=buyer)
            state = rng.choice((HELD, COMMITTED, RELEASED, RETURNED))
            if state == RELEASED:
                assert shop.release(order_id).status == OK
            if state in (COMMITTED, RETURNED):
                assert shop.commit(order_id).status == OK
            if state == RETURNED:
                assert shop.give_back(order_id).status == OK
            made[order_id] = (buyer, set(lines), state)
        pools = {"": {east, west}, "east": {east}, "west": {west}}
        for crash in range(2):
            for buyer, (sku, pool), states, limit in (
                    (b, s, t, n) for b in (0, 1, 4, 99)
                    for s in (("", ""), ("PHONE", ""), ("PHONE", "west"), ("CASE", ""))
                    for t in ((), (HELD,), (COMMITTED, RETURNED), (STATE_EXPIRED,))
                    for n in (0, 7, 1000)):
                items = pools[pool] if sku == "PHONE" else {case} if sku else {east, west, case}
                expected = {i for i, (b, has, state) in made.items()
                            if buyer in (0, b) and has & items and (not states or state in states)}
                found = shop.orders(buyer=buyer, sku=sku, pool=pool, state=states, limit=limit)
                assert len(found) == len(expected), seed
                assert {o.id for o in found} == expected, seed
                assert all(o.state == made[o.id][2] and o.buyer == made[o.id][0] for o in found)
            shop = survives(engine, shop) if crash == 0 else shop
        # Orders come between the pages: those that were there from the first on are seen once.
        seen, after = [], b""
        while True:
            answer = shop.must(list_orders=pb.ListOrdersRequest(limit=11, after=after)).order_list
            assert len(answer.orders) <= 11
            seen.extend(o.id for o in answer.orders)
            after = answer.next
            if not after:
                break
            held(shop, [line(case)])
        assert len(seen) == len(set(seen)) and set(made) <= set(seen), seed


# ---- Opening and closing, while traffic goes on ----

class Traffic(threading.Thread):
    """Reserves one unit an order as fast as answers come: single orders, rows of orders, columns of
    orders. Each answer: (kind, sent, received, [(status, deadline or 0)]), times in ms. The engine
    is on this machine, so its clock is this one."""

    KINDS = ("single", "rows", "columns")
    ORDERS = 50
    HOLD_MS = 600000

    def __init__(self, url, item, kind):
        super().__init__()
        self.shop, self.item, self.kind = Shop(url), item, kind
        self.answers, self.over, self.error = [], threading.Event(), None

    def run(self):
        try:
            while not self.over.is_set():
                self.once()
        except Exception as error:
            self.error = error

    def once(self):
        count = 1 if self.kind == "single" else self.ORDERS
        ids = [new_id() for _ in range(count)]
        if self.kind == "columns":
            request = pb.Request(reserve_batch=batch(ids, [self.item] * count,
                                                     hold_ms=self.HOLD_MS))
        else:
            request = pb.Request(reserve=reserve(*(
                order(i, [line(self.item)], hold_ms=self.HOLD_MS) for i in ids)))
        data = request.SerializeToString()
        sent = time.time_ns() / 1e6
        data = self.shop.connection.exchange(data)
        received = time.time_ns() / 1e6
        response = pb.Response.FromString(data)
        assert response.status == OK, response
        if self.kind == "columns":
            # One deadline for all: the earliest of those that were held.
            statuses = response.batch.status or [OK] * count
            results = [(s, response.batch.deadline_ms if s == OK else 0) for s in statuses]
        else:
            results = [(r.status, r.deadline_ms) for r in response.orders.results]
        assert len(results) == count
        self.answers.append((self.kind, sent, received, results))


def traffic_start(url, item):
    threads = [Traffic(url, item, kind) for kind in Traffic.KINDS * 2]
    for thread in threads:
        thread.start()
    return threads


def traffic_end(threads):
    for thread in threads:
        thread.over.set()
    for thread in threads:
        thread.join()
        assert thread.error is None, thread.error
    return [answer for thread in threads for answer in thread.answers]


def check_window(answers, opens, closes):
    """Every answer is right for the moment at which it was decided: known to the engine's
    millisecond for what was sold, and between sending and receiving for what was refused. Returns
    units sold, and which kinds met which answers."""
    sold, met = 0, set()
    for kind, sent, received, results in answers:
        for status, deadline in results:
            met.add((kind, status))
            decided = deadline - Traffic.HOLD_MS
            where = (kind, status, opens, closes, sent, received, decided)
            if status == OK:
                sold += 1
                assert opens <= decided < closes, where
                assert sent - 2 < decided <= received, where
                assert sent < closes + 1, where
            elif status == NOT_OPEN:
                assert sent < opens + 1, where
            else:
                assert status == CLOSED and received >= closes, where
    return sold, met


def test_opens_and_closes_to_the_millisecond():
    with Engine() as engine:
        shop = Shop(engine.url)
        all_of_it = {(kind, status) for kind in Traffic.KINDS for status in (NOT_OPEN, OK, CLOSED)}
        length_ms, complete = 150, 0
        while complete < 5:
            sku = "RUSH-%d-%d" % (length_ms, complete)
            item = shop.define(sku, 10000000, hot=complete % 2 == 1)
            opens = int(time.time() * 1000) + length_ms
            closes = opens + length_ms
            shop.rule(sku, opens_at_ms=opens, closes_at_ms=closes)
            threads = traffic_start(engine.url, item)
            while time.time() * 1000 < closes + length_ms / 3:
                time.sleep(0.01)
            sold, met = check_window(traffic_end(threads), opens, closes)
            assert shop.stock(item).held == sold
            if met == all_of_it:
                complete += 1
            else:  # the machine was too busy for so short a sale
                length_ms *= 2
                assert length_ms < 20000, met
        survives(engine, shop)


def test_rules_change_while_traffic_goes_on():
    with Engine() as engine:
        shop = Shop(engine.url)
        item = shop.define("RUSH", 10000000)
        # Each change, with the status that orders get from it on until the next one.
        now = int(time.time() * 1000)
        changes = [(rule, status) for _ in range(4) for rule, status in (
            ({"paused": True}, PAUSED),
            ({"fields": PAUSED_FIELD}, OK),
            ({"opens_at_ms": now + 3600000, "fields": OPENS_AT}, NOT_OPEN),
            ({"opens_at_ms": now - 1000, "fields": OPENS_AT}, OK),
            ({"closes_at_ms": now - 500, "fields": CLOSES_AT}, CLOSED),
            ({"closes_at_ms": 0, "fields": CLOSES_AT}, OK),
            ({"limit_per_buyer": 1, "fields": LIMIT}, BUYER_REQUIRED),
            ({"limit_per_buyer": 0, "fields": LIMIT}, OK))]
        threads = traffic_start(engine.url, item)
        spans = []  # (begin, end, status): everything decided in between must get that
        for rule, status in changes:
            asked = time.time_ns() / 1e6
            shop.rule("RUSH", **rule)
            if spans:
                spans[-1][1] = asked
            begin = time.time_ns() / 1e6
            spans.append([begin, float("inf"), status])
            time.sleep(0.01)
            wait_until(lambda: all(t.answers and t.answers[-1][1] >= begin or t.error
                                   for t in threads), "orders under the rule")
        answers = traffic_end(threads)
        met = set()
        for kind, sent, received, results in answers:
            for begin, end, status in spans:
                if begin <= sent and received <= end:
                    met.add((begin, status))
                    assert all(r[0] == status for r in results), (kind, status, results)
        assert len(met) == len(spans), "some rule met no order"
        sold = sum(status == OK for _, _, _, results in answers for status, _ in results)
        assert shop.stock(item).held == sold
        survives(engine, shop)


def test_what_was_held_in_time_may_be_paid_for_and_retried():
    with Engine() as engine:
        shop = Shop(engine.url)
        item = shop.define("PHONE", 100)
        ids = [held(shop, [line(item)]) for _ in range(4)]
        column = [new_id(), new_id()]
        assert shop.reserve_batch(column, [item, item]) == [OK, OK]
        for number, rule in enumerate(({"closes_at_ms": int(time.time() * 1000) - 1},
                                       {"paused": True})):
            shop.rule("PHONE", fields=ALL_RULES, **rule)
            status = (CLOSED, PAUSED)[number]
            expect(shop.reserve(new_id(), [line(item)]), status, 1)
            assert shop.reserve_batch([new_id()], [item]) == [status]
            # An order that was made is answered as ever.
            again = shop.reserve(ids[number], [line(item)])
            assert (again.status, again.replayed, again.state) == (OK, True, HELD)
            assert shop.reserve_batch(column, [item, item]) == [OK, OK]
            assert shop.commit(ids[number]).state == COMMITTED
            assert shop.extend(ids[3], 2000000 + number * 1000000).status == OK
        assert shop.release(ids[2]).state == RELEASED
        shop = survives(engine, shop)
        assert shop.stock(item).sold == 2 and shop.stock(item).held == 3


def test_all_rules_outlive_a_kill():
    with Engine() as engine:
        shop = Shop(engine.url)
        now = int(time.time() * 1000)
        rules = {
            "LIMITED": {"limit_per_buyer": 2, "label": "two each"},
            "LATER": {"opens_at_ms": now + 3600000, "closes_at_ms": now + 7200000},
            "PAUSED": {"paused": True, "label": "Pause \N{SNOWMAN}"},
            "BRIEF": {"hold_ms": 300, "hold_ms_max": 400},
            "PRESALE": {}, "SAFE": {}, "SPLIT": {},
        }
        items = {sku: shop.define(sku, 10) for sku in rules if sku != "PRESALE"}
        items["PRESALE"] = shop.define("PRESALE", presale_cap=9)
        shop.define("SAFE", safety=9)
        far = shop.define("SPLIT", 10, pool="far")
        for sku, rule in rules.items():
            shop.rule(sku, **rule)
        two = held(shop, [line(items["LIMITED"], 2)], buyer=BUYER)
        assert shop.commit(two).state == COMMITTED
        waiting = held(shop, [line(items["PRESALE"], 4)], [(1, items["PRESALE"], 4, 4)])
        split_lines = [line(items["SPLIT"], 12, fallback=[far], split=True)]
        split = held(shop, split_lines, [(1, items["SPLIT"], 10, 0), (1, far, 2, 0)])
        brief = held(shop, [line(items["BRIEF"], 7)])
        for crash in range(3):
            for sku, rule in rules.items():
                told, = shop.rules(sku)
                assert told == pb.SkuRule(sku=sku, **rule), told
            expect(shop.reserve(new_id(), [line(items["LIMITED"])], buyer=BUYER),
                   LIMIT_EXCEEDED, 1)
            expect(shop.reserve(new_id(), [line(items["LIMITED"])]), BUYER_REQUIRED, 1)
            expect(shop.reserve(new_id(), [line(items["LATER"])]), NOT_OPEN, 1)
            expect(shop.reserve(new_id(), [line(items["PAUSED"])]), PAUSED, 1)
            expect(shop.reserve(new_id(), [line(items["BRIEF"])], hold_ms=401), INVALID, 1)
            expect(shop.reserve(new_id(), [line(items["SAFE"], 2)]), SOLD_OUT, 1)
            grant, = shop.order(waiting).grants
            assert (grant.presale_qty, grant.covered_qty) == (4, crash), grant
            assert shop.adjust_status(new_id(), items["PRESALE"], delta=1) == OK
            again = shop.reserve(split, split_lines)
            assert again.replayed and given(again.grants) == [
                (1, items["SPLIT"], 10, 0), (1, far, 2, 0)]
            if crash == 1:
                # A hold that ends while the engine is down, or soon after, is given back.
                wait_until(expired(shop, brief), "expiry")
            if crash >= 1:
                assert shop.free(items["BRIEF"]) == 10
            engine.kill()
            engine.start()
            shop = Shop(engine.url)


if __name__ == "__main__":
    main(globals())
