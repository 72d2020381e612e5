"""Runs CPython's own tests of asyncio with the watch installed, with each stopwatch: nothing may fail for it.

    python scripts/cpython_tests.py                       Python 3.11 and 3.13, both stopwatches
    python scripts/cpython_tests.py --stopwatch c 3.13    one of them
    python scripts/cpython_tests.py current -m test_events test_tasks

The tests are those that the interpreter itself brings along (``test.test_asyncio``); an interpreter that has none is
said aloud, and makes the run fail under ``CI=true``. A test that fails is run again, with the watch and without it:
what passes then, or fails in both, is none of our doing. What fails with the watch alone must stand in ``EXCEPTIONS``,
with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from all_versions import ROOT, environment_of
from debian_suite import NotToBeHad
from pythons import find_or_make

VERSIONS = ("3.11", "3.13")
STOPWATCHES = ("c", "python")
PACKAGE = "test.test_asyncio"
_LONGEST = 900.0

EXCEPTIONS: dict[str, str] = {}
"""By the name of a test: why it cannot pass while a watch is installed."""

_PROGRAM = """
import json, signal, sys, unittest
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has it ignored by what runs in the background
watched, names, told = sys.argv[1], sys.argv[2].split(","), sys.argv[3]
if watched:
    import loopwatch
    from loopwatch.observe.stopwatch.steps import IMPLEMENTATION
    assert IMPLEMENTATION == watched, IMPLEMENTATION
    watch = loopwatch.install(reporters=[], prometheus=False)

class Result(unittest.TextTestResult):
    bad = []
    def addError(self, test, error):
        super().addError(test, error)
        self.bad.append(test.id())
    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.bad.append(test.id())
    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self.bad.append(test.id())

suite = unittest.defaultTestLoader.loadTestsFromNames(names)
result = unittest.TextTestRunner(resultclass=Result, verbosity=0).run(suite)
seen = [watch.snapshot().loops, str(watch.snapshot().coverage[0])] if watched else []
with open(told, "w") as file:
    json.dump({"ran": result.testsRun, "bad": sorted(set(result.bad)), "skipped": len(result.skipped),
               "steps": sum(loop.steps for loop in seen[0]) if seen else 0, "coverage": seen[1:]}, file)
"""


class Ran(NamedTuple):
    """How the tests of one module ended; ``ran`` 0: the process did not come to its end."""

    ran: int
    bad: tuple[str, ...]
    skipped: int
    steps: int
    output: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="*", default=VERSIONS, metavar="VERSION", help="3.X, or current")
    parser.add_argument("--stopwatch", action="append", choices=STOPWATCHES)
    parser.add_argument("-m", "--modules", nargs="+", metavar="MODULE", help="test_events and the like")
    options = parser.parse_args()
    good = True
    for version in options.versions:
        try:
            python = _python(version)
            modules = options.modules or _modules(python)
        except NotToBeHad as why:
            print(f"NOT RUN: Python {version}: {why}", flush=True)
            good = good and os.environ.get("CI") != "true"
            continue
        for stopwatch in options.stopwatch or STOPWATCHES:
            good = _all_modules(python, version, stopwatch, modules) and good
    _say_exceptions()
    return int(not good)


def _say_exceptions() -> None:
    print(f"\nExceptions: {len(EXCEPTIONS) or 'none'}")
    for name, reason in EXCEPTIONS.items():
        print(f"    {name}: {reason}")


def _python(version: str) -> Path:
    if version == "current":
        return Path(sys.executable)
    return environment_of(find_or_make(version), version, "bare")


def _modules(python: Path) -> list[str]:
    """The test modules that this interpreter has. Raises NotToBeHad where it has none."""
    program = (
        f"import pkgutil, {PACKAGE} as package;"
        "print(*(each.name for each in pkgutil.iter_modules(package.__path__) if each.name.startswith('test_')))"
    )
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False)
    names = done.stdout.split()
    if not names:
        raise NotToBeHad(f"it has no {PACKAGE}")
    return names


def _all_modules(python: Path, version: str, stopwatch: str, modules: list[str]) -> bool:
    print(f"\n=== Python {version}, stopwatch {stopwatch}", flush=True)
    bad: set[str] = set()
    ran = skipped = steps = 0
    started = time.monotonic()
    for module in modules:
        done = _run(python, stopwatch, [f"{PACKAGE}.{module}"])
        failed = _of_the_watch(python, stopwatch, module, done)
        print(f"{module:32} {done.ran:5} run {done.skipped:4} skipped {len(failed):3} failed", flush=True)
        bad |= failed
        ran, skipped, steps = ran + done.ran, skipped + done.skipped, steps + done.steps
    unexpected = sorted(bad - EXCEPTIONS.keys())
    print(f"{ran} tests, {skipped} skipped, {steps} steps watched, {time.monotonic() - started:.0f} s")
    for name in unexpected:
        print(f"FAILED with the watch alone: {name}")
    return not unexpected and ran > 0 and steps > 0


def _of_the_watch(python: Path, stopwatch: str, module: str, done: Ran) -> set[str]:
    """Which of the tests that failed fail again, with the watch, and not without it."""
    names = [f"{PACKAGE}.{module}"] if not done.ran else list(done.bad)
    if not names:
        return set()
    again = _run(python, stopwatch, names)  # what fails now and then on a busy machine does not fail twice
    if again.ran and not again.bad:
        return set()
    without = _run(python, "", names)
    failed = set(names if not again.ran else again.bad) - set(names if not without.ran else without.bad)
    if failed:
        print(again.output)
    return failed


def _run(python: Path, watched: str, names: list[str]) -> Ran:
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder, "told")
        # A stopwatch that cannot be had must not be stood in for by the other one.
        switches = {
            "LOOPWATCH_NO_EXTENSIONS": "1" if watched == "python" else "",
            "LOOPWATCH_REQUIRE_C": "1" if watched == "c" else "",
        }
        try:
            done = subprocess.run(
                [str(python), "-c", _PROGRAM, watched, ",".join(names), str(told)],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), **switches},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=_LONGEST,
                check=False,
            )
            output = done.stdout
        except subprocess.TimeoutExpired as late:
            return Ran(0, (), 0, 0, f"it took longer than {late.timeout:.0f} s")
        if not told.exists():
            return Ran(0, (), 0, 0, output)
        found = json.loads(told.read_text(encoding="utf-8"))
        return Ran(found["ran"], tuple(found["bad"]), found["skipped"], found["steps"], output)


if __name__ == "__main__":
    sys.exit(main())
