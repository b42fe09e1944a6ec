"""A client of Holdfast by hand: SP REQ over TCP and protobuf, from the standard library alone.

It shares no code with the engine, so that the tests see the wire contract itself. A message is
written as a list of fields, each (number, kind, value), and read as {number: [values]}, where a
value is an int or bytes.
"""

import itertools
import os
import socket
import struct

# Statuses and states, by the numbers of the wire contract.
OK, INVALID, UNAUTHORIZED, BUSY, FULL, READ_ONLY, INTERNAL = 0, 1, 2, 3, 4, 5, 6
UNKNOWN_ITEM, SOLD_OUT, LIMIT_EXCEEDED, BUYER_REQUIRED = 10, 11, 12, 13
NOT_OPEN, CLOSED, PAUSED, ID_CONFLICT, NOT_FOUND = 14, 15, 16, 17, 20
ALREADY_COMMITTED, ALREADY_RELEASED, EXPIRED = 21, 22, 23
EXPIRED_SOLD_OUT, NOT_COMMITTED, WOULD_OVERSELL, CONFLICT = 24, 25, 30, 31
HELD, COMMITTED, RELEASED, STATE_EXPIRED, RETURNED = 1, 2, 3, 4, 5


# ---- protobuf ----

def varint(value):
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value):
    return (value << 1) ^ (value >> 63)


def message(*fields):
    """Encodes fields: (number, "int" | "sint" | "f32" | "f64" | "bytes" | "msg" | packed, value)."""
    out = b""
    for number, kind, value in fields:
        if kind in ("int", "sint"):
            out += varint(number << 3) + varint(zigzag(value) if kind == "sint" else value)
        elif kind == "f64":
            out += varint(number << 3 | 1) + struct.pack("<Q", value)
        elif kind == "f32":
            out += varint(number << 3 | 5) + struct.pack("<I", value)
        else:
            if kind == "packed64":
                value = struct.pack("<%dQ" % len(value), *value)
            elif kind == "packed32":
                value = struct.pack("<%dI" % len(value), *value)
            elif kind == "packedint":
                value = b"".join(varint(v) for v in value)
            elif isinstance(value, str):
                value = value.encode()
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def parse(data):
    """Decodes a message into {number: [values in order]}."""
    fields = {}
    at = 0

    def read_varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = read_varint()
        kind = key & 7
        if kind == 0:
            value = read_varint()
        elif kind == 1:
            value, at = struct.unpack_from("<Q", data, at)[0], at + 8
        elif kind == 5:
            value, at = struct.unpack_from("<I", data, at)[0], at + 4
        elif kind == 2:
            length = read_varint()
            value, at = bytes(data[at:at + length]), at + length
        else:
            raise ValueError("wire type %d" % kind)
        fields.setdefault(key >> 3, []).append(value)
    return fields


def first(fields, number, default=0):
    return fields.get(number, [default])[0]


def signed(value):
    return (value >> 1) ^ -(value & 1)


def packed_ints(data):
    values, at = [], 0
    while at < len(data):
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        values.append(value)
    return values


# ---- SP over TCP ----

class Connection:
    """One REQ peer: requests one after the other."""

    def __init__(self, url, timeout=30):
        host, port = url.removeprefix("tcp://").rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(b"\0SP\0\0\x30\0\0")
        if self._read(8) != b"\0SP\0\0\x31\0\0":
            raise ConnectionError("not an SP REP peer")
        self.ids = itertools.count(int.from_bytes(os.urandom(3), "big"))

    def close(self):
        self.socket.close()

    def _read(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise ConnectionError("closed by the engine")
            data += part
        return data

    def exchange(self, body):
        """Sends a request's bytes, returns the reply's."""
        request_id = 0x80000000 | next(self.ids) & 0x7FFFFFFF
        header = struct.pack(">QI", len(body) + 4, request_id)
        self.socket.sendall(header + body)
        length, reply_id = struct.unpack(">QI", self._read(12))
        assert reply_id == request_id, "a reply to another request"
        return self._read(length - 4)

    def call(self, body_field, body, timeout_ms=0, token=None):
        """Sends a Request with one body; returns a Reply."""
        fields = [(body_field, "msg", body)]
        if timeout_ms:
            fields.append((2, "int", timeout_ms))
        if token:
            fields.append((1, "bytes", token))
        return Reply(self.exchange(message(*fields)))


class Result:
    def __init__(self, data):
        fields = parse(data)
        self.status = first(fields, 1)
        self.replayed = bool(first(fields, 2))
        self.blocking_line = first(fields, 3)
        self.deadline_ms = first(fields, 4)
        self.state = first(fields, 6)


class Stock:
    def __init__(self, data):
        fields = parse(data)
        self.item = first(fields, 1)
        self.sku = first(fields, 2, b"").decode()
        self.pool = first(fields, 3, b"").decode()
        (self.stocked, self.held, self.sold, self.available, self.safety, self.presale_cap) = (
            signed(first(fields, n)) for n in range(4, 10))


class Reply:
    def __init__(self, data):
        self.fields = parse(data)
        self.status = first(self.fields, 1)
        self.message = first(self.fields, 2, b"").decode()
        self.lsn = first(self.fields, 3)
        self.retry_after_ms = first(self.fields, 4)

    def body(self, number):
        return parse(first(self.fields, number, b""))

    @property
    def results(self):
        return [Result(r) for r in self.body(10).get(1, [])]

    @property
    def result(self):
        results = self.results
        assert len(results) == 1, results
        return results[0]

    @property
    def stock(self):
        return [Stock(s) for s in self.body(21).get(1, [])]

    @property
    def batch_statuses(self):
        """None: all OK."""
        body = self.body(11)
        return packed_ints(first(body, 2, b"")) if 2 in body else None

    @property
    def batch_ok(self):
        return first(self.body(11), 1)


# ---- messages ----

def line(item=0, qty=1, sku=None, pool=None, **other):
    fields = []
    if item:
        fields.append((1, "f32", item))
    if sku is not None:
        fields.append((2, "bytes", sku))
    if pool is not None:
        fields.append((3, "bytes", pool))
    fields.append((4, "int", qty))
    for name, number in (("policy", 5), ("min_qty", 6), ("split", 8)):
        if name in other:
            fields.append((number, "int", other[name]))
    return message(*fields)


def order(order_id, lines, buyer=0, hold_ms=0):
    fields = [(1, "bytes", order_id)]
    if buyer:
        fields.append((2, "f64", buyer))
    if hold_ms:
        fields.append((3, "int", hold_ms))
    return message(*fields, *((4, "msg", l) for l in lines))


def reserve(*orders):
    return message(*((1, "msg", o) for o in orders))


def edit(order_id, lines=(), late_ok=False):
    fields = [(1, "bytes", order_id)]
    if late_ok:
        fields.append((2, "int", 1))
    for number, qty in lines:
        fields.append((3, "msg", message((1, "int", number), (2, "int", qty))))
    return message(*fields)


def edits(*all_edits):
    return message(*((1, "msg", e) for e in all_edits))


def batch(ids, items, qty=None, buyers=None, line_count=None, hold_ms=0):
    fields = [(1, "packed64", [int.from_bytes(i[:8], "big") for i in ids]),
              (2, "packed64", [int.from_bytes(i[8:], "big") for i in ids]),
              (4, "packed32", items)]
    if buyers is not None:
        fields.append((3, "packed64", buyers))
    if qty is not None:
        fields.append((5, "packed32", qty))
    if line_count is not None:
        fields.append((6, "packedint", line_count))
    if hold_ms:
        fields.append((7, "int", hold_ms))
    return message(*fields)


def item_def(sku, pool=None, safety=0, presale_cap=0, hot=False):
    fields = [(1, "bytes", sku)]
    if pool:
        fields.append((2, "bytes", pool))
    if safety:
        fields.append((3, "sint", safety))
    if presale_cap:
        fields.append((4, "sint", presale_cap))
    if hot:
        fields.append((5, "int", 1))
    return message(*fields)


def adjustment(adjust_id, item, delta=None, set_to=None, expected=None, force=False):
    fields = [(1, "bytes", adjust_id), (2, "f32", item)]
    for number, value in ((5, delta), (6, set_to), (7, expected)):
        if value is not None:
            fields.append((number, "sint", value))
    if force:
        fields.append((10, "int", 1))
    return message(*fields)


class Shop:
    """The calls that tests make, on one connection."""

    def __init__(self, url):
        self.connection = Connection(url)

    def define(self, sku, stock, **item):
        reply = self.connection.call(30, message((2, "msg", item_def(sku, **item))))
        assert reply.status == OK, reply.message
        handle = struct.unpack("<I", first(reply.body(30), 1))[0] if isinstance(
            first(reply.body(30), 1), bytes) else first(reply.body(30), 1)
        if stock:
            reply = self.adjust(os.urandom(16), handle, delta=stock)
            assert reply.status == OK, reply.message
        return handle

    def adjust(self, adjust_id, item, **change):
        return self.connection.call(31, message((1, "msg", adjustment(adjust_id, item, **change))))

    def adjust_status(self, *args, **change):
        reply = self.adjust(*args, **change)
        return first(parse(first(reply.body(31), 1, b"")), 1)

    def reserve(self, order_id, lines, **other):
        return self.connection.call(10, reserve(order(order_id, lines, **other))).result

    def commit(self, order_id, lines=(), late_ok=False):
        return self.connection.call(11, edits(edit(order_id, lines, late_ok))).result

    def release(self, order_id, lines=()):
        return self.connection.call(12, edits(edit(order_id, lines))).result

    def give_back(self, order_id, lines=()):
        return self.connection.call(14, edits(edit(order_id, lines))).result

    def extend(self, order_id, hold_ms=0):
        fields = [(1, "bytes", order_id)] + ([(2, "int", hold_ms)] if hold_ms else [])
        return self.connection.call(13, message(*fields)).result

    def state(self, order_id):
        reply = self.connection.call(20, message((1, "bytes", order_id)))
        return 0 if reply.status == NOT_FOUND else first(reply.body(20), 2)

    def stock(self, item):
        reply = self.connection.call(21, message((1, "packed32", [item])))
        assert reply.status == OK, reply.message
        return reply.stock[0]
