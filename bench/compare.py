#!/usr/bin/env python3
"""What has moved since the baseline: the ratios of a run of bench/peers.sh against baseline.json.

usage: compare.py PEERS.json [--baseline FILE] [--limit PERCENT] [--write]

Ratios, not rates: they can be compared between machines and days, as far as anything can. Prints
each ratio that moved by more than the limit (default 10 %), and those that came or went. --write
makes the run the new baseline. Exit status: 0 compared, whatever moved; 2 wrong usage."""

import argparse
import json
import os
import sys

BASELINE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "baseline.json")


def read_json(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        print(f"compare.py: {path}: {error}", file=sys.stderr)
        sys.exit(2)


def ratios_of(peers):
    return {ratio["key"]: ratio for ratio in peers["ratios"]}


def moved(now, before, limit):
    """Lines that say what moved by more than the limit, a share."""
    for key, ratio in now.items():
        if key not in before:
            yield f"{ratio['what']}: {ratio['reached']:.3g}, not in the baseline"
            continue
        was = before[key]["ratio"]
        change = ratio["reached"] / was - 1
        if abs(change) > limit:
            better = (change < 0) == ratio["less_is_better"]
            yield (f"{ratio['what']}: {was:.3g} -> {ratio['reached']:.3g}, {change:+.0%}, "
                   f"{'better' if better else 'WORSE'}")
    for key in before:
        if key not in now:
            yield f"{before[key]['what']}: not measured in this run"


def write_baseline(path, peers):
    # Three digits: the fourth is noise.
    ratios = {key: {"what": ratio["what"], "ratio": float(f"{ratio['reached']:.3g}")}
              for key, ratio in ratios_of(peers).items()}
    machine = {name: peers["machine"][name] for name in ("cpu", "cores", "file_system")}
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"format": 1, "quick": peers["quick"], "machine": machine, "ratios": ratios},
                  file, indent=2)
        file.write("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("peers", metavar="PEERS.json")
    parser.add_argument("--baseline", default=BASELINE)
    parser.add_argument("--limit", type=float, default=10, metavar="PERCENT")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    peers = read_json(options.peers)
    if options.write:
        write_baseline(options.baseline, peers)
        print(f"{options.baseline} holds {len(peers['ratios'])} ratios now")
        return 0
    baseline = read_json(options.baseline)
    lines = list(moved(ratios_of(peers), baseline["ratios"], options.limit / 100))
    for line in lines:
        print(line)
    print(f"{len(lines)} ratios moved by more than {options.limit:g} %, or came or went; "
          f"the baseline has {len(baseline['ratios'])}")
    if peers["quick"] != baseline["quick"]:
        print("one of the two is of --quick, which is less exact")
    return 0


if __name__ == "__main__":
    sys.exit(main())
