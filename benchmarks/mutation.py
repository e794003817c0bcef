"""How many small faults in attr, metrics, reliability and runs the fast tests notice: mutation testing of a sample.

    pip install mutmut
    python benchmarks/mutation.py OUT [--rooms attr metrics reliability runs] [--sample 80] [--seed 0]

mutmut's mutations, one at a time in a copy of the repository; each is judged by the tests that execute its statement
(found once by coverage, some ten minutes), shortest first, until one fails. OUT is a directory that is kept: what was
interrupted goes on, and a line taken out of OUT/verdicts.jsonl is judged again; after new tests take out OUT/times.xml,
too. Left out is what no test need notice: annotations, text with a blank in it (for people), what errors and warnings
are told, ``strict`` of ``zip``, and ``device``, which a processor alone cannot tell.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from itertools import accumulate, count
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

sys.path.pop(0)  # Here lies a coverage.py that is not the library.

# What is slow to import is imported once, and what is under test in each fork.
import captum.attr  # noqa: F401
import hypothesis.extra.numpy
import hypothesis.extra.pandas  # noqa: F401
import libcst as cst
import matplotlib.pyplot  # noqa: F401
import pandas  # noqa: F401
import pytest
import quantus  # noqa: F401
import scipy.stats  # noqa: F401
from coverage import CoverageData
from libcst.metadata import MetadataWrapper, ParentNodeProvider, PositionProvider
from mutmut.mutation.mutators import mutation_operators

ROOT = Path(__file__).parents[1]
READING_SOURCES = [f"--ignore=tests/test_{name}.py" for name in ("package", "docs")]
FAST = ["-q", "-m", "not slow and not fuzz", "--hypothesis-profile=ci", "-p", "no:cacheprovider", *READING_SOURCES]
FOR_PEOPLE = ("warn", "InputError", "cast", "TypeVar", "option")
FIRST, LONGEST = 20, 60.0
IDLE = ("strict", "help", "stacklevel", "device")
SECONDS = count(int(time.time()) + 10**7)


class Change(NamedTuple):
    """A node of a file, what comes in its place, and the lines whose tests judge it (none: they run at import)."""

    file: Path
    module: cst.Module
    node: cst.CSTNode
    new: cst.CSTNode
    lines: range

    def code(self) -> str:
        """Return the file with the change."""
        return self.module.deep_replace(self.node, self.new).code  # type: ignore[union-attr]


class Finder(cst.CSTVisitor):
    """Collect what mutmut's operators make of a file."""

    METADATA_DEPENDENCIES = (PositionProvider, ParentNodeProvider)

    def __init__(self, file: Path) -> None:
        """Visit the file."""
        self.file, self.wrapper = file, MetadataWrapper(cst.parse_module(file.read_text()))
        self.found: list[Change] = []
        self.wrapper.visit(self)

    def on_visit(self, node: cst.CSTNode) -> bool:
        """Collect the changes of a node, unless it and all in it are for people."""
        called = getattr(node, "func", None)
        name = getattr(getattr(called, "attr", called), "value", None)
        if isinstance(node, cst.Annotation | cst.Raise) or name in FOR_PEOPLE or idle(node):
            return False
        for kind, operator in mutation_operators:
            if isinstance(node, kind) and not (isinstance(node, cst.SimpleString) and " " in node.value):
                for new in operator(node):
                    kept = getattr(new, "args", ())
                    if not any(idle(each) for each in getattr(node, "args", ()) if each not in kept):
                        self.found.append(Change(self.file, self.wrapper.module, node, new, self.lines(node)))
        return True

    def lines(self, node: cst.CSTNode) -> range:
        """Return the lines of the statement, or of the function if the node is in its head."""
        around = [node]
        while (parent := self.get_metadata(ParentNodeProvider, around[-1], None)) is not None:
            around.append(parent)
        function = next((each for each in around if isinstance(each, cst.FunctionDef)), None)
        if function is None:
            return range(0)
        statement = next((each for each in around if isinstance(each, cst.SimpleStatementLine)), node)
        place = self.get_metadata(PositionProvider, statement if function.body in around else function)
        return range(place.start.line, place.end.line + 1)


def idle(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Arg) and node.keyword is not None and node.keyword.value in IDLE


class Shortest:
    """A plugin of pytest that runs these tests alone, in this order, and writes down which failed."""

    def __init__(self, tests: list[str], killer: Path) -> None:
        """Keep the order of the tests."""
        self.place, self.killer = {each: index for index, each in enumerate(tests)}, killer

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Choose and order the tests."""
        items[:] = sorted((x for x in items if x.nodeid in self.place), key=lambda x: self.place[x.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Write down a test that failed, or a file of tests that could not be read."""
        if report.failed:
            self.killer.write_text(report.nodeid)

    pytest_collectreport = pytest_runtest_logreport


def measured(out: Path) -> tuple[CoverageData, dict[str, float]]:
    """Return what each test executes and its seconds, measured once."""
    data, times = out / "coverage", out / "times.xml"
    if not times.exists():
        asked = ["--cov=captum_gag", "--cov-context=test", "--cov-report=", f"--junitxml={times}"]
        environment = {**os.environ, "COVERAGE_FILE": str(data)}
        subprocess.run([sys.executable, "-m", "pytest", *FAST, *asked], cwd=ROOT, env=environment, check=False)
    covered = CoverageData(str(data))
    covered.read()
    seconds = {}
    for case in ElementTree.parse(times).iter("testcase"):
        parts = case.attrib["classname"].split(".")
        file, classes = "/".join(x for x in parts if x[0].islower()), [x for x in parts if x[0].isupper()]
        seconds["::".join([f"{file}.py", *classes, case.attrib["name"]])] = float(case.attrib["time"])
    return covered, seconds


def fate(copy: Path, tests: list[str], limit: float) -> str:
    """Return what becomes of the copy: "survived", which test killed it, or "time" where no test came to its end."""
    killer = copy / "killer"
    killer.unlink(missing_ok=True)
    if not (child := os.fork()):
        os.setsid()
        os.chdir(copy)
        sys.path.insert(0, str(copy))
        # What tests spawn would begin by running this file again.
        sys.modules["__main__"] = pytest
        log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        files = sorted({each.partition("::")[0] for each in tests})
        asked = [*FAST, "-x", "-n", "0", "--basetemp=basetemp", *files]
        os._exit(pytest.main(asked, plugins=[Shortest(tests, killer)]))
    end = time.monotonic() + limit
    while not os.waitpid(child, os.WNOHANG)[0]:
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "time"
        time.sleep(0.05)
    return killer.read_text() if killer.exists() else "survived"


def judged(change: Change, copy: Path, covered: CoverageData, seconds: dict[str, float]) -> str:
    """Return what becomes of a change, by a minute of tests: of its own file, then the shortest that execute it.

    Those of its own file count in any case, since what is cached is executed by the first test alone; and those of its
    room where none executes it, since imports come before all tests.
    """
    contexts, room = covered.contexts_by_lineno(str(change.file)), change.file.parent.name
    own = f"/{room}/test_{change.file.stem}.py"
    reaching = {each.rpartition("|")[0] for line in change.lines or contexts for each in contexts.get(line, ())}
    reaching = {each for each in seconds if each in reaching or own in each}
    reaching = reaching or {each for each in seconds if f"/{room}/" in each}
    tests = sorted(reaching, key=lambda each: (own not in each, seconds[each]))
    total = accumulate(map(seconds.__getitem__, tests))
    tests = [each for each, until in zip(tests, total, strict=True) if until < LONGEST]
    target = copy / change.file.relative_to(ROOT)
    target.write_text(change.code())
    # Compiled files are told apart by whole seconds, and these are still to come.
    os.utime(target, (moment := next(SECONDS), moment))
    found = "survived"
    for some in (tests[:FIRST], tests[FIRST:]):
        if some and found == "survived":
            found = fate(copy, some, 30 + 4 * sum(map(seconds.__getitem__, some)))
    target.write_text(change.module.code)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rooms", nargs="+", default=["attr", "metrics", "reliability", "runs"])
    parser.add_argument("--sample", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(exist_ok=True)
    covered, seconds = measured(options.out.resolve())
    verdicts = options.out / "verdicts.jsonl"
    verdicts.touch()
    print("| room | possible | sampled | killed | minutes |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", "__pycache__", options.out.name))
        os.environ["PYTHONPATH"] = str(copy)
        for room in options.rooms:
            possible = [
                each for file in sorted((ROOT / "captum_gag" / room).rglob("*.py")) for each in Finder(file).found
            ]
            found: list[dict[str, Any]] = []
            for change in random.Random(options.seed).sample(possible, min(options.sample, len(possible))):
                lines = difflib.unified_diff(
                    change.module.code.split("\n"), change.code().split("\n"), n=0, lineterm=""
                )
                known = {"file": str(change.file.relative_to(ROOT)), "change": "\n".join([*lines][2:])}
                kept = map(json.loads, verdicts.read_text().splitlines())
                verdict = next((each for each in kept if known.items() <= each.items()), None)
                if verdict is None:
                    start = time.monotonic()
                    verdict = {**known, "fate": judged(change, copy, covered, seconds)}
                    verdict["seconds"] = round(time.monotonic() - start, 1)
                    with verdicts.open("a") as file:
                        file.write(json.dumps(verdict) + "\n")
                found.append(verdict)
            killers = sorted({each["fate"] for each in found} & set(seconds))
            if (outcome := fate(copy, killers, 600)) != "survived":
                print(f"{outcome} fails in {room} without any change, too")
            killed = sum(each["fate"] != "survived" for each in found)
            minutes = sum(each["seconds"] for each in found) / 60
            print(f"| {room} | {len(possible)} | {len(found)} | {killed} | {minutes:.0f} |", flush=True)


if __name__ == "__main__":
    main()
