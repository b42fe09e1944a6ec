"""What a storefront service in Python does: protobuf's own Python library, with the messages that
protoc makes of proto/holdfast.proto, over the sockets of wire.py.

CMake has the messages made and says where they are; a test that is run by hand makes its own.
Without python3-protobuf or protoc a test is skipped (exit status 77).
"""

import os
import subprocess
import sys
import tempfile

from wire import OK, NOT_FOUND, UNKNOWN_ITEM, Connection

PROTO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "proto")


def load_messages():
    made = os.environ.get("HOLDFAST_MESSAGES")
    with tempfile.TemporaryDirectory(prefix="holdfast-proto-") as temporary:
        try:
            if not made:
                made = temporary
                subprocess.run(["protoc", "-I", PROTO, "--python_out", made, "holdfast.proto"],
                               check=True)
            sys.path.insert(0, made)
            import holdfast_pb2
            return holdfast_pb2
        except (ImportError, OSError) as error:
            print("skipped: needs the Debian packages python3-protobuf and protobuf-compiler:",
                  error)
            sys.exit(77)


pb = load_messages()

LABEL, LIMIT, OPENS_AT, CLOSES_AT, PAUSED_FIELD, HOLD, HOLD_MAX = 1, 2, 4, 8, 16, 32, 64
ALL_RULES = 127
SAFETY, PRESALE_CAP, HOT = 1, 2, 4


def new_id():
    return os.urandom(16)


def line(item=0, qty=1, **other):
    return pb.Line(item=item, qty=qty, **other)


def order(order_id, lines, **other):
    return pb.Order(id=order_id, lines=lines, **other)


def reserve(*orders):
    return pb.ReserveRequest(orders=orders)


def edit(order_id, lines=(), late_ok=False):
    return pb.OrderEdit(id=order_id, late_ok=late_ok,
                        lines=[pb.LineQty(line=number, qty=qty) for number, qty in lines])


def edits(*all_edits):
    return pb.OrdersRequest(orders=all_edits)


def halves(ids):
    return {"id_hi": [int.from_bytes(i[:8], "big") for i in ids],
            "id_lo": [int.from_bytes(i[8:], "big") for i in ids]}


def batch(ids, items, **columns):
    return pb.ReserveBatch(item=items, **halves(ids), **columns)


def given(grants):
    """Grants as tuples: line, item, units, units of them that were pre-sold."""
    return [(g.line, g.item, g.qty, g.presale_qty) for g in grants]


class Shop:
    """The calls that tests make, on one connection. Other keyword arguments are fields of the
    message."""

    def __init__(self, url, **options):
        self.connection = Connection(url, **options)

    def ask(self, timeout_ms=0, token="", **body):
        """Sends a Request with one body, given as the field's name; returns the Response."""
        request = pb.Request(timeout_ms=timeout_ms, token=token, **body)
        return pb.Response.FromString(self.connection.exchange(request.SerializeToString()))

    def must(self, **body):
        response = self.ask(**body)
        assert response.status == OK, response
        return response

    def define(self, sku, stock=0, **item):
        """Makes an item; returns its handle."""
        response = self.must(define=pb.DefineRequest(items=[pb.ItemDef(sku=sku, **item)]))
        handle, = response.define.item
        if stock:
            assert self.adjust_status(new_id(), handle, delta=stock) == OK
        return handle

    def rule(self, sku, **rule):
        """Sets those of a SKU's rules that `fields` says, or that are not zero or empty."""
        self.must(define=pb.DefineRequest(skus=[pb.SkuRule(sku=sku, **rule)]))

    def rules(self, *skus):
        return list(self.must(get_skus=pb.GetSkusRequest(sku=skus)).skus.skus)

    def adjust(self, adjust_id, item, **change):
        return self.ask(adjust=pb.AdjustRequest(
            adjustments=[pb.Adjustment(id=adjust_id, item=item, **change)]))

    def adjust_result(self, *args, **change):
        result, = self.adjust(*args, **change).adjust.results
        return result

    def adjust_status(self, *args, **change):
        return self.adjust_result(*args, **change).status

    def reserve_response(self, order_id, lines, **other):
        return self.ask(reserve=reserve(order(order_id, lines, **other)))

    def reserve(self, *args, **other):
        result, = self.reserve_response(*args, **other).orders.results
        return result

    def reserve_batch(self, ids, items, **columns):
        """The status of each order."""
        answer = self.must(reserve_batch=batch(ids, items, **columns)).batch
        return list(answer.status) or [OK] * len(ids)

    def _edit(self, **body):
        result, = self.ask(**body).orders.results
        return result

    def commit(self, order_id, lines=(), late_ok=False):
        return self._edit(commit=edits(edit(order_id, lines, late_ok)))

    def release(self, order_id, lines=()):
        return self._edit(release=edits(edit(order_id, lines)))

    def give_back(self, order_id, lines=()):
        return self._edit(return_units=edits(edit(order_id, lines)))

    def extend(self, order_id, hold_ms=0):
        return self._edit(extend=pb.ExtendRequest(id=order_id, hold_ms=hold_ms))

    def order(self, order_id):
        """The order as it is; None: there is none."""
        response = self.ask(get_order=pb.GetOrderRequest(id=order_id))
        assert response.status in (OK, NOT_FOUND), response
        return response.order if response.status == OK else None

    def state(self, order_id):
        found = self.order(order_id)
        return found.state if found else 0

    def grants(self, order_id):
        return given(self.order(order_id).grants)

    def stock(self, item):
        found, = self.must(get_stock=pb.GetStockRequest(item=[item])).stock.items
        return found

    def free(self, item):
        return self.stock(item).available

    def all_stock(self):
        items, after = [], ""
        while True:
            page = self.must(list_stock=pb.ListStockRequest(after_sku=after)).stock.items
            if not page:
                return items
            items.extend(page)
            after = page[-1].sku

    def orders(self, **filters):
        """All orders of a list, page by page."""
        found, after = [], b""
        while True:
            answer = self.ask(list_orders=pb.ListOrdersRequest(after=after, **filters))
            if answer.status == UNKNOWN_ITEM:
                return answer.status
            assert answer.status == OK, answer
            found.extend(answer.order_list.orders)
            after = answer.order_list.next
            if not after:
                return found
