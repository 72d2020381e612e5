"""A bench for the hook: loops that live by a clock of their own, and what the hook told of them."""

from __future__ import annotations

import asyncio
import os
import selectors
import threading
from asyncio import base_events, events
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from loopwatch.observe.loops.asyncio_loop import AsyncioHook
from loopwatch.observe.loops.loop_state import Held, LoopState, Outlets
from loopwatch.testing import FakeClock
from tests.made_alarm import Alarm

RUN = events.Handle._run
FOREVER = base_events.BaseEventLoop.run_forever
"""What stands in asyncio's classes while no hook is installed."""

THRESHOLD = 0.05
LONG = 0.07
PATIENCE = 10.0
"""Seconds that a test waits for another thread before it fails."""


class Watching:
    """The hook, with what it hands on."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.alarm = Alarm()
        self.held: deque[Held] = deque()
        self.faults: deque[BaseException] = deque()
        outlets = Outlets(self.alarm, self.held, self.faults, lambda state: None, clock)
        self.hook = AsyncioHook(THRESHOLD, outlets)

    def work(self, seconds: float = LONG) -> None:
        """What a step does that takes so long."""
        self.clock.advance(seconds)

    def told(self) -> list[tuple[str, float]]:
        """Kind and duration of what was held."""
        return [(held.kind, round(held.ended - held.started, 6)) for held in self.held]

    def names(self) -> list[str]:
        """The last part of the names of what was held."""
        return [held.handle.callback.rpartition(".")[2] for held in self.held]

    def state(self, loop: Any) -> LoopState:
        state: LoopState = loop._loopwatch
        return state

    def steps(self, loop: Any) -> int:
        return self.state(loop).steps_run()


def about(value: float, give: float | None = None) -> Any:
    """The number, or one that differs by less than ``give``, or than sums of fractions do."""
    return pytest.approx(value, abs=give)


def _refusal_is_harmless() -> bool:
    """Whether a loop goes on after it has refused to run a second time (in Python 3.13.0 it does not)."""

    def run_again() -> None:
        with suppress(RuntimeError):
            loop.run_forever()
        running.append(asyncio._get_running_loop() is loop)
        loop.stop()

    running: list[bool] = []
    loop = asyncio.new_event_loop()
    loop.call_soon(run_again)
    loop.run_forever()
    loop.close()
    return running[0]


REFUSING = pytest.mark.skipif(not _refusal_is_harmless(), reason="a loop of this Python breaks when it refuses to run")


class ClockedSelector(selectors.DefaultSelector):
    """Waits by moving the clock, where it is told for how long; otherwise for real, until something is ready."""

    clock: FakeClock

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0 if timeout is not None else PATIENCE)
        if not ready and timeout:
            self.clock.advance(timeout)
        return ready


def clocked(loop: Any, clock: FakeClock) -> Any:
    """Let a loop, and its selector, live by the clock."""
    loop.time = clock
    loop._selector.clock = clock
    return loop


@contextmanager
def new_loop(clock: FakeClock, kind: Any = asyncio.SelectorEventLoop) -> Iterator[Any]:
    """A loop that lives by the clock."""
    loop = clocked(kind(ClockedSelector()), clock)
    try:
        yield loop
    finally:
        loop.close()


def in_thread(function: Callable[[], Any], name: str = "worker-3") -> Any:
    """Run a function in a thread of its own; returns what it returns."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(function()), name=name)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    return answers[0]


def wait_until(true: Callable[[], bool]) -> None:
    deadline = threading.Event()
    for _ in range(int(PATIENCE * 1000)):
        if true():
            return
        deadline.wait(0.001)
    pytest.fail("it did not come to that")


def open_files() -> int:
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("this platform does not tell which files are open")
    return len(os.listdir("/proc/self/fd"))
