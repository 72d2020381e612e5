"""Who had to wait for a stall of a loop of uvloop: read from what the loop keeps to itself, as the collector tells it.

uvloop has its ready handles in a deque and its timers in a set, both hidden (``Loop`` in ``uvloop/loop.pxd``), and in
each of these a context (``uvloop/cbhandles.pxd``). It polls before it calls what was made ready in a step: so who was
woken by what came meanwhile is ready by then.
"""

from __future__ import annotations

import gc
import sys
from collections import deque
from contextvars import Context
from itertools import islice
from typing import Any

from ...facts import SpanFacts, TracedStall
from ..handles import task_of
from ..loops.spans import Tracing
from ..loops.victims import LOOKED_AT, Victims, first
from .calls import CALL

_SEARCHED = 4096
"""Timers, which are in no order."""


class UvloopVictims(Victims):
    """Those of one stall that has just ended: of a step that was given to the loop. On its thread, within the step."""

    __slots__ = ("_events", "_state")

    def __init__(self, tracing: Tracing, stall: TracedStall, own: SpanFacts | None, state: Any, held: float) -> None:
        super().__init__(tracing, stall, own, state, held)
        self._state = state
        self._events = 0

    def behind(self, count: int) -> None:
        """The first ``count`` of what is ready, and the timers that are due; who is woken by events, a little later."""
        loop = self._loop()
        if loop is None:
            return
        self._events = self._state.events()
        kept = gc.get_referents(loop)
        self._tell_ready(_ready_among(kept), count)
        self._tell_due(kept)
        loop.call_soon(self._tracing.guarded, self._when_events_have_woken, context=Context())

    def _tell_ready(self, ready: deque[Any] | None, count: int) -> None:
        """What uvloop gives to itself is ready among what was given, which alone is counted."""
        for handle in first(ready, LOOKED_AT):
            if count <= 0:
                break
            if not handle.cancelled():
                context, call = _read(handle)
                self._tell(context, self._seconds)
                count -= call is not None

    def _tell_due(self, kept: list[Any]) -> None:
        """uvloop has the timer that has held the loop among them until it is over."""
        now, running = self._state.timer_time(), self._state.exact.calls.running
        due = (timer for timer in _timers_among(kept) if timer.when() <= now and not timer.cancelled())
        for timer in islice(due, LOOKED_AT):
            context, call = _read(timer)
            if all(each is not running for each in gc.get_referents(call)):
                self._tell(context, min(now - timer.when(), self._seconds))

    def _when_events_have_woken(self) -> None:
        """After the next poll. What it called first belongs to a connection, not to a task."""
        loop = self._loop()
        if loop is None or self._is_late() or self._state.events() == self._events:
            return
        for handle in first(_ready_among(gc.get_referents(loop)), LOOKED_AT):
            context, call = (None, None) if handle.cancelled() else _read(handle)
            if any(task_of(each) is not None for each in gc.get_referents(call)):
                self._tell(context, self._seconds)


def _read(handle: Any) -> tuple[Context | None, Any]:
    """The context of a handle, and our own callable in place of the callback, if it has one."""
    context = call = None
    for each in gc.get_referents(handle):
        if type(each) is Context:
            context = each
        elif type(each) is CALL:
            call = each
    return context, call


# The class of C is asked last for what it refers to, after all that a class made from it may have added.


def _ready_among(kept: list[Any]) -> deque[Any] | None:
    """The queue of handles; None where it is empty."""
    kind = _kind("Handle")
    return next((each for each in reversed(kept) if type(each) is deque and each and type(each[-1]) is kind), None)


def _timers_among(kept: list[Any]) -> list[Any]:
    """The timers; the collector makes no one wait, and nothing is run meanwhile that could set another."""
    kind = _kind("TimerHandle")
    sets = (list(islice(each, _SEARCHED)) for each in reversed(kept) if type(each) is set)
    return next((timers for timers in sets if timers and type(timers[0]) is kind), [])


def _kind(name: str) -> Any:
    return getattr(sys.modules.get("uvloop.loop"), name, None)
