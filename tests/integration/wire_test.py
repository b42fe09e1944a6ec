"""The wire contract against the real engine: bad input, the table of states, columns, faults."""

import os
import socket
import struct
import time

from harness import Engine, main, run, wait_until
from wire import *


def new_id():
    return os.urandom(16)


def expect_invalid(reply, *words):
    assert reply.status == INVALID, "status %d: %s" % (reply.status, reply.message)
    for word in words:
        assert word in reply.message, "%r is not in %r" % (word, reply.message)


def test_bad_input_is_named_and_changes_nothing():
    with Engine() as engine:
        shop = Shop(engine.url)
        item = shop.define("PHONE", 100)
        call = shop.connection.call
        lines = [line(item)]

        # What is no Request at all.
        expect_invalid(Reply(shop.connection.exchange(b"\xff\xff\xff\xff")), "Request")
        expect_invalid(Reply(shop.connection.exchange(b"GET / HTTP/1.1\r\n\r\n")), "Request")
        expect_invalid(Reply(shop.connection.exchange(b"")), "body")
        expect_invalid(Reply(shop.connection.exchange(bytes(64 << 20))), "67108864")
        # Empty submessages by the hundred thousand.
        expect_invalid(call(10, b"\x0a\x00" * 500000))

        # Orders.
        expect_invalid(call(10, b""), "orders")
        expect_invalid(call(10, reserve(order(new_id(), [line(item)] * 2049))), "lines", "2048")
        assert call(10, reserve(order(new_id(), [line(item)] * 2048))).result.status == SOLD_OUT
        expect_invalid(call(10, reserve(order(new_id(), []))), "orders[0].lines")
        expect_invalid(call(10, reserve(order(new_id(), [line(item, 0)]))), "lines[0].qty")
        expect_invalid(call(10, reserve(order(new_id(), [line(item, 1000000001)]))), "lines[0].qty")
        expect_invalid(call(10, reserve(order(b"x" * 15, lines))), "orders[0].id", "15")
        expect_invalid(call(10, reserve(order(b"", lines))), "orders[0].id")
        expect_invalid(call(10, reserve(order(new_id(), [line(sku=b"x" * 65)]))), "sku", "65")
        expect_invalid(call(10, reserve(order(new_id(), [line(sku=b"\xc3\x28")]))), "sku", "UTF-8")
        expect_invalid(call(10, reserve(order(new_id(), [line(sku=b"")]))), "sku")
        expect_invalid(call(10, reserve(order(new_id(), [line(sku=b"PHONE", pool=b"p" * 65)]))),
                       "pool")
        expect_invalid(call(10, reserve(order(new_id(), [line(item, policy=1)]))), "policy")
        expect_invalid(call(10, reserve(order(new_id(), lines, hold_ms=4000000000))), "hold")
        assert call(10, reserve(order(new_id(), [line(999)]))).result.status == UNKNOWN_ITEM
        expect_invalid(call(11, edits(edit(b"short"))), "commit.orders[0].id")
        expect_invalid(call(13, message((1, "bytes", b""))), "extend.id")
        expect_invalid(call(20, message((1, "bytes", b"12"))), "get_order.id")

        # Columns.
        ids = [new_id() for _ in range(4)]
        expect_invalid(call(15, batch(ids, [item] * 3)), "item")
        expect_invalid(call(15, batch(ids, [item] * 4, qty=[1, 1, 1])), "qty")
        expect_invalid(call(15, batch(ids, [item] * 4, buyers=[1])), "buyer")
        expect_invalid(call(15, batch(ids, [item] * 4, line_count=[1, 1])), "line_count")
        expect_invalid(call(15, batch(ids, [item] * 4, line_count=[1, 1, 1, 2])), "item")
        expect_invalid(call(15, batch([], [])), "reserve_batch")
        expect_invalid(call(15, message((1, "packed64", [1, 2]), (2, "packed64", [1]),
                                        (4, "packed32", [item] * 2))), "id_lo")
        # One bad order leaves the others alone.
        reply = call(15, batch(ids, [item] * 4, qty=[1, 0, 1, 1]))
        assert reply.status == OK and "qty[1]" in reply.message, reply.message
        assert reply.batch_statuses == [OK, INVALID, OK, OK], reply.batch_statuses
        reply = call(10, reserve(order(new_id(), lines), order(b"", lines), order(new_id(), lines)))
        assert [r.status for r in reply.results] == [OK, INVALID, OK]
        assert "orders[1].id" in reply.message

        # Definitions and adjustments.
        expect_invalid(call(30, b""), "define")
        expect_invalid(call(30, message((2, "msg", item_def(b"s" * 65)))), "items[0].sku")
        expect_invalid(call(30, message((2, "msg", item_def("S", safety=-1)))), "safety")
        expect_invalid(call(30, message((1, "msg", message((1, "bytes", "S"), (3, "int", 2))))),
                       "limit_per_buyer")
        expect_invalid(call(31, message((1, "msg", adjustment(b"x", item, delta=1)))), "id")
        expect_invalid(call(31, message((1, "msg", adjustment(new_id(), item)))), "delta")

        stock = shop.stock(item)
        assert (stock.stocked, stock.held, stock.sold, stock.available) == (100, 5, 0, 95), vars(stock)
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
                    (state, name, vars(result))
                assert shop.state(order_id) == after, (state, name)

        # Other contents under the same id.
        order_id = made(HELD)
        for other in ([line(item, 2)], [line(item, 3), line(item, 1)]):
            assert shop.reserve(order_id, other).status == ID_CONFLICT
        assert shop.reserve(order_id, [line(item, 3)], buyer=7).status == ID_CONFLICT


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

        def rule(*fields):
            reply = shop.connection.call(
                30, message((1, "msg", message((1, "bytes", "WASHER"), *fields))))
            assert reply.status == OK, reply.message

        now = int(time.time() * 1000)
        rule((6, "int", 1))
        assert shop.reserve(new_id(), [line(item)]).status == PAUSED
        rule((4, "f64", now + 60000))
        assert shop.reserve(new_id(), [line(item)]).status == NOT_OPEN
        rule((5, "f64", now - 1))
        assert shop.reserve(new_id(), [line(item)]).status == CLOSED
        rule()
        held = new_id()
        assert shop.reserve(held, [line(item)]).status == OK
        rule((5, "f64", now - 1))
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
        assert time.monotonic() - begin < 30
        for s in hostile + [greedy]:
            s.close()
        engine.stop()


def test_token_is_asked_for():
    with Engine("--token", "s3cret") as engine:
        connection = Connection(engine.url)
        assert connection.call(40, b"").status == UNAUTHORIZED
        assert connection.call(40, b"", token="s3cre").status == UNAUTHORIZED
        assert connection.call(40, b"", token="s3crets").status == UNAUTHORIZED
        assert connection.call(40, b"", token="s3cret").status == OK


def test_second_engine_on_the_same_directory_is_refused():
    with Engine() as engine:
        run("serve", "--data", engine.data, "--listen", "tcp://127.0.0.1:0", expect=1)
        assert Shop(engine.url).define("X", 1) == 1


def test_both_ways_of_writing_the_log():
    for mode, names in (("sync", (b"pwritev2",)), ("auto", (b"pwritev2", b"io_uring"))):
        with Engine("--wal-io", mode) as engine:
            shop = Shop(engine.url)
            item = shop.define("X", 10)
            order_id = new_id()
            assert shop.reserve(order_id, [line(item)]).status == OK
            status = shop.connection.call(40, b"")
            assert first(status.body(40), 3) in names
            engine.kill()
            engine.start()
            assert Shop(engine.url).state(order_id) == HELD
            engine.stop()


if __name__ == "__main__":
    main(globals())
