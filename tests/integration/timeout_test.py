"""How long the command line waits for an engine, and an engine for its clients."""

import os
import signal
import socket
import subprocess
import tempfile
import threading
import time

import harness
from harness import BINARY, WAIT_S, Engine, run

HANDSHAKE = b"\0SP\0\0\x30\0\0"
ID = "3f2c8a54-0000-4000-8000-000000000001"


def commands():
    """One command line of each kind that talks to an engine, and whether it goes step by step."""
    folder = tempfile.mkdtemp(prefix="holdfast-timeout-")
    stock = os.path.join(folder, "stock.csv")
    orders = os.path.join(folder, "orders.csv")
    with open(stock, "w") as f:
        f.write("sku,stock\nA,5\n")
    with open(orders, "w") as f:
        f.write("order,state,sku,qty\n%s,paid,A,1\n" % ID)
    yield ["status"]
    yield ["stock", "import", stock]
    yield ["stock", "list"]
    yield ["stock", "show", "A"]
    yield ["stock", "adjust", "A", "+1"]
    yield ["stock", "define", "A", "--hot"]
    yield ["stock", "pause", "A"]
    yield ["order", "reserve", ID, "A:1"]
    yield ["order", "commit", ID]
    yield ["order", "release", ID]
    yield ["order", "extend", ID]
    yield ["order", "return", ID]
    yield ["order", "show", ID]
    yield ["order", "list"]
    yield ["reconcile", orders]
    for path in (stock, orders):
        os.unlink(path)
    os.rmdir(folder)


def fails(command, url, *options):
    """Runs a command that must end with 3; what it said on stderr."""
    done = subprocess.run([BINARY, *command, "--url", url, *options], capture_output=True, text=True,
                          timeout=WAIT_S)
    assert done.returncode == 3, (command, done)
    return done.stderr


def unused_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_refused_at_once_with_the_reason():
    """By a timeout that nobody would wait for."""
    url = "tcp://127.0.0.1:%d" % unused_port()
    for command in commands():
        said = fails(command, url, "--timeout", "10m")
        assert "nothing listens on %s (connection refused)" % url in said, said
    said = fails(["load"], url, "--orders", "10")
    assert "nothing listens on %s (connection refused)" % url in said, said
    for url, reason in (("ipc:///nowhere/at/all.sock", "there is no such path"),
                        ("tcp://nowhere.invalid:7411", "the host of tcp://nowhere.invalid:7411")):
        said = fails(["status"], url, "--timeout", "10m")
        assert reason in said, said


def test_refused_at_once_by_another_protocol():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(0.05)
        ended = threading.Event()

        def answer():
            while not ended.is_set():
                try:
                    peer, _ = listening.accept()
                except socket.timeout:
                    continue
                with peer:
                    peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            url = "tcp://127.0.0.1:%d" % listening.getsockname()[1]
            said = fails(["status"], url, "--timeout", "10m")
            assert "does not speak Holdfast's protocol" in said, said
        finally:
            ended.set()
            thread.join()


def test_timeout_ends_every_command():
    """One that listens and never accepts; then an engine that is stopped."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        url = "tcp://127.0.0.1:%d" % listening.getsockname()[1]
        for command in commands():
            # A busy machine does not always connect in this time.
            said = fails(command, url, "--timeout", "100ms")
            assert "waited for 100 ms" in said, said
        said = fails(["status"], url, "--timeout", "5s")
        assert "takes connections, but does not answer; waited for 5 s" in said, said
    with Engine() as engine:
        run("stock", "define", "A", "--url", engine.url)
        engine.process.send_signal(signal.SIGSTOP)
        for command in commands():
            fails(command, engine.url, "--timeout", "100ms")
        engine.process.send_signal(signal.SIGCONT)
        engine.stop()


class SlowDoor:
    """Between a client and an engine: each piece that comes back is held for a while."""

    def __init__(self, url, hold_s):
        self.engine = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
        self.hold_s = hold_s
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = "tcp://127.0.0.1:%d" % self.listening.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            engine = socket.create_connection(self.engine)
            threading.Thread(target=self.pipe, args=(client, engine, 0), daemon=True).start()
            threading.Thread(target=self.pipe, args=(engine, client, self.hold_s), daemon=True).start()

    @staticmethod
    def pipe(source, sink, hold_s):
        try:
            while data := source.recv(65536):
                time.sleep(hold_s)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_timeout_is_for_the_whole_command():
    """Each answer comes within the timeout, all of them together don't."""
    with Engine() as engine:
        run("stock", "define", "A", "--url", engine.url)
        door = SlowDoor(engine.url, 0.4)
        run("stock", "show", "A", "--url", door.url, "--timeout", "5m")
        said = fails(["stock", "show", "A"], door.url, "--timeout", "700ms")
        assert "within 700 ms" in said or "waited for 700 ms" in said, said
        door.listening.close()
        engine.stop()


def stuck_clients(port):
    """Sockets that keep an engine waiting, each in its own way."""
    def dial(*pieces):
        s = socket.create_connection(("127.0.0.1", port))
        s.setblocking(False)
        for piece in pieces:
            try:
                s.send(piece)
            except BlockingIOError:
                break
        return s

    request = (12).to_bytes(8, "big") + b"\x80\0\0\1" + b"\x82\x01\0" + b"\0" * 5
    return [dial(), dial(HANDSHAKE[:3]), dial(HANDSHAKE), dial(b"GET / HTTP/1.1\r\n\r\n"),
            dial(HANDSHAKE, b"\0\0"), dial(HANDSHAKE, (1 << 20).to_bytes(8, "big") + b"\x80\0"),
            dial(HANDSHAKE, *[request * 500] * 200)]  # and reads no answer


def test_sigterm_ends_an_engine_whose_clients_are_stuck():
    """Idle, half-greeted, in the middle of a message, not reading, stopped."""
    with Engine() as engine:
        run("stock", "define", "A", "--url", engine.url)
        sockets = [s for _ in range(20) for s in stuck_clients(engine.port)]
        engine.stop()  # within WAIT_S: it waits 5 s for answers to be taken
        for s in sockets:
            s.close()


if __name__ == "__main__":
    harness.main(globals())
