"""The one place that says what counts: what is a sighting, a right line, a right cause, a false alarm.

Everything that a tool told from the start of a scenario to its end is a report. Then:

* *seen*: at least one report, of a program that holds the loop or fills a pool. What the tool says of the idle
  program as well, numbers aside, is no sighting.
* *line*: a report names the file and the line of the mark, as ``file.py:12``, ``file.py", line 12``, ``file.py l. 12``
  or ``file.function:12``; it may stand anywhere in the report, also in a stack. ``function`` where reports name only
  the function that the line stands in.
* *cause*: the tool's own words for the reason, where it has a place for them, fit the scenario's pattern. Source
  lines quoted in a stack do not count: those give the reader the reason, not the tool.
* *false alarm*: a report of a program that did nothing wrong. Where the loop really was late through no code's fault
  (the collector, a stopped process, other threads) a report is none if its cause says so.

Of several rounds the most frequent verdict counts; of a tie, the better one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .adapters.adapter import Report
from .scenarios.scenario import Mark, Scenario, marks


@dataclass(frozen=True)
class Verdict:
    """Of one tool on one scenario. ``line`` is ``line``, ``function`` or empty."""

    seen: bool = False
    line: str = ""
    cause: bool = False
    false_alarm: bool = False

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def worth(self) -> tuple[bool, bool, bool, bool, bool]:
        return (not self.false_alarm, self.seen, self.line == "line", self.line == "function", self.cause)


def judge(scenario: Scenario, reports: Sequence[Report], always: Sequence[Report] = ()) -> Verdict:
    """What the reports of one run are worth; ``always`` is what the tool says when there is nothing to say."""
    if scenario.kind == "innocent":
        return Verdict(false_alarm=any(not _excused(scenario, report) for report in reports))
    usual = {_without_numbers(report.text) for report in always}
    reports = [report for report in reports if _without_numbers(report.text) not in usual]
    if not reports:
        return Verdict()
    return Verdict(True, _place(marks(scenario), reports), any(_fits(scenario, report) for report in reports))


def majority(verdicts: Sequence[Verdict]) -> Verdict:
    """The most frequent of several rounds."""
    counts = Counter(verdicts)
    return max(counts, key=lambda verdict: (counts[verdict], verdict.worth))


def _without_numbers(text: str) -> str:
    return re.sub(r"[\d.]+", "#", text)


def _excused(scenario: Scenario, report: Report) -> bool:
    return bool(scenario.cause) and _fits(scenario, report)


def _fits(scenario: Scenario, report: Report) -> bool:
    return bool(report.cause) and re.search(scenario.cause, report.cause) is not None


def _place(right: Sequence[Mark], reports: Sequence[Report]) -> str:
    for word, names in (("line", _names_line), ("function", _names_function)):
        if any(names(report.text, mark) for mark in right for report in reports):
            return word
    return ""


def _names_line(text: str, mark: Mark) -> bool:
    file = re.escape(mark.file)
    module = re.escape(mark.file.removesuffix(".py"))
    patterns = (
        rf"\b{file}:{mark.line}\b",
        rf'\b{file}", line {mark.line}\b',
        rf"\b{file} l\. {mark.line}\b",
        rf"\b{module}\.(?:[\w<>]+\.)*{mark.function}:{mark.line}\b",
    )
    return any(re.search(pattern, text) for pattern in patterns)


def _names_function(text: str, mark: Mark) -> bool:
    return re.search(rf"(?<!\w){re.escape(mark.function)}(?!\w)", text) is not None
