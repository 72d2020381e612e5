"""Who had to wait for a stall: the spans of what was ready, due or awaited meanwhile, told before they go on.

Only the loop's own thread can tell them in time: a moment later the request may be answered, and its span be over.
So they are looked for there, when a stall has ended and someone traces, never otherwise: behind the step that held the
loop, at the poll that follows among its timers, and, where there were events, among the tasks that these have woken.
"""

from __future__ import annotations

import contextlib
from collections import deque
from contextvars import Context
from itertools import islice
from typing import Any

from ...facts import SpanFacts, TracedStall
from ..handles import task_of
from .polls import due_timers
from .spans import Tracing

LOOKED_AT = 64
"""Handles, in each place."""
_TOLD = 32
"""Spans, of one stall."""
_SOON = 0.1
"""Seconds after the stall in which the loop comes to what has waited for it; later others may have woken it."""
_TRIES = 3


class Victims:
    """Those of one stall that has just ended. On the loop's thread; errors are for the caller."""

    __slots__ = ("_clock", "_ended", "_loop", "_seconds", "_told", "_tracing", "stall")

    def __init__(self, tracing: Tracing, stall: TracedStall, own: SpanFacts | None, state: Any, held: float) -> None:
        """``own`` is the span of what held the loop, for ``held`` seconds, until now."""
        self.stall = stall
        self._tracing = tracing
        self._loop = state.loop
        self._clock = state.outlets.clock
        self._ended = self._clock()
        self._seconds = held
        self._told = {own.span_id} if own is not None else set()

    def behind(self, count: int) -> None:
        """The first ``count`` that are ready: so many were seen to be while the loop was held."""
        for handle in first(getattr(self._loop(), "_ready", None), min(count, LOOKED_AT)):
            self._tell_handle(handle, self._seconds)

    def at_poll(self, events: bool) -> None:
        """Timers that are due by now; ``events``: whether something else is, too."""
        loop = self._loop()
        if loop is None or self._is_late():
            return
        for waited, timer in islice(due_timers(loop), LOOKED_AT):
            self._tell_handle(timer, min(waited, self._seconds))
        if events:  # not known yet is whom they wake: what is called first belongs to a connection, not to a task
            loop.call_soon(self._tracing.guarded, self._when_they_are_called, context=Context())

    def _when_they_are_called(self) -> None:
        """Behind this stand the callbacks of these events, and behind the next what they will have woken.

        What a thread has handed over meanwhile has been called, and has woken who waits for it.
        """
        loop = self._loop()
        if loop is not None and not self._is_late():
            self._tell_woken(loop)
            loop.call_soon(self._tracing.guarded, self._when_they_have_woken, context=Context())

    def _when_they_have_woken(self) -> None:
        loop = self._loop()
        if loop is not None and not self._is_late():
            self._tell_woken(loop)

    def _tell_woken(self, loop: Any) -> None:
        for handle in first(getattr(loop, "_ready", None), LOOKED_AT):
            if task_of(handle._callback) is not None:
                self._tell_handle(handle, self._seconds)

    def _is_late(self) -> bool:
        late: bool = self._clock() - self._ended > _SOON
        return late

    def _tell_handle(self, handle: Any, seconds: float) -> None:
        if not handle._cancelled:
            self._tell(getattr(handle, "_context", None), seconds)

    def _tell(self, context: Any, seconds: float) -> None:
        if len(self._told) > _TOLD:
            return
        span = self._tracing.of_context(context)
        if span is not None and span.span_id not in self._told:
            self._told.add(span.span_id)
            self._tracing.guarded(self.stall.waited, span, seconds)


def first(ready: deque[Any] | None, count: int) -> list[Any]:
    """The first of a queue; without the interpreter's lock another thread may add to it meanwhile."""
    for _ in range(_TRIES if ready else 0):
        with contextlib.suppress(RuntimeError):
            return list(islice(ready or (), count))
    return []
