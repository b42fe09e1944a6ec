#!/usr/bin/env python3
"""Writes a small made-up trace with every odd case that real files have, the same each time.

usage: trace_sample.py [SEED [ORDERS]] > FILE.csv

The columns stand in another order than usual, and there is one more. The last row has no line end.
"""

import random
import sys


def cell(text):
    text = str(text)
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n') else text


def sales(rng, count):
    """Ordinary shopping: a few regular buyers, some without name; sales, returns, write-offs."""
    skus = [f"{n}{s}" for n in range(20000, 20030) for s in ("", "A", "a")]
    buyers = ["", "", "12345", "17850", "7", "long buyer name, with comma"]
    bought = []
    rows = []
    for n in range(count):
        draw = rng.random()
        if draw < 0.75 or not bought:
            buyer = rng.choice(buyers)
            for _ in range(rng.choice((1, 1, 2, 3, 12))):
                sku, qty = rng.choice(skus), rng.choice((1, 2, 6, 12, 144))
                rows.append((f"{536365 + n}", buyer, sku, qty))
                bought.append((buyer, sku, qty))
        elif draw < 0.95:
            buyer, sku, qty = rng.choice(bought)
            # Some take back more than there is, some what was bought in several orders.
            rows.append((f"C{536365 + n}", buyer, sku, -rng.choice((1, qty, qty, 2 * qty, 500))))
        else:
            rows.append((f"{536365 + n}", "", rng.choice(skus), -rng.randint(1, 40)))
    return rows


def oddities():
    rows = [
        # Cancelled before anything was sold; never sold at all.
        ("C500001", "12345", "84879", -3),
        ("C500002", "", "BANK CHARGES", -1),
        # One SKU several times in an order, bought twice, given back over both orders.
        ("500010", "13047", "84879", 32),
        ("500010", "13047", "84879", 8),
        ("500011", "13047", "84879", 5),
        ("C500012", "13047", "84879", -7),
        ("C500012", "13047", "84879", -30),
        ("C500013", "13047", "84879", -100),
        # All of an order given back: it ends RETURNED; later ones are still found.
        ("500020", "1", "ROUND", 1),
        ("500021", "1", "ROUND", 1),
        ("C500022", "1", "ROUND", -1),
        ("C500023", "1", "ROUND", -1),
        ("500024", "1", "ROUND", 1),
        # Another buyer, and none, are not the same.
        ("500030", "2", "MINE", 10),
        ("C500031", "3", "MINE", -4),
        ("C500032", "", "MINE", -4),
        ("500033", "", "MINE", 2),
        ("C500034", "0", "MINE", -1),
        # Case matters, in SKUs and in the C.
        ("500040", "4", "dcgs0001", 3),
        ("500041", "4", "DCGS0001", 2),
        ("c500042", "4", "dcgs0001", 1),
        # A mixed invoice, nothing but zero, a positive row in a cancellation, a debt.
        ("500050", "5", "MIX", 9),
        ("500050", "5", "MIX", -2),
        ("500051", "5", "MIX", 0),
        ("C500052", "5", "MIX", 4),
        ("C500052", "5", "MIX", -1),
        ("A563185", "", "B", 1),
        ("A563186", "", "B", 1),
        # Huge and taken back at once.
        ("541431", "12346", "23166", 74215),
        ("C541433", "12346", "23166", -74215),
        # Codes that need quotes, and not of ASCII.
        ("500060", "6", 'gift "50", red', 2),
        ("500061", "6", "礼品-0001", 3),
        ("C500062", "6", "礼品-0001", -1),
        # Rows of one order apart from each other; a row with another buyer.
        ("500070", "8", "APART", 1),
        ("500071", "8", "APART", 2),
        ("500070", "8", "APART", 4),
        ("500071", "9", "APART", 8),
        ("C500072", "8", "APART", -9),
    ]
    # As many lines as an order can have.
    rows += [("500080", "10", f"L{n % 700:04}", 1 + n % 3) for n in range(2048)]
    rows.append(("C500081", "10", "L0001", -3))
    return rows


def main(arguments):
    seed = int(arguments[0]) if arguments else 1
    count = int(arguments[1]) if len(arguments) > 1 else 400
    rng = random.Random(seed)
    rows = oddities() + sales(rng, count)
    lines = ["qty,sku,note,buyer,at,order"]
    for n, (order, buyer, sku, qty) in enumerate(rows):
        at = f"2010-12-01T{8 + n // 3600 % 12:02}:{n // 60 % 60:02}:00Z"
        note = rng.choice(("", "paid", "a, b"))
        lines.append(",".join(cell(c) for c in (qty, sku, note, buyer, at, order)))
    sys.stdout.reconfigure(encoding="utf-8", newline="")
    sys.stdout.write("\n".join(lines))


main(sys.argv[1:])
