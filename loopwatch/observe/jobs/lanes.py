"""The pool that a job goes to, and the lane that it shares with its like.

A lane stands for all jobs of one pool with one submitting path and one target, so that names are made
once a lane and not once a job.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from types import FrameType, FunctionType
from typing import Any, ClassVar

from ... import _compat
from ...facts import Origin, RawFrame
from .callees import callee_code, callee_key, callee_name, callee_of
from .job_fields import LaneFields, PoolFields

_ON_LOOP = range(48)
_ELSEWHERE = range(16)
"""Frames looked at: on a loop up to its step, so that the caller behind a deep library is found."""
_LANES = 256
_WITHIN = _compat.BYTECODE_WITHIN_CODE
_APART = 1 << 24
"""More than any bytecode is long: keeps the numbers of two code objects apart where bytecode lies elsewhere."""
NOBODY = "other"
NOWHERE: frozenset[int] = frozenset()
"""For ``Pool.lane`` where no loop runs."""


class Lane(LaneFields):
    """All jobs with one origin. ``codes`` keeps the ids in the key valid; the rest belongs to whoever counts."""

    __slots__ = ("codes", "counts", "origin", "site")

    def __init__(self, origin: Origin, codes: tuple[Any, ...], brief: float = 0.0) -> None:
        self.origin = origin
        self.codes = codes
        self.counts: Any = None
        self.site = ""
        self.quick = False
        """Its jobs are so short that reading the CPU clock around each would be a good part of them."""
        self.brief = brief
        """Jobs that take less than so many seconds need not be counted one by one."""


class Pool(PoolFields):
    """What is known of one executor. ``waiting`` and ``running`` are ordered sets of jobs (dict keys)."""

    waits_only_when_full: ClassVar[bool] = False
    """Whether no job waits while a worker is free, be it for a moment."""

    __slots__ = ("__weakref__", "brief", "enter", "executor", "full_at", "full_since", "hook", "kind", "limit", "name",
                 "threads")  # fmt: skip

    def __init__(self, executor: Any, kind: str, name: str, limit: Callable[[], float], threads: Callable[[], int]):
        self.executor = weakref.ref(executor)
        self.hook: Any = None
        """Whose it is: what an earlier watch has left on an executor is not taken for that of the next."""
        self.kind = kind
        self.inside = kind == "thread"
        """Whether its jobs are timed in the worker, or from outside."""
        self.open = False
        """Whether a job needs a ``StandIn``."""
        self.enter: Any = None
        """What makes its jobs in C, where that may be done."""
        self.name = name
        self.brief = 0.0
        """That of its lanes."""
        self.limit = limit
        self.threads = threads
        self.waiting: dict[Any, None] = {}
        self.running: dict[Any, None] = {}
        self.lanes: dict[Any, Lane] = {}
        self.last_end = 0.0
        self.full_at = 0.0
        """When it was last seen with a queue and no free worker."""
        self.full_since = 0.0
        """Since when it has been so at every look; 0 when it was not at the last one."""

    def full(self) -> bool:
        """Whether every worker is taken."""
        return len(self.running) >= self.limit() > 0

    def busy(self) -> int:
        """How many workers are taken."""
        return len(self.running)

    def taken(self) -> int:
        """How many of them are taken without a job."""
        return 0

    def lane(self, frame: FrameType | None, function: Any, until: frozenset[int]) -> Lane:
        """The lane of a job that ``frame`` submits; the walk ends at the loop's step (ids of code, ``until``)."""
        key: list[Any] = [id(function.__code__) if type(function) is FunctionType else callee_key(function)]
        at: Any = frame
        try:
            for _ in _ON_LOOP if until else _ELSEWHERE:
                place = id(at.f_code)
                if place in until:
                    break
                # One number for both, and no two equal.
                key.append(place + at.f_lasti if _WITHIN else place * _APART + at.f_lasti)
                at = at.f_back
        except AttributeError:  # there are no more
            pass
        places = tuple(key)
        lane = self.lanes.get(places)
        return self._new_lane(places, len(key) - 1, frame, function) if lane is None else lane

    def place(self, frame: FrameType, function: Any) -> Lane:
        """The lane of a job that no loop waits for: the frame that submits it is all that is kept, and looked at."""
        code = id(function.__code__) if type(function) is FunctionType else callee_key(function)
        at = id(frame.f_code)
        place = (at + frame.f_lasti if _WITHIN else at * _APART + frame.f_lasti, code)
        lane = self.lanes.get(place)
        if lane is not None:
            return lane
        return self.meet(place, 1, frame, function, False)

    def meet(self, key: Any, depth: int, frame: FrameType, function: Any, whole: bool) -> Lane:
        """The lane of a key that is new: of so many frames from ``frame`` on, ``whole`` where these are all."""
        if not whole and str(frame.f_globals.get("__name__")).startswith("concurrent.futures"):  # map()
            return self.lane(frame, function, NOWHERE)
        return self._new_lane(key, depth, frame, function)

    def _new_lane(self, key: Any, depth: int, frame: FrameType | None, function: Any) -> Lane:
        frames: list[RawFrame] = []
        for _ in range(depth):
            assert frame is not None
            frames.append(RawFrame(frame.f_code, frame.f_lasti, str(frame.f_globals.get("__name__", ""))))
            frame = frame.f_back
        callee = callee_of(function)
        origin = Origin(tuple(frames), callee_name(callee), self.name)
        lane = Lane(origin, (callee_code(callee), *(each.code for each in frames)), self.brief)
        lanes = self.lanes
        if len(lanes) >= _LANES:  # any one goes: it is made anew when it is needed, and counts on where it was
            known = list(lanes)
            lanes.pop(known[hash(key) % len(known)], None)
        return lanes.setdefault(key, lane)

    def clear(self) -> None:
        """Forget every job, and what was counted."""
        self.waiting.clear()
        self.running.clear()
        self.forget_last()
        for lane in list(self.lanes.values()):
            lane.counts = None
            lane.take()


def pool_on(executor: Any) -> Pool | None:
    """What a watch has put on an executor; asks nothing of the executor's own."""
    try:
        found = object.__getattribute__(executor, "_loopwatch")
    except AttributeError:
        return None
    return found if type(found) is Pool else None


def first(jobs: dict[Any, None]) -> Any:
    """The oldest of an ordered set, which other threads may be changing."""
    for _ in range(8):
        try:
            return next(iter(jobs), None)
        except RuntimeError:  # it changed between two bytecodes
            continue
    return None


__all__ = ["NOBODY", "NOWHERE", "Lane", "Pool", "first", "pool_on"]
