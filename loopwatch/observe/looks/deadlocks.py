"""Proves of a pool that it waits for itself: each of its workers waits for what only its workers can give."""

from __future__ import annotations

from collections.abc import Iterator
from types import FrameType
from typing import Any

from ... import _compat
from ..jobs.job import Job, Pool, job_of

_FUTURES = "concurrent.futures._base"
_DEEP = 8
_OVER = ("CANCELLED", "CANCELLED_AND_NOTIFIED", "FINISHED")


def waits_for_itself(pool: Pool, running: list[Job]) -> bool:
    """Whether every worker waits for the future of a job that this pool has yet to run, or to end.

    To stand in some lock is no proof: what a worker waits for may come from a loop, or from any other thread. So
    the future itself is looked at, which the standard library's own frame that waits for it holds.
    """
    with _compat.uncollected():
        stacks = _compat.stacks()
        awaited = [_awaited(stacks.get(job.worker.ident)) if job.worker is not None else () for job in running]
    return bool(awaited) and all(futures and all(_is_to_come(pool, each) for each in futures) for futures in awaited)


def _awaited(frame: FrameType | None) -> tuple[Any, ...]:
    """The futures that a thread waits for in ``result()``, ``exception()``, ``wait()`` or ``as_completed()``."""
    for _ in range(_DEEP):
        module = frame.f_globals.get("__name__") if frame is not None else None
        if frame is None or module not in ("threading", _FUTURES):
            return ()
        name = frame.f_code.co_name
        if module == _FUTURES and name in ("result", "exception"):
            return (frame.f_locals.get("self"),)
        if module == _FUTURES and name in ("wait", "as_completed"):
            try:
                return tuple(each for each in frame.f_locals.get("fs", ()) if each._state not in _OVER)
            except RuntimeError:  # the set has changed: nobody waits
                return ()
        frame = frame.f_back
    return ()


def _is_to_come(pool: Pool, future: Any) -> bool:
    return any(job in pool.waiting or job in pool.running for job in _jobs_of(future))


def _jobs_of(future: Any) -> Iterator[Job]:
    for callback in list(getattr(future, "_done_callbacks", ())):
        job = job_of(callback)
        if job is not None:
            yield job
