"""A bench for the state of one loop, driven by hand: steps and polls that take the time they are given."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import pytest

from loopwatch.observe.loops.entry_state import EntryState
from loopwatch.observe.loops.loop_state import Held, LoopState, Outlets
from loopwatch.observe.stopwatch.steps import make_run
from loopwatch.testing import FakeClock
from tests.made_alarm import Alarm

THRESHOLD = 0.05


class Loop:
    """As much of a loop as a state asks for."""

    def __init__(self, clock: FakeClock) -> None:
        self._ready: deque[Any] = deque()
        self._scheduled: list[Any] = []
        self._selector: Any = None
        self.alive = True
        self.time = clock

    def is_running(self) -> bool:
        return self.alive


class Handle:
    """A handle of which the run takes the clock's time, or does what it is given."""

    def __init__(self, bench: Bench, work: Any = 0.0) -> None:
        self._loop = bench.loop
        self._callback = work if callable(work) else self.rest
        self.bench = bench
        self.work = work

    def rest(self) -> None:
        self.bench.clock.advance(self.work)

    def run(self) -> None:
        self._callback()


class Bench:
    """One state, driven by hand."""

    def __init__(self, entry: bool = False, tapped: bool = True, threshold: float = THRESHOLD) -> None:
        self.clock = FakeClock()
        self.loop = Loop(self.clock)
        self.alarm = Alarm()
        self.held: deque[Held] = deque()
        self.faults: deque[BaseException] = deque()
        self.adapted: list[LoopState] = []
        outlets = Outlets(self.alarm, self.held, self.faults, self.adapt, self.clock)
        self.state = LoopState(self.loop, threshold, outlets)
        if entry:
            EntryState.take_over(self.state, [])
        self.waits = 0.0
        self.events: list[Any] = []
        self.select = self.state.make_select(self.poll)
        if tapped:
            self.state.tap, self.state.polls_seen = Tap(), True  # type: ignore[assignment]
        self._run = make_run(Handle.run, lambda handle: self.state, self.clock)
        self.loop._loopwatch = self.state  # type: ignore[attr-defined]
        self.trusted = True

    def adapt(self, state: LoopState) -> bool:
        self.adapted.append(state)
        return self.trusted

    def begin(self) -> None:
        self.state.begin(self.clock(), threading.get_ident(), "MainThread", 0)

    def end(self) -> None:
        self.state.end(self.clock())

    def poll(self, timeout: float | None) -> list[Any]:
        if timeout != 0:
            self.clock.advance(self.waits)
        return self.events

    def run(self, work: Any = 0.0) -> Handle:
        handle = Handle(self, work)
        self._run(handle)
        return handle

    def wait(self, seconds: float) -> None:
        """A poll that takes that long."""
        self.waits = seconds
        self.select(None)

    def times(self) -> tuple[float, float]:
        return self.state.times(self.clock())


class Tap:
    """Stands for our function on the loop's selector (of which it has none)."""

    def in_place(self, selector: Any) -> bool:
        return selector is None


KINDS = pytest.mark.parametrize("entry", [False, True], ids=["plain", "entry"])


def plain_loops(patch: pytest.MonkeyPatch) -> None:
    """Loops of this bench count as asyncio's own, but for those that are ``odd``."""
    patch.setattr("loopwatch.observe.loops.loop_state.turns_plainly", lambda loop: not hasattr(loop, "odd"))


def bench(entry: bool = False, tapped: bool = True, threshold: float = THRESHOLD) -> Bench:
    made = Bench(entry, tapped, threshold)
    made.begin()
    return made


def nested(b: Bench, seconds: float) -> Any:
    """Another loop runs for so long."""
    b.state.pause(b.clock())
    b.clock.advance(seconds)
    b.state.resume(b.clock())
