"""Many requests under way on each connection, sent in pieces and all at once, and connections that go
in the middle of it: each answer has its own request's id and says what that one asked for.

Few exchanges are shared by all, so that one is used anew as soon as its answer has left, while other
answers still wait for the log. What was acknowledged is there afterwards, whole; what was asked and
not answered is there whole, or not at all; and the stock is what all of that adds up to.
"""

import os
import random
import socket
import struct
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from budget import Budget  # noqa: E402
from harness import Engine, main
from shop import Shop, edit, edits, given, line, order, pb, reserve
from wire import BUSY, COMMITTED, HELD, NOT_FOUND, OK, Connection

THREADS = 6
CONTEXTS = 24
AT_ONCE = CONTEXTS // 2 - 1  # below what a connection may have in hand: one that is slow is cut off there
ITEMS = 40
HOLD_MS = 3600 * 1000


class Order:
    """All of it is made of its number."""

    def __init__(self, number, items, empty):
        self.id = struct.pack(">QQ", 0xF1F0, number)
        self.buyer = number + 1
        self.item = items[number % ITEMS]
        self.qty = number % 97 + 1
        self.line = line(empty, self.qty, fallback=[self.item])
        self.commit_asked = False

    def grants(self):
        return [(1, self.item, self.qty, 0)]

    def is_told(self, told):
        return (told.id == self.id and told.buyer == self.buyer and
                given(told.grants) == self.grants() and
                (told.state == HELD or (told.state == COMMITTED and self.commit_asked)))


class Caller(threading.Thread):
    def __init__(self, number, url, items, empty, budget_rounds):
        super().__init__()
        self.random = random.Random(number)
        self.number, self.url, self.items, self.empty = number, url, items, empty
        self.rounds = budget_rounds
        self.made = 0
        self.acknowledged, self.unknown = [], []
        self.answers = self.busy = 0
        self.error = None

    def run(self):
        try:
            for _ in range(self.rounds):
                self.round()
        except Exception as error:  # told by the main thread
            import traceback
            self.error = "%s\n%s" % (error, traceback.format_exc())

    def question(self):
        """A request, and what its answer must be; `lost` when there was none."""
        kind = self.random.randrange(6) if self.acknowledged else 0
        if kind < 3:
            asked = Order(self.number * 1000000 + self.made, self.items, self.empty)
            self.made += 1

            def check(response):
                if response.status == BUSY:
                    return
                result, = response.orders.results
                assert result.status == OK, result
                assert given(result.grants) == asked.grants(), (result, asked.grants())
                self.acknowledged.append(asked)

            return (pb.Request(reserve=reserve(order(asked.id, [asked.line], buyer=asked.buyer,
                                                     hold_ms=HOLD_MS))),
                    check, lambda: self.unknown.append(asked))
        nothing = lambda: None
        if kind == 3:
            asked = self.random.choice(self.acknowledged)

            def check_order(response):
                assert asked.is_told(response.order), (response, asked.__dict__)

            return pb.Request(get_order=pb.GetOrderRequest(id=asked.id)), check_order, nothing
        if kind == 4:
            asked = self.random.choice(self.acknowledged)
            asked.commit_asked = True

            def check_commit(response):
                result, = response.orders.results
                assert result.status == OK and result.state == COMMITTED, result

            return pb.Request(commit=edits(edit(asked.id))), check_commit, nothing
        item = self.random.choice(self.items)

        def check_stock(response):
            assert [i.item for i in response.stock.items] == [item], response

        return pb.Request(get_stock=pb.GetStockRequest(item=[item])), check_stock, nothing

    def round(self):
        connection = Connection(self.url, piece=self.random.choice((0, 0, 0, 700, 61)))
        waiting = {}
        sent = b""
        for _ in range(self.random.randint(1, AT_ONCE)):
            request, check, lost = self.question()
            framed, request_id = connection.frame(request.SerializeToString())
            waiting[request_id] = check, lost
            sent += framed
        cut = self.random.randrange(4) == 0
        if cut and self.random.randrange(2):
            sent = sent[:self.random.randrange(len(sent))]
        connection.write(sent or b"\0")
        answered = self.random.randrange(len(waiting)) if cut else len(waiting)
        if cut and len(sent) < 2000:
            answered = 0
        for _ in range(answered):
            if not waiting or cut and not self.is_coming(connection):
                break
            request_id, body = connection.receive()
            assert request_id in waiting, "an answer to no request, or a second one"
            check, _ = waiting.pop(request_id)
            response = pb.Response.FromString(body)
            self.answers += 1
            if response.status == BUSY:
                self.busy += 1
            if response.status != BUSY:
                check(response)
        for _, lost in waiting.values():
            lost()
        if cut:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    def is_coming(self, connection):
        """Whether an answer has begun to come: one of those that were cut need not be answered."""
        connection.socket.settimeout(0.02)
        try:
            return connection.socket.recv(1, socket.MSG_PEEK) != b""
        except TimeoutError:
            return False
        finally:
            connection.socket.settimeout(300)


def check_books(shop, callers, items):
    units = dict.fromkeys(items, 0)
    for caller in callers:
        for asked in caller.acknowledged:
            told = shop.order(asked.id)
            assert told and asked.is_told(told), (told, asked.__dict__)
            units[asked.item] += asked.qty
        for asked in caller.unknown:
            told = shop.order(asked.id)
            assert told is None or asked.is_told(told), (told, asked.__dict__)
            units[asked.item] += asked.qty if told else 0
    for item in items:
        stock = shop.stock(item)
        assert stock.held + stock.sold == units[item], (stock, units[item])


def test_each_answer_is_its_own_requests():
    for number in Budget("crowds of connections", 1, 6, 60):
        with Engine("--contexts", str(CONTEXTS), ipc=True) as engine:
            shop = Shop(engine.url)
            items = [shop.define("PIPE-%d" % i, 10**9) for i in range(ITEMS)]
            empty = shop.define("EMPTY")
            callers = [Caller(number * THREADS + i + 1, engine.urls[i % 2], items, empty, 30)
                       for i in range(THREADS)]
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join()
            errors = [caller.error for caller in callers if caller.error]
            assert not errors, errors[0]
            answers = sum(caller.answers for caller in callers)
            assert answers > sum(caller.busy for caller in callers)
            check_books(shop, callers, items)
            engine.stop()


if __name__ == "__main__":
    main(globals())
