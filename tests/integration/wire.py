"""SP REQ over TCP and ipc, and protobuf field by field, from the standard library alone.

It shares no code with the engine, so that the tests see the wire contract itself, and can say what
no well-behaved client would. A message is written as a list of fields, each (number, kind, value),
and read as {number: [values]}, where a value is an int or bytes. Tests that say nothing unusual
use shop.py, whose messages protobuf's own Python library packs and unpacks.
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


# ---- SP over TCP and ipc ----

HELLO = b"\0SP\0\0\x30\0\0"


def connect(url, timeout=300):
    """A socket, connected, that has said nothing yet."""
    if url.startswith("ipc://"):
        connected = socket.socket(socket.AF_UNIX)
        connected.settimeout(timeout)
        connected.connect(url.removeprefix("ipc://"))
        return connected
    host, port = url.removeprefix("tcp://").rsplit(":", 1)
    connected = socket.create_connection((host, int(port)), timeout=timeout)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected


def read(connected, count):
    """So many bytes, in however many pieces they come: with a timeout, recv() never waits for all."""
    data = bytearray()
    while len(data) < count:
        part = connected.recv(min(count - len(data), 1 << 20))
        if not part:
            raise ConnectionError("closed by the engine")
        data += part
    return bytes(data)


class Connection:
    """One REQ peer. piece: so many bytes are sent at a time, each in a segment of its own; 0: all at
    once."""

    def __init__(self, url, timeout=300, piece=0):
        self.prefix = b"\1" if url.startswith("ipc://") else b""
        self.piece = piece
        self.socket = connect(url, timeout)
        self.write(HELLO)
        if self.read(8) != b"\0SP\0\0\x31\0\0":
            raise ConnectionError("not an SP REP peer")
        self.ids = itertools.count(int.from_bytes(os.urandom(3), "big"))

    def close(self):
        self.socket.close()

    def write(self, data):
        for at in range(0, len(data), self.piece or len(data)):
            self.socket.sendall(data[at:at + (self.piece or len(data))])

    def read(self, count):
        return read(self.socket, count)

    def frame(self, body):
        """A request as it goes over the wire, and its request id."""
        request_id = 0x80000000 | next(self.ids) & 0x7FFFFFFF
        return self.prefix + struct.pack(">QI", len(body) + 4, request_id) + body, request_id

    def receive(self):
        """The next reply: the id of its request, and its bytes."""
        assert self.read(len(self.prefix)) == self.prefix
        length, request_id = struct.unpack(">QI", self.read(12))
        return request_id, self.read(length - 4)

    def exchange(self, body):
        """Sends a request's bytes, returns the reply's."""
        framed, request_id = self.frame(body)
        self.write(framed)
        reply_id, reply = self.receive()
        assert reply_id == request_id, "a reply to another request"
        return reply

    def call(self, body_field, body, timeout_ms=0):
        """Sends a Request with one body; returns a Reply."""
        fields = [(body_field, "msg", body)]
        if timeout_ms:
            fields.append((2, "int", timeout_ms))
        return Reply(self.exchange(message(*fields)))


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
    def batch_ok(self):
        return first(self.body(11), 1)


# ---- messages of stock keeping ----

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
