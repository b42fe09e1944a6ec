"""The wire contract against the real engine: bad input, the table of states, columns, faults."""

import json
import os
import resource
import socket
import struct
import subprocess
import tempfile
import threading
import time

from harness import BINARY, WAIT_S, Engine, main, run, wait_until
from shop import *
from wire import *


def expect_invalid(response, *words):
    assert response.status == INVALID, "status %d: %s" % (response.status, response.message)
    for word in words:
        assert word in response.message, "%r is not in %r" % (word, response.message)


def numbers(stock):
    return stock.stocked, stock.held, stock.sold, stock.available


def raw_order(*line_fields):
    """A reserve request that protobuf's library would not pack: text that is not UTF-8."""
    return message((10, "msg", message((1, "msg", message(
        (1, "bytes", new_id()), (4, "msg", message(*line_fields, (4, "int", 1))))))))


def test_numbers_of_the_contract_stay():
    # proto/holdfast.proto may gain names; these are what clients have been built with.
    for name in ("OK INVALID UNAUTHORIZED BUSY FULL READ_ONLY INTERNAL UNKNOWN_ITEM SOLD_OUT "
                 "LIMIT_EXCEEDED BUYER_REQUIRED NOT_OPEN CLOSED PAUSED ID_CONFLICT NOT_FOUND "
                 "ALREADY_COMMITTED ALREADY_RELEASED EXPIRED EXPIRED_SOLD_OUT NOT_COMMITTED "
                 "WOULD_OVERSELL CONFLICT").split():
        assert getattr(pb, "STATUS_" + name) == globals()[name], name
    assert (pb.ORDER_STATE_HELD, pb.ORDER_STATE_COMMITTED, pb.ORDER_STATE_RELEASED,
            pb.ORDER_STATE_EXPIRED, pb.ORDER_STATE_RETURNED) == (
                HELD, COMMITTED, RELEASED, STATE_EXPIRED, RETURNED)
    assert (pb.LINE_POLICY_ALL, pb.LINE_POLICY_UP_TO, pb.LINE_POLICY_OPTIONAL) == (0, 1, 2)
    # An order with every field, byte by byte, as proto/holdfast.proto numbers them.
    full = pb.Order(id=b"i", buyer=7, hold_ms=9, lines=[pb.Line(
        item=1, sku="s", pool="p", qty=2, policy=1, min_qty=1, fallback=[3, 4], split=True)])
    assert full.SerializeToString() == message(
        (1, "bytes", b"i"), (2, "f64", 7), (3, "int", 9), (4, "msg", message(
            (1, "f32", 1), (2, "bytes", b"s"), (3, "bytes", b"p"), (4, "int", 2), (5, "int", 1),
            (6, "int", 1), (7, "packed32", [3, 4]), (8, "int", 1))))


def test_bad_input_is_named_and_changes_nothing():
    with Engine() as engine:
        shop = Shop(engine.url)
        item = shop.define("PHONE", 100)
        exchange = shop.connection.exchange
        lines = [line(item)]

        def raw(data):
            return pb.Response.FromString(exchange(data))

        def bad_order(bad, *words):
            expect_invalid(shop.ask(reserve=reserve(bad)), "reserve.orders[0]", *words)

        def bad_line(*words, **fields):
            bad_order(order(new_id(), [line(**fields)]), *words)

        # What is no Request at all.
        expect_invalid(raw(b"\xff\xff\xff\xff"), "Request")
        expect_invalid(raw(b"GET / HTTP/1.1\r\n\r\n"), "Request")
        expect_invalid(raw(b""), "body")
        expect_invalid(raw(bytes(64 << 20)), "67108864")
        # Empty submessages by the hundred thousand.
        expect_invalid(raw(message((10, "msg", b"\x0a\x00" * 500000))))

        # Orders.
        expect_invalid(shop.ask(reserve=reserve()), "orders")
        bad_order(order(new_id(), [line(item)] * 2049), "lines", "2048")
        full = shop.reserve(new_id(), [line(item)] * 2048)
        assert full.status == SOLD_OUT
        bad_order(order(new_id(), []), "orders[0].lines")
        bad_line("lines[0].qty", item=item, qty=0)
        bad_line("lines[0].qty", item=item, qty=1000000001)
        bad_order(order(b"x" * 15, lines), ".id", "15")
        bad_order(order(b"", lines), ".id")
        bad_line("sku", "65", sku="x" * 65)
        bad_line("sku", sku="")
        bad_line("pool", sku="PHONE", pool="p" * 65)
        expect_invalid(raw(raw_order((2, "bytes", b"\xc3\x28"))), "sku", "UTF-8")
        bad_order(order(new_id(), lines, hold_ms=4000000000), "hold")
        assert shop.reserve(new_id(), [line(999)]).status == UNKNOWN_ITEM
        expect_invalid(shop.ask(commit=edits(edit(b"short"))), "commit.orders[0].id")
        expect_invalid(shop.ask(extend=pb.ExtendRequest(id=b"")), "extend.id")
        expect_invalid(shop.ask(get_order=pb.GetOrderRequest(id=b"12")), "get_order.id")

        # Columns.
        ids = [new_id() for _ in range(4)]

        def bad_batch(word, columns):
            expect_invalid(shop.ask(reserve_batch=columns), word)

        bad_batch("item", batch(ids, [item] * 3))
        bad_batch("qty", batch(ids, [item] * 4, qty=[1, 1, 1]))
        bad_batch("buyer", batch(ids, [item] * 4, buyer=[1]))
        bad_batch("line_count", batch(ids, [item] * 4, line_count=[1, 1]))
        bad_batch("item", batch(ids, [item] * 4, line_count=[1, 1, 1, 2]))
        bad_batch("reserve_batch", batch([], []))
        bad_batch("id_lo", pb.ReserveBatch(id_hi=[1, 2], id_lo=[1], item=[item] * 2))
        # One bad order leaves the others alone.
        response = shop.must(reserve_batch=batch(ids, [item] * 4, qty=[1, 0, 1, 1]))
        assert "qty[1]" in response.message, response
        assert response.batch.status == [OK, INVALID, OK, OK], response
        response = shop.must(reserve=reserve(
            order(new_id(), lines), order(b"", lines), order(new_id(), lines)))
        assert [r.status for r in response.orders.results] == [OK, INVALID, OK]
        assert "orders[1].id" in response.message

        # Definitions and adjustments.
        def bad_define(*words, **definition):
            expect_invalid(shop.ask(define=pb.DefineRequest(**definition)), "define", *words)

        bad_define()
        bad_define("items[0].sku", items=[pb.ItemDef(sku="s" * 65)])
        bad_define("items[0].safety", items=[pb.ItemDef(sku="S", safety=-1)])
        bad_define("items[0].presale_cap", items=[pb.ItemDef(sku="S", presale_cap=-1)])
        bad_define("items[1].sku", items=[pb.ItemDef(sku="S"), pb.ItemDef()])
        bad_define("skus[0].closes_at_ms",
                   skus=[pb.SkuRule(sku="S", opens_at_ms=1800000000000,
                                    closes_at_ms=1800000000000)])
        bad_define("skus[0].hold_ms", skus=[pb.SkuRule(sku="S", hold_ms=11, hold_ms_max=10)])
        week = 7 * 86400 * 1000  # the engine's greatest, unless the SKU has one
        bad_define("skus[1].hold_ms: %d, greater than the engine's" % (week + 1),
                   skus=[pb.SkuRule(sku="S"), pb.SkuRule(sku="T", hold_ms=week + 1)])
        bad_define("skus[0].fields", skus=[pb.SkuRule(sku="S", fields=128)])
        bad_define("items[0].fields", items=[pb.ItemDef(sku="S", fields=8)])
        bad_define("skus_before: only with dry_run", skus=[pb.SkuRule(sku="S")], skus_before=1)
        bad_define("items_before: only with dry_run", items=[pb.ItemDef(sku="S")], items_before=1)
        bad_define("skus[0].label", skus=[pb.SkuRule(sku="S", label="l" * 257)])
        assert shop.ask(get_stock=pb.GetStockRequest(sku=["S"])).status == UNKNOWN_ITEM
        expect_invalid(shop.adjust(b"x", item, delta=1), "adjust.adjustments[0].id")
        expect_invalid(shop.adjust(new_id(), item), "adjust.adjustments[0].delta")
        expect_invalid(shop.adjust(new_id(), item, set_to=-1), "adjust.adjustments[0].set_to")
        expect_invalid(shop.adjust(new_id(), item, delta=1, reason="r" * 129), "reason", "129")

        assert numbers(shop.stock(item)) == (100, 5, 0, 95)
        engine.stop()


def test_bad_sale_rules_are_named_and_change_nothing():
    with Engine() as engine:
        shop = Shop(engine.url)
        item, other, west = (shop.define("PHONE", 100), shop.define("CASE", 100),
                             shop.define("PHONE", 100, pool="west"))
        many = [shop.define("M", 1, pool=str(i)) for i in range(65)]

        def bad_lines(status, blocking, word, *lines):
            response = shop.reserve_response(new_id(), lines)
            result, = response.orders.results
            assert result.status == status and word in response.message, response
            assert result.blocking_line == blocking, response
            assert response.status == (INVALID if status == INVALID else OK), response

        for policy in (3, 4, 1000):
            bad_lines(INVALID, 2, "lines[1].policy: %d" % policy, line(item),
                      line(item, policy=policy))
        bad_lines(INVALID, 1, "lines[0].min_qty: 4, more than qty, 3",
                  line(item, 3, policy=1, min_qty=4))
        bad_lines(INVALID, 1, "lines[0].min_qty: only with", line(item, 3, min_qty=1))
        bad_lines(INVALID, 1, "lines[0].min_qty: only with", line(item, 3, policy=2, min_qty=1))
        bad_lines(UNKNOWN_ITEM, 1, "lines[0].fallback[1]: there is no item 99999",
                  line(item, fallback=[west, 99999]))
        bad_lines(UNKNOWN_ITEM, 1, "lines[0].fallback[0]: there is no item 0",
                  line(item, fallback=[0]))
        bad_lines(INVALID, 1, "lines[0].fallback[0]", line(item, fallback=[item]))
        bad_lines(INVALID, 1, "lines[0].fallback[0]", line(sku="PHONE", fallback=[item]))
        bad_lines(INVALID, 2, "lines[1].fallback[2]", line(item),
                  line(item, fallback=[west, other, west]))
        bad_lines(INVALID, 1, "lines[0].fallback: 65 items", line(item, fallback=many))
        # 31 split lines with 64 fallbacks and 33 plain ones: 2048 grants at most; one line more.
        split = line(item, fallback=many[:64], split=True)
        assert shop.release(made_of(shop, [split] * 31 + [line(item)] * 33)).status == OK
        bad_lines(INVALID, 31, "lines[30].fallback", *[split] * 31, *[line(item)] * 34)

        # Lists.
        def bad_list(word, status=INVALID, **fields):
            response = shop.ask(list_orders=pb.ListOrdersRequest(**fields))
            assert response.status == status and word in response.message, response

        assert shop.reserve(new_id(), [line(item)]).status == OK
        assert shop.reserve(new_id(), [line(item)]).status == OK
        cursor = shop.must(list_orders=pb.ListOrdersRequest(limit=1)).order_list.next
        assert cursor
        for at in range(len(cursor)):
            for bit in (1, 128):
                forged = bytearray(cursor)
                forged[at] ^= bit
                bad_list("list_orders.after", after=bytes(forged))
        for garbage in (b"x", cursor[:-1], cursor + b"\0", bytes(len(cursor)), bytes(1 << 20)):
            bad_list("list_orders.after", after=garbage)
        bad_list("list_orders.limit: 1001", limit=1001)
        bad_list("list_orders.state[1]: 6", state=[HELD, 6])
        bad_list("list_orders.state[0]: 0", state=[0])
        bad_list("list_orders.sku", sku="s" * 65)
        bad_list("list_orders.sku", pool="west")
        bad_list("list_orders.pool", sku="PHONE", pool="p" * 65)
        bad_list("list_orders.sku", UNKNOWN_ITEM, sku="RADIO")
        bad_list("list_orders.pool", UNKNOWN_ITEM, sku="CASE", pool="west")
        response = shop.ask(get_skus=pb.GetSkusRequest(sku=["PHONE", "RADIO"]))
        assert response.status == UNKNOWN_ITEM and "get_skus.sku[1]" in response.message, response
        expect_invalid(shop.ask(get_skus=pb.GetSkusRequest(sku=[""])), "get_skus.sku[0]")

        # Moves.
        def bad_move(word, status=INVALID, **fields):
            response = shop.adjust(new_id(), item, **fields)
            result, = response.adjust.results
            assert result.status == status and word in response.message, response

        bad_move("adjustments[0].to_item: an item of another SKU", delta=1, to_item=other)
        bad_move("adjustments[0].to_item", delta=1, to_item=item)
        bad_move("adjustments[0].to_pool", delta=1, to_pool="default")
        bad_move("adjustments[0].to_pool", UNKNOWN_ITEM, delta=1, to_pool="south")
        bad_move("adjustments[0].to_item", UNKNOWN_ITEM, delta=1, to_item=99999)
        bad_move("adjustments[0].to_pool", delta=1, to_pool="p" * 65)
        bad_move("adjustments[0].delta", delta=-1, to_pool="west")
        bad_move("adjustments[0].delta", delta=0, to_pool="west")
        bad_move("adjustments[0].delta", set_to=1, to_pool="west")
        bad_move("adjustments[0].delta", to_pool="west")

        assert numbers(shop.stock(item)) == (100, 2, 0, 98)
        assert numbers(shop.stock(west)) == numbers(shop.stock(other)) == (100, 0, 0, 100)
        assert {numbers(shop.stock(m)) for m in many} == {(1, 0, 0, 1)}
        engine.stop()


def test_hold_of_a_sku_fits_its_maximum_as_it_will_be():
    week = 7 * 86400 * 1000
    with Engine() as engine:
        shop = Shop(engine.url)

        def define(**rule):
            return shop.ask(define=pb.DefineRequest(skus=[pb.SkuRule(sku="S", **rule)]))

        assert define(hold_ms=week).status == OK
        assert define(hold_ms=week + 2, hold_ms_max=week + 2).status == OK
        assert define(hold_ms=week + 1, fields=32).status == OK  # the maximum stays
        expect_invalid(define(hold_ms=week + 3, fields=32), "define.skus[0].hold_ms")
        # The rule is about what would result, whichever of the two is named.
        for hold_max in (0, week):
            expect_invalid(define(hold_ms_max=hold_max, fields=64), "define.skus[0].hold_ms_max")
        assert define(hold_ms=week, fields=32).status == OK
        assert define(hold_ms_max=0, fields=64).status == OK
        assert define(label="x", fields=1).status == OK
        engine.stop()


def test_command_line_refuses_empty_ids_and_misspelt_words():
    for arguments in (("reserve", "", "S"), ("reserve", "a", ""), ("reserve", "a", "S:1:upto"),
                      ("reserve", "a", "S", "--buyer", ""), ("commit", ""), ("release", ""),
                      ("extend", ""), ("return", ""), ("show", ""), ("list", "--buyer", "")):
        run("order", *arguments, expect=2)


NFC, NFD = "caf\u00e9", "cafe\u0301"
BAD = ["\0", "\x01", "\t", "\n", "\r", "\x1b", "\x7f", "\x85", "\x9b", "\u00ad", "\u034f", "\u061c",
       "\u115f", "\u180e", "\u200b", "\u200c", "\u200d", "\u200e", "\u2028", "\u2029", "\u202e", "\u2060",
       "\u2066", "\u3164", "\ufe0f", "\ufeff", "\uffa0", "\ue000", "\ufdd0", "\U000e0041", "\U000e0100"]


def test_every_spelling_names_the_same_sku():
    with Engine() as engine:
        shop = Shop(engine.url)

        def defined(sku, pool=""):
            return shop.must(define=pb.DefineRequest(
                items=[pb.ItemDef(sku=sku, pool=pool)])).define.item[0]

        item, fallback = defined(" " + NFD + "\u3000", "east\u00a0"), defined("\uac01")
        for sku in (NFC, NFD, "\u3000" + NFD, NFC + "\u00a0\u2003", NFC + "\r\n", "\t" + NFD):
            assert defined(sku, "\u2009east") == item, ascii(sku)
            assert [row.item for row in shop.must(
                get_stock=pb.GetStockRequest(sku=[sku])).stock.items] == [item]
            assert shop.must(get_skus=pb.GetSkusRequest(sku=[sku])).skus.skus[0].sku == NFC
            adjusted = shop.must(adjust=pb.AdjustRequest(adjustments=[pb.Adjustment(
                id=new_id(), sku=sku, pool="east ", delta=1, reason=" why ")])).adjust.results[0]
            assert adjusted.status == OK, ascii(sku)
            made = shop.reserve(new_id(), [pb.Line(sku=sku, pool="\u3000east", qty=1)])
            assert made.status == OK, ascii(sku)
            listed = shop.must(list_orders=pb.ListOrdersRequest(sku=sku, pool="east\u2028"))
            assert len(listed.order_list.orders) > 0, ascii(sku)
            assert list(row.item for row in shop.must(list_stock=pb.ListStockRequest(
                after_sku=sku)).stock.items) == [fallback], ascii(sku)
        for jamo in ("\u1100\u1161\u11a8", "\uac00\u11a8", "\uac01\u3000"):
            assert defined(jamo) == fallback, ascii(jamo)
        # Marks in another order, and a form that grows when it is composed.
        assert defined("d\u0307\u0323") == defined("\u1e0d\u0307") == defined("d\u0323\u0307")
        assert defined("\u0958") == defined("\u0915\u093c")
        # Lengths are those of what is kept.
        assert defined("x" * 64 + "\u3000" * 30) == defined("x" * 64)
        assert defined("\u1100\u1161\u11a8" * 21) == defined("\uac01" * 21)
        for long in ("\u0958" * 11, "x" * 65, "\uac01" * 22, " " + "x" * 65):
            expect_invalid(shop.ask(define=pb.DefineRequest(items=[pb.ItemDef(sku=long)])),
                           "items[0].sku", "bytes", "1..64")


def test_text_that_can_not_be_seen_is_refused_everywhere():
    with Engine() as engine:
        shop = Shop(engine.url)
        item = shop.define("A", 10)
        other = shop.define("A", 10, pool="east")
        expect_invalid(shop.ask(define=pb.DefineRequest(
            items=[pb.ItemDef(sku="A\nORDER_COMMITTED\n\n{}")])), "U+000A LINE FEED at byte 1")
        for bad in BAD:
            text = "A" + bad + "B"
            code = "U+%04X" % ord(bad) if bad != "\0" else "NUL"

            def refused(*words, **body):
                expect_invalid(shop.ask(**body), code, *words)

            refused("define.items[0].sku",
                    define=pb.DefineRequest(items=[pb.ItemDef(sku=text)]))
            refused("define.items[0].pool",
                    define=pb.DefineRequest(items=[pb.ItemDef(sku="A", pool=text)]))
            refused("define.skus[0].sku", define=pb.DefineRequest(skus=[pb.SkuRule(sku=text)]))
            refused("define.skus[0].label",
                    define=pb.DefineRequest(skus=[pb.SkuRule(sku="A", label=text)]))
            for field in ("sku", "pool", "reason", "reference", "to_pool"):
                fields = dict(sku="A", pool="", delta=1)
                fields[field] = text
                refused("adjustments[0]." + field, adjust=pb.AdjustRequest(
                    adjustments=[pb.Adjustment(id=new_id(), **fields)]))
            refused("lines[0].sku", reserve=reserve(order(new_id(), [pb.Line(sku=text, qty=1)])))
            refused("lines[0].pool", reserve=reserve(
                order(new_id(), [pb.Line(sku="A", pool=text, qty=1)])))
            refused("get_stock.sku[0]", get_stock=pb.GetStockRequest(sku=[text]))
            refused("get_skus.sku[0]", get_skus=pb.GetSkusRequest(sku=[text]))
            refused("list_orders.sku", list_orders=pb.ListOrdersRequest(sku=text))
            refused("list_orders.pool", list_orders=pb.ListOrdersRequest(sku="A", pool=text))
        for empty in ("", " ", "\u3000\t"):
            expect_invalid(shop.ask(define=pb.DefineRequest(items=[pb.ItemDef(sku=empty)])), "sku")
        rows = shop.must(list_stock=pb.ListStockRequest()).stock.items
        assert sorted((row.item, row.stocked) for row in rows) == [(item, 10), (other, 10)]


def made_of(shop, lines):
    order_id = new_id()
    response = shop.reserve_response(order_id, lines)
    assert response.orders.results[0].status == OK, response
    return order_id


def test_bytes_may_come_in_any_pieces():
    with Engine(ipc=True) as engine:
        shop = Shop(engine.url)
        item = shop.define("CUP", 2000)
        held = 0
        assert len(engine.urls) == 2
        for url in engine.urls:
            for piece in (0, 1, 3):
                # Handshake and requests, byte by byte: each in a segment of its own.
                slow = Shop(url, piece=piece)
                order_id = new_id()
                assert slow.reserve(order_id, [line(item, 2, policy=1, min_qty=1)]).status == OK
                assert slow.commit(order_id).state == COMMITTED
                assert slow.reserve_batch([new_id(), new_id()], [item, item]) == [OK, OK]
                expect_invalid(slow.ask(reserve=reserve()), "orders")
                held += 2
            # The handshake and many requests in one segment, before anything is read.
            talker = Connection(url)
            talker.socket.close()
            talker.socket = connect(url)
            asked = {}
            data = bytearray(HELLO)
            for i in range(100):
                body = pb.Request(reserve=reserve(order(new_id(), [line(item, 1 + i % 3)],
                                                        buyer=i)))
                framed, request_id = talker.frame(body.SerializeToString())
                asked[request_id] = i
                data += framed
                held += 1 + i % 3
            # The last one is cut in its middle.
            talker.write(bytes(data[:-20]))
            assert talker.read(8) == b"\0SP\0\0\x31\0\0"
            for _ in range(99):
                request_id, reply = talker.receive()
                result, = pb.Response.FromString(reply).orders.results
                assert result.status == OK
                del asked[request_id]
            assert list(asked.values()) == [99]
            talker.write(bytes(data[-20:]))
            request_id, reply = talker.receive()
            assert asked[request_id] == 99
            assert pb.Response.FromString(reply).orders.results[0].status == OK
            talker.close()
        assert numbers(shop.stock(item)) == (2000, held, 12, 2000 - held - 12)
        engine.stop()


def test_every_cell_of_the_table_of_states():
    with Engine() as engine:
        shop = Shop(engine.url)
        item = shop.define("FRIDGE", 1000)

        def made(state):
            order_id = new_id()
            if state:
                held = shop.reserve(order_id, [line(item, 3)],
                                    hold_ms=30 if state == STATE_EXPIRED else 0)
                assert held.status == OK and held.state == HELD
            if state in (COMMITTED, RETURNED):
                assert shop.commit(order_id).state == COMMITTED
            if state == RELEASED:
                assert shop.release(order_id).state == RELEASED
            if state == STATE_EXPIRED:
                wait_until(lambda: shop.state(order_id) == STATE_EXPIRED, "expiry")
            if state == RETURNED:
                assert shop.give_back(order_id).state == RETURNED
            return order_id

        operations = {
            "commit": shop.commit, "release": shop.release, "extend": shop.extend,
            "return": shop.give_back,
            "reserve": lambda order_id: shop.reserve(order_id, [line(item, 3)]),
        }
        # from: {operation: (status, replayed, state afterwards)}
        table = {
            0: {"reserve": (OK, False, HELD), "commit": (NOT_FOUND, False, 0),
                "release": (NOT_FOUND, False, 0), "extend": (NOT_FOUND, False, 0),
                "return": (NOT_FOUND, False, 0)},
            HELD: {"reserve": (OK, True, HELD), "commit": (OK, False, COMMITTED),
                   "release": (OK, False, RELEASED), "extend": (OK, False, HELD),
                   "return": (NOT_COMMITTED, False, HELD)},
            COMMITTED: {"reserve": (OK, True, COMMITTED), "commit": (OK, True, COMMITTED),
                        "release": (ALREADY_COMMITTED, False, COMMITTED),
                        "extend": (ALREADY_COMMITTED, False, COMMITTED),
                        "return": (OK, False, RETURNED)},
            RELEASED: {"reserve": (OK, True, RELEASED), "commit": (ALREADY_RELEASED, False, RELEASED),
                       "release": (OK, True, RELEASED), "extend": (ALREADY_RELEASED, False, RELEASED),
                       "return": (ALREADY_RELEASED, False, RELEASED)},
            STATE_EXPIRED: {"reserve": (OK, True, STATE_EXPIRED),
                            "commit": (EXPIRED, False, STATE_EXPIRED),
                            "release": (OK, True, STATE_EXPIRED),
                            "extend": (EXPIRED, False, STATE_EXPIRED),
                            "return": (EXPIRED, False, STATE_EXPIRED)},
            RETURNED: {"reserve": (OK, True, RETURNED), "commit": (OK, True, RETURNED),
                       "release": (ALREADY_COMMITTED, False, RETURNED),
                       "extend": (ALREADY_COMMITTED, False, RETURNED),
                       "return": (OK, True, RETURNED)},
        }
        for state, row in table.items():
            for name, (status, replayed, after) in row.items():
                order_id = made(state)
                time.sleep(0.002)  # so that an extension is later
                result = operations[name](order_id)
                assert (result.status, result.replayed) == (status, replayed), \
                    (state, name, result)
                assert shop.state(order_id) == after, (state, name)

        # Other contents under the same id.
        order_id = made(HELD)
        for other in ([line(item, 2)], [line(item, 3), line(item, 1)]):
            assert shop.reserve(order_id, other).status == ID_CONFLICT
        assert shop.reserve(order_id, [line(item, 3)], buyer=7).status == ID_CONFLICT


def orders_of_every_kind(shop, lines):
    """Orders of 5 units in line 1 and 2 in line 2: {what was done: how to make it}."""

    def begun(hold_ms, release):
        order_id = new_id()
        assert shop.reserve(order_id, lines, hold_ms=hold_ms).status == OK
        if release is None:
            return order_id
        result = shop.release(order_id, release)
        if hold_ms and result.state == STATE_EXPIRED:  # the machine was too busy for so short a hold
            return begun(hold_ms, release)
        assert (result.status, result.replayed) == (OK, False), result
        return order_id

    def made(hold_ms=0, release=None, commit=None, late=False, back=None):
        order_id = begun(hold_ms, release)
        if hold_ms:
            wait_until(lambda: shop.state(order_id) == STATE_EXPIRED, "expiry")
        if commit is not None:
            assert shop.commit(order_id, commit, late_ok=late).status == OK
        if back is not None:
            assert shop.give_back(order_id, back).status == OK
        return order_id

    return {
        "none": new_id,
        "held": made,
        "held, less": lambda: made(release=[(1, 2)]),
        "paid": lambda: made(commit=()),
        "paid, less": lambda: made(release=[(1, 2)], commit=()),
        "paid in part": lambda: made(commit=[(1, 3)]),
        "paid, some back": lambda: made(commit=(), back=[(1, 1)]),
        "released": lambda: made(release=()),
        "expired": lambda: made(hold_ms=20),
        "expired, less": lambda: made(hold_ms=20, release=[(1, 2)]),
        "returned": lambda: made(commit=(), back=()),
        "paid late": lambda: made(hold_ms=20, commit=[(1, 3)], late=True),
    }


def test_repeated_operations_are_held_against_what_was_done():
    # Columns as in orders_of_every_kind.
    answers = {"ok": (OK, False), "re": (OK, True), "in": (INVALID, False),
               "co": (ID_CONFLICT, False), "nf": (NOT_FOUND, False), "nc": (NOT_COMMITTED, False),
               "ac": (ALREADY_COMMITTED, False), "ar": (ALREADY_RELEASED, False),
               "ex": (EXPIRED, False)}
    invalid = "nf in in in in in in in in in in in"
    table = [
        ("commit", (),               "nf ok ok re re co re ar ex ex re co"),
        ("commit", [(1, 5), (2, 2)], "nf ok in re in co re ar ex in re co"),
        ("commit", [(1, 3)],         "nf ok ok co co re co ar ex ex co re"),
        ("commit", [(1, 3), (2, 2)], "nf ok ok co re co co ar ex ex co co"),
        ("commit", [(1, 4)],         "nf ok in co in co co ar ex in co co"),
        ("commit", [(1, 99)], invalid), ("commit", [(3, 1)], invalid), ("commit", [(0, 1)], invalid),
        ("commit", [(1, 1), (1, 1)], invalid), ("commit", [(1, 0)], invalid),
        ("release", (),              "nf ok ok ac ac ac ac re re re ac ac"),
        ("release", [(1, 2)],        "nf ok re ac re ac ac re re re ac ac"),
        ("release", [(1, 3)],        "nf ok ok ac ac ac ac re re re ac ac"),
        ("release", [(1, 6)], invalid), ("release", [(3, 1)], invalid), ("release", [(0, 1)], invalid),
        ("return", (),               "nf nc nc ok ok ok ok ar ex ex re ok"),
        ("return", [(1, 1)],         "nf nc nc ok ok ok re ar ex ex re ok"),
        ("return", [(1, 4)],         "nf nc in ok in in ok ar ex in re in"),
        ("return", [(1, 6)], invalid), ("return", [(3, 1)], invalid), ("return", [(0, 1)], invalid),
    ]
    with Engine() as engine:
        shop = Shop(engine.url)
        a, b, c = shop.define("A", 100000), shop.define("B", 100000), shop.define("C", 100000)
        operations = {"commit": shop.commit, "release": shop.release, "return": shop.give_back}
        for lines in ([line(a, 5), line(b, 2)],
                      [line(a, 5, fallback=[c], split=True), line(b, 2, policy=2)]):
            kinds = orders_of_every_kind(shop, lines)
            for name, quantities, cells in table:
                for (kind, make), cell in zip(kinds.items(), cells.split(), strict=True):
                    order_id = make()
                    before = shop.order(order_id)
                    result = operations[name](order_id, quantities)
                    assert (result.status, result.replayed) == answers[cell], \
                        (name, quantities, kind, result)
                    if cell == "ok":
                        again = operations[name](order_id, quantities)
                        assert (again.status, again.replayed) == (OK, True), (name, quantities, kind)
                    else:
                        assert shop.order(order_id) == before, (name, quantities, kind)

        # The example of the documents, and that the rows of columns are held to the same rule.
        order_id = new_id()
        assert shop.reserve(order_id, [line(a, 5), line(b, 2)]).status == OK
        assert shop.commit(order_id, [(1, 2)]).status == OK
        response = shop.ask(commit=edits(edit(order_id, [(1, 3)])))
        assert "commit.orders[0]: it was committed with other quantities: line 1: 2, line 2: 0" \
            == response.message, response
        both = new_id()
        assert shop.reserve(both, [line(a, 5)]).status == OK
        answer = shop.must(commit_batch=pb.OrdersBatch(**halves([order_id, both]))).batch
        assert list(answer.status) == [ID_CONFLICT, OK], answer
        assert shop.ask(commit_batch=pb.OrdersBatch(**halves([both]))).batch.ok_count == 1

        # A crash forgets nothing of it.
        kinds = {kind: make() for kind, make in orders_of_every_kind(
            shop, [line(a, 5), line(b, 2)]).items() if kind.startswith("paid")}
        engine.kill()
        engine.start()
        shop = Shop(engine.url)
        for kind, quantities, status in (
                ("paid", (), OK), ("paid, less", (), OK), ("paid, less", [(1, 4)], INVALID),
                ("paid in part", (), ID_CONFLICT), ("paid in part", [(1, 3)], OK),
                ("paid, some back", (), OK), ("paid late", (), ID_CONFLICT)):
            result = shop.commit(kinds[kind], quantities)
            assert result.status == status and result.replayed == (status == OK), (kind, result)
        assert shop.release(kinds["paid, less"], [(1, 2)]).replayed
        engine.stop()


def near(one_ms, other_ms):
    """The same deadline; it is shown by a clock that the system may be slewing."""
    return abs(one_ms - other_ms) < 1000


def test_a_repeated_reserve_tells_what_the_order_is_now():
    with Engine() as engine:
        shop = Shop(engine.url)
        a, b, c = shop.define("A", 1000), shop.define("B", 1000), shop.define("C", 1000)
        split = [line(a, 5, fallback=[c], split=True), line(b, 2, policy=2)]
        now = {  # state, units of lines 1 and 2
            "held": (HELD, 5, 2), "held, less": (HELD, 3, 2), "paid": (COMMITTED, 5, 2),
            "paid, less": (COMMITTED, 3, 2), "paid in part": (COMMITTED, 3, 0),
            "paid, some back": (COMMITTED, 4, 2), "released": (RELEASED, 0, 0),
            "expired": (STATE_EXPIRED, 0, 0), "expired, less": (STATE_EXPIRED, 0, 0),
            "returned": (RETURNED, 0, 0), "paid late": (COMMITTED, 3, 0)}
        for lines in ([line(a, 5), line(b, 2)], split):
            for kind, make in orders_of_every_kind(shop, lines).items():
                if kind == "none":
                    continue
                order_id = make()
                state, one, two = now[kind]
                hold_ms = 20 if "expired" in kind or "late" in kind else 0
                result = shop.reserve(order_id, lines, hold_ms=hold_ms)
                assert (result.status, result.replayed, result.state) == (OK, True, state), \
                    (kind, result)
                info = shop.order(order_id)
                assert near(result.deadline_ms, info.deadline_ms), (kind, result)
                if (one, two) == (5, 2):
                    assert not result.grants, (kind, result)
                else:
                    assert given(result.grants) == given(info.grants), (kind, result)
                    assert sum(g.qty for g in result.grants if g.line == 1) == one, (kind, result)
                    assert sum(g.qty for g in result.grants if g.line == 2) == two, (kind, result)

        # One line: held 5, 2 released; held for 2 s, then for 10 minutes.
        order_id = new_id()
        first = shop.reserve(order_id, [line(a, 5)], hold_ms=2000)
        assert shop.release(order_id, [(1, 2)]).status == OK
        later = shop.extend(order_id, 600000)
        assert later.deadline_ms > first.deadline_ms
        again = shop.reserve(order_id, [line(a, 5)], hold_ms=2000)
        assert again.replayed and near(again.deadline_ms, later.deadline_ms), again
        assert given(again.grants) == [(1, a, 3, 0)], again
        # Columns: the earliest deadline is that of orders that were held anew.
        answer = shop.must(reserve_batch=batch([order_id], [a], qty=[5])).batch
        assert answer.ok_count == 1 and answer.deadline_ms == 0, answer
        engine.stop()


def test_an_id_of_all_zeros_is_none():
    zeros = bytes(16)
    with Engine() as engine:
        shop = Shop(engine.url)
        item, other = shop.define("PHONE", 100), shop.define("PHONE", pool="west")
        good = new_id()
        for body, place in (
                ({"reserve": reserve(order(zeros, [line(item)]))}, "reserve.orders[0].id"),
                ({"commit": edits(edit(zeros))}, "commit.orders[0].id"),
                ({"release": edits(edit(zeros))}, "release.orders[0].id"),
                ({"return_units": edits(edit(zeros))}, "return_units.orders[0].id"),
                ({"extend": pb.ExtendRequest(id=zeros)}, "extend.id"),
                ({"get_order": pb.GetOrderRequest(id=zeros)}, "get_order.id"),
                ({"reserve_batch": batch([zeros], [item])}, "reserve_batch.id_hi[0]"),
                ({"commit_batch": pb.OrdersBatch(**halves([zeros]))}, "commit_batch.id_hi[0]"),
                ({"release_batch": pb.OrdersBatch(**halves([zeros]))}, "release_batch.id_hi[0]"),
                ({"adjust": pb.AdjustRequest(adjustments=[
                    pb.Adjustment(id=zeros, item=item, delta=1)])}, "adjust.adjustments[0].id"),
                ({"adjust": pb.AdjustRequest(adjustments=[pb.Adjustment(
                    id=zeros, item=item, delta=1, to_pool="west")])}, "adjust.adjustments[0].id")):
            for _ in range(2):
                expect_invalid(shop.ask(**body), place + ": all zeros")
        # Among others it stands for itself.
        response = shop.must(reserve=reserve(order(good, [line(item)]), order(zeros, [line(item)])))
        assert [r.status for r in response.orders.results] == [OK, INVALID]
        assert "orders[1].id: all zeros" in response.message, response
        response = shop.must(reserve_batch=batch([new_id(), zeros], [item, item]))
        assert list(response.batch.status) == [OK, INVALID], response
        assert "id_hi[1]: all zeros" in response.message, response
        response = shop.must(commit_batch=pb.OrdersBatch(**halves([good, zeros])))
        assert list(response.batch.status) == [OK, INVALID], response
        # Half of an id may be zeros.
        half = bytes(15) + b"\1"
        assert shop.reserve(half, [line(item)]).status == OK
        assert shop.reserve(half[::-1], [line(item)]).status == OK
        assert numbers(shop.stock(item)) == (100, 3, 1, 96)
        assert numbers(shop.stock(other)) == (0, 0, 0, 0)
        # The command line says so before it asks.
        for nil in ("0" * 32, "00000000-0000-0000-0000-000000000000"):
            for arguments in (("order", "reserve", nil, "PHONE"), ("order", "commit", nil),
                              ("order", "release", nil), ("order", "return", nil),
                              ("order", "extend", nil), ("order", "show", nil),
                              ("stock", "adjust", "PHONE", "+1", "--id", nil),
                              ("stock", "move", "PHONE", "default", "west", "1", "--id", nil)):
                said = subprocess.run([BINARY, *arguments, "--url", engine.url],
                                      capture_output=True, text=True, timeout=WAIT_S)
                assert said.returncode == 2 and "all zeros" in said.stderr, (arguments, said)
        engine.stop()


def test_stock_follows_partial_operations():
    with Engine() as engine:
        shop = Shop(engine.url)
        a, b = shop.define("A", 10), shop.define("B", 10)

        def numbers(item):
            stock = shop.stock(item)
            return stock.held, stock.sold, stock.available

        order_id = new_id()
        assert shop.reserve(order_id, [line(a, 4), line(b, 5), line(a, 2)]).status == OK
        assert numbers(a) == (6, 0, 4) and numbers(b) == (5, 0, 5)
        # One more than there are: refused whole, and the line is named.
        refused = shop.reserve(new_id(), [line(b, 5), line(a, 5)])
        assert (refused.status, refused.blocking_line) == (SOLD_OUT, 2)
        assert shop.release(order_id, [(2, 1)]).state == HELD
        assert shop.release(order_id, [(2, 1)]).replayed
        assert numbers(b) == (4, 0, 6)
        assert shop.commit(order_id, [(1, 4), (2, 3)]).state == COMMITTED
        assert numbers(a) == (0, 4, 6) and numbers(b) == (0, 3, 7)
        assert shop.give_back(order_id, [(1, 1)]).state == COMMITTED
        assert shop.give_back(order_id, [(1, 1)]).replayed
        assert shop.give_back(order_id, [(1, 3)]).state == COMMITTED
        assert numbers(a) == (0, 1, 9)
        assert shop.give_back(order_id).state == RETURNED
        assert numbers(a) == (0, 0, 10) and numbers(b) == (0, 0, 10)
        # After a crash it is all the same.
        engine.kill()
        engine.start()
        shop = Shop(engine.url)
        assert shop.state(order_id) == RETURNED
        assert shop.give_back(order_id).replayed
        assert shop.stock(a).available == 10


def test_adjustments_are_idempotent_and_never_oversell():
    with Engine() as engine:
        shop = Shop(engine.url)
        item = shop.define("TV", 10)
        assert shop.reserve(new_id(), [line(item, 6)]).status == OK
        assert shop.adjust_status(new_id(), item, delta=-5) == WOULD_OVERSELL
        assert shop.adjust_status(new_id(), item, delta=-4) == OK
        assert shop.stock(item).available == 0
        assert shop.adjust_status(new_id(), item, set_to=20, expected=10) == CONFLICT
        adjust_id = new_id()
        assert shop.adjust_status(adjust_id, item, set_to=20, expected=6) == OK
        assert shop.adjust_status(adjust_id, item, set_to=20, expected=6) == OK
        assert shop.adjust_status(adjust_id, item, set_to=21) == ID_CONFLICT
        assert shop.stock(item).stocked == 20
        assert shop.adjust_status(new_id(), item, set_to=2, force=True) == OK
        stock = shop.stock(item)
        assert (stock.stocked, stock.held, stock.available) == (2, 6, -4)
        assert shop.reserve(new_id(), [line(item)]).status == SOLD_OUT


def test_reads_show_only_states_that_the_log_passes_through():
    with Engine() as engine:
        shop = Shop(engine.url)
        east, west = shop.define("PHONE", 50, pool="east"), shop.define("PHONE", 50, pool="west")
        lone, case, cup = shop.define("LONE", 1), shop.define("CASE", 10000), shop.define("CUP", 10000)
        ended, failed = threading.Event(), []

        def until_ended(action):
            try:
                own, n = Shop(engine.url), 0
                while not ended.is_set():
                    n += 1
                    action(own, n)
            except BaseException as error:
                failed.append(error)
                raise

        def adjust(own, n):
            assert own.adjust_status(new_id(), lone, delta=1 if n % 2 == 0 else -1) == OK

        def move(own, n):
            assert own.adjust_status(new_id(), east if n % 2 else west, delta=5,
                                     to_pool="west" if n % 2 else "east") == OK

        def buy(own, n):
            order_id = new_id()
            assert own.reserve(order_id, [line(case, 3), line(cup, 3)]).status == OK
            if n % 3 == 0:
                assert own.release(order_id).status == OK
            elif n % 3 == 1:
                assert own.commit(order_id).status == OK

        threads = [threading.Thread(target=until_ended, args=(action,))
                   for action in (adjust, move, buy, buy)]
        for thread in threads:
            thread.start()
        stocked = set()
        for _ in range(400):
            items = shop.must(get_stock=pb.GetStockRequest(
                item=[lone, case, cup], sku=["PHONE"])).stock.items
            alone, cases, cups, one, other = items
            for stock in items:
                assert stock.available == stock.stocked - stock.held - stock.sold, items
            # Nobody ever held any of these.
            assert alone.held == one.held == other.held == 0, items
            assert alone.stocked in (0, 1) and one.stocked + other.stocked == 100, items
            # These go together, three at a time.
            assert (cases.held, cases.sold) == (cups.held, cups.sold), items
            assert cases.held % 3 == cases.sold % 3 == 0, items
            stocked.add(alone.stocked)
        ended.set()
        for thread in threads:
            thread.join()
        assert not failed and stocked == {0, 1}, (failed, stocked)
        engine.stop()


def test_late_commit_takes_the_units_again_or_says_sold_out():
    with Engine() as engine:
        shop = Shop(engine.url)
        item = shop.define("GIFT", 2)
        late = new_id()
        assert shop.reserve(late, [line(item, 2)], hold_ms=20).status == OK
        wait_until(lambda: shop.state(late) == STATE_EXPIRED, "expiry")
        other = new_id()
        assert shop.reserve(other, [line(item, 1)]).status == OK
        assert shop.commit(late, late_ok=True).status == EXPIRED_SOLD_OUT
        assert shop.release(other).status == OK
        assert shop.commit(late).status == EXPIRED
        assert shop.commit(late, late_ok=True).state == COMMITTED
        assert shop.stock(item).sold == 2


def test_sale_windows():
    with Engine() as engine:
        shop = Shop(engine.url)
        item = shop.define("WASHER", 5)

        now = int(time.time() * 1000)
        shop.rule("WASHER", paused=True)
        assert shop.reserve(new_id(), [line(item)]).status == PAUSED
        shop.rule("WASHER", opens_at_ms=now + 60000, fields=ALL_RULES)
        assert shop.reserve(new_id(), [line(item)]).status == NOT_OPEN
        shop.rule("WASHER", closes_at_ms=now - 1, fields=ALL_RULES)
        assert shop.reserve(new_id(), [line(item)]).status == CLOSED
        shop.rule("WASHER", fields=ALL_RULES)
        held = new_id()
        assert shop.reserve(held, [line(item)]).status == OK
        shop.rule("WASHER", closes_at_ms=now - 1)
        assert shop.commit(held).status == OK


def test_clients_that_misbehave_cost_only_themselves():
    with Engine("--contexts", "16") as engine:
        shop = Shop(engine.url)
        item = shop.define("TABLET", 10000)
        address = ("127.0.0.1", engine.port)
        hostile = []
        for i in range(40):
            s = socket.create_connection(address)
            kind = i % 4
            if kind == 0:  # resets before it has said anything
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.close()
            elif kind == 1:  # says something that is not SP
                s.sendall(b"GET / HTTP/1.1\r\n\r\n")
                hostile.append(s)
            elif kind == 2:  # sends half a message
                s.sendall(b"\0SP\0\0\x30\0\0" + struct.pack(">QI", 1000, 0x80000001) + b"half")
                hostile.append(s)
            else:  # asks and vanishes
                s.sendall(b"\0SP\0\0\x30\0\0" + struct.pack(">QI", 4, 0x80000001))
                s.close()
        # Asks for much and never reads: its answers fill every buffer on the way.
        greedy = socket.create_connection(address)
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greedy.settimeout(1)
        greedy.sendall(b"\0SP\0\0\x30\0\0")
        body = message((22, "msg", message((2, "int", 10000))))
        try:
            for i in range(2000):
                greedy.sendall(struct.pack(">QI", len(body) + 4, 0x80000000 | i) + body)
        except OSError:
            pass
        begin = time.monotonic()
        fresh = Shop(engine.url)
        for _ in range(100):
            assert fresh.reserve(new_id(), [line(item)]).status == OK
            assert shop.reserve(new_id(), [line(item)]).status == OK
        assert time.monotonic() - begin < WAIT_S
        for s in hostile + [greedy]:
            s.close()
        engine.stop()


def test_engine_without_memory_says_so_and_goes_on():
    rooms, askers, turns, orders = (8 << 20, 0), 12, 5, 3000
    # Room for every order that is asked for: memory runs out here, and nothing else.
    orders_max = 2 * len(rooms) * askers * turns * orders
    with Engine("--items-max", "1000", "--orders-max", str(orders_max)) as engine:
        shop = Shop(engine.url)
        item = shop.define("PHONE", orders_max)
        assert shop.reserve(new_id(), [line(item)]).status == OK
        with open("/proc/%d/status" % engine.process.pid) as status:
            size = [int(row.split()[1]) for row in status if row.startswith("VmSize")][0] * 1024
        if size > 1 << 43:
            print("        not tried: a sanitizer takes all addresses")
            return
        lock, statuses = threading.Lock(), []

        def ask_for_much(big):
            # Connections may be cut off: there is no memory for them.
            try:
                own = Shop(engine.url)
                for _ in range(turns):
                    reply = own.connection.exchange(message((10, "msg", b"\x0a\x00" * big)))
                    many = own.ask(reserve=reserve(*[order(new_id(), [line(item)])
                                                     for _ in range(orders)]))
                    with lock:
                        statuses.append(pb.Response.FromString(reply).status)
                        statuses.append(many.status)
            except OSError:
                pass

        # Hardly any, and none at all.
        for room in rooms:
            resource.prlimit(engine.process.pid, resource.RLIMIT_AS,
                             (size + room, resource.RLIM_INFINITY))
            threads = [threading.Thread(target=ask_for_much, args=(100000 + 10000 * i,))
                       for i in range(askers)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert engine.process.poll() is None, engine.process.poll()
            assert set(statuses) <= {OK, INVALID, BUSY}, set(statuses)
        resource.prlimit(engine.process.pid, resource.RLIMIT_AS,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        shop = Shop(engine.url)
        order_id = new_id()

        def takes_the_order():
            # Repeated as the protocol asks: a log segment that could not be made is tried again.
            answer = shop.reserve_response(order_id, [line(item)])
            status = [result.status for result in answer.orders.results] or [answer.status]
            assert status[0] in (OK, BUSY, READ_ONLY), answer
            return status[0] == OK

        wait_until(takes_the_order, "an order is taken again")
        stock = shop.stock(item)
        assert stock.available == stock.stocked - stock.held
        engine.stop()


def test_token_is_asked_for():
    with Engine("--token", "s3cret") as engine:
        shop = Shop(engine.url)
        for token, status in (("", UNAUTHORIZED), ("s3cre", UNAUTHORIZED),
                              ("s3crets", UNAUTHORIZED), ("s3cret", OK)):
            assert shop.ask(status=pb.StatusRequest(), token=token).status == status, token


def test_second_engine_on_the_same_directory_is_refused():
    with Engine() as engine:
        run("serve", "--data", engine.data, "--listen", "tcp://127.0.0.1:0", expect=1)
        assert Shop(engine.url).define("X", 1) == 1


def refused_serve(data, *urls):
    """Runs serve where it can't listen; returns what it says."""
    listen = [word for url in urls for word in ("--listen", url)]
    done = subprocess.run([BINARY, "serve", "--data", data, *listen], capture_output=True, text=True,
                          timeout=WAIT_S)
    assert done.returncode == 1, done
    assert done.stdout == "", done.stdout
    return done.stderr


def test_serve_that_can_not_listen_makes_nothing():
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as folder, \
            socket.create_server(("127.0.0.1", 0)) as tcp, \
            socket.socket(socket.AF_UNIX) as ipc:
        ipc.bind(os.path.join(folder, "taken.sock"))
        ipc.listen()
        data = os.path.join(folder, "data")
        free = "tcp://127.0.0.1:0"
        for taken in ("tcp://127.0.0.1:%d" % tcp.getsockname()[1],
                      "ipc://" + os.path.join(folder, "taken.sock"),
                      "tcp://127.0.0.1:65536", "tcp://127.0.0.1", "tcp://host.invalid:7411",
                      "tcp://192.0.2.1:7411"):  # for documentation: nobody's interface has it
            assert "can't listen on %s: " % taken in refused_serve(data, free, taken), taken
            assert os.listdir(folder) == ["taken.sock"], taken
        os.mkdir(data)
        refused_serve(data, "tcp://127.0.0.1:%d" % tcp.getsockname()[1])
        assert os.listdir(data) == []


MIB = 1 << 20
FRAME = 4  # the request's id counts as well


def ask(connection, **body):
    """The answer to a request, and its length as an SP socket sees it."""
    data = connection.exchange(pb.Request(**body).SerializeToString())
    return pb.Response.FromString(data), len(data) + FRAME


def test_answers_stay_below_what_sp_sockets_take():
    """1 MiB, unless the caller names more: nng's NNG_OPT_RECVMAXSZ."""
    codes = ["%064d" % i for i in range(10000)]
    with Engine("--items-max", "20000") as engine:
        connection = Connection(engine.url)
        for at in range(0, len(codes), 5000):
            answer, _ = ask(connection, define=pb.DefineRequest(
                skus=[pb.SkuRule(sku=code, label="L" * 256) for code in codes[at:at + 5000]],
                items=[pb.ItemDef(sku=code, pool="p" * 64) for code in codes[at:at + 5000]]))
            assert answer.status == OK, answer.message
        for limit in (0, 1000, 9999, 10000):
            seen, after = [], ""
            while True:
                answer, length = ask(connection, list_stock=pb.ListStockRequest(after_sku=after, limit=limit))
                assert answer.status == OK and length <= MIB, (limit, length)
                if not answer.stock.items:
                    break
                seen += [item.sku for item in answer.stock.items]
                after = seen[-1]
            assert seen == codes, (limit, len(seen))
        whole = pb.ListStockRequest(limit=10000)
        answer, length = ask(connection, list_stock=whole, answer_bytes_max=4 * MIB)
        assert len(answer.stock.items) == 10000 and MIB < length < 4 * MIB
        answer, length = ask(connection, get_stock=pb.GetStockRequest(item=range(1, 10001)))
        assert answer.status == INVALID and length < 1000, answer.status
        assert "answer_bytes_max is 1048576" in answer.message, answer.message
        answer, _ = ask(connection, get_stock=pb.GetStockRequest(item=range(1, 10001)),
                        answer_bytes_max=4 * MIB)
        assert len(answer.stock.items) == 10000
        answer, _ = ask(connection, get_skus=pb.GetSkusRequest(sku=codes))
        assert answer.status == INVALID and "answer_bytes_max" in answer.message
        answer, _ = ask(connection, get_skus=pb.GetSkusRequest(sku=codes), answer_bytes_max=4 * MIB)
        assert len(answer.skus.skus) == 10000
        answer, _ = ask(connection, status=pb.StatusRequest(), answer_bytes_max=262143)
        assert answer.status == INVALID and "answer_bytes_max" in answer.message
        answer, _ = ask(connection, status=pb.StatusRequest(), answer_bytes_max=262144)
        assert answer.status == OK
        rows = json.loads(run("stock", "list", "--json", "--url", engine.url))
        assert len(rows) == 10000


def test_lists_of_orders_stay_below_what_sp_sockets_take():
    with Engine() as engine:
        shop = Shop(engine.url)
        items = [shop.define("S%04d" % i, 10 ** 6) for i in range(100)]
        made = {new_id() for _ in range(600)}
        for order_id in made:
            assert shop.reserve(order_id, [line(item) for item in items]).status == OK
        connection = Connection(engine.url)
        seen, after, answers = set(), b"", 0
        while True:
            answer, length = ask(connection, list_orders=pb.ListOrdersRequest(after=after, limit=1000))
            assert answer.status == OK and length <= MIB, length
            answers += 1
            seen |= {o.id for o in answer.order_list.orders}
            assert all(len(o.grants) == 100 for o in answer.order_list.orders)
            after = answer.order_list.next
            if not after:
                break
        assert seen == made and answers > 1
        for options in (("--all",), ("--limit", "0"), ()):
            assert len(json.loads(run("order", "list", "--json", *options, "--url", engine.url))) == 600
        listed, more = set(), ()
        while more is not None:
            done = subprocess.run([BINARY, "order", "list", "--json", "--limit", "250", *more, "--url",
                                   engine.url], capture_output=True, text=True, timeout=WAIT_S)
            assert done.returncode == 0, done
            rows = {row["id"] for row in json.loads(done.stdout)}
            assert not rows & listed and len(rows) <= 250
            listed |= rows
            more = ("--after", done.stderr.split()[-1]) if "--after" in done.stderr else None
        assert len(listed) == 600
        assert "INVALID" in subprocess.run([BINARY, "order", "list", "--after", "00" * 16, "--url", engine.url],
                                           capture_output=True, text=True, timeout=WAIT_S).stderr
        run("order", "list", "--after", "xyz", "--url", engine.url, expect=2)


def test_full_names_the_setting_and_status_shows_it():
    with Engine("--orders-max", "4096", "--buyers-max", "512", "--items-max", "3", "--orders-ready", "0") as engine:
        shop = Shop(engine.url)
        plain = shop.define("PLAIN", 10 ** 6)
        shop.ask(define=pb.DefineRequest(skus=[pb.SkuRule(sku="LIMITED", limit_per_buyer=1)]))
        limited = shop.define("LIMITED", 10 ** 6)
        for buyers in range(0, 4096, 64):
            answer = shop.ask(reserve=reserve(*[order(new_id(), [line(limited)], buyer=buyers + i + 1)
                                                for i in range(64)]))
            if answer.orders.results[-1].status == FULL:
                break
        assert "buyers-max (512) is reached" in answer.message, answer.message
        for _ in range(0, 8192, 64):
            answer = shop.ask(reserve=reserve(*[order(new_id(), [line(plain)]) for _ in range(64)]))
            if answer.orders.results[-1].status == FULL:
                break
        assert "orders-max (4096) is reached" in answer.message, answer.message
        answer = shop.ask(reserve_batch=batch([new_id()], [plain]))
        assert list(answer.batch.status) == [FULL] and "orders-max (4096) is reached" in answer.message
        answer = shop.ask(define=pb.DefineRequest(items=[pb.ItemDef(sku="A"), pb.ItemDef(sku="B")]))
        assert answer.status == FULL and "items-max (3) is reached" in answer.message
        info = shop.must(status=pb.StatusRequest()).status_info
        assert (info.items_max, info.orders_max, info.buyers_max) == (3, 4096, 512), info
        assert (info.items, info.skus) == (2, 2) and info.hold_ms == 900000 and info.wal_bytes > 0
        told = json.loads(run("status", "--json", "--url", engine.url))
        assert told["orders_max"] == 4096 and told["items"] == 2 and told["items_max"] == 3
        assert "(orders-max)" in run("status", "--url", engine.url)


def test_both_ways_of_writing_the_log():
    for mode, names in (("sync", ("pwritev2",)), ("auto", ("pwritev2", "io_uring"))):
        with Engine("--wal-io", mode) as engine:
            shop = Shop(engine.url)
            item = shop.define("X", 10)
            order_id = new_id()
            assert shop.reserve(order_id, [line(item)]).status == OK
            assert shop.must(status=pb.StatusRequest()).status_info.wal_io in names
            engine.kill()
            engine.start()
            assert Shop(engine.url).state(order_id) == HELD
            engine.stop()


if __name__ == "__main__":
    main(globals())
