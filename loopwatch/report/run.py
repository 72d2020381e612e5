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
    lines += _section("blocked:", [_blocked(test) for test in tests if test["blocked"]])
    lines += _section("left behind:", [line for test in tests for line in _left(test)])
    lines += _section("unmeasured:", _reasons(tests))
    if slowest > 0:
        lines += _section(f"slowest {slowest} steps:", _slowest(document)[:slowest], most=slowest)
    lines += _section("outside of the tests' own calls, and nobody's failure:", _outside(outside))
    lines += _section("never used:", document["unused_rules"])
    return lines


def _counts(document: Document) -> list[str]:
    verdicts, settings = document["summary"], document["settings"]
    said = ", ".join(f"{verdicts[name]} {name}" for name in ("clean", "blocked", "unmeasured") if verdicts[name])
    terms = f"threshold {seconds(settings['threshold'])}, executor_wait {seconds(settings['executor_wait'])}"
    count = len(document["tests"])
    return [f"{count} {'test' if count == 1 else 'tests'} watched: {said} ({terms})"]


def _section(title: str, lines: Iterable[str], most: int = _MOST) -> list[str]:
    found = list(lines)
    more = [f"  ... and {len(found) - most} more"] if len(found) > most else []
    return [title, *(f"  {line}" for line in found[:most]), *more] if found else []


def _blocked(test: Document) -> str:
    sites = dict.fromkeys(site_of(event) for event in test["blocked"])
    return f"{test['test']}: {', '.join(sites)}"


def _left(test: Document) -> list[str]:
    """What tasks that a test left behind did in the calls of others; files of older versions know nothing of it."""
    return [
        f"{test['test']}: task {each['event']['task']!r} in {each['during']}: {site_of(each['event'])}"
        for each in test.get("left_behind", ())
    ]


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


def _slowest(document: Document) -> list[str]:
    """Those that held a loop too long by their site, the others by what the loop called."""
    found: list[tuple[float, str, str | None, str]] = []
    for test in document["tests"]:
        others = (*test["allowed"], *test["excused"], *test.get("left_behind", ()))
        told = [*test["blocked"], *(each["event"] for each in others)]
        found += [_as_step(event, "call", test["test"]) for event in told if event["event"] == "stall"]
    for each in document["outside"]:
        if each["event"]["event"] == "stall":
            found.append(_as_step(each["event"], each["category"], each["test"]))
    for step in document["slowest_steps"]:
        found.append((step["seconds"], step["category"], step["test"], step["name"]))
    found.sort(key=lambda each: -each[0])
    return [f"{seconds(spent):>8} {phase:<10} {test or '-'}  {what}" for spent, phase, test, what in found]


def _as_step(event: Document, category: str, test: str | None) -> tuple[float, str, str | None, str]:
    return event["duration"], category, test, f"{site_of(event)} ({event['cause']})"


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
