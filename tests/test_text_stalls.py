"""Stalls as a person reads them: the sentence for each cause, the stack, and what else was seen."""

from __future__ import annotations

from typing import Any

import pytest

from loopwatch.model import Contributor, StackShare
from loopwatch.report.text import headline, render
from tests.made_events import CHECKOUT, frame, stall, text

SLEEPS = {"waited_for": "sleep", "call": "time.sleep", "samples": 5}


# --- stalls: who, how long, why, and who waited ---


STEPS: dict[str, tuple[dict[str, Any], str]] = {
    "wait, in which call": (
        {"culprit": CHECKOUT, "cause": "wait", "evidence": SLEEPS, "delayed": 17},
        "Event loop 'main' was held 352 ms by shop.views.checkout:42 (cause: wait, time.sleep); 17 callbacks waited. "
        "Task 'req-8'.",
    ),
    "wait, for what": (
        {"culprit": CHECKOUT, "cause": "wait", "evidence": {"waited_for": "network"}, "delayed": 1},
        "Event loop 'main' was held 352 ms by shop.views.checkout:42 (cause: wait, network); 1 callback waited. "
        "Task 'req-8'.",
    ),
    "wait, for nobody knows what": (
        {"culprit": CHECKOUT, "cause": "wait", "evidence": {"waited_for": "other"}},
        "Event loop 'main' was held 352 ms by shop.views.checkout:42 (cause: wait). Task 'req-8'.",
    ),
    "cpu": (
        {"culprit": CHECKOUT, "cause": "cpu", "evidence": {"cpu_seconds": 0.35}},
        "Event loop 'main' was held 352 ms by shop.views.checkout:42 (cause: cpu). Task 'req-8'.",
    ),
    "import": (
        {"culprit": CHECKOUT, "cause": "import", "evidence": {"module": "pandas"}},
        "Event loop 'main' was held 352 ms by shop.views.checkout:42 (cause: import, pandas). Task 'req-8'.",
    ),
    "import, of nobody knows what": (
        {"culprit": CHECKOUT, "cause": "import"},
        "Event loop 'main' was held 352 ms by shop.views.checkout:42 (cause: import). Task 'req-8'.",
    ),
    "gc": (
        {"cause": "gc", "evidence": {"gc_generation": 2, "gc_seconds": 0.35}, "delayed": 3},
        "Event loop 'main' was held 352 ms by the garbage collector (cause: gc, generation 2); 3 callbacks waited. "
        "Task 'req-8'.",
    ),
    "gc, of the youngest": (
        {"cause": "gc", "evidence": {"gc_generation": 0}, "task": None},
        "Event loop 'main' was held 352 ms by the garbage collector (cause: gc, generation 0).",
    ),
    "gc, in another thread": (
        {"cause": "gc", "evidence": {"gc_elsewhere": True}, "task": None},
        "Event loop 'main' was held 352 ms by the garbage collector, set off in another thread (cause: gc).",
    ),
    "gc, that was asked for": (
        {"cause": "gc", "culprit": CHECKOUT, "evidence": {"call": "gc.collect", "gc_generation": 2}},
        "Event loop 'main' was held 352 ms by shop.views.checkout:42 (cause: gc, gc.collect, generation 2). "
        "Task 'req-8'.",
    ),
    "suspended": (
        {"cause": "suspended", "duration": 3.2, "task": None},
        "Event loop 'main' was held 3.2 s while the whole process stood still (cause: suspended).",
    ),
    "debugger": (
        {"cause": "debugger", "duration": 30.0, "task": None},
        "Event loop 'main' was held 30 s while a debugger held the process (cause: debugger).",
    ),
    "unknown, with a culprit": (
        {"culprit": CHECKOUT},
        "Event loop 'main' was held 352 ms by shop.views.checkout:42 (cause: unknown). Task 'req-8'.",
    ),
    "unknown, where nobody is charged": (
        {"stack": (CHECKOUT,)},
        "Event loop 'main' was held 352 ms during a step of checkout (cause: unknown). Task 'req-8'.",
    ),
    "unknown, but a CPU was lacking": (
        {"evidence": {"waited_for": "cpu"}, "task": None},
        "Event loop 'main' was held 352 ms during a step of checkout (cause: the host was busy).",
    ),
    "unknown, but the interpreter was lacking": (
        {"evidence": {"waited_for": "interpreter"}, "task": None},
        "Event loop 'main' was held 352 ms during a step of checkout (cause: a wait for the interpreter).",
    ),
    "unknown, but the debug mode was at work": (
        {"evidence": {"waited_for": "debug"}, "task": None},
        "Event loop 'main' was held 352 ms during a step of checkout (cause: asyncio's debug mode).",
    ),
    "unknown, but a thread was to begin": (
        {"evidence": {"waited_for": "thread"}, "task": None},
        "Event loop 'main' was held 352 ms during a step of checkout (cause: a new thread could not begin).",
    ),
    "between two steps": (
        {"evidence": {"waited_for": "loop"}, "task": None},
        "Event loop 'main' was held 352 ms before a step of checkout (cause: the loop's own work between two steps).",
    ),
    "a callback where nobody is charged": (
        {"coroutine": None, "callback": "shop.jobs.tick", "task": None},
        "Event loop 'main' was held 352 ms during shop.jobs.tick (cause: unknown).",
    ),
    "a function of C": (
        {"coroutine": None, "callback": "time.sleep", "task": None, "cause": "wait", "evidence": SLEEPS},
        "Event loop 'main' was held 352 ms by time.sleep (cause: wait, time.sleep).",
    ),
    "nobody knows what": (
        {"coroutine": None, "callback": None, "task": None},
        "Event loop 'main' was held 352 ms during a callback (cause: unknown).",
    ),
    "uncertain": (
        {"culprit": CHECKOUT, "cause": "cpu", "evidence": {"certain": False}},
        "Event loop 'main' was held 352 ms, probably by shop.views.checkout:42 (cause: cpu). Task 'req-8'.",
    ),
    "in progress": (
        {"culprit": CHECKOUT, "cause": "wait", "evidence": SLEEPS, "delayed": 17, "in_progress": True},
        "Event loop 'main' has been held for 352 ms so far by shop.views.checkout:42 (cause: wait, time.sleep); "
        "17 callbacks are waiting. Task 'req-8'.",
    ),
    "in progress, and one waits": (
        {"culprit": CHECKOUT, "duration": 40.0, "delayed": 1, "in_progress": True, "evidence": {"certain": False}},
        "Event loop 'main' has been held for 40 s so far, probably by shop.views.checkout:42 (cause: unknown); "
        "1 callback is waiting. Task 'req-8'.",
    ),
}


@pytest.mark.parametrize(("changes", "line"), STEPS.values(), ids=STEPS)
def test_the_first_line_of_a_step_is_a_sentence(changes: dict[str, Any], line: str) -> None:
    """It says what happened, who did it, why, and who had to wait, for every cause and whatever is missing."""
    assert headline(stall(**changes)) == line


CROWD = {"kind": "turn", "callback": "many callbacks", "coroutine": None, "task": None, "duration": 0.412}
PRICE, TAX = Contributor("shop.views.price", 198, 0.401), Contributor("shop.views.tax", 2, 0.011)
TURNS: dict[str, tuple[dict[str, Any], str]] = {
    "a callback that made most of it": (
        {"steps": 200, "contributors": (PRICE, TAX), "cause": "cpu", "delayed": 5},
        "Event loop 'main' was held 412 ms by 200 callbacks in one turn, mostly shop.views.price (cause: cpu); "
        "5 callbacks waited.",
    ),
    "a culprit that made most of it": (
        {"steps": 200, "contributors": (PRICE,), "culprit": CHECKOUT, "cause": "cpu"},
        "Event loop 'main' was held 412 ms by 200 callbacks in one turn, mostly shop.views.checkout:42 (cause: cpu).",
    ),
    "none that made half of it": (
        {"steps": 200, "contributors": (Contributor("shop.views.tax", 2, 0.2), Contributor("a", 1, 0.1))},
        "Event loop 'main' was held 412 ms by 200 callbacks in one turn (cause: unknown).",
    ),
    "none that was noted": (
        {"steps": 4000},
        "Event loop 'main' was held 412 ms by 4000 callbacks in one turn (cause: unknown).",
    ),
    "while it lasts nobody has counted": (
        {"steps": 1, "in_progress": True, "delayed": 67},
        "Event loop 'main' has been held for 412 ms so far by many callbacks in one turn (cause: unknown); "
        "67 callbacks are waiting.",
    ),
    "no task is to be named for all of them": (
        {"steps": 4000, "task": "req-8"},
        "Event loop 'main' was held 412 ms by 4000 callbacks in one turn (cause: unknown).",
    ),
    "one callback": (
        {"steps": 1, "callback": "shop.jobs.tick", "cause": "cpu"},
        "Event loop 'main' was held 412 ms by shop.jobs.tick (cause: cpu).",
    ),
}


@pytest.mark.parametrize(("changes", "line"), TURNS.values(), ids=TURNS)
def test_the_first_line_of_a_turn_says_that_they_were_many(changes: dict[str, Any], line: str) -> None:
    """A turn names who made most of it, if anybody did."""
    assert headline(stall(**{**CROWD, **changes})) == line


def test_a_turn_lists_its_contributors() -> None:
    """The biggest three, after the stack that was seen."""
    more = tuple(Contributor(f"shop.views.f{number}", 1, 0.001) for number in range(5))
    event = stall(**CROWD, steps=200, contributors=(PRICE, TAX, *more), cause="cpu", remedy="Do less.")
    assert render(event) == text(
        """
        Event loop 'main' was held 412 ms by 200 callbacks in one turn, mostly shop.views.price (cause: cpu).
          shop.views.price: 198 x, 401 ms
          shop.views.tax: 2 x, 11 ms
          shop.views.f0: 1 x, 1 ms
          Remedy: Do less.
        """
    )


def test_what_is_uncertain_says_why() -> None:
    """Who reads "probably" is told what is doubtful."""
    event = stall(culprit=CHECKOUT, stack=(CHECKOUT,), evidence={"certain": False}, task=None)
    assert render(event) == text(
        """
        Event loop 'main' was held 352 ms, probably by shop.views.checkout:42 (cause: unknown).
          Seen late: another function may have held the loop before this one was reached.
          > File "/srv/shop/views.py", line 42, in checkout
        """
    )


SPENT = {"cpu_seconds": 0.104, "queued_seconds": 0.21, "interpreter_seconds": 0.03, "gc_seconds": 0.003, "samples": 4}
SPENT_ON = (
    "  Of this time: 104 ms on a CPU, 210 ms waiting for a CPU, 30 ms waiting for the interpreter, "
    "3 ms collecting garbage."
)


def test_without_a_cause_the_known_parts_of_the_time_are_told() -> None:
    """Where no cause is named, the numbers are: they tell a busy host from a busy interpreter."""
    told = render(stall(evidence=SPENT, task=None)).splitlines()
    assert told == ["Event loop 'main' was held 352 ms during a step of checkout (cause: unknown).", SPENT_ON]


@pytest.mark.parametrize(
    ("queued", "expected"), [(0.21, [SPENT_ON]), (0.05, [SPENT_ON.replace("210", "50")]), (0.02, [])]
)
def test_who_is_charged_with_a_part_is_told_the_parts(queued: float, expected: list[str]) -> None:
    """From a fifth on that was not the code's doing; less than that is not worth a line."""
    event = stall(evidence={**SPENT, "queued_seconds": queued}, cause="cpu", culprit=CHECKOUT)
    assert render(event).splitlines()[1:] == expected


def test_what_nobody_can_account_for_is_told_as_that() -> None:
    """It is in the duration, and not charged."""
    event = stall(evidence={"cpu_seconds": 0.25, "unaccounted_seconds": 0.1}, cause="cpu", culprit=CHECKOUT)
    assert render(event).splitlines()[1] == "  Of this time: 250 ms on a CPU, 100 ms unaccounted for."


def test_a_part_that_is_next_to_nothing_is_not_worth_a_line() -> None:
    """Some microseconds of a third of a second explain nothing."""
    told = render(stall(evidence={"queued_seconds": 0.00002, "cpu_seconds": 0.003}, task=None)).splitlines()
    assert told[1:] == ["  Of this time: 3 ms on a CPU."]
    assert render(stall(evidence={"queued_seconds": 0.00002}, task=None)).splitlines()[1:] == []


def test_a_long_stall_tells_where_its_time_went() -> None:
    """Stacks that end at one place are one share; where all do there is nothing to say."""
    read, write = frame("read", 1, module="lib"), frame("write", 2, module="lib")
    shares = (StackShare((CHECKOUT, read), 0.5), StackShare((read,), 0.2), StackShare((write,), 0.3))
    told = render(stall(profile=(*shares, StackShare((), 0.1)), task=None)).splitlines()
    assert told[1:] == ["  Its time: 70% in lib.read:1, 30% in lib.write:2"]
    assert render(stall(profile=shares[:2], task=None)).splitlines()[1:] == []
