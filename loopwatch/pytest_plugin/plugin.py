"""The plugin proper: puts the watch in place for the tests that want it, and tells each its verdict."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from .. import _compat
from ..facts import WITHIN
from ..model import Event, Stall
from ..report.run import summary
from ..report.text import render
from ..testing.period import Period, latest_beginning, settle
from ..testing.post import post
from ..testing.slowest import Slowest
from ..testing.terms import TOO_SHORT, BlockingWarning, Judgement, Rule, Terms, excuse_of, judge
from .asked import Carried, PlacedRule, RunRequest, carriers, how_to_allow, rules_of, terms_of
from .ledger import Entry, Ledger
from .left_behind import Call, LeftBehind, report_of
from .timeline import UNWATCHED, Phase, Timeline
from .unittest_cases import only_the_test_method

_SHOWN = 10
"""Findings of one test that are shown; the file has all of them."""
_ENTRY = pytest.StashKey[Entry]()
_ASKED = pytest.StashKey[bool]()


class Plugin:
    """One a process; where xdist has workers, also one in the process that they report to, which runs no test."""

    def __init__(self, config: pytest.Config, mode: str) -> None:
        self.config = config
        self.run = RunRequest.of(config, mode)
        self.ledger = Ledger(self.run)
        self._timeline = Timeline()
        self._told: list[tuple[Event, float]] = []
        self._known: set[tuple[str, str]] = set()
        self._outside: dict[str, Entry] = {}
        self._late: dict[str, Entry] = {}
        self._left = LeftBehind()
        self._coverage: dict[str, Entry] = {}
        self._carried: dict[str, Carried] = {}
        self._ran: Counter[str] = Counter()
        self._used: set[str] = set()
        self._watching: Terms | None = None
        self._reported = False
        """Whether a test that was over has failed by what it had left behind."""
        self._unwritten = ""
        """Why there is no file of verdicts though one was asked for."""
        post.ears.append(self._hear)
        post.slowest = self._slowest = Slowest(self.run.slowest, self._is_watched) if self.run.slowest > 0 else None
        if self.run.whole and not _has_workers(config):
            self._watch(self.run.terms)

    def _hear(self, event: Event, began: float, left_by: str | None) -> None:
        self._left.hear(event, left_by)
        self._told.append((event, began))

    def _watch(self, terms: Terms | None) -> None:
        """Have the watch in place on these terms, or not at all."""
        if terms is not None or self._watching is not None:
            post.want(self, terms, self.run.own_code)
            self._watching = terms

    def _enter(self, phase: Phase) -> None:
        self._timeline.begin(_compat.clocks.monotonic(), phase)

    def _is_watched(self, moment: float) -> bool:
        return self._timeline.at(moment).category != UNWATCHED

    # --- who is watched ---

    def ask(self, item: pytest.Item) -> None:
        """A fixture has asked for the test to be watched, maybe only now."""
        item.stash[_ASKED] = True
        if self._watching is None:
            self._watch(terms_of(item, self.run))

    def _terms(self, item: pytest.Item) -> Terms | None:
        """The terms of a test; None where it is not watched."""
        asked = (
            self.run.whole
            or item.stash.get(_ASKED, False)
            or "no_blocking" in getattr(item, "fixturenames", ())
            or item.get_closest_marker("no_blocking") is not None
        )
        return terms_of(item, self.run) if asked and self.run.mode != "off" else None

    # --- the phases of a run ---

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self) -> Generator[None, Any, Any]:
        self._enter(Phase("collection"))
        try:
            return (yield)
        finally:
            self._enter(Phase("between"))

    def look_over(self, items: list[pytest.Item], left_out: list[pytest.Item]) -> None:
        """The tests are known. A rule that stands on more than was collected of it may be of use to the rest."""
        watched = [item for item in items if self._terms(item) is not None]
        whole_files = not any("::" in str(arg) for arg in self.config.args)
        self._carried = carriers(watched, only_own=not whole_files)
        for key, carried in carriers(left_out).items():
            self._ran[key] -= carried[0]  # so it never has run as often as it is carried

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        self._enter(Phase("setup", item.nodeid))
        terms = self._terms(item)
        self._watch(terms if terms is not None or not self.run.whole else self.run.terms)
        try:
            return (yield)
        finally:
            self._enter(Phase("between"))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self) -> Generator[None, Any, Any]:
        """What a fixture begins is no test's, also where a test asks for it within its call."""
        token = WITHIN.set(None)
        try:
            return (yield)
        finally:
            WITHIN.reset(token)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, Any]:
        self._enter(Phase("teardown", item.nodeid))
        return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Innermost: what other plugins do around a test is not the test's."""
        terms = self._terms(item)
        if terms is None:
            self._enter(Phase(UNWATCHED, item.nodeid))
            return (yield)
        rules = rules_of(item)
        period, call = Period(post, terms), Call(item.nodeid)
        item.stash[_ENTRY] = entry_of(item, terms, Judgement("unmeasured", "it did not come to its end"))
        with only_the_test_method(item, period) as begin, call.under_way(item):
            try:
                begin()
                result = yield
            finally:
                seen, allowed = period.end(), [placed.rule for placed in rules]
                call.over(post.tasks())
                self._left.may_leave(item, rules)
                judgement = judge(self._left.without(seen, item.nodeid, terms, allowed), terms, allowed)
                self._note(item, terms, rules, period, judgement)
        self._tell(item, judgement)
        return result

    def _note(
        self, item: pytest.Item, terms: Terms, rules: list[PlacedRule], period: Period, judgement: Judgement
    ) -> None:
        if period.since:
            self._timeline.begin(period.since, Phase("call", item.nodeid))
            self._timeline.begin(period.until, Phase("teardown", item.nodeid))
        item.stash[_ENTRY] = entry_of(item, terms, judgement)
        self._ran.update({placed.key for placed in rules})
        used = [rule for _, rule in judgement.allowed]
        self._used.update(placed.key for placed in rules if any(placed.rule is rule for rule in used))
        # What is excused so far may not be when it has ended.
        over = [event for event, _ in judgement.excused if not getattr(event, "in_progress", False)]
        for event in (*judgement.blocked, *(each for each, _ in judgement.allowed), *over):
            self._known.add((item.nodeid, getattr(event, "id", "")))
        if judgement.blocked:
            shown = [json.dumps(event.to_dict()) for event in judgement.blocked[:_SHOWN]]
            item.add_report_section("call", "loopwatch", "\n".join(shown))

    def _tell(self, item: pytest.Item, judgement: Judgement) -> None:
        """Only where the test has not failed by itself: its own exception says more."""
        if judgement.verdict != "blocked" or getattr(item, "_excinfo", None):
            return
        text = failure_text(judgement.blocked)
        if self.run.mode == "warn":
            warn(text, str(item.path), (item.location[1] or 0) + 1)
        else:
            pytest.fail(text, pytrace=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: Any) -> Generator[None, Any, Any]:
        report = yield
        if call.when == "call" and (entry := item.stash.get(_ENTRY, None)) is not None:
            report.loopwatch = entry
        elif call.when == "setup" and not report.passed and (terms := self._terms(item)) is not None:
            why = "it was skipped" if report.skipped else "its setup failed"
            report.loopwatch = entry_of(item, terms, Judgement("unmeasured", why))
        return report

    def pytest_runtest_logreport(self, report: Any) -> None:
        if (entry := getattr(report, "loopwatch", None)) is not None:
            self.ledger.add_test(entry)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logfinish(self) -> None:
        """The tests that left something behind are over; xdist's workers can report on the present one alone."""
        if not hasattr(self.config, "workeroutput"):
            self._tell_left(self._left.news())

    def _tell_left(self, news: list[Entry]) -> None:
        for told in news:
            self.ledger.add_left(told)
            try:
                if self.run.mode == "warn":
                    warn(told["text"], told["file"], told["line"])
                    continue
            except BlockingWarning:  # warnings are errors
                pass
            self._reported = True
            self.config.hook.pytest_runtest_logreport(report=report_of(told))

    # --- what is no test's ---

    def _sort(self) -> None:
        """Give what was told to the phase in which it began."""
        told, self._told = self._told, []
        for event, began in told:
            key = getattr(event, "id", "")
            phase = self._timeline.at(latest_beginning(event, began))
            excuse = excuse_of(event, self.run.terms)
            if phase.category == UNWATCHED or excuse == TOO_SHORT or (phase.test or "", key) in self._known:
                continue
            owner = self._left.owner_of(event, phase.test)
            if phase.category == "call" and owner is not None:
                if not excuse:
                    self._left.charge(owner, phase.test or "", event)
                continue
            entry = {"category": phase.category, "test": phase.test, "event": event.to_dict()}
            if phase.category == "call":
                if not excuse:
                    self._late[key] = entry
                continue
            if excuse:
                entry["category"] = "import" if excuse == "import" else phase.category
            self._outside[key] = entry

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        watch = post.watch
        if watch is not None and watch._installed:
            settle(watch, _compat.clocks.monotonic())
            self._coverage.update((each.subject, each.to_dict()) for each in watch._coverage())
        self._watch(None)
        self._sort()
        part = {
            "slowest": self._short_steps(),
            "outside": list(self._outside.values()),
            "late": list(self._late.values()),
            "left": self._left.news(),
            "coverage": list(self._coverage.values()),
            "carried": self._carried,
            "ran": dict(self._ran),
            "used": sorted(self._used | self._left.used),
        }
        output = getattr(self.config, "workeroutput", None)
        if output is not None:
            output["loopwatch"] = part
            return
        self._add_part(part)
        self._close(session)

    def _add_part(self, part: Entry) -> None:
        self.ledger.add_part(part)
        self._tell_left(part["left"])

    def _short_steps(self) -> list[Entry]:
        """The slowest steps of which there is no event."""
        found = []
        for step in self._slowest.steps() if self._slowest is not None else ():
            phase = self._timeline.at(step.started)
            found.append({"seconds": step.seconds, "name": step.name, "category": phase.category, "test": phase.test})
        return found

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """One of xdist's workers is done."""
        part = getattr(node, "workeroutput", {}).get("loopwatch")
        if part is not None:
            self._add_part(part)

    def _close(self, session: pytest.Session) -> None:
        late = self.ledger.add_late() and self.run.mode == "fail"
        if (late or self._reported) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self.run.json_file:
            self._write(Path(self.run.json_file), session)
        for rule in self.ledger.unused_rules():
            try:
                warn(f"no test used {rule}", *self.ledger.place_of(rule))
            except BlockingWarning:  # warnings are errors
                session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED

    def _write(self, path: Path, session: pytest.Session) -> None:
        """The verdicts; a file that cannot be written fails the run, whose reports must still be told."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self.ledger.document(), indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            self._unwritten = f"{path} cannot be written: {error.strerror or error}"
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        lines = summary(self.ledger.document(), self.run.slowest)
        if self._unwritten:
            lines = [*lines, self._unwritten]
        if lines:
            terminalreporter.section("loopwatch")
            for line in lines:
                terminalreporter.line(line)

    def pytest_unconfigure(self) -> None:
        self._watch(None)
        post.ears.remove(self._hear)
        post.slowest = None


def warn(text: str, file: str, line: int) -> None:
    """As if the test had warned. Raises BlockingWarning where warnings are errors."""
    warnings.warn_explicit(BlockingWarning(text), None, file, line)


def entry_of(item: pytest.Item, terms: Terms, judgement: Judgement) -> Entry:
    """The verdict on one test in JSON's own types."""
    return {
        "test": item.nodeid,
        "verdict": judgement.verdict,
        "reason": judgement.reason,
        "threshold": terms.threshold,
        "executor_wait": terms.executor_wait,
        "simulated_async": terms.simulated_async,
        "blocked": [event.to_dict() for event in judgement.blocked],
        "allowed": [{"event": event.to_dict(), **_plain(rule)} for event, rule in judgement.allowed],
        "excused": [{"event": event.to_dict(), "why": why} for event, why in judgement.excused],
        "left_behind": [],
    }


def _plain(rule: Rule) -> Entry:
    return {"site": rule.site, "reason": rule.reason}


def failure_text(events: tuple[Event, ...]) -> str:
    """The findings as the log tells them, and how to allow the first."""
    stalls = sum(isinstance(event, Stall) for event in events)
    others = len(events) - stalls
    said = [f"{stalls} x held an event loop"] if stalls else []
    said += [f"{others} x made jobs or callers wait for threads"] if others else []
    shown = [render(event) for event in events[:_SHOWN]]
    if len(events) > _SHOWN:
        shown.append(f"... and {len(events) - _SHOWN} more.")
    return "\n\n".join([f"The test blocked: {', '.join(said)}.", *shown, how_to_allow(events[0])])


def _has_workers(config: pytest.Config) -> bool:
    """Whether this process runs no test, since xdist's workers do."""
    return not hasattr(config, "workerinput") and config.getoption("dist", "no") != "no"
