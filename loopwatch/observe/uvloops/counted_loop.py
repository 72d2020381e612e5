"""The counters of one uvloop loop, and that nobody reads them when they are gone: they are memory of the loop's."""

from __future__ import annotations

import threading
from typing import Any

from ... import _compat
from ..loops.loop_state import LoopState, Outlets
from ..resting.rests import make_gauge
from ..stopwatch.steps import NEVER
from .libuv import Count, Libuv

_TRIES = 3
TOGETHER = 0.0005
"""Readings that took longer than this many seconds do not belong together."""


class CountedLoop(LoopState):
    """What reads them holds ``_gate``, or is a gauge. ``end`` and ``before_close`` on the loop's thread."""

    __slots__ = ("_gate", "_gauge", "_last", "_let_go", "_libuv", "_pointer", "told_of_end")

    def __init__(self, loop: Any, threshold: float, outlets: Outlets, libuv: Libuv) -> None:
        super().__init__(loop, threshold, outlets)
        self.polls_seen = True
        self.told_of_end = True
        """Whether the end of its present run will be told."""
        self._libuv = libuv
        self._pointer: int | None = libuv.pointer_of(loop)
        self._let_go = False
        # Held while the counters are read, and while a run ends and a loop is about to be closed: so what is read is
        # there. A loop that runs refuses to be closed, also in this very thread, by what the collector ends.
        self._gate = threading.RLock()
        self._gauge = make_gauge(libuv, TOGETHER, outlets.clock)
        libuv.configure(self._pointer)
        self._last = Count(outlets.clock(), libuv.idle(self._pointer), libuv.turns(self._pointer), False)

    # --- its life ---

    def end(self, now: float) -> None:
        with self._gate:
            self._take_back()
            super().end(now)

    def _end_unsaid(self) -> None:
        """Its run is over, and nobody was told: it had begun before our methods were in place."""
        if self.ran < 0:
            self.end(self.outlets.clock())

    def before_close(self) -> int | None:
        """The loop is about to be closed: from here on its counters are not touched. Returns what ``not_closed`` needs.

        Waits for a look that is under way, which never lasts.
        """
        with self._gate:
            self._take_back()
            if not self.running():
                self._end_unsaid()
            pointer, self._pointer = self._pointer, None
            return pointer

    def not_closed(self, pointer: int) -> None:
        """It was not closed after all."""
        with self._gate:
            if not self._let_go:
                self._pointer = pointer

    def let_go(self) -> None:
        with self._gate:
            self._let_go = True
            self.before_close()

    def after_fork(self) -> None:
        """The thread that held the gate is not there, and whoever closes the loop now will not tell."""
        self._gate = threading.RLock()
        self._let_go, self._pointer, self._gauge = True, None, None

    # --- reading ---

    def events(self) -> int:
        """How many events its polls have brought so far; on the loop's thread."""
        with self._gate:
            _held, pointer = self._open()
            return 0 if pointer is None else self._libuv.events(pointer)

    def timer_time(self) -> float:
        """The time by which its timers are due."""
        return self._libuv.now()

    def gauge(self) -> Any:
        """None where it does not wait. Where nobody tells of the run's end, a ``close`` that the application had taken
        from the loop before ours was in place may free the counters, unheard: then the loop is asked before each
        reading, which needs an interpreter lock to hold meanwhile. None where there is no such lock.
        """
        with self._gate:
            last, (loop, pointer) = self._last, self._open()
            waited = self.ran < 0 and last.polling and self.mark == NEVER
            if self._gauge is None or pointer is None or not waited:
                return None
            if not (self.told_of_end or _compat.gil_enabled()):
                return None
            self._gauge.set(loop, pointer, last.at, last.idle, None if self.told_of_end else loop.is_closed)
            return self._gauge

    def _take_back(self) -> None:
        if self._gauge is not None:
            self._gauge.take_back()

    def _open(self) -> tuple[Any, int | None]:
        """The loop, and where its counters are; None once it is closed. With the gate held, and for as long as it is.

        Whoever reads them has to hold the loop: one that nobody closes takes them along when its last user goes.
        """
        loop = self.loop()
        return loop, None if loop is None or loop.is_closed() else self._pointer

    def _read(self) -> Count | None:
        """The counters now; None where the loop is closed. With the gate held."""
        (_held, pointer), clock, libuv = self._open(), self.outlets.clock, self._libuv
        if pointer is None:
            return None
        for _ in range(_TRIES):
            began = clock()
            turns, first = libuv.turns(pointer), libuv.idle(pointer)
            at = clock()
            idle = libuv.idle(pointer)
            if at - began < TOGETHER and libuv.turns(pointer) == turns:
                break
        return Count(at, idle, turns, idle > first)

    def _read_running(self) -> Count | None:
        """The counters of a loop that runs; None also while another runs inside its step. With the gate held."""
        return self._read() if self.ran < 0 <= self._aside else None


__all__ = ["TOGETHER", "CountedLoop"]
