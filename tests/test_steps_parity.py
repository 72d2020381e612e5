"""Both stopwatches, driven by the same clock through the same steps and polls, write the same numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from loopwatch.metrics import STEP_BOUNDS
from loopwatch.observe.stopwatch.steps import NOTABLE, QUICK
from loopwatch.testing import FakeClock
from tests.implementations import NAMES, implementation

FIELDS = (
    "mark",
    "turn",
    "idle",
    "slow_from",
    "quick",
    "quick_before",
    "quick_turns",
    "brief",
    "brief_turns",
    "step_counts",
    "turn_counts",
)

seconds = st.one_of(st.floats(0, 0.0008), st.floats(0, 60), st.sampled_from(STEP_BOUNDS))
slow_from = st.one_of(st.sampled_from((0.0, QUICK, NOTABLE)), st.floats(0, NOTABLE))
steps = st.tuples(st.just("step"), seconds, st.sampled_from([None, ValueError, SystemExit, KeyboardInterrupt]))
polls = st.tuples(
    st.just("poll"), seconds, st.sampled_from([None, 0, 0.0, 0.5, -1]), st.sampled_from([[], ["ready"], OSError])
)
pauses = st.tuples(st.just("pause"), seconds)
stories = st.lists(st.one_of(steps, polls, pauses), max_size=40)


class Loop:
    """As much of a loop as asyncio's own handles ask for."""

    _loopwatch: Any

    def __init__(self) -> None:
        self.failed: list[str] = []

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.failed.append(f"{context['message'].partition(' at ')[0]}: {context['exception']!r}")


class Alarm:
    def __init__(self) -> None:
        self.asleep = False
        self.woken = 0

    def wake(self) -> None:
        self.asleep = False
        self.woken += 1


class Driven:
    """One stopwatch with a loop, a selector and an alarm, all on one clock."""

    def __init__(self, name: str, pending: bool, slow_from: float) -> None:
        module = implementation(name)
        self.clock = FakeClock(100.0)
        self.told: list[Any] = []
        self.loop = Loop()
        self.alarm = Alarm()
        self.asked: list[Any] = []
        told = self.told

        class Noted(module.Stopwatch):  # type: ignore[misc, name-defined]
            def slow_step(self, handle: Any, now: float) -> None:
                super().slow_step(handle, now)
                told.append(("step", now, self.mark))

            def slow_turn(self, ended: float) -> bool:
                super().slow_turn(ended)
                told.append(("turn", ended, self.turn))
                return pending

            def counted(self, events: Any) -> None:
                told.append(("counted", events))

        self.state = self.loop._loopwatch = Noted()
        self.state.mark = self.state.turn = self.clock()
        self.state.slow_from = slow_from
        self.run = module.make_run(asyncio.Handle._run, lambda handle: self.state, self.clock)
        self.select = module.make_select(self.state, self.poll, self.alarm, self.clock)
        self.lasts = 0.0
        self.answers: Any = []

    def poll(self, timeout: Any) -> Any:
        self.asked.append((timeout, self.state.mark, self.state.turn, self.state.handle is None))
        if timeout != 0:
            self.clock.advance(self.lasts)
        if self.answers is OSError:
            raise OSError("no such descriptor")
        return self.answers

    def do(self, what: str, lasts: float, *more: Any) -> None:
        try:
            getattr(self, f"do_{what}")(lasts, *more)
        except BaseException as error:
            self.told.append(repr(error))

    def do_step(self, lasts: float, error: type[BaseException] | None) -> None:
        def step(*given: Any) -> None:
            assert self.state.handle is handle
            self.clock.advance(lasts)
            if error is not None:
                raise error("as it was told to")

        handle = asyncio.Handle(step, (1, 2), self.loop)  # type: ignore[arg-type]
        self.run(handle)

    def do_poll(self, lasts: float, timeout: Any, answers: Any) -> None:
        self.lasts, self.answers, self.alarm.asleep = lasts, answers, True
        self.told.append(self.select(timeout))

    def do_pause(self, lasts: float) -> None:
        self.clock.advance(lasts)

    def numbers(self) -> list[Any]:
        told = [*self.told, *self.asked, *self.loop.failed, self.alarm.woken]
        return [[getattr(self.state, name) for name in FIELDS], told]


@given(stories, st.booleans(), slow_from)
def test_whatever_happens_both_count_the_same(story: list[tuple[Any, ...]], pending: bool, slow_from: float) -> None:
    """Every number, what the slow paths are told, what is raised and what is reported: after each event the same."""
    both = [Driven(name, pending, slow_from) for name in NAMES]
    for event in story:
        first, second = [_after(driven.do, event, driven.numbers) for driven in both]
        assert first == second


def _after(do: Callable[..., None], event: tuple[Any, ...], numbers: Callable[[], list[Any]]) -> list[Any]:
    do(*event)
    return numbers()


def test_the_fields_of_both_have_the_same_types() -> None:
    """A stopwatch in C is read as one in Python: same names, same types, and new ones are equal."""
    first, second = (implementation(name).Stopwatch() for name in NAMES)
    for name in (*FIELDS, "handle"):
        assert type(getattr(first, name)) is type(getattr(second, name))
        assert getattr(first, name) == getattr(second, name)
