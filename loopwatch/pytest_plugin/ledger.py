"""All verdicts of a run, from this process and from xdist's workers, and the document that is made of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .._version import __version__
from ..model import SCHEMA_VERSION
from .asked import Carried, RunRequest

Entry = dict[str, Any]
"""The verdict on one test, in JSON's own types."""


class Ledger:
    """Gathers; the same where there are workers and where there are none."""

    def __init__(self, run: RunRequest) -> None:
        self.run = run
        self.tests: dict[str, Entry] = {}
        self.outside: list[Entry] = []
        self.late: list[Entry] = []
        self.slowest: list[Entry] = []
        self.coverage: dict[str, Entry] = {}
        self._carried: dict[str, Carried] = {}
        self._ran: Counter[str] = Counter()
        self._used: set[str] = set()

    def add_test(self, entry: Entry) -> None:
        """Of a test that is run again the last verdict holds."""
        self.tests[entry["test"]] = entry

    def add_part(self, part: Entry) -> None:
        """What one process has to say at its end."""
        slowest = sorted([*self.slowest, *part["slowest"]], key=lambda step: -step["seconds"])
        self.slowest = slowest[: self.run.slowest]
        self.outside += part["outside"]
        self.late += part["late"]
        self.coverage.update((each["subject"], each) for each in part["coverage"])
        self._carried.update(part["carried"])
        self._ran.update(part["ran"])
        self._used.update(part["used"])

    def add_late(self) -> int:
        """Charge what was told after its test was over; returns how many more tests are blocked by it."""
        more = 0
        for each in self.late:
            entry = self.tests.get(each["test"])
            if entry is not None:
                more += entry["verdict"] != "blocked"
                entry["verdict"], entry["reason"] = "blocked", "told after the test was over"
                entry["blocked"].append(each["event"])
        self.late = []
        return more

    def add_left(self, told: Entry) -> None:
        """Charge a test with what a task that it left behind did in the call of another."""
        entry = self.tests.get(told["test"])
        if entry is not None:
            if entry["verdict"] != "blocked":
                entry["verdict"], entry["reason"] = "blocked", "it left a task behind"
            entry["left_behind"].append({"during": told["during"], "event": told["event"]})

    def unused_rules(self) -> list[str]:
        """The rules that no test used, of those of which every test that carries them has run."""
        return [
            key
            for key, (count, _, _) in sorted(self._carried.items())
            if key not in self._used and self._ran[key] >= count
        ]

    def place_of(self, rule: str) -> tuple[str, int]:
        """The file and line of the first test that carries it."""
        _, file, line = self._carried[rule]
        return file, line

    def document(self) -> Entry:
        """Everything, in JSON's own types; described in docs/pytest.md."""
        verdicts = Counter(entry["verdict"] for entry in self.tests.values())
        return {
            "schema_version": SCHEMA_VERSION,
            "loopwatch": __version__,
            "settings": {
                "mode": self.run.mode,
                "whole_run": self.run.whole,
                "threshold": self.run.terms.threshold,
                "executor_wait": self.run.terms.executor_wait,
            },
            "summary": {verdict: verdicts[verdict] for verdict in ("clean", "blocked", "unmeasured")},
            "tests": list(self.tests.values()),
            "slowest_steps": self.slowest,
            "outside": self.outside,
            "unused_rules": self.unused_rules(),
            "coverage": list(self.coverage.values()),
        }
