"""Calls that are timed, on a made-up loop of which all is known, for tests of what both implementations promise."""

from __future__ import annotations

from typing import Any

from loopwatch.observe.uvloops import _calls_py
from loopwatch.testing import FakeClock
from tests.implementations import implementation

BOUND, SLOW_FROM = 0.125, 0.25


class Loop:
    """Keeps what it is given as uvloop does, and runs it later."""

    def __init__(self) -> None:
        self.given: list[tuple[Any, tuple[Any, ...]]] = []

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> str:
        self.given.append((callback, args))
        return f"handle in {context}"

    def run(self) -> None:
        while self.given:
            callback, args = self.given.pop(0)
            callback(*args)


class Bench:
    """Keeps what it is told of; ``call_soon`` is the loop's, with its calls timed by one implementation."""

    def __init__(self, name: str, clock: Any = None) -> None:
        implementation(name)  # skips where it cannot be had
        module: Any = _calls_py
        if name == "c":
            from loopwatch.observe.uvloops import _calls_c as module
        self._name = name
        self.clock = FakeClock(10.0) if clock is None else clock
        self.loop = Loop()
        self.slow: list[tuple[Any, float, float]] = []
        self.calls = module.Calls(self.loop, self.settle, self.clock, BOUND, SLOW_FROM)
        self.call_soon = module.make_schedule(Loop.call_soon, self.find, 1, True)

    def with_clock(self, clock: Any) -> Bench:
        """One that is new but for its kind."""
        return Bench(self._name, clock)

    def settle(self, *told: Any) -> None:
        self.slow.append(told)

    def find(self, loop: Any) -> Any:
        return self.calls if loop is self.loop else None
