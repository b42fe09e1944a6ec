#!/usr/bin/env python3
"""Sums a profile of engine/submit up by the stages of an order.

    perf record -F 5000 --call-graph fp -o FILE build/bench/micro/holdfast_micro \\
        --benchmark_filter=engine/submit/batch:1000/items:1/ --benchmark_repetitions=5
    perf script -i FILE -F ip,sym | python3 bench/micro/stages.py NS

NS is what an order takes by the same benchmark without perf (its per_order): shares of the samples
are shares of it. A sample counts for the innermost function of its stack that the table names;
samples of page faults are kept apart. Samples outside of the four timed steps do not count.
"""

import collections
import sys

STEPS = {
    "codec_request_decode": "decode the request",
    "engine_step": "log: seal, checksum",
    "codec_response_encode": "encode the answer",
}
SUBMIT = "engine_submit"
FAULTS = {"asm_exc_page_fault", "exc_page_fault"}
STAGES = {
    "catalog_sale_rule": "sale rules",
    "stock_take": "take units",
    "orders_find": "look the id up",
    "orders_enter": "enter the order, grow the index",
    "order_enter": "enter the order, grow the index",
    "batch_prefetch": "prefetch",
    "inventory_prefetch": "prefetch",
    "orders_prefetch": "prefetch",
    "stock_prefetch": "prefetch",
    "transition_held_digest": "digest",
    "record_encode": "encode the record",
    "record_bytes": "encode the record",
    "worker_flush": "encode the record",
    "wal_append": "append to the log",
    "deadlines_publish": "enter the deadline",
    "expiry_add": "enter the deadline",
    "chain_add": "enter the deadline",
    "order_publish": "publish",
    "inventory_publish": "publish",
    "txn_add": "make the event",
    "reserve_add_event": "make the event",
    "inventory_reserve": "lock the shard; the rest of reserve",
    "reserve_one": "lock the shard; the rest of reserve",
    SUBMIT: "columns, answer, admission",
}


def stage_of(stack):
    """The stage of a stack, innermost function first; None: outside of what is timed."""
    for function in stack:
        if function in STEPS:
            return STEPS[function]
    if SUBMIT not in stack:
        return None
    stage = next(STAGES[function] for function in stack if function in STAGES)
    return "page faults: " + stage if FAULTS & set(stack) else stage


def stacks(lines):
    stack = []
    for line in lines:
        fields = line.split(None, 1)
        if fields:
            stack.append(fields[1].split("+")[0].strip() if len(fields) > 1 else "")
        elif stack:
            yield stack
            stack = []
    if stack:
        yield stack


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    order_ns = float(sys.argv[1])
    counts = collections.Counter(map(stage_of, stacks(sys.stdin)))
    del counts[None]
    total = sum(counts.values())
    if total == 0:
        sys.exit("no sample is within a timed step")
    for stage, count in counts.most_common():
        print(f"{stage:50} {100 * count / total:5.1f} % {order_ns * count / total:7.1f} ns")
    print(f"{'all':50} 100.0 % {order_ns:7.1f} ns   ({total} samples)")


if __name__ == "__main__":
    main()
