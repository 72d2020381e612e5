"""A run of tests in words, from the document that the pytest plugin writes (see docs/pytest.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from .text import seconds

CLEAN, BLOCKED, NOTHING_MEASURED = 0, 1, 2
_MOST = 10

Document = Mapping[str, Any]


def exit_code(document: Document) -> int:
    """0: clean, 1: a test was blocked, 2: nothing was measured."""
    verdicts = document["summary"]
    if verdicts["blocked"]:
        return BLOCKED
    return CLEAN if verdicts["clean"] else NOTHING_MEASURED


def summary(document: Document, slowest: int) -> list[str]:
    """What there is to say of a run; nothing where no test was watched and nothing happened."""
    tests, outside = document["tests"], document["outside"]
    lines = _counts(document) if tests else []
    lines += _section("blocked:", [_blocked(test) for test in tests if test["verdict"] == "blocked"])
    lines += _section("unmeasured:", _reasons(tests))
    lines += _section(f"slowest {slowest} steps:", _slowest(tests, outside)[: max(0, slowest)] if slowest > 0 else [])
    lines += _section("outside of the tests' own calls, and nobody's failure:", _outside(outside))
    lines += _section("never used:", document["unused_rules"])
    return lines


def _counts(document: Document) -> list[str]:
    verdicts, settings = document["summary"], document["settings"]
    said = ", ".join(f"{verdicts[name]} {name}" for name in ("clean", "blocked", "unmeasured") if verdicts[name])
    terms = f"threshold {seconds(settings['threshold'])}, executor_wait {seconds(settings['executor_wait'])}"
    count = len(document["tests"])
    return [f"{count} {'test' if count == 1 else 'tests'} watched: {said} ({terms})"]


def _section(title: str, lines: Iterable[str]) -> list[str]:
    found = list(lines)
    more = [f"  ... and {len(found) - _MOST} more"] if len(found) > _MOST else []
    return [title, *(f"  {line}" for line in found[:_MOST]), *more] if found else []


def _blocked(test: Document) -> str:
    sites = dict.fromkeys(site_of(event) for event in test["blocked"])
    return f"{test['test']}: {', '.join(sites)}"


def _reasons(tests: Iterable[Document]) -> list[str]:
    """The tests of each reason; where there are many, their number."""
    by_reason: dict[str, list[str]] = {}
    for test in tests:
        if test["verdict"] == "unmeasured":
            by_reason.setdefault(test["reason"], []).append(test["test"])
    return [
        f"{reason}: {', '.join(names) if len(names) <= 3 else f'{len(names)} tests'}"
        for reason, names in by_reason.items()
    ]


def _slowest(tests: Iterable[Document], outside: Iterable[Document]) -> list[str]:
    found = []
    for test in tests:
        told = [*test["blocked"], *(each["event"] for each in (*test["allowed"], *test["excused"]))]
        found += [(event, "call", test["test"]) for event in told]
    found += [(each["event"], each["category"], each["test"]) for each in outside]
    stalls = [each for each in found if each[0]["event"] == "stall"]
    stalls.sort(key=lambda each: -each[0]["duration"])
    return [
        f"{seconds(event['duration']):>8} {phase:<10} {test or '-'}  {site_of(event)} ({event['cause']})"
        for event, phase, test in stalls
    ]


def _outside(outside: Iterable[Document]) -> list[str]:
    counts = Counter((each["category"], site_of(each["event"])) for each in outside)
    longest: dict[tuple[str, str], float] = {}
    for each in outside:
        key = (each["category"], site_of(each["event"]))
        longest[key] = max(longest.get(key, 0.0), _length(each["event"]))
    return [
        f"{category}: {times} x {site}, {seconds(longest[category, site])} at most"
        for (category, site), times in counts.most_common()
    ]


def _length(event: Document) -> float:
    length: float = event.get("duration", event.get("run_seconds", 0.0))
    return length


def site_of(event: Document) -> str:
    """The site of an event in JSON's types."""
    if event["event"] == "offload":
        return str(event["site"])
    if event.get("culprit"):
        return str(event.get("charged_site") or event["culprit"]["site"])
    return str(event.get("callback") or event.get("executor") or f"({event.get('cause', 'unknown')})")
