"""Tasks that a test leaves behind in a loop which it shares: what they do in another test's call is its own doing."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from ..facts import WITHIN
from ..model import Event
from ..report.text import render
from ..testing.terms import Rule, Seen, Terms, excuse_of
from .asked import PlacedRule, how_to_allow

Entry = dict[str, Any]


class Call:
    """The call of one test: what it begins carries this in its context. ``left`` is for any thread."""

    def __init__(self, test: str) -> None:
        self.test = test
        self._tasks: frozenset[int] = frozenset()

    def over(self, tasks: frozenset[int]) -> None:
        """These tasks, by their ids, are there when the call is over. What is made later is not its own."""
        self._tasks = tasks

    def left(self, task: Any) -> str | None:
        return self.test if id(task) in self._tasks else None

    @contextmanager
    def under_way(self, item: pytest.Item) -> Generator[None]:
        """Have what the test begins carry this."""
        function: Any = getattr(item, "obj", None)
        carried = _runs_elsewhere(item, function)
        token = WITHIN.set(self)
        if carried:
            item.obj = _carrying(self, function)  # type: ignore[attr-defined]
        try:
            yield
        finally:
            if carried:
                item.obj = function  # type: ignore[attr-defined]
            WITHIN.reset(token)


def _runs_elsewhere(item: pytest.Item, function: Any) -> bool:
    """Whether the test will run in the context of a task that anyio's plugin keeps for all tests of a loop."""
    by_anyio = "anyio_backend" in getattr(item, "funcargs", ())
    return by_anyio and inspect.iscoroutinefunction(function) and not hasattr(function, "hypothesis")


def _carrying(call: Call, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def carrying(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        before = WITHIN.get()
        WITHIN.set(call)
        try:
            return await function(*args, **kwargs)
        finally:
            WITHIN.set(before)

    return carrying


class Leaver(NamedTuple):
    """A test that may leave something behind: where it stands, and what it allows."""

    file: str
    line: int
    location: tuple[str, int | None, str]
    rules: list[PlacedRule]


class LeftBehind:
    """What tasks that are left behind do in the calls of other tests, of one process. ``hear`` is for any thread."""

    def __init__(self) -> None:
        self._by: dict[str, str] = {}
        self._leavers: dict[str, Leaver] = {}
        self._charged: set[str] = set()
        self._news: list[Entry] = []
        self.used: set[str] = set()
        """The rules of those that left something which allow it."""

    def hear(self, event: Event, left_by: str | None) -> None:
        """An event of a task that a test has left behind, if any has."""
        if left_by is not None:
            self._by[_id(event)] = left_by

    def may_leave(self, item: pytest.Item, rules: list[PlacedRule]) -> None:
        """The call of a watched test is over."""
        file, line, name = item.location
        self._leavers[item.nodeid] = Leaver(str(item.path), (line or 0) + 1, (file, line, name), rules)

    def owner_of(self, event: Event, test: str | None) -> str | None:
        """The other test that has left behind what did this in the call of ``test``, if any has."""
        by = self._by.get(_id(event))
        return by if by in self._leavers and by != test else None

    def without(self, seen: Seen, test: str, terms: Terms, rules: Iterable[Rule]) -> Seen:
        """What was seen in a test's call, without that which is to be charged to others; they are, here."""
        allows, kept = list(rules), []
        for event in seen.events:
            owner = self.owner_of(event, test)
            if owner is None or excuse_of(event, terms) or any(rule.allows(event) for rule in allows):
                kept.append(event)
            else:
                self.charge(owner, test, event)
        return seen._replace(events=tuple(kept))

    def charge(self, owner: str, during: str, event: Event) -> None:
        """Once for each event, unless what the owner allows covers it."""
        leaver, key = self._leavers[owner], _id(event)
        used = {placed.key for placed in leaver.rules if placed.rule.allows(event)}
        self.used |= used
        if key in self._charged:
            return
        self._charged.add(key)
        if not used:
            told = {"test": owner, "during": during, "event": event.to_dict(), "text": _text(event, during)}
            self._news.append({**told, "file": leaver.file, "line": leaver.line, "location": list(leaver.location)})

    def news(self) -> list[Entry]:
        """What was charged since this was last asked, in JSON's own types."""
        found, self._news = self._news, []
        return found


def report_of(told: Entry) -> pytest.TestReport:
    """One more report on a test that is over: an error, as of a teardown that failed."""
    try:
        pytest.fail(told["text"], pytrace=False)
    except pytest.fail.Exception:
        shown = pytest.ExceptionInfo.from_current().getrepr(style="value")
    file, line, name = told["location"]
    return pytest.TestReport(told["test"], (file, line, name), {}, "failed", shown, "teardown")


def _text(event: Event, during: str) -> str:
    return "\n\n".join(
        [
            f"A task that the test left behind blocked {during}.",
            render(event),
            "It was made in this test's call and was still there at its end. Await it, or cancel it and await that, "
            "before the test ends; what several tests need is made by a fixture, and ended by it.",
            how_to_allow(event),
        ]
    )


def _id(event: Event) -> str:
    return str(getattr(event, "id", ""))
