"""The threads with which libuv looks up names for the loops of uvloop, one pool for all of them, and its jobs.

It has as many threads as ``UV_THREADPOOL_SIZE`` says as it is first used, four by default, and lets lookups have half
of them, rounded up (``src/threadpool.c`` in libuv: ``init_threads``, and ``slow_work_thread_threshold``, since 1.23).
They are taken from a queue, first in, first out. uvloop gives it nothing else: it uses neither libuv's file system
nor its work queue.

What is done in there is not seen: a lookup is known from its submission to the moment at which its loop learned of
the end. A loop that is held learns nothing, and while one is nobody knows whether a lookup still waits.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

from ... import _compat
from ..jobs.job import Pool, RemoteJob, first
from ..jobs.job import faults as _faults
from ..stopwatch.steps import NEVER

LIBUV = "libuv"
"""Name and kind of the pool."""
NOT_LIBUV = "instead of libuv"
"""Kind of a pool that another tool has put in its place, as far as is known."""

_SIZE = "UV_THREADPOOL_SIZE"
_USUAL, _MOST = 4, 1024
_HELD = 0.02
"""A loop that has not polled for so many seconds may have something to learn."""
_clock = _compat.clocks.monotonic


def threads(text: str | None) -> int:
    """How many threads libuv makes when that is said, read as it reads it (``atoi``)."""
    if text is None:
        return _USUAL
    digits = text.lstrip(" \t\n\v\f\r")
    sign = digits[:1] if digits[:1] in ("+", "-") else ""
    digits = digits[len(sign) :]
    length = next((at for at, each in enumerate(digits) if each not in "0123456789"), len(digits))
    number = int(digits[: min(length, 18)] or 0)
    if number == 0:
        return 1
    return _MOST if sign == "-" else min(number, _MOST)


class LibuvPool(Pool):
    """The part of it that looks up names, whose size follows from ``environ``."""

    __slots__ = ("_held_since",)

    def __init__(self, owner: Any, environ: Mapping[str, str]) -> None:
        at_once = (threads(environ.get(_SIZE)) + 1) // 2
        super().__init__(owner, LIBUV, LIBUV, lambda: float(at_once), lambda: at_once)
        self._held_since = 0.0
        """Since when the loop has been held for which the last look knew nothing; 0 where there was none."""

    def full(self) -> bool:
        """Whether every worker is known to be taken: of a loop that is held it is not known. For the sampler."""
        now, full = _clock(), super().full()
        held = [since for job in list(self.running) if now - (since := job.loop_held_since()) >= _HELD]
        self._held_since = min(held, default=0.0)
        return full and not held

    def free_since(self, now: float) -> float:
        """When a worker became free at the earliest, of which its loop learns now. While jobs wait looks are many."""
        return self._held_since or now


class LookupJob(RemoteJob):
    """One lookup, from its submission to the moment at which its loop learned of the end.

    When it began is assumed: the oldest as many as libuv works at. To give it up does not stop it.
    """

    loop: weakref.ref[Any]
    promised: weakref.ref[Any] | None = None
    """The future that is told what was found, while it is not known to be over."""

    def promise(self, future: Any) -> None:
        """It goes on until the future dies, or ``over`` is told before."""
        self.promised = weakref.ref(future, self._died)

    def _died(self, _: Any) -> None:
        try:
            self.over("abandoned")  # nobody has come for what was found
        except Exception as error:
            _faults.append(error)

    def came_back(self) -> None:
        """Whoever waits for it goes on: with what was found, with an error, or because it has given up."""
        future = self.promised() if self.promised is not None else None
        if future is not None and future._state == "FINISHED":
            self.over("completed" if future._exception is None else "failed")

    def over(self, outcome: str) -> None:
        """From any thread."""
        self.promised = None
        now = _clock()
        if self.ended is not None or not self._leave(now):
            return
        self.ended = self.pool.last_end = now
        if self.started is None:  # the order was another than assumed
            self.started = self.submitted
        self.outcome = outcome
        self.finished.put(self)

    def loop_held_since(self) -> float:
        """When its loop polled last, as far as that is known; ``NEVER`` where it waits in its poll."""
        state = getattr(self.loop(), "_loopwatch", None)
        step, turn = (NEVER, NEVER) if state is None else state.marks()
        return NEVER if step == NEVER else turn

    def _leave(self, now: float) -> bool:
        pool: LibuvPool = self.pool
        following = first(pool.waiting)
        left = super()._leave(now)
        if following is not None and following.started == now:
            following.started = following.after = max(following.submitted, pool.free_since(now))
        return left


__all__ = ["LIBUV", "NOT_LIBUV", "LibuvPool", "LookupJob", "threads"]
