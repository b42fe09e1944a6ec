"""Attacks on an engine, and the well-behaved neighbours that must not notice them.

attack_test.py runs them small and asserts what must hold on any machine; bench/siege.py runs them
at full strength and measures. All of it stays on loopback, is bounded in number and time, and ends
with the block that began it.

- Neighbours sends orders at a low, steady rate, and makes a new connection now and then. It keeps
  the time that each answer took.
- Attack runs one of the functions of ATTACKS in a process of its own.
- Flood is a client in C (flood.c) for what must cost the machine little."""

import collections
import contextlib
import errno
import json
import multiprocessing
import os
import random
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))

import wire  # noqa: E402  (tests/integration/wire.py)

HELLO = wire.HELLO
GREETED = b"\0SP\0\0\x31\0\0"
MIB = 1 << 20
SKUS = 3000  # as many as a shop has: a list of them is 100 KiB
STOCK = 1000000000
HOLD_MS = 600000
RESERVE, RESERVE_BATCH, GET_STOCK, LIST_STOCK, DEFINE, ADJUST, STATUS = 10, 15, 21, 22, 30, 31, 40
STATUS_NAMES = {number: name for name, number in vars(wire).items()
                if isinstance(number, int) and name in (
                    "OK", "INVALID", "BUSY", "FULL", "READ_ONLY", "INTERNAL", "SOLD_OUT")}
# Of a sample: see flood.c.
NO_ANSWER, NO_CONNECTION = 255, 254
# Attackers have addresses of their own, so that limits for an address don't meet their neighbours.
ATTACKERS_FROM = (127 << 24) + (66 << 8) + 1
LISTENER_CLOSED = "has stopped taking connections"


# ---- Stock ----

def signed(value):
    return (value >> 1) ^ -(value & 1)


class Stock:
    """Items with plenty of stock, and what the engine says of them afterwards. To make it once more
    changes nothing: the adjustments have the same ids."""

    def __init__(self, url, skus=SKUS):
        self.url = url
        connection = wire.Connection(url)
        defined = connection.call(DEFINE, wire.message(
            *((2, "msg", wire.item_def("HOSTILE-%05d" % i)) for i in range(skus))))
        assert defined.status == wire.OK, defined.message
        packed = wire.first(defined.body(DEFINE), 1, b"")
        self.items = list(struct.unpack("<%dI" % (len(packed) // 4), packed))
        stocked = connection.call(ADJUST, wire.message(
            *((1, "msg", wire.adjustment(struct.pack(">8sQ", b"hostile", item), item, delta=STOCK))
              for item in self.items)))
        assert stocked.status == wire.OK, stocked.message
        connection.close()

    def held(self):
        """Units that are held and sold of all items; none may have more than it was given."""
        connection = wire.Connection(self.url)
        reply = connection.call(GET_STOCK, wire.message((1, "packed32", self.items)))
        connection.close()
        assert reply.status == wire.OK, reply.message
        total = 0
        for data in reply.body(GET_STOCK)[1]:
            item = wire.parse(data)
            taken = signed(wire.first(item, 5)) + signed(wire.first(item, 6))
            assert 0 <= taken <= signed(wire.first(item, 4)) == STOCK, item
            total += taken
        return total


# ---- Messages that are encoded once ----

COUNTER = b"\xc0UNTER\xc0\xc0"  # stands where each message has a number of its own


def framed(body):
    return struct.pack(">QI", len(body) + 4, 0x80000001) + body


class Messages:
    """A file of frames of one size. `counters` numbers of 8 bytes, from `counter_at` on, are what
    makes each message's ids unique."""

    def __init__(self, folder, bodies, counters=0):
        frames = [framed(body) for body in bodies]
        self.size = len(frames[0])
        assert all(len(frame) == self.size for frame in frames)
        self.counters = counters
        self.counter_at = frames[0].find(COUNTER) if counters else 0
        handle, self.path = tempfile.mkstemp(prefix="messages.", dir=folder)
        with os.fdopen(handle, "wb") as file:
            file.write(b"".join(frames))

    @classmethod
    def orders(cls, folder, items, timeout_ms=0, hold_ms=HOLD_MS):
        """One order of one unit a message."""
        prefix = os.urandom(8)
        return cls(folder, [request(RESERVE, wire.message((1, "msg", wire.message(
            (1, "bytes", prefix + COUNTER), (3, "int", hold_ms),
            (4, "msg", wire.message((1, "f32", item), (4, "int", 1)))))), timeout_ms)
            for item in items], counters=1)

    @classmethod
    def batches(cls, folder, items, size, timeout_ms=0, hold_ms=HOLD_MS):
        """`size` orders of one unit a message, in columns."""
        high, = struct.unpack("<Q", os.urandom(8))
        counter, = struct.unpack("<Q", COUNTER)
        bodies = []
        for first in range(0, min(len(items), 16)):
            chosen = [items[(first * 37 + i) % len(items)] for i in range(size)]
            bodies.append(request(RESERVE_BATCH, wire.message(
                (1, "packed64", [high] * size), (2, "packed64", [counter] * size),
                (4, "packed32", chosen), (7, "int", hold_ms)), timeout_ms))
        return cls(folder, bodies, counters=size)

    @classmethod
    def status(cls, folder):
        return cls(folder, [request(STATUS, b"")])


def request(field, body, timeout_ms=0):
    fields = [(field, "msg", body)]
    if timeout_ms:
        fields.append((2, "int", timeout_ms))
    return wire.message(*fields)


# ---- The client that costs little ----

Sample = collections.namedtuple("Sample", "at_s took_ms status lag_ms")


def port_of(url):
    return int(url.rsplit(":", 1)[1])


class Flood:
    """One run of flood.c, whose options are the keyword arguments. stop() returns its account."""

    program = os.environ.get("HOLDFAST_FLOOD")

    def __init__(self, url, messages, folder, keep_samples=False, nice=0, **options):
        self.orders = messages.counters  # of a message
        self.samples_path = os.path.join(folder, "samples.%x" % random.getrandbits(64))
        command = [self.program, "--port", str(port_of(url)), "--messages", messages.path,
                   "--message-bytes", str(messages.size), "--counters", str(messages.counters),
                   "--counter-at", str(messages.counter_at)]
        if keep_samples:
            command += ["--samples", self.samples_path]
        for name, value in options.items():
            command += ["--" + name.replace("_", "-"), str(value)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True,
            preexec_fn=(lambda: os.nice(nice)) if nice > 0 else None)

    def wait(self):
        out, _ = self.process.communicate()
        assert self.process.returncode == 0, "hostile_flood: exit %d" % self.process.returncode
        account = json.loads(out)
        account["orders_sent"] = account["sent"] * self.orders
        return account

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def samples(self):
        """By the time at which they began; the monotonic clock's seconds."""
        with open(self.samples_path, "rb") as file:
            data = file.read()
        found = [Sample(at / 1e9, took / 1e6, status, lag / 1e3)
                 for at, took, status, lag in struct.iter_unpack("<QQII", data)]
        return sorted(found)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


class Neighbours:
    """Well-behaved clients: `rate` orders a second, one a message, over a few connections; and
    `newcomers` a second who connect, ask for the status and leave."""

    def __init__(self, url, stock, folder, rate=400, connections=4, newcomers=20, give_up_ms=3000):
        orders = Messages.orders(folder, stock.items[:16])
        options = {"keep_samples": True, "give_up_ms": give_up_ms, "drain_ms": give_up_ms}
        self.regulars = Flood(url, orders, folder, rate=rate, connections=connections, **options)
        self.newcomers = Flood(url, Messages.status(folder), folder, rate=newcomers, once=1,
                               connections=8 + newcomers * give_up_ms // 1000, **options)

    def stop(self):
        """The samples of both."""
        self.account = self.regulars.stop()
        self.newcomers_account = self.newcomers.stop()
        self.orders = self.regulars.samples()
        self.visits = self.newcomers.samples()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.regulars.kill()
        self.newcomers.kill()


def between(samples, from_s, to_s):
    return [sample for sample in samples if from_s <= sample.at_s < to_s]


def unanswered(samples):
    return sum(sample.status >= NO_CONNECTION for sample in samples)


def refused(samples):
    """Answered, and not with OK."""
    return sum(0 < sample.status < NO_CONNECTION for sample in samples)


# ---- Attacks ----

class Stage:
    """What an attack has to do with: where the engine is, where to come from, when to end."""

    def __init__(self, url, ended, seconds, addresses):
        self.port = port_of(url)
        self.ended = ended
        self.end_s = time.monotonic() + seconds
        self.addresses = addresses
        self.tally = collections.Counter()
        self.next_address = 0

    def is_on(self):
        return not self.ended.is_set() and time.monotonic() < self.end_s

    def address(self):
        """Where the next connection comes from."""
        address = ATTACKERS_FROM + self.next_address % self.addresses
        self.next_address += 1
        return socket.inet_ntoa(struct.pack(">I", address)), 0

    def connect(self, receive_bytes=0):
        """A socket that is being connected, and never blocks. None: this side has no more ports."""
        made = socket.socket()
        made.setblocking(False)
        if receive_bytes:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        made.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        made.bind(self.address())
        if made.connect_ex(("127.0.0.1", self.port)) in (0, errno.EINPROGRESS):
            return made
        made.close()
        return None


class Crowd:
    """So many connections, each of which begins with what say(number) returns. Those that the engine
    closes are made again, at most `again` a second of all."""

    CONNECTS_S = 5  # longer counts as not connected

    def __init__(self, stage, count, say, again=200, receive_bytes=0):
        self.stage = stage
        self.say = say
        self.again = again
        self.receive_bytes = receive_bytes
        self.poll = select.epoll()
        self.connecting = {}  # by descriptor: the socket, and since when
        self.members = {}
        self.missing = 0
        self.number = 0
        for made in range(count):
            self.add()
            if made % 100 == 99:
                self.look()
            if not stage.is_on():
                break
        self.last_s = time.monotonic()

    def add(self):
        made = self.stage.connect(self.receive_bytes)
        if made is None:
            self.missing += 1
        else:
            self.connecting[made.fileno()] = (made, time.monotonic())
            self.poll.register(made, select.EPOLLOUT | select.EPOLLRDHUP)

    def forget(self, gone, why):
        self.poll.unregister(gone)
        gone.close()
        self.stage.tally[why] += 1
        self.missing += 1

    def drop(self, number):
        self.forget(self.members.pop(number), "disconnected")

    def begin(self, number):
        """It is connected, or was refused."""
        made, _ = self.connecting.pop(number)
        if made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0:
            self.forget(made, "not connected")
            return
        send_some(made, self.say(self.number))
        self.number += 1
        self.stage.tally["connected"] += 1
        self.members[number] = made
        self.poll.modify(made, select.EPOLLRDHUP)

    def look(self):
        """Finds those that are connected, and those that were closed."""
        for number, _ in self.poll.poll(0, 4096):
            if number in self.members:
                self.drop(number)
            elif number in self.connecting:
                self.begin(number)
        self.stage.tally["most"] = max(self.stage.tally["most"], len(self.members))

    def renew(self):
        """look(), and makes some of those that are missing again."""
        self.look()
        now_s = time.monotonic()
        for number, (made, since_s) in list(self.connecting.items()):
            if now_s - since_s > self.CONNECTS_S:
                del self.connecting[number]
                self.forget(made, "not connected")
        due = min(self.missing, int((now_s - self.last_s) * self.again))
        if due or not self.missing:
            self.last_s = now_s
        self.missing -= due
        for _ in range(due):
            self.add()

    def close(self):
        self.look()
        self.stage.tally["at the end"] = len(self.members)
        for made in [*self.members.values(), *(made for made, _ in self.connecting.values())]:
            made.close()
        self.poll.close()


def send_some(member, data):
    """Bytes that the socket took."""
    try:
        return member.send(data)
    except OSError:
        return 0


def listing():
    return framed(request(LIST_STOCK, wire.message((2, "int", 10000))))


def never_read(stage, connections):
    """They ask for lists of all stock and never read an answer."""
    asked = listing() * 200
    crowd = Crowd(stage, connections, lambda number: HELLO)
    while stage.is_on():
        for member in list(crowd.members.values()):
            stage.tally["bytes"] += send_some(member, asked)
        crowd.renew()
        time.sleep(0.01)
    crowd.close()


def read_slowly(stage, connections):
    """They ask for lists of all stock, and read a byte a second."""
    asked = listing() * 8
    crowd = Crowd(stage, connections, lambda number: HELLO + asked, receive_bytes=4096)
    while stage.is_on():
        for number, member in list(crowd.members.items()):
            try:
                stage.tally["bytes"] += len(member.recv(1))
            except BlockingIOError:
                pass
            except OSError:
                crowd.drop(number)
        for _ in range(10):
            if stage.is_on():
                crowd.renew()
                time.sleep(0.1)
    crowd.close()


def hold(stage, crowd):
    while stage.is_on():
        crowd.renew()
        time.sleep(0.02)
    crowd.close()


def announce(stage, connections, announced=60 * MIB, sent=212):
    """They announce a long message and send only its beginning."""
    begun = struct.pack(">Q", announced) + bytes(sent - 8)
    hold(stage, Crowd(stage, connections, lambda number: HELLO + begun))


def idle(stage, connections):
    """They greet and say nothing more."""
    hold(stage, Crowd(stage, connections, lambda number: HELLO))


def half_greet(stage, connections):
    """They send a part of the greeting, or nothing of it."""
    hold(stage, Crowd(stage, connections, lambda number: HELLO[:number % 8], again=2000))


OTHERS = [b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n",
          b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(512),  # TLS
          b"*1\r\n$4\r\nPING\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\0SP\0\0\x20\0\0",  # SP: PUB
          b"\0SP\0\0\x31\0\0", b"\0SP\1\0\x30\0\0", b"\xff" * 4096,
          HELLO + b"\xff" * 64, HELLO + bytes(64),  # frames that are too long, and too short
          HELLO + struct.pack(">QI", 4, 0x80000001),  # no request in it
          HELLO + framed(b"\xff" * 200), HELLO + struct.pack(">QI", 12, 5) + bytes(8)]


def speak_otherwise(stage, connections):
    """They speak other protocols, and break this one; again and again."""
    hold(stage, Crowd(stage, connections, lambda number: OTHERS[number % len(OTHERS)], again=2000))


def send_long(stage, connections, size=64 * MIB):
    """They send messages of `size` bytes as fast as they are read, one after another."""
    piece = memoryview(bytes(MIB))
    header = struct.pack(">QI", size, 0x80000001)
    left = {}
    crowd = Crowd(stage, connections, lambda number: HELLO)
    while stage.is_on():
        for member in list(crowd.members.values()):
            if left.get(member, 0) == 0:
                left[member] = size - 4 if send_some(member, header) == len(header) else 0
            sent = send_some(member, piece[:min(MIB, left[member])])
            left[member] -= sent
            stage.tally["bytes"] += sent
            with contextlib.suppress(OSError):
                member.recv(65536)
        crowd.renew()
        time.sleep(0.001)
    crowd.close()


def raise_file_limit():
    """All descriptors that this process may have; how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Attack:
    """Runs one of the functions above in a process of its own, which gives way to the engine: the
    attackers of a real engine are on other machines. end() returns its tally."""

    context = multiprocessing.get_context("fork")

    def __init__(self, url, attack, seconds, addresses=1, **shape):
        self.ended = self.context.Event()
        self.results, sender = self.context.Pipe(False)
        self.process = self.context.Process(
            target=self.run, daemon=True,
            args=(sender, attack, Stage(url, self.ended, seconds, addresses), shape))
        self.process.start()
        sender.close()

    @staticmethod
    def run(sender, attack, stage, shape):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        raise_file_limit()
        os.nice(10)
        try:
            attack(stage, **shape)
        finally:
            sender.send(dict(stage.tally))

    def end(self):
        self.ended.set()
        try:
            tally = self.results.recv()
        except EOFError:
            tally = {"failed": 1}
        self.process.join()
        return tally

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.is_alive():
            self.process.kill()
        self.process.join()


# ---- A slow disk ----

class SlowDisk:
    """Engines that are started inside with --wal-io sync have a disk whose durable writes take
    longer, from set() on."""

    library = os.environ.get("HOLDFAST_SLOW_DISK")

    def __init__(self, folder):
        self.path = os.path.join(folder, "slow-disk")
        self.set(0)

    def set(self, delay_ms):
        with open(self.path, "r+b" if os.path.exists(self.path) else "wb") as file:
            file.write(struct.pack("<I", delay_ms))

    def settings(self):
        return {"SLOW_DISK": self.path}


# ---- The engine's process ----

def memory_peak(pid):
    """VmHWM, in bytes."""
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM")


def forget_peak(pid):
    """From now on VmHWM is of what follows."""
    with contextlib.suppress(OSError), open("/proc/%d/clear_refs" % pid, "w",
                                            encoding="ascii") as file:
        file.write("5")
