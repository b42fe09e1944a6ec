#!/usr/bin/env python3
"""map.py - docs/architecture.md is a map of the engine, and it must be right; so must links be.

    map.py ROOT         checks the tree at ROOT
    map.py --self-test  checks that each rule is seen to be broken in a made-up tree

Rules:
  - each module of engine/ (x.c with x.h, or one of the two) is in the table under its folder's
    heading, once; and each module of a table exists;
  - "folder/file.c:function" anywhere in docs/architecture.md, docs/design.md or docs/glossary.md
    names a file of engine/ and a function in it;
  - a word_with_underscores in backquotes in one of the PAGES occurs in the sources, and a file in
    backquotes exists;
  - each relative link of a Markdown page leads to a file that exists, and to a heading in it.

Exit status: 0 all kept, 1 something broken, 2 usage.
"""

import os
import re
import sys
import tempfile

MAP = "docs/architecture.md"
PAGES = [MAP, "docs/design.md", "docs/glossary.md", "docs/concurrency.md", "docs/limits.md"]
SOURCES = ("engine", "include", "proto", "bench", "tests")
ENDINGS = (".c", ".h", ".cc", ".proto", ".py", ".sh", ".txt")


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def find_files(root, folder):
    for where, folders, names in os.walk(os.path.join(root, folder)):
        folders[:] = [name for name in folders if name not in ("mutants", "__pycache__")]
        for name in names:
            yield os.path.relpath(os.path.join(where, name), root)


def find_modules(root):
    """The modules of each folder of engine/: {"core": {"stock", ...}}."""
    modules = {}
    for path in find_files(root, "engine"):
        parts = path.split(os.sep)
        if len(parts) == 3 and parts[2].endswith((".c", ".h")):
            modules.setdefault(parts[1], set()).add(parts[2].rsplit(".", 1)[0])
    return modules


def read_tables(text):
    """The modules that the map has under each heading "### engine/FOLDER": lists, in order."""
    tables = {}
    folder = None
    for line in text.splitlines():
        heading = re.match(r"#+ (?:`?engine/(\w+)`?)?", line)
        if heading:
            folder = heading.group(1)
        row = re.match(r"\| `(\w+)` \|", line)
        if row and folder:
            tables.setdefault(folder, []).append(row.group(1))
    return tables


def check_map(root):
    modules = find_modules(root)
    tables = read_tables(read(os.path.join(root, MAP)))
    for folder in sorted(set(modules) | set(tables)):
        there = modules.get(folder, set())
        named = tables.get(folder, [])
        for name in sorted(there - set(named)):
            yield f"{MAP}: engine/{folder}/{name} is not in the map"
        for name in sorted(set(named) - there):
            yield f"{MAP}: engine/{folder}/{name} is in the map and does not exist"
        for name in sorted({name for name in named if named.count(name) > 1}):
            yield f"{MAP}: engine/{folder}/{name} is in the map more than once"


def check_functions(root, page, text):
    for file, function in sorted(set(re.findall(r"\b(\w+/\w+\.[ch]):(\w+)", text))):
        path = os.path.join(root, "engine", file)
        if not os.path.exists(path):
            yield f"{page}: there is no engine/{file}"
        elif not re.search(rf"^[a-z][^\n;=]*\b{function}\(", read(path), re.M):
            yield f"{page}: engine/{file} has no function {function}"


def check_words(root, page, text, words, files):
    quoted = set(re.findall(r"`([^`\n]+)`", text))
    for word in sorted(quoted):
        if re.fullmatch(r"[a-z]\w*_\w+", word) and not word.endswith("_") and word not in words:
            yield f"{page}: no source has {word}"
        if re.fullmatch(r"[\w/.]*\w\.(c|h|py|sh|proto|md)", word):
            if not any(path == word or path.endswith("/" + word) for path in files):
                yield f"{page}: there is no file {word}"


def read_page(path):
    """A Markdown page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", read(path), flags=re.M | re.S)


def find_headings(text):
    """The anchors of a page's headings, as GitHub makes them."""
    anchors = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.M):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
        anchors.add(re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-"))
    return anchors


def check_links(root):
    pages = [path for folder in ("docs", "tests", "bench") for path in find_files(root, folder)]
    for page in sorted(path for path in pages + ["README.md"] if path.endswith(".md")):
        if not os.path.exists(os.path.join(root, page)):
            continue
        for link in re.findall(r"\]\(([^)\s]+)\)", read_page(os.path.join(root, page))):
            name, _, anchor = link.partition("#")
            target = os.path.normpath(os.path.join(os.path.dirname(page), name)) if name else page
            if re.match(r"[a-z]+:", link):
                continue
            if not os.path.exists(os.path.join(root, target)):
                yield f"{page}: the link {link} leads nowhere"
            elif anchor and target.endswith(".md"):
                if anchor not in find_headings(read_page(os.path.join(root, target))):
                    yield f"{page}: the link {link} leads to no heading"


def check_tree(root):
    words = set()
    files = set(find_files(root, "docs"))
    for folder in SOURCES:
        for path in find_files(root, folder):
            files.add(path)
            if path.endswith(ENDINGS):
                words.update(re.findall(r"[a-z]\w*_\w+", read(os.path.join(root, path))))
    faults = list(check_map(root)) + list(check_links(root))
    for page in PAGES:
        if os.path.exists(os.path.join(root, page)):
            text = read(os.path.join(root, page))
            faults += check_functions(root, page, text)
            faults += check_words(root, page, text, words, files)
    return faults


GOOD_MAP = """# Architecture

`core/stock.c:stock_take` takes units; `stock_free` is a word, `core/stock.c` a file.
[A page](design.md#the-design), and [a heading](#engine-core).

### engine core

### engine/core

| module | what |
|---|---|
| `stock` | units |
| `event` | events |

## Other

| `nothing` | not a folder's |
"""

BROKEN = [  # what the map has instead, and what is said about it
    ("| `event` | events |\n", "", "engine/core/event is not in the map"),
    ("| `event` |", "| `events` |", "engine/core/events is in the map and does not exist"),
    ("| `event` |", "| `stock` |", "engine/core/stock is in the map more than once"),
    ("core/stock.c:stock_take", "core/shop.c:stock_take", "there is no engine/core/shop.c"),
    (":stock_take", ":stock_give", "engine/core/stock.c has no function stock_give"),
    (":stock_take", ":stock_free", "engine/core/stock.c has no function stock_free"),
    ("`stock_free`", "`stock_gone`", "no source has stock_gone"),
    ("(design.md", "(designs.md", "the link designs.md#the-design leads nowhere"),
    ("#the-design", "#a-design", "the link design.md#a-design leads to no heading"),
    ("#engine-core", "#engine", "the link #engine leads to no heading"),
    ("`core/stock.c` a file", "`core/stuck.c` a file", "there is no file core/stuck.c"),
]


def put(root, path, text):
    os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
    with open(os.path.join(root, path), "w", encoding="utf-8") as file:
        file.write(text)


def self_test():
    failures = 0
    with tempfile.TemporaryDirectory() as root:
        put(root, "engine/core/stock.c",
            "static int stock_take(int qty)\n{\n    return stock_free(qty);\n}\n")
        put(root, "engine/core/stock.h", "")
        put(root, "engine/core/event.h", "")
        put(root, "docs/design.md", "# The `design`\n\n```\n[no link](nowhere.md)\n```\n")
        put(root, MAP, GOOD_MAP)
        found = check_tree(root)
        if found:
            print("self-test: the good tree is not clean:", found)
            failures += 1
        for old, new, fault in BROKEN:
            assert GOOD_MAP.count(old) == 1, old
            put(root, MAP, GOOD_MAP.replace(old, new))
            found = check_tree(root)
            if not any(fault in line for line in found):
                print(f"self-test: {new!r}: expected {fault!r}, got {found}")
                failures += 1
    print(f"map: self-test: {len(BROKEN)} broken maps, {failures} failures")
    return 1 if failures else 0


def main():
    if len(sys.argv) != 2:
        print("usage: map.py ROOT | --self-test", file=sys.stderr)
        return 2
    if sys.argv[1] == "--self-test":
        return self_test()
    faults = check_tree(sys.argv[1])
    for fault in faults:
        print(fault)
    if not faults:
        print("map: the map has every module, and nothing that is not there; links lead somewhere")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
