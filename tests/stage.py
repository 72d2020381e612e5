"""A stage for the sampler: one loop whose thread stands in a step, a clock of its own, and looks when told to."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from loopwatch.facts import HandleFacts, Overrun
from loopwatch.observe.looks.alarm import Alarm
from loopwatch.observe.looks.host import GcHook
from loopwatch.observe.looks.sampler import Sampler
from loopwatch.observe.loops.loop_state import Held, LoopState, Outlets
from loopwatch.observe.stopwatch.steps import NEVER
from loopwatch.testing import FakeClock

THRESHOLD = 0.125  # with all its parts exact in binary
PACE = THRESHOLD / 4


class Loop:
    """As much of a loop as is asked for."""

    def __init__(self) -> None:
        self._ready: deque[Any] = deque()
        self.alive, self.closed = True, False

    def is_running(self) -> bool:
        return self.alive

    def is_closed(self) -> bool:
        return self.closed

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        raise AssertionError(context)


class Local:
    """Something that only a frame of the step holds."""


class Stage:
    """One loop whose thread stands in a step, and a sampler that is told when to look."""

    def __init__(self, threshold: float = THRESHOLD, executor_wait: float = THRESHOLD) -> None:
        self.clock = FakeClock()
        self.loop = Loop()
        self.overruns: list[Overrun] = []
        self.faults: list[BaseException] = []
        self.held: deque[Held] = deque()
        self.retired: list[LoopState] = []
        self.drained = 0
        self.looked: list[float] = []
        self.pools_busy = False
        self.executor_wait = executor_wait
        self.alarm = Alarm()
        self._rested, self._pause = self.clock(), 0.0
        outlets = Outlets(self.alarm, self.held, deque(), lambda state: None, self.clock)
        self.state = LoopState(self.loop, threshold, outlets)
        self.states = {id(self.state): self.state}
        self.sampler = Sampler(
            threshold, self, self, GcHook(), self.alarm, self.held,  # type: ignore[arg-type]
            self.overruns.append, self.drain, self.faults.append, self.clock,
        )  # fmt: skip
        self._go, self._there = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="stage")
        self._thread.start()
        self._there.wait()
        self.state.begin(self.clock(), self._thread.ident or 0, "stage", self._thread.native_id or 0)
        self.state.handle = self.handle

    def _run(self) -> None:
        self.handle: Any = asyncio.Handle(self.wait_in_a_step, (), self.loop)  # type: ignore[arg-type]
        self.handle._run()

    def wait_in_a_step(self) -> None:
        local = Local()
        self.local = weakref.ref(local)
        self._there.set()
        self._go.wait(30)

    def close(self) -> None:
        self._go.set()
        self._thread.join()

    # what the sampler asks of the hooks

    def retire(self, state: LoopState) -> None:
        self.retired.append(state)
        del self.states[id(state)]

    def busy(self) -> bool:
        return self.pools_busy

    def look(self, now: float) -> None:
        self.looked.append(now)

    def drain(self) -> None:
        self.drained += 1

    # what happens

    def begin_step(self) -> None:
        self.state.mark = self.clock()

    def begin_turn(self) -> None:
        self.state.turn = self.state.mark = self.clock()

    def poll(self) -> None:
        self.state.turn, self.state.mark = self.clock(), NEVER

    def pass_time(self, seconds: float, every: float = PACE, each: Callable[[], None] = lambda: None) -> None:
        """Let time pass, and let the sampler look in between."""
        end = self.clock() + seconds - 1e-9
        while self.clock() < end:
            self.clock.advance(min(every, end + 1e-9 - self.clock()))
            each()
            self.sampler.tick()

    def end_poll(self) -> None:
        """The poll ends, and rings the alarm where the sampler is asleep."""
        self.begin_turn()
        if self.alarm.asleep:
            self.alarm.asleep = False
            self.sampler._get_up(self.clock())
            self.rest()

    def live(self, seconds: float) -> list[float]:
        """Let time pass while the sampler looks when it likes to; when it did."""
        end = self.clock() + seconds
        looks = []
        while not self.alarm.asleep and self.next_look() <= end:
            self.clock.now = self.next_look()
            self.sampler.tick()
            looks.append(self.clock())
            self.rest()
        self.clock.now = end
        return looks

    def rest(self) -> None:
        """The sampler goes to rest, for as long as it likes."""
        self._rested = self.clock()
        self._pause = self.sampler._plan()

    def next_look(self) -> float:
        return self._rested + self._pause

    def end_step(self) -> Overrun:
        """The running step ends, having held the loop too long; what is told of it."""
        now = self.clock()
        self.held.append(self.fact("step", self.state.mark))
        self.begin_turn()
        self.clock.advance(0.001)
        self.sampler.tick()
        told = self.overruns[-1]
        assert told.ended == pytest.approx(now)
        return told

    def fact(self, kind: str, started: float) -> Held:
        return Held(self.state, kind, started, self.clock(), HandleFacts("step"), 0, 1, 0.0, (), None, 0.0)


@contextmanager
def on_stage(threshold: float = THRESHOLD, executor_wait: float = THRESHOLD) -> Iterator[Stage]:
    """A stage, and that no fault of ours was seen on it."""
    made = Stage(threshold, executor_wait)
    try:
        yield made
    finally:
        made.close()
    assert made.faults == []
