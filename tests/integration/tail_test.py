"""The change stream: `wal tail` beside an engine, across its stops and kills, and from the archive."""

import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading

import harness
import wire
from harness import BINARY, Engine, run, wait_until
from shop import Shop, line

HOLD_MS = 3600 * 1000


class Tail:
    """`wal tail --follow --json`, read by a thread."""

    def __init__(self, data, *options):
        self.rows = []
        self.process = subprocess.Popen(
            [BINARY, "wal", "tail", "--data", data, "--follow", "--json", *options],
            stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        for text in self.process.stdout:
            self.rows.append(json.loads(text))

    def close(self):
        self.process.terminate()
        self.process.wait(harness.WAIT_S)
        self.thread.join()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def lsns(rows):
    return [r["lsn"] for r in rows]


def dumped(data, *options):
    text = run("wal", "dump", "--data", data, "--json", *options)
    return [json.loads(row) for row in text.splitlines()]


def reserve_some(shop, item, count):
    ids = [os.urandom(16) for _ in range(count)]
    for order in ids:
        assert shop.reserve(order, [line(item)], hold_ms=HOLD_MS).status == wire.OK
    return ids


def test_tail_tells_every_record_once_across_restarts():
    data = tempfile.mkdtemp(prefix="holdfast-tail-")
    try:
        with Engine(data=data) as engine, Tail(data) as tail:
            for round_number in range(4):
                shop = Shop(engine.url)
                item = shop.define("TAIL", 100000 if round_number == 0 else 0)
                reserve_some(shop, item, 50)
                wait_until(lambda: sum(r["type"] == "ORDER_HELD" for r in tail.rows) ==
                           50 * (round_number + 1), "all orders told")
                if round_number % 2:
                    engine.stop()
                else:
                    engine.kill()
                engine.start()
            engine.stop()
            tail.close()
            assert tail.rows == dumped(data)
            assert lsns(tail.rows) == sorted(set(lsns(tail.rows)))
            # From any LSN on, by a new reader: just what is behind it.
            for at in (0, 1, 77, len(tail.rows) - 1):
                lsn = str(tail.rows[at]["lsn"])
                text = run("wal", "tail", "--data", data, "--json", "--from", lsn)
                assert [json.loads(t) for t in text.splitlines()] == tail.rows[at + 1:]
            end = json.loads(run("wal", "verify", "--data", data, "--json"))["lsn"]
            assert run("wal", "tail", "--data", data, "--from", str(end)) == ""
            beyond = run("wal", "tail", "--data", data, "--json", "--from", str(end + 1), expect=1)
            assert "LSN %d is after" % (end + 1) in json.loads(beyond)["message"], beyond
    finally:
        shutil.rmtree(data, ignore_errors=True)


def test_tail_goes_through_segments_and_says_when_they_are_gone():
    data = tempfile.mkdtemp(prefix="holdfast-tail-")
    archive = tempfile.mkdtemp(prefix="holdfast-archive-")
    try:
        with Engine("--wal-segment-bytes", "4M", "--wal-bytes-max", "16M", "--archive-dir", archive,
                    data=data) as engine, Tail(data) as tail:
            shop = Shop(engine.url)
            item = shop.define("LONG", 10000000)
            count = 0
            names = os.path.join(data, "wal")

            def fill():
                nonlocal count
                for _ in range(20):
                    ids = [os.urandom(16) for _ in range(1000)]
                    assert set(shop.reserve_batch(ids, [item] * 1000, hold_ms=HOLD_MS)) == {0}
                    count += 1000
                wait_until(lambda: len(tail.rows) == count + 2, "the stream")
                return "wal-%016x.seg" % 1 not in os.listdir(names)

            wait_until(fill, "recycling")
            tail.close()
            assert lsns(tail.rows) == sorted(set(lsns(tail.rows)))
            gone = run("wal", "tail", "--data", data, "--from", "100", "--json", expect=1)
            assert json.loads(gone)["status"] == "EXPIRED", gone
            # The archive has it.
            text = run("wal", "tail", "--data", data, "--archive", archive, "--from", "0", "--json")
            assert [json.loads(t) for t in text.splitlines()] == tail.rows
            # Names come from a checkpoint where the definitions are gone.
            last = tail.rows[-1]
            text = run("wal", "tail", "--data", data, "--json", "--from", str(tail.rows[-2]["lsn"]))
            assert [json.loads(t) for t in text.splitlines()] == [last]
            assert last["lines"][0]["sku"] == "LONG"
            engine.stop()
    finally:
        shutil.rmtree(data, ignore_errors=True)
        shutil.rmtree(archive, ignore_errors=True)


def free_url():
    return "tcp://127.0.0.1:%d" % harness.free_port()


class Subscriber:
    """SP SUB: everything that is published, read by a thread."""

    def __init__(self, url):
        self.prefix = 1 if url.startswith("ipc://") else 0  # bytes before each length
        self.socket = wire.connect(url, harness.WAIT_S)
        self.socket.sendall(b"\0SP\0\0\x21\0\0")
        assert wire.read(self.socket, 8) == b"\0SP\0\0\x20\0\0"
        self.messages = []
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        try:
            while True:
                head = wire.read(self.socket, self.prefix + 8)
                length, = struct.unpack(">Q", head[self.prefix:])
                kind, subject, text = wire.read(self.socket, length).decode().split("\n")
                self.messages.append((kind, subject, json.loads(text)))
        except OSError:
            pass

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()


def await_subscription(shop, subscriber):
    """Defines items until the subscriber is told of one, and then has been told of the last: that it
    has the publisher's handshake says nothing of its own having come."""
    names = []

    def told():
        names.append("AWAITED-" + os.urandom(8).hex())
        shop.define(names[-1])
        return subscriber.messages

    wait_until(told, "a message")
    wait_until(lambda: names[-1] in subscriber.messages[-1][1], "the last of them")


def fetch(url, lsn, token=""):
    """Everything behind an LSN, by as many requests as it takes."""
    connection = wire.Connection(url)
    rows = []
    while True:
        request = "%d %s" % (lsn, token) if token else str(lsn)
        *part, last = connection.exchange(request.encode()).decode().splitlines()
        rows += [json.loads(t) for t in part]
        last = json.loads(last)
        if last["status"] != "OK":
            return last
        lsn = last["next"]
        if last["end"]:
            connection.close()
            return rows


def test_stream_publishes_in_order_and_fetch_fills_the_gaps():
    publish, ask = free_url(), free_url()
    data = tempfile.mkdtemp(prefix="holdfast-stream-")
    try:
        with Engine("--stream", publish, "--stream-fetch", ask, data=data) as engine:
            first = Subscriber(publish)
            # Begun before the directory was there: nothing is wrong with that.
            said = [line for line in engine.errors().splitlines() if "io_uring" not in line]
            assert not any(word in line for line in said for word in ("ERROR", "WARN")), said
            shop = Shop(engine.url)
            await_subscription(shop, first)
            before = len(first.messages)
            item = shop.define("STREAM", 100000)
            ids = reserve_some(shop, item, 20)
            assert shop.commit(ids[0]).status == wire.OK
            wait_until(lambda: len(first.messages) == before + 23, "all that happened")
            assert [m[0] for m in first.messages[before:]] == [
                "ITEM_DEFINED", "STOCK_ADJUSTED"] + ["ORDER_HELD"] * 20 + ["ORDER_COMMITTED"]
            assert first.messages[before + 2][1] == "STREAM@default"
            assert first.messages[-1][1] == ""
            told = [m[2] for m in first.messages]
            assert lsns(told) == sorted(set(lsns(told)))
            unheard = [r for r in fetch(ask, 0) if r["lsn"] < told[0]["lsn"]]
            first.close()
            # Missed: what happens while nobody listens, and across a kill.
            for _ in range(3):
                assert set(shop.reserve_batch([os.urandom(16) for _ in range(1000)], [item] * 1000,
                                              hold_ms=HOLD_MS)) == {wire.OK}
            engine.kill()
            engine.start()
            second = Subscriber(publish)
            shop = Shop(engine.url)
            await_subscription(shop, second)
            reserve_some(shop, item, 1)
            # What a listener has once it fetched: every record once, from both together.
            rows = []
            wait_until(lambda: rows.append(fetch(ask, told[-1]["lsn"])) or
                       rows[-1][-1]["type"] == "ORDER_HELD", "the last order")
            rows = unheard + told + rows[-1]
            assert lsns(rows) == sorted(set(lsns(rows)))
            assert sum(r["type"] == "ORDER_HELD" for r in rows) == 3021
            wait_until(lambda: second.messages[-1][2] == rows[-1], "the stream goes on")
            assert fetch(ask, 0) == rows
            answer = wire.Connection(ask).exchange(b"-1")
            assert json.loads(answer)["status"] == "INVALID", answer
            assert fetch(ask, rows[-1]["lsn"]) == []
            beyond = fetch(ask, rows[-1]["lsn"] + 10**6)
            assert beyond["status"] == "INVALID" and "is after" in beyond["message"], beyond
            second.close()
            engine.stop()
            assert rows == dumped(data)
    finally:
        shutil.rmtree(data, ignore_errors=True)


def vanish(url, hello, answer, times):
    """Connects and goes with a reset: at once, in the handshake, behind it, behind a message's head."""
    for i in range(times):
        stranger = wire.connect(url)
        if i % 4 == 1:
            stranger.sendall(hello[:3])
        elif i % 4 > 1:
            while stranger.recv(1, socket.MSG_PEEK) == b"":  # full of those that have just gone
                stranger.close()
                stranger = wire.connect(url)
            stranger.sendall(hello)
            assert wire.read(stranger, 8) == answer
        if i % 4 == 3:
            stranger.sendall(b"\0" * 6 + b"\0\x40\x80\0\0\1")
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stranger.close()


def check_strangers(publish, ask):
    with Engine("--stream", publish, "--stream-fetch", ask) as engine:
        shop = Shop(engine.url)
        item = shop.define("STREAM", 100000)
        for _ in range(10):
            vanish(publish, b"\0SP\0\0\x21\0\0", b"\0SP\0\0\x20\0\0", 50)
            vanish(ask, wire.HELLO, b"\0SP\0\0\x31\0\0", 50)
            reserve_some(shop, item, 1)
        wait_until(lambda: sum(r["type"] == "ORDER_HELD" for r in fetch(ask, 0)) == 10, "the orders")
        subscriber = Subscriber(publish)
        wait_until(lambda: reserve_some(shop, item, 1) and subscriber.messages, "a message")
        subscriber.close()
        engine.stop()


def test_stream_survives_strangers():
    check_strangers(free_url(), free_url())


def served(attempt):
    """Whether something is served: a connection that a dead listener left waiting is reset."""
    try:
        return attempt()
    except (ConnectionError, TimeoutError):
        return False


def test_stream_listens_anew_where_strangers_have_stopped_its_listeners():
    """nng 1.5.2's ipc listeners stop when somebody hangs up in the handshake."""
    data = tempfile.mkdtemp(prefix="holdfast-stream-")
    publish, ask = ["ipc://" + os.path.join(data, name) for name in ("publish", "fetch")]
    try:
        with Engine("--stream", publish, "--stream-fetch", ask, data=data) as engine:
            shop = Shop(engine.url)
            item = shop.define("STREAM", 100000)
            for url in (publish, ask) * 3:
                vanish(url, wire.HELLO, b"", 2)
            wait_until(lambda: served(lambda: fetch(ask, 0)), "an answer")
            subscriber = []
            wait_until(lambda: served(lambda: subscriber.append(Subscriber(publish)) or True),
                       "a subscription")
            wait_until(lambda: reserve_some(shop, item, 1) and subscriber[0].messages, "a message")
            subscriber[0].close()
            engine.stop()
    finally:
        shutil.rmtree(data, ignore_errors=True)


def test_stream_wants_the_token_and_publishes_to_nobody_without_it():
    publish, ask = free_url(), free_url()
    refused = subprocess.run([BINARY, "serve", "--token", "hush hush", "--stream", "tcp://0.0.0.0:0"],
                             capture_output=True, text=True, timeout=harness.WAIT_S)
    assert refused.returncode == 2, refused
    assert "stream:" in refused.stderr and "token" in refused.stderr, refused
    with Engine("--stream", publish, "--stream-fetch", ask, "--token", "hush hush") as engine:
        subscriber = Subscriber(publish)  # loopback
        names = iter("STREAM-%d" % i for i in range(10**6))
        define = lambda: run("stock", "define", next(names), "--url", engine.url, "--token", "hush hush")
        wait_until(lambda: define() and subscriber.messages, "a message")
        wait_until(lambda: fetch(ask, 0, "hush hush"), "the record")
        assert {r["type"] for r in fetch(ask, 0, "hush hush")} == {"ITEM_DEFINED"}
        assert fetch(ask, 0) == {"status": "UNAUTHORIZED", "message": "token: missing"}
        for wrong in ("hush", "hush hush hush", "HUSH HUSH"):
            assert fetch(ask, 0, wrong) == {
                "status": "UNAUTHORIZED", "message": "token: not the right one"}
        subscriber.close()
        engine.stop()


if __name__ == "__main__":
    harness.main(globals())
