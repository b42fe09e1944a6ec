"""Measures how the code hangs together: circles between files, shared headers, asserts a function.

usage: structure.py [ROOT]                prints the figures (default: this tree)
       structure.py --circles ALLOWED [ROOT]
                                          checks that every circle stands in the file ALLOWED ("-": standard
                                          input), and every circle there is still one

A file is a source with the header of the same name; a header without such a source is a file of its own,
and counts as shared when two or more files include it. Files form a circle when each reaches the others by
naming functions that they define. ALLOWED has a line for each circle that is wanted:

    file file ...: why they are one subject

Files are paths below ROOT without their endings. A circle that is a part of an allowed one is allowed.
tests/layers.sh has the list, and runs this. Exit status: 0 fine; 1 a circle is not allowed, or no longer
there; 2 wrong usage.
"""

import os
import re
import statistics
import sys
from collections import defaultdict, namedtuple

FOLDERS = ("engine", "bench", "include")
SOURCES = (".c", ".cc", ".h")
ASSERTS = re.compile(r"\b(?:CHECK|static_assert)\s*\(")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*["<]([^">]+)[">]', re.M)
DECLARED = re.compile(r"\b([A-Za-z_]\w*)\s*\(")
USE = re.compile(r"(\bstruct|\benum|\bunion|\.|->)?\s*\b([A-Za-z_]\w*)\s*(\()?")

Function = namedtuple("Function", "name static lines")
File = namedtuple("File", "path text code functions includes")


def code_of(text):
    """The text without comments, strings and characters; lines stay where they are."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def functions_of(code):
    """The functions defined in a source: "{" and "}" at the beginning of a line, as the format has it."""
    found, lines, at = [], code.split("\n"), 0
    while at < len(lines):
        if lines[at].rstrip() == "{":
            head_at = at - 1
            while head_at > 0 and lines[head_at][:1] in (" ", "\t"):
                head_at -= 1
            head = " ".join(lines[head_at:at])
            end = at
            while end < len(lines) and not lines[end].startswith("}"):
                end += 1
            match = re.search(r"(\w+)\s*\(", re.sub(r"__attribute__\s*\(\(.*?\)\)", "", head))
            if match and not match.group(1).endswith("_t"):
                found.append(Function(match.group(1), bool(re.search(r"\bstatic\b", head)), end - head_at + 1))
            at = end
        at += 1
    return found


def read_tree(root):
    """{path: File} of the C and C++ files below the folders that are measured."""
    files = {}
    for top in FOLDERS:
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in names:
                if name.endswith(SOURCES):
                    path = os.path.relpath(os.path.join(folder, name), root)
                    with open(os.path.join(root, path), encoding="utf-8") as file:
                        text = file.read()
                    code = code_of(text)
                    files[path] = File(path, text, code, functions_of(code), INCLUDE.findall(text))
    return files


def unit_of(path):
    """The name under which a source and its header count as one."""
    return os.path.splitext(path)[0]


def included(path, name, files):
    """The path of the file that an include means, or None: a system header."""
    for candidate in (os.path.join(os.path.dirname(path), name), "engine/" + name, "include/" + name,
                      "bench/" + name, name):
        if candidate in files:
            return candidate
    return None


def includes_of(path, files):
    """The paths of this tree that a file includes."""
    return {found for found in (included(path, name, files) for name in files[path].includes) if found}


def visible(path, files):
    """The headers that a file includes, directly or not."""
    found, todo = set(), [path]
    while todo:
        for target in includes_of(todo.pop(), files):
            if target not in found:
                found.add(target)
                todo.append(target)
    return found


def names_used(file):
    """The names that a file calls, or hands on as functions; a header's prototypes are neither."""
    used, own = set(), {function.name for function in file.functions}
    bodies = file.code if not file.path.endswith(".h") else "\n".join(
        body for body in re.findall(r"^\{\n(.*?)^\}", file.code, re.M | re.S))
    for match in USE.finditer(bodies):
        before, name, after = match.group(1), match.group(2), match.group(3)
        if before not in ("struct", "enum", "union", ".", "->") and (after == "(" or "_" in name):
            used.add(name)
    return used - own


def edges_of(files):
    """{unit: {unit whose functions it names: their names}}."""
    owners = defaultdict(set)
    for path, file in files.items():
        for function in file.functions:
            if not function.static:
                owners[function.name].add(unit_of(path))
    edges = defaultdict(lambda: defaultdict(set))
    declared = {path: set(DECLARED.findall(file.code)) for path, file in files.items()}
    for path, file in files.items():
        own, seen = unit_of(path), visible(path, files)
        for name in names_used(file):
            if len(owners.get(name, ())) == 1:
                (target,) = owners[name]
                if target != own and any(name in declared[header] for header in seen):
                    edges[own][target].add(name)
    return edges


def circles_of(edges):
    """The sets of units that reach each other, the largest first."""
    order, seen = [], set()

    def walk(start, graph, out):
        stack = [(start, iter(graph.get(start, ())))]
        seen.add(start)
        while stack:
            unit, following = stack[-1]
            for target in following:
                if target not in seen:
                    seen.add(target)
                    stack.append((target, iter(graph.get(target, ()))))
                    break
            else:
                stack.pop()
                out.append(unit)

    back = defaultdict(set)
    units = set(edges)
    for unit, targets in edges.items():
        for target in targets:
            back[target].add(unit)
            units.add(target)
    for unit in sorted(units):
        if unit not in seen:
            walk(unit, edges, order)
    seen.clear()
    found = []
    for unit in reversed(order):
        if unit not in seen:
            circle = []
            walk(unit, back, circle)
            if len(circle) > 1:
                found.append(frozenset(circle))
    return sorted(found, key=lambda circle: (-len(circle), sorted(circle)))


def ties(circle, edges):
    """Lines that tell what ties a circle."""
    for unit in sorted(circle):
        for target in sorted(set(edges[unit]) & circle):
            yield "    %s needs %s: %s" % (unit, target, ", ".join(sorted(edges[unit][target])[:6]))


def read_allowed(lines):
    """{circle: reason}"""
    allowed = {}
    for line in lines:
        if line.strip() and not line.startswith("#"):
            names, _, why = line.partition(":")
            allowed[frozenset(names.split())] = why.strip()
    return allowed


def check_circles(root, lines):
    """Prints what is wrong; true when nothing is."""
    files = read_tree(root)
    edges = edges_of(files)
    circles, allowed = circles_of(edges), read_allowed(lines)
    fine = True
    for circle in circles:
        if not any(circle <= wanted for wanted in allowed):
            fine = False
            print("a circle that is not allowed: %s" % " ".join(sorted(circle)))
            print("\n".join(ties(circle, edges)))
    for wanted, why in allowed.items():
        if not why:
            fine = False
            print("an allowed circle without a reason: %s" % " ".join(sorted(wanted)))
        if not any(circle <= wanted for circle in circles):
            fine = False
            print("no longer a circle, take it off the list: %s" % " ".join(sorted(wanted)))
    return fine


def folder_of(path):
    """engine/core, bench/load, bench ..."""
    return os.path.dirname(path)


def print_folders(files):
    """A row a folder: how much there is, and how much of it is asserted."""
    rows = defaultdict(list)
    for path, file in files.items():
        rows[folder_of(path)].append(file)
    print("%-22s %6s %10s %13s %8s %8s %14s" %
          ("folder", "files", "functions", "median lines", "longest", "asserts", "per function"))
    for folder in sorted(rows):
        sources = [file for file in rows[folder] if not file.path.endswith(".h")]
        functions = [function.lines for file in sources for function in file.functions]
        if functions:
            asserts = sum(len(ASSERTS.findall(file.code)) for file in sources)
            print("%-22s %6d %10d %13d %8d %8d %14.2f" %
                  (folder, len(sources), len(functions), statistics.median(functions), max(functions),
                   asserts, asserts / len(functions)))


def print_headers(files):
    """The headers that belong to no source and are included by several, the longest first."""
    users = defaultdict(set)
    for path in files:
        for target in includes_of(path, files):
            users[target].add(unit_of(path))
    shared = [(file.text.count("\n"), path) for path, file in files.items()
              if path.startswith("engine/") and path.endswith(".h") and len(users[path]) > 1
              and unit_of(path) + ".c" not in files and unit_of(path) + ".cc" not in files]
    print("\nshared headers (of no source of their own), the longest five:")
    for lines, path in sorted(shared, reverse=True)[:5]:
        print("%6d lines  %s, included by %d files" % (lines, path, len(users[path])))


def main():
    words = sys.argv[1:]
    allowed = None
    if words[:1] == ["--circles"] and len(words) > 1:
        allowed, words = words[1], words[2:]
    if len(words) > 1 or words[:1] and words[0].startswith("-"):
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 2
    root = words[0] if words else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    if allowed is not None:
        if allowed == "-":
            return 0 if check_circles(root, sys.stdin) else 1
        with open(allowed, encoding="utf-8") as file:
            return 0 if check_circles(root, file) else 1
    files = read_tree(root)
    edges = edges_of(files)
    circles = circles_of(edges)
    print_folders(files)
    print_headers(files)
    print("\ncircles between files: %d" % len(circles))
    for circle in circles:
        print("  " + " ".join(sorted(circle)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
