"""The fields of jobs, pools and lanes, and what makes most jobs: in C where that was compiled.

Without it jobs are made and timed in Python, all of them as the others are: see ``jobs.py``. Chosen once, when this
is imported, by the same switches as the stopwatch (see ``steps.py``).
"""

from __future__ import annotations

import os
from _thread import _local
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ... import _compat
from ...settings import NO_EXTENSIONS, REQUIRE_C, is_on

if TYPE_CHECKING:
    from . import _jobs_c
    from ._jobs_c import JobFields, LaneFields, PoolFields

_READINGS = 3

Brief = tuple[int, int, int, float, float, float, float]
"""Of brief jobs: how many, how many of them failed and were a loop's, the seconds they waited and ran, the CPU time
of those of which it is known, and how long these ran."""


class _LaneFields:
    __slots__ = ("brief", "quick")

    def take(self) -> Brief | None:
        """Nothing is added up here: each job is counted by itself."""
        return None


class _PoolFields:
    __slots__ = ("inside", "lanes", "last_end", "open", "running", "waiting")

    def forget_last(self) -> None:
        """No lane is remembered here but in ``lanes``."""


class _JobFields:
    """Without C there is none of these jobs."""

    __slots__ = ()


IN_C = False


def note_worker() -> None:
    """Has to be called in each thread before it has a ``Worker``: C does not look for one in any other."""


if not TYPE_CHECKING:
    LaneFields, PoolFields, JobFields = _LaneFields, _PoolFields, _JobFields
    try:
        if is_on(NO_EXTENSIONS, os.environ):
            raise ImportError(f"{NO_EXTENSIONS} is set")
        from . import _jobs_c
    except ImportError as error:
        # Of both switches at once the stopwatch complains.
        if is_on(REQUIRE_C, os.environ) and not is_on(NO_EXTENSIONS, os.environ):
            raise ImportError(f"{REQUIRE_C} is set, and jobs in C cannot be had: {error}") from error
    else:
        IN_C = True
        note_worker = _jobs_c.note_worker
        JobFields, LaneFields, PoolFields = _jobs_c.JobFields, _jobs_c.LaneFields, _jobs_c.PoolFields


def use(clock: Callable[[], float], thread_cpu: Callable[[], Any], here: Any) -> None:
    """Have C read these clocks, and the worker of each thread from ``here``. Does nothing where there is no C."""
    if IN_C:
        own = clock is _compat.clocks.monotonic and _shows_the_same(clock, 0)
        own_cpu = thread_cpu is _compat.clocks.thread_cpu and _shows_the_same(thread_cpu, 1)
        of_threads = isinstance(here, _local)  # not so where a tool has put its own in place of threading.local
        _jobs_c.configure(None if own else clock, None if own_cpu else thread_cpu, here, of_threads)


def _shows_the_same(clock: Callable[[], Any], which: int) -> bool:
    """Whether a clock that C reads without a call shows the same time as this one."""
    for _ in range(_READINGS):
        before, own, after = clock(), _jobs_c.own_clocks(), clock()
        if own is None or before is None or not before <= own[which] <= after:
            return False
    return True


def make_entry(kind: type, finished: Any, until: frozenset[int], callee_key: Callable[[Any], Any]) -> Any:
    """What is called with a pool and a function that is submitted, by the very function that the application calls.

    It makes the job, of type ``kind``, and puts it into the pool's queue. None where there is no C.
    """
    return _jobs_c.make_entry(kind, finished, until, _compat.current_task(), callee_key) if IN_C else None


__all__ = ["IN_C", "Brief", "JobFields", "LaneFields", "PoolFields", "make_entry", "note_worker", "use"]
