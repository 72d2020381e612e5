"""Evidence from the host: when the garbage collector ran, and when the whole process stood still."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import sys
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from types import FrameType
from typing import NamedTuple

from ... import _compat
from ...facts import RawFrame
from ...metrics import GC_BOUNDS
from ..loops.asyncio_loop import step_codes
from ..stacks import copy_stack

clocks = _compat.clocks
_KEPT = 1024
_TRIES = 100
_LONG_PAUSE = 0.0005
_TELLING_PAUSE = 0.01
"""Pauses from this many seconds on are kept with the stack that set them off."""

_SETTLES = 20
_MOMENT = 0.001


_numbers = itertools.count(1)


def new_id() -> str:
    """An id for one stall or backlog, unique in the process and, with its pid, on the machine."""
    return f"{os.getpid()}-{next(_numbers)}"


class Span(NamedTuple):
    """A stretch of time on the monotonic clock; of a collection also its generation, thread and stack."""

    began: float
    ended: float
    generation: int | None = None
    ident: int = 0
    frames: tuple[RawFrame, ...] = ()


def overlap(spans: deque[Span], began: float, ended: float) -> tuple[float, Span | None]:
    """Seconds of ``spans`` (in the order of their time) within the stretch, and the longest of them in it."""
    total, most, longest = 0.0, 0.0, None
    for span in reversed(_copied(spans)):
        if span.ended <= began:
            break
        inside = min(ended, span.ended) - max(began, span.began)
        if inside > 0:
            total += inside
            if inside > most:
                most, longest = inside, span
    return total, longest


def _copied(spans: deque[Span]) -> list[Span]:
    """All of them; without the interpreter's lock another thread may add to them meanwhile."""
    for _ in range(_TRIES):
        with contextlib.suppress(RuntimeError):
            return list(spans)
    return []


class GcHook:
    """Times the cyclic collector through ``gc.callbacks``. Runs in whatever thread collects; one at a time."""

    def __init__(self) -> None:
        self.pauses: deque[Span] = deque(maxlen=_KEPT)
        self.counts = {generation: [0] * (len(GC_BOUNDS) + 1) for generation in range(3)}
        self.sums = dict.fromkeys(range(3), 0.0)
        self._began: float | None = None
        self._moment = threading.Lock()
        self._moment.acquire()

    def install(self) -> None:
        gc.callbacks.append(self._collected)

    def uninstall(self) -> None:
        if self._collected in gc.callbacks:
            gc.callbacks.remove(self._collected)

    def after_fork(self) -> None:
        """In the child nothing has been collected yet."""
        self.pauses.clear()
        self._began = None
        for generation, counts in self.counts.items():
            counts[:] = [0] * len(counts)
            self.sums[generation] = 0.0

    def settle(self, ended: float) -> None:
        """Give a collection that began before ``ended`` some milliseconds to tell of its end; on the sampler's thread.

        A thread is made to give up the interpreter where functions begin, so also where it calls us: others may go on
        before we are told that it has collected, and end a step that waited for nothing else.
        """
        for _ in range(_SETTLES):
            began = self._began
            if began is None or began > ended:
                return
            self._moment.acquire(timeout=_MOMENT)

    def _collected(self, phase: str, info: Mapping[str, int]) -> None:
        now = clocks.monotonic()
        if phase == "start":
            self._began = now
        elif self._began is not None:
            began, self._began = self._began, None
            self._count(began, now, info.get("generation", 2))

    def _count(self, began: float, ended: float, generation: int) -> None:
        spent = ended - began
        counts = self.counts.get(generation)
        if counts is not None:
            counts[bisect_left(GC_BOUNDS, spent)] += 1
            self.sums[generation] += spent
        if spent >= _LONG_PAUSE:
            # What called the collector, or made the object too many, called us as well.
            frames = _stack_of(3) if spent >= _TELLING_PAUSE else ()
            self.pauses.append(Span(began, ended, generation, threading.get_ident(), frames))


def _stack_of(depth: int) -> tuple[RawFrame, ...]:
    """This thread's stack from ``depth`` calls up: from the loop's step inward, where it runs one."""
    frame: FrameType | None = sys._getframe()
    for _ in range(depth):
        frame = frame.f_back if frame is not None else None
    return copy_stack(frame, step_codes())[0] or copy_stack(frame, ())[0] or ()
