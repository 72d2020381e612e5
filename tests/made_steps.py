"""Parts of the tests of stopwatches: one that keeps what it is told, and as much of a loop as it asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from loopwatch.testing import FakeClock
from tests.implementations import implementation


def parts(name: str) -> tuple[Any, Any, Any, Any]:
    """``Stopwatch``, one of it that keeps what its slow paths are told, ``make_run`` and ``make_select``."""
    chosen = implementation(name)
    noted = type("Noted", (Noting, chosen.Stopwatch), {})
    return chosen.Stopwatch, noted, chosen.make_run, chosen.make_select


class Noting:
    """A stopwatch that keeps what its slow paths are told."""

    mark: float
    turn: float

    def __init__(self, pending: bool = False) -> None:
        super().__init__()
        self.told: list[tuple[Any, ...]] = []
        self.pending = pending

    def slow_step(self, handle: Any, now: float) -> None:
        super().slow_step(handle, now)  # type: ignore[misc]
        self.told.append(("step", handle, self.mark, now))

    def slow_turn(self, ended: float) -> bool:
        super().slow_turn(ended)  # type: ignore[misc]
        self.told.append(("turn", self.turn, ended))
        return self.pending

    def counted(self, events: Any) -> None:
        self.told.append(("counted", events))


class Loop:
    """What a handle needs of a loop: room for a stopwatch."""

    _loopwatch: Any


class Handle:
    """A handle whose run takes some of the clock's time."""

    def __init__(self, clock: FakeClock, seconds: float = 0.0, error: BaseException | None = None) -> None:
        self._loop: Any = Loop()
        self.clock = clock
        self.seconds = seconds
        self.error = error
        self.ran = 0

    def run(self) -> None:
        self.ran += 1
        self.clock.advance(self.seconds)
        if self.error is not None:
            raise self.error


def watched(make_run: Any, clock: FakeClock, state: Any) -> Callable[[Handle], None]:
    """The run of a handle, timed by ``state``, which begins now."""
    state.mark = state.turn = clock()
    run = make_run(Handle.run, lambda handle: state, clock)

    def of(handle: Handle) -> None:
        handle._loop._loopwatch = state
        run(handle)

    return of


class Alarm:
    asleep = False
    woken = 0

    def wake(self) -> None:
        self.woken += 1
