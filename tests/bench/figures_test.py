#!/usr/bin/env python3
"""The verdicts of bench/peers.sh and bench/latency.sh, on figures made up here: by hand, not by what
a machine does.

usage: figures_test.py [test name]..."""

import os
import sys
import unittest

BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench")
sys.path[:0] = [BENCH, os.path.join(BENCH, "peers")]

import latency  # noqa: E402
import machine  # noqa: E402
import table  # noqa: E402


def run(key, per_s, batch=1, log_bytes=None, hiccups=None):
    return {"key": key, "name": "Holdfast", "what": key, "hiccups": hiccups, "log_bytes": log_bytes,
            "result": {"per_s": per_s, "p50_us": 1, "p99_us": 2, "p999_us": 3, "batch": batch}}


def rows(*runs):
    return {one["key"]: table.Row(one["key"], [one]) for one in runs}


def floor(miss_ns):
    return {"cores": 2, "miss": {"all_in_flight_ns": miss_ns},
            "hiccups_idle": {"p999_us": 1000}}


class Peers(unittest.TestCase):
    def ratio(self, of, miss_ns, key):
        return {ratio["key"]: ratio for ratio in table.compute_ratios(of, floor(miss_ns))}[key]

    def batched(self, per_s):
        # The disk takes 4 KiB x 1000 or 8 KiB x 1000 a second: at 50 bytes an order, 163 840 orders.
        return rows(run("holdfast_batched_hot", per_s, log_bytes=50),
                    run("disk_write_256k", 1000, batch=4096),
                    run("disk_write_4m", 1000, batch=8192))

    def test_the_disk_limits_when_memory_allows_more(self):
        ratio = self.ratio(self.batched(98304), 10, "alone_hot")
        self.assertEqual((ratio["limit"], ratio["allowed_per_s"]), ("the disk", 163840))
        self.assertAlmostEqual(ratio["reached"], 0.6)
        self.assertTrue(ratio["met"])
        self.assertFalse(self.ratio(self.batched(98303), 10, "alone_hot")["met"])

    def test_memory_limits_when_the_disk_allows_more(self):
        # Two cores, two misses of 10 us an order.
        ratio = self.ratio(self.batched(60000), 10000, "alone_hot")
        self.assertEqual((ratio["limit"], ratio["allowed_per_s"]), ("memory", 100000))
        self.assertTrue(ratio["met"])

    def test_what_was_not_measured_has_no_ratio(self):
        self.assertEqual(table.compute_ratios(rows(run("holdfast_batched_hot", 1)), floor(1)), [])

    def test_redis_that_keeps_deadlines_and_the_leanest(self):
        of = rows(run("holdfast_batched_hot", 8000), run("redis_always_hot_100", 200),
                  run("redis_always_hot_100_expiring", 101))
        self.assertTrue(self.ratio(of, 1, "redis_hot")["met"])
        self.assertFalse(self.ratio(of, 1, "redis_expiring_hot")["met"])

    def test_one_order_is_to_take_less_than_its_two_parts(self):
        of = rows(run("holdfast_single", 1), run("nng_round_trip", 1), run("disk_write_4k", 1))
        of["holdfast_single"].p50_us = 1.8
        self.assertTrue(self.ratio(of, 1, "latency_floor")["met"])
        of["holdfast_single"].p50_us = 1.9
        self.assertFalse(self.ratio(of, 1, "latency_floor")["met"])

    def test_rates_have_a_verdict_only_on_a_quiet_machine(self):
        of = rows(run("holdfast_batched_hot", 7e6))
        self.assertTrue(table.compute_rates(of, True)[0]["met"])
        self.assertIsNone(table.compute_rates(of, False)[0]["met"])

    def test_quiet_is_little_load_and_small_hiccups(self):
        self.assertTrue(machine.quiet(floor(1), 1.0))
        self.assertFalse(machine.quiet(floor(1), 1.1))
        self.assertFalse(machine.quiet({"hiccups_idle": {"p999_us": 1001}}, 0))

    def test_hiccups_of_rounds_that_have_none_are_left_out(self):
        row = table.Row("x", [run("x", 1), run("x", 1, hiccups={"p999_us": 7})])
        self.assertEqual(row.hiccups_p999_us, 7)
        self.assertIsNone(row.log_bytes)


def rate(share, batch, ratio, ns, unsent=0):
    return {"share": share, "batch": batch, "ratio": ratio, "target_ratio": latency.RATES_RATIO,
            "engine_ns_per_order": ns, "unsent": unsent}


class Latency(unittest.TestCase):
    def verdicts(self, figures):
        return [met for _, _, _, met in latency.targets_of(figures)]

    def test_a_tail_is_judged_by_hiccups(self):
        self.assertEqual(self.verdicts({"rates": [rate(0.25, 100, 2.0, 0)]}), [True])
        self.assertEqual(self.verdicts({"rates": [rate(0.25, 100, 2.1, 0)]}), [False])

    def test_what_could_not_be_sent_misses_the_target(self):
        self.assertEqual(self.verdicts({"rates": [rate(0.25, 100, 0.1, 0, unsent=1)]}), [False])

    def test_cpu_is_compared_within_batches_of_one_size(self):
        rates = [rate(0.1, 100, 1, 250), rate(0.5, 100, 1, 200), rate(0.1, 250, 1, 251),
                 rate(0.5, 250, 1, 200)]
        self.assertEqual(self.verdicts({"rates": rates}), [True] * 4 + [True, False])

    def test_cpu_of_a_run_that_could_not_send_all_is_not_judged(self):
        rates = [rate(0.1, 100, 1, 100), rate(0.5, 100, 1, 200, unsent=1)]
        self.assertEqual(self.verdicts({"rates": rates}), [True, False, None])

    def test_messages_are_as_large_as_their_orders(self):
        # 30 841, 30 399 and 30 075 bytes for a thousand orders were seen on the wire.
        for batch, seen in ((100, 3084), (250, 7600), (1000, 30075)):
            self.assertLess(abs(machine.request_bytes(batch) / seen - 1), 0.02)


if __name__ == "__main__":
    unittest.main()
