"""Tests of the mutants' files and of what the runner takes for an assertion."""

import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mutants  # noqa: E402
from run import assertion_of  # noqa: E402

CMOCKA = """[ RUN      ] uring_writes_durably
[  ERROR   ] --- 0 != 0x2
[   LINE   ] --- /src/tests/unit/io/faults_test.c:120: error: Failure!
[  FAILED  ] uring_writes_durably
"""
CRASHED = """[ RUN      ] uring_writes_durably
[  ERROR   ] --- Test failed with exception: Segmentation fault(11)
[  FAILED  ] uring_writes_durably
"""
assert assertion_of(CMOCKA) == "0 != 0x2 @ /src/tests/unit/io/faults_test.c:120", assertion_of(CMOCKA)
assert assertion_of(CRASHED) is None
assert assertion_of("a.c:3: f: check failed: qty > 0\nAborted").endswith("check failed: qty > 0")
assert assertion_of("SEED=7: lsn >= acked: 3 and 4\n").startswith("SEED=7")
assert assertion_of("Traceback\n  File x\nAssertionError: lost 3\n") == "AssertionError: lost 3"
assert assertion_of("The following tests FAILED:\n 3 - x (Timeout)\n") is None

DIFF = "--- a/engine/io/real.c\n+++ b/engine/io/real.c\n@@ -1,2 +1,2 @@\n one\n-two\n+three\n"


def read(text, name="io-sync.patch"):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        try:
            return mutants.read(path)
        except mutants.Wrong as what:
            return str(what)


good = read("Breaks: x\nTest: a b\n\n" + DIFF)
assert good.tests == ["a", "b"] and good.name == "io-sync" and good.equivalent is None, good
assert read("Breaks: x\nEquivalent: y\n\n" + DIFF).equivalent == "y"
for text in ("Breaks: x\n\n" + DIFF, "Test: a\n\n" + DIFF, "Breaks: x\nTest: a\nEquivalent: y\n\n" + DIFF,
             "Breaks: x\nTest: a\n" + DIFF, "Breaks: x\nTest: a\n\n" + DIFF.replace("engine", "tests"),
             "Breaks: x\nBreaks: y\nTest: a\n\n" + DIFF, "Breaks: %s\nTest: a\n\n" % ("x" * 161) + DIFF):
    assert isinstance(read(text), str), text
for name in ("uring.patch", "disk-x.patch", "io-X.patch"):
    assert isinstance(read("Breaks: x\nTest: a\n\n" + DIFF, name), str), name

with tempfile.TemporaryDirectory() as root:
    os.makedirs(os.path.join(root, "engine", "io"))
    source = os.path.join(root, "engine", "io", "real.c")
    one = os.path.join(root, "io-sync.patch")
    with open(one, "w", encoding="utf-8") as file:
        file.write("Breaks: x\nTest: a\n\n" + DIFF)
    for before, fits in (("one\ntwo\n", True), ("zero\none\ntwo\n", True), ("one\nthree\n", False), ("four\n", False)):
        with open(source, "w", encoding="utf-8") as file:
            file.write(before)
        try:
            made = mutants.planted(root, mutants.read(one))
            assert fits and made == {"engine/io/real.c": before.replace("two", "three")}, (before, made)
        except mutants.Wrong:
            assert not fits, before

    with open(source, "w", encoding="utf-8") as file:
        file.write("one\ntwo\n")
    seen = {}
    assert mutants.same_as(root, mutants.read(one), seen) is None
    for line, twin in (("three", "io-sync"), ("  three", "io-sync"), ("four", None)):
        other = os.path.join(root, "io-other.patch")
        with open(other, "w", encoding="utf-8") as file:
            file.write("Breaks: y\nTest: b\n\n" + DIFF.replace("three", line))
        assert mutants.same_as(root, mutants.read(other), dict(seen)) == twin, line
