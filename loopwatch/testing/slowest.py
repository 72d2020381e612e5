"""The slowest of the steps that held no loop for too long: of those that did there are events, with their lines."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from ..facts import HandleFacts


class Step(NamedTuple):
    """When a step began (by the monotonic clock), how many seconds it ran, and what the loop called."""

    started: float
    seconds: float
    name: str


class Slowest:
    """Keeps the ``most`` slowest of what it is told by the threads of all loops.

    ``wanted(started)`` tells of a step, by when it began, whether it counts; from any thread.
    """

    def __init__(self, most: int, wanted: Callable[[float], bool]) -> None:
        self.least = 0.0
        """What takes no longer than this need not be told."""
        self._most = most
        self._wanted = wanted
        self._steps: list[Step] = []
        self._lock = threading.Lock()

    def add(self, started: float, seconds: float, facts: HandleFacts) -> None:
        if not self._wanted(started):
            return
        name = facts.coroutine or facts.callback
        step = Step(started, seconds, f"{facts.module}.{name}" if facts.module else name)
        with self._lock:
            steps = sorted([*self._steps, step], key=lambda each: -each.seconds)[: self._most]
            self._steps = steps
            if len(steps) == self._most:
                self.least = steps[-1].seconds

    def steps(self) -> list[Step]:
        """The slowest first."""
        return list(self._steps)
