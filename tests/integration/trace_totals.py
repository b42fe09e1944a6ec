#!/usr/bin/env python3
"""Adds up, on its own, what `holdfast load --trace FILE` must sell: sku,sold.

usage: trace_totals.py FILE.csv[.gz] [--counts]

The rules (bench/README.md tells them too):
- an order stands where its first row stands; its buyer is that row's;
- an order that begins with C gives back: each negative row returns units of the same buyer and SKU,
  from the newest line sold so far that has some left; positive rows in it are skipped;
- in other orders positive rows are sold, negative ones are written off and change no sale.

With --counts the numbers of the report follow, as `# name,number`. Python's standard library alone.
"""

import csv
import gzip
import sys


def open_text(path):
    with open(path, "rb") as probe:
        zipped = probe.read(2) == b"\x1f\x8b"
    if zipped:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return open(path, encoding="utf-8-sig", newline="")


def buyer_key(text):
    """Digits stand for the number; no buyer is buyer 0."""
    if text == "":
        return 0
    if text.isascii() and text.isdigit() and int(text) < 1 << 64:
        return int(text)
    return text


def read_orders(path):
    orders = {}  # dict keeps the order of insertion: of first rows
    rows = 0
    with open_text(path) as file:
        for row in csv.DictReader(file):
            rows += 1
            buyer = buyer_key(row.get("buyer") or "")
            _, lines = orders.setdefault(row["order"], (buyer, []))
            lines.append((row["sku"], int(row["qty"])))
    return orders, rows


def add_up(orders):
    sold = {}
    open_lines = {}  # (buyer, sku): units left of each line, newest last
    counts = dict.fromkeys(
        (
            "invoices",
            "lines",
            "units_ordered",
            "cancellations",
            "units_returned",
            "unmatched_rows",
            "unmatched_units",
            "write_offs",
            "write_off_units",
            "odd_rows",
            "zero_rows",
        ),
        0,
    )
    for name, (buyer, lines) in orders.items():
        cancels = name.startswith("C")
        counts["cancellations"] += cancels
        counts["invoices"] += not cancels and any(qty > 0 for _, qty in lines)
        for sku, qty in lines:
            sold.setdefault(sku, 0)
            stack = open_lines.setdefault((buyer, sku), [])
            if qty == 0:
                counts["zero_rows"] += 1
            elif cancels and qty > 0:
                counts["odd_rows"] += 1
            elif qty > 0:
                counts["lines"] += 1
                counts["units_ordered"] += qty
                sold[sku] += qty
                stack.append(qty)
            elif not cancels:
                counts["write_offs"] += 1
                counts["write_off_units"] -= qty
            else:
                left = -qty
                while left and stack:
                    units = min(left, stack[-1])
                    stack[-1] -= units
                    left -= units
                    sold[sku] -= units
                    counts["units_returned"] += units
                    if stack[-1] == 0:
                        stack.pop()
                counts["unmatched_rows"] += left > 0
                counts["unmatched_units"] += left
    return sold, counts


def quoted(text):
    if any(c in text for c in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def main(arguments):
    if not arguments or len(arguments) > 2 or arguments[1:] not in ([], ["--counts"]):
        sys.exit(__doc__)
    orders, rows = read_orders(arguments[0])
    sold, counts = add_up(orders)
    out = [f"{quoted(sku)},{sold[sku]}" for sku in sorted(sold, key=lambda sku: sku.encode())]
    print("sku,sold", *out, sep="\n")
    if len(arguments) == 2:
        print(f"# rows,{rows}")
        for name, number in counts.items():
            print(f"# {name},{number}")


main(sys.argv[1:])
