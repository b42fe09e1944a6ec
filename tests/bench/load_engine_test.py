#!/usr/bin/env python3
"""`holdfast load` against the real engine: a trace and a sale, each with the engine killed in its
middle; the trace's totals against a sum made on its own; many connections, and the report.

usage: HOLDFAST_BINARY=... load_engine_test.py [test name]..."""

import json
import os
import socket
import subprocess
import sys
import tempfile

INTEGRATION = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration")
sys.path.insert(0, INTEGRATION)

import harness  # noqa: E402


def python(script, *arguments):
    return subprocess.run([sys.executable, "-B", os.path.join(INTEGRATION, script), *arguments],
                          check=True, capture_output=True).stdout


def load(engine, *arguments):
    return [harness.BINARY, "load", "--url", engine.url, "--json", "--quiet", *arguments]


def run_load(engine, *arguments):
    done = subprocess.run(load(engine, *arguments), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, "exit %d: %s%s" % (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)


def run_load_through_kills(engine, kill_at, *arguments):
    """Kills and restarts the engine each time it knows that many orders."""
    with subprocess.Popen(load(engine, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        kills = 0
        for count in kill_at:
            def reached(count=count):
                if process.poll() is not None:
                    return True
                status = harness.run("status", "--url", engine.url, "--json")
                return json.loads(status)["orders_known"] >= count

            harness.wait_until(reached, "%d orders" % count)
            if process.poll() is None:
                engine.kill()
                engine.start()
                kills += 1
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, "exit %d: %s%s" % (process.returncode, out, err)
    assert kills > 0, "the run was over before the first kill"
    return json.loads(out)


def assert_clean(result):
    for promise in ("oversold", "undersold", "lost", "duplicated"):
        assert result[promise] == 0, "%s: %s" % (promise, result)
    assert result["errors"] == 0 and result["checked"], result


def sample(directory, seed, orders):
    path = os.path.join(directory, "trace.csv")
    with open(path, "wb") as file:
        file.write(python("trace_sample.py", str(seed), str(orders)))
    return path


def assert_totals(path, totals_path, result):
    lines = python("trace_totals.py", path, "--counts").decode().splitlines()
    with open(totals_path, encoding="utf-8") as file:
        found = file.read().splitlines()
    assert found == [line for line in lines if not line.startswith("# ")]
    for line in lines:
        if line.startswith("# "):
            name, count = line[2:].split(",")
            assert result[name] == int(count), "%s is %s, not %s" % (name, result[name], count)


def test_trace_ends_in_the_files_totals_also_when_run_again():
    with tempfile.TemporaryDirectory() as directory, harness.Engine() as engine:
        path, totals = sample(directory, 1, 300), os.path.join(directory, "totals.csv")
        for again in range(2):
            result = run_load(engine, "--trace", path, "--totals", totals)
            assert_clean(result)
            assert_totals(path, totals, result)
            assert bool(result["replayed"]) == bool(again), result


def test_trace_ends_in_the_files_totals_through_kills():
    with tempfile.TemporaryDirectory() as directory, harness.Engine() as engine:
        path, totals = sample(directory, 2, 12000), os.path.join(directory, "totals.csv")
        result = run_load_through_kills(engine, (500, 4000), "--trace", path, "--totals", totals)
        assert_clean(result)
        assert_totals(path, totals, result)


def test_sale_sells_out_exactly_through_a_kill():
    with harness.Engine() as engine:
        result = run_load_through_kills(
            engine, (4000,), "--skus", "40", "--stock", "500", "--until-sold-out", "--batch", "16",
            "--connections", "2", "--mix", "100,60,10", "--rate", "10000", "--qty-max", "2",
            "--zipf", "0.5")
        assert_clean(result)
        assert result["units_sold"] + result["units_held"] == 40 * 500, result
        assert result["sold_out"] >= 40


def test_single_orders_are_kept():
    with harness.Engine() as engine:
        result = run_load(engine, "--skus", "20", "--orders", "3000", "--batch", "1", "--in-flight",
                          "8", "--mix", "100,50,20", "--zipf", "1")
        assert_clean(result)
        assert result["ok"] == 3000 and result["asked_back"] == 3000


def test_many_connections_are_reported_with_the_shape_of_a_sale():
    with tempfile.TemporaryDirectory() as directory, harness.Engine() as engine:
        path = os.path.join(directory, "report.html")
        result = run_load(engine, "--connections", "300", "--shape", "1111", "--rate", "3000",
                          "--duration", "2s", "--batch", "2", "--hot-share", "40", "--mix",
                          "100,50,10", "--token", "a-secret", "--report", path)
        assert_clean(result)
        assert result["connections"] == 300 and result["in_flight"] == 1
        # Quiet 0.4 s at 150/s, peak 0.2 s at 3000/s, tail 600 ln 8: 60 + 600 + 1247 orders.
        assert abs(result["orders"] + result["unsent"] - 1907) <= 4, result
        with open(path, encoding="utf-8") as file:
            page = file.read()
        data = json.loads(page.split('id="data">')[1].split("</script>")[0])
        assert data["result"] == result
        assert abs(data["zero_s"] - 0.4) < 0.001
        assert sum(window[2] for window in data["windows"]) == result["ok"]
        assert data["engine"]["after"]["commit_lsn"] > data["engine"]["before"]["commit_lsn"]
        assert "a-secret" not in page
        assert "http:" not in page and "https:" not in page, "the page must need no network"


def test_many_connections_to_nobody_end_in_time():
    """Connections that are taken and never answered: each client makes new dialers meanwhile."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as mute:
        url = "tcp://127.0.0.1:%d" % mute.getsockname()[1]
        done = subprocess.run([harness.BINARY, "load", "--url", url, "--connections", "40",
                               "--orders", "1", "--give-up", "1s", "--quiet"],
                              capture_output=True, text=True, timeout=harness.WAIT_S)
        assert done.returncode == 3, (done.returncode, done.stdout, done.stderr)


harness.main(globals())
