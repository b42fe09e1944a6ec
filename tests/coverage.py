"""Prints by folder of the engine which lines and branches the tests have run.

usage: coverage.py ROOT BUILD    after the tests of a build with -DHOLDFAST_COVERAGE=ON

Source: gcov's JSON (gcov(1), --json-format). A source that was built more than once counts as run
where any of its builds ran. A process that is killed leaves no counts. Branches that only an
exception can take are left out.
"""

import json
import os
import subprocess
import sys
from collections import defaultdict

FILES_AT_ONCE = 50


def gcda_files(build):
    for folder, _, names in os.walk(build):
        for name in names:
            if name.endswith(".gcda"):
                yield os.path.join(folder, name)


def add(report, root, lines, branches):
    engine = os.path.join(root, "engine") + os.sep
    for file in report["files"]:
        path = os.path.normpath(os.path.join(report["current_working_directory"], file["file"]))
        if not path.startswith(engine):
            continue
        name = path[len(engine):]
        for line in file["lines"]:
            at = (name, line["line_number"])
            lines[at] = max(lines[at], line["count"])
            for number, branch in enumerate(line["branches"]):
                if not branch["throw"]:
                    branches[at + (number,)] = max(branches[at + (number,)], branch["count"])


def share(counts, folder):
    own = [count for at, count in counts.items() if folder in ("all", at[0].split(os.sep)[0])]
    done = sum(1 for count in own if count > 0)
    return len(own), 100.0 * done / len(own) if own else 100.0


def main():
    root, build = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    files = sorted(gcda_files(build))
    lines, branches = defaultdict(int), defaultdict(int)
    for start in range(0, len(files), FILES_AT_ONCE):
        out = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities",
                              *files[start:start + FILES_AT_ONCE]], cwd=build, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True, check=True).stdout
        for line in out.splitlines():
            if line.startswith("{"):
                add(json.loads(line), root, lines, branches)
    if not lines:
        sys.exit("coverage.py: %s holds no counts: was it built with -DHOLDFAST_COVERAGE=ON, and were its tests run?"
                 % build)
    folders = sorted({at[0].split(os.sep)[0] for at in lines if os.sep in at[0]})
    print("%-10s %8s %8s %10s %8s" % ("folder", "lines", "run", "branches", "taken"))
    for folder in folders + ["all"]:
        print("%-10s %8d %7.1f%% %10d %7.1f%%" % ((folder,) + share(lines, folder) + share(branches, folder)))


if __name__ == "__main__":
    main()
