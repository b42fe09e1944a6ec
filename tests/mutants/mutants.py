"""The mutations in this folder: what a file says, and whether it still fits the source.

A file NAME.patch begins with lines `Key: value`, then an empty line, then a unified diff of one
change to the engine:

    Breaks: which promise is broken, and how, in one line
    Test: the ctest names that must fail by an assertion, each alone; the first is tried first
    Equivalent: why no test can tell; in place of Test

usage: mutants.py ROOT [BUILD]   checks them all, also that no two are the same; with a build, that it has
                                 the tests they name
"""

import os
import re
import subprocess
import sys
from collections import namedtuple

BREAKS_MAX = 160
MODULES = ("base", "io", "core", "wal", "checkpoint", "history", "feed", "wire", "rpc", "client", "server", "cli")

Mutant = namedtuple("Mutant", "name path breaks tests equivalent")


class Wrong(Exception):
    """A file that does not say what it must."""


def read(path):
    """One file's Mutant. Raises Wrong."""
    name = os.path.basename(path)[:-len(".patch")]
    if not re.fullmatch(r"(%s)-[a-z0-9-]+" % "|".join(MODULES), name):
        raise Wrong("the name is not MODULE-what.patch in small letters, digits and dashes")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    head, empty, diff = text.partition("\n\n")
    fields = {}
    for line in head.split("\n"):
        key, colon, value = line.partition(": ")
        if not colon or key not in ("Breaks", "Test", "Equivalent") or key in fields:
            raise Wrong("line %r is no `Breaks:`, `Test:` or `Equivalent:`, or stands twice" % line)
        fields[key] = value.strip()
    if not fields.get("Breaks") or len(fields["Breaks"]) > BREAKS_MAX:
        raise Wrong("`Breaks:` must have 1 to %d characters" % BREAKS_MAX)
    if ("Test" in fields) == ("Equivalent" in fields):
        raise Wrong("one of `Test:` and `Equivalent:` is wanted")
    if not empty or not re.search(r"^--- a/engine/", diff, re.MULTILINE):
        raise Wrong("an empty line and a unified diff of a file below engine/ must follow")
    return Mutant(name, path, fields["Breaks"], fields.get("Test", "").split(), fields.get("Equivalent"))


def read_all(folder):
    """All of them, sorted by name."""
    return [read(os.path.join(folder, name)) for name in sorted(os.listdir(folder)) if name.endswith(".patch")]


def hunks(diff):
    """(file, line, lines before, lines after) of each hunk of a unified diff, in its order."""
    found, path = [], None
    for line in diff.split("\n"):
        match = re.match(r"\+\+\+ b/(\S+)", line)
        if match:
            path = match.group(1)
            continue
        match = re.match(r"@@ -(\d+)", line)
        if match:
            found.append((path, int(match.group(1)), [], []))
        elif found and line[:1] in (" ", "-", "+") and not line.startswith("--- "):
            if line[0] != "+":
                found[-1][2].append(line[1:])
            if line[0] != "-":
                found[-1][3].append(line[1:])
    return found


def planted(root, mutant):
    """{path: text with the mutation} of the files that it changes. Raises Wrong where it does not fit:
    an offset is fine, another context is not."""
    with open(mutant.path, encoding="utf-8") as file:
        diff = file.read().partition("\n\n")[2]
    texts = {}
    for path, at, before, after in hunks(diff):
        if path not in texts:
            try:
                with open(os.path.join(root, path), encoding="utf-8") as file:
                    texts[path] = file.read().split("\n")
            except FileNotFoundError as what:
                raise Wrong("there is no %s" % path) from what
        lines = texts[path]
        places = [i for i in range(len(lines) - len(before) + 1) if lines[i:i + len(before)] == before]
        if not places:
            raise Wrong("it no longer fits %s, near line %d" % (path, at))
        place = min(places, key=lambda i: abs(i + 1 - at))
        lines[place:place + len(before)] = after
    if not texts:
        raise Wrong("it changes nothing")
    return {path: "\n".join(lines) for path, lines in texts.items()}


def same_as(root, mutant, seen):
    """The name of an earlier mutant that leads to the same source (spaces aside), or None. seen has the
    earlier ones, and is given this one."""
    texts = planted(root, mutant)
    key = tuple(sorted((path, "".join(text.split())) for path, text in texts.items()))
    earlier = seen.setdefault(hash(key), mutant.name)
    return None if earlier == mutant.name else earlier


def main():
    root = sys.argv[1]
    known = None
    if len(sys.argv) > 2:
        listed = subprocess.run(["ctest", "--test-dir", sys.argv[2], "-N"], capture_output=True, text=True, check=True)
        known = set(re.findall(r"^\s*Test +#\d+: (\S+)", listed.stdout, re.MULTILINE))
    folder = os.path.join(root, "tests", "mutants")
    wrong, count, seen = [], 0, {}
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".patch"):
            continue
        count += 1
        try:
            mutant = read(os.path.join(folder, name))
            twin = same_as(root, mutant, seen)
            if twin is not None:
                raise Wrong("it is the same mutation as %s: keep one, with the tests of both" % twin)
            for test in mutant.tests:
                if known is not None and test not in known:
                    raise Wrong("there is no test %s" % test)
        except Wrong as what:
            wrong.append("%s: %s" % (name, what))
    for line in wrong:
        print(line)
    print("%d mutants, %d wrong" % (count, len(wrong)))
    sys.exit(1 if wrong or count == 0 else 0)


if __name__ == "__main__":
    main()
