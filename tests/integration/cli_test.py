"""The command line's manners: every command, with whatever may be wrong about its use.

The commands are those that the help lists, so that a new one is tried as well.
"""

import json
import os
import re
import signal
import socket
import subprocess
import tempfile

import harness
from harness import BINARY, Engine, run

EMPTY = tempfile.mkdtemp(prefix="holdfast-cli-")  # no data directory is here


def nobody():
    """An address where nobody listens: bound, so that nobody else begins to."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    return taken, "tcp://127.0.0.1:%d" % taken.getsockname()[1]


TAKEN, NOBODY = nobody()
ENVIRONMENT = {**os.environ, "HOLDFAST_URL": NOBODY}
ENVIRONMENT.pop("HOLDFAST_TOKEN", None)


def call(*words, environment=None, **process):
    process.setdefault("stdin", subprocess.DEVNULL)
    process.setdefault("stdout", subprocess.PIPE)
    return subprocess.run([BINARY, *words], stderr=subprocess.PIPE, text=True, cwd=EMPTY,
                          timeout=harness.WAIT_S, env=ENVIRONMENT if environment is None else environment,
                          **process)


def listed(*words):
    """The commands that a help text lists."""
    text = call(*words, "--help").stdout
    block = text.split("Commands:\n", 1)[1].split("\n\n", 1)[0]
    return [row.split()[0] for row in block.splitlines() if row.startswith("  ")]  # one blank: a heading


def all_commands():
    found = []
    for command in listed():
        more = call(command, "--help").stdout
        found += [(command, word) for word in listed(command)] if "Commands:\n" in more else [(command,)]
    return found


GROUPS = [("stock",), ("order",), ("wal",)]
COMMANDS = all_commands()


def error_of(done):
    """The object that --json prints of what is wrong."""
    told = json.loads(done.stdout)
    assert told["status"] != "OK" and told["message"], told
    return told


def test_every_command_is_found():
    for name in (("serve",), ("stock", "import"), ("order", "list"), ("load",), ("wal", "verify"), ("reconcile",),
                 ("status",)):
        assert name in COMMANDS, name
    assert len(COMMANDS) >= 25, COMMANDS


def test_help_is_the_same_however_it_is_asked_for():
    for command in COMMANDS + GROUPS:
        asked = call(*command, "--help")
        assert asked.returncode == 0 and "usage: holdfast " + " ".join(command) in asked.stdout, command
        assert asked.stderr == "", command
        for words in ((*command, "-h"), ("help", *command), (*command[:-1], "help", command[-1])):
            done = call(*words)
            assert (done.returncode, done.stdout) == (0, asked.stdout), words
        for environment in ({}, {"COLUMNS": "10", "TERM": "dumb"}):
            assert call(*command, "-h", environment=environment).stdout == asked.stdout, command
    assert call("help").stdout == call("--help").stdout == call("-h").stdout


def test_output_that_is_not_taken_is_told():
    for command in COMMANDS + GROUPS + [()]:
        with open("/dev/full", "w") as full:
            done = call(*command, "--help", stdout=full)
        assert done.returncode == 1, command
        assert "writing the output failed: No space left" in done.stderr, (command, done.stderr)
        done = call(*command, "--help", preexec_fn=lambda: os.close(1))
        assert done.returncode == 1 and "writing the output failed" in done.stderr, (command, done)
    with open("/dev/full", "w") as full:
        assert call("--version", stdout=full).returncode == 1


def test_a_reader_that_leaves_is_nothing_to_speak_of():
    for ignored in (True, False):
        reader, writer = os.pipe()
        os.close(reader)
        done = call("--help", stdout=writer, restore_signals=not ignored,
                    preexec_fn=lambda: signal.signal(signal.SIGPIPE,
                                                     signal.SIG_IGN if ignored else signal.SIG_DFL))
        os.close(writer)
        assert done.returncode != 0 and done.stderr == "", done


def test_a_wrong_option_is_told_in_words_and_as_json():
    for command in COMMANDS:
        done = call(*command, "--bogus")
        assert done.returncode == 2 and "--bogus" in done.stderr and done.stdout == "", (command, done)
        for words in (("--bogus", "--json"), ("--json", "--bogus"), ("--js", "--bogus")):
            done = call(*command, *words)
            assert done.returncode == 2, (command, done)
            assert error_of(done)["status"] == "INVALID" and "--bogus" in error_of(done)["message"]
        done = call(*command, "--hlep")
        assert done.returncode == 2 and "did you mean '--" not in done.stderr or "--help" in done.stderr
        done = call(*command, "--jsno")
        assert done.returncode == 2 and "did you mean '--json'" in done.stderr, (command, done.stderr)


def test_an_option_without_its_value_and_a_flag_with_one():
    for command in COMMANDS:
        done = call(*command, "--json=yes")
        assert done.returncode == 2 and "--json" in done.stderr, (command, done)
        text = call(*command, "--help").stdout
        option = re.search(r"^  --([a-z-]+) [A-Z]", text, re.MULTILINE)
        if option:
            done = call(*command, "--json", "--" + option.group(1))
            assert done.returncode == 2 and error_of(done), (command, done)


def test_a_word_that_is_no_command():
    for words in (("stok",), ("wal", "bogus"), ("stock", ""), ("order", "--bogus"), ("",), ("help", "bogus"),
                  ("stock", "help", "bogus"), ("help", "wal", "bogus")):
        done = call(*words)
        assert done.returncode == 2 and done.stderr and done.stdout == "", (words, done)
        done = call(*words, "--json")
        assert done.returncode == 2, words
        if words[0] != "help":
            assert error_of(done)["status"] == "INVALID", words
    assert "did you mean 'stock'" in call("stok").stderr
    assert "did you mean 'verify'" in call("wal", "verfy").stderr
    for group in [()] + GROUPS:
        done = call(*group)
        assert done.returncode == 2 and "COMMAND is missing" in done.stderr, done


def test_missing_empty_and_too_many_arguments_end_with_a_reason():
    """Whatever the words are: an exit code of the table, a reason, and with --json an object."""
    for command in COMMANDS:
        if command == ("serve",):
            continue
        more = ("--duration", "1ms", "--give-up", "1ms") if command == ("load",) else ()
        for words in ((), ("",), ("", ""), ("x" * 300,), ("\x01\x7f", "=="), tuple("x" * 40)):
            for closed in (False, True):
                done = call(*command, *more, "--json", *words, **({"preexec_fn": lambda: os.close(0)} if closed else {}))
                assert done.returncode in (1, 2, 3), (command, words, done)
                assert done.stderr, (command, words)
                assert not re.search("[\x01\x7f]", done.stderr), (command, words)
                if done.stdout or command != ("load",):
                    last = done.stdout.strip()
                    assert json.loads(last)["status"] != "OK", (command, words, done)


def test_addresses_are_read_by_one_rule():
    for url, why in (("127.0.0.1:7411", "must be tcp://HOST:PORT"), ("tcp://127.0.0.1", "port is missing"),
                     ("tcp://127.0.0.1:0", "port 0"), ("tcp://127.0.0.1:70000", "port 70000"),
                     ("tcp://::1:7411", "brackets"), ("tcp://:7411", "host is missing"),
                     ("http://127.0.0.1:7411", "no scheme"), ("ipc://", "path is missing"),
                     ("ipc://" + "x" * 108, "107 at most"), ("", "must be")):
        for command in (("status",), ("stock", "list"), ("order", "show", "x"), ("load",)):
            done = call(*command, "--json", "--url", url)
            assert done.returncode == 2 and why in done.stderr, (command, url, done.stderr)
            assert why in error_of(done)["message"]
        if url:
            done = call("status", environment={**ENVIRONMENT, "HOLDFAST_URL": url})
            assert done.returncode == 2 and why in done.stderr and "HOLDFAST_URL" in done.stderr


def test_codes_that_look_like_the_one_meant_are_named():
    with Engine() as engine:
        to = ("--url", engine.url)
        for code in ("85123A", "85123B", "手机壳红色", "GIFT"):
            run("stock", "define", code, *to)
        for words in (("stock", "show", "85132A"), ("stock", "adjust", "85132A", "+5", "--reason", "x"),
                      ("stock", "pause", "85132A"), ("stock", "close", "85132A"),
                      ("order", "reserve", "o-1", "85132A:1")):
            done = call(*words, *to)
            assert done.returncode == 1 and "did you mean '85123A'" in done.stderr, (words, done.stderr)
        assert "did you mean '手机壳红色'" in call("stock", "show", "手机壳蓝色", *to).stderr
        assert "did you mean 'GIFT'" in call("stock", "show", "gift", *to).stderr
        assert "did you mean" not in call("stock", "show", "something else", *to).stderr
        told = json.loads(call("stock", "show", "85132A", "--json", *to).stdout)
        assert told["status"] == "UNKNOWN_ITEM" and "85123A" in told["message"]
        engine.stop()


def test_the_slowest_answers_are_listed_as_soon_as_there_are_any():
    with Engine() as engine:
        status = ("status", "--slowest", "--url", engine.url)
        assert run(*status) == "nothing was answered within the last 60 seconds\n"
        harness.wait_until(lambda: " status " in run(*status), "the question itself is listed")
        title, columns, *rows = run(*status).splitlines()
        assert "in ms" in title and columns.split()[2:8] == ["total", "queue", "decide", "append", "sync", "reply"]
        for row in rows:
            total, *stages = row.split()[1:7]
            assert sum("*" in stage for stage in stages) == 1, row
            assert abs(float(total) - sum(float(stage.rstrip("*")) for stage in stages)) < 0.004, row
            longest = max(stages, key=lambda stage: float(stage.rstrip("*")))
            assert "*" in longest or float(longest) == max(float(s[:-1]) for s in stages if "*" in s), row
        told = json.loads(run(*status, "--json"))
        assert told["state"] == "serving" and told["slowest"][0]["total_ns"] > 0, told
        assert "slowest" not in json.loads(run("status", "--url", engine.url, "--json"))
        engine.stop()


def test_status_json_goes_through_a_full_disk_loudly():
    with Engine() as engine, open("/dev/full", "w") as full:
        for words in (("status",), ("status", "--json"), ("status", "--slowest"), ("stock", "list"),
                      ("order", "list", "--json")):
            done = call(*words, "--url", engine.url, stdout=full)
            if words[0] == "status" or "--json" in words:
                assert done.returncode == 1 and "writing the output failed" in done.stderr, (words, done)


if __name__ == "__main__":
    try:
        harness.main(globals())
    finally:
        os.rmdir(EMPTY)
