"""Which workers of a pool are taken, and since when: by jobs, and by done-callbacks of jobs that are over."""

from __future__ import annotations

from threading import Thread
from types import FrameType
from typing import Any

from ... import _compat
from ...facts import Origin, RawFrame
from ..jobs.job import Job, Lane, PlainJob, Pool, Worker
from ..stacks import copy_stack

_FUTURES = "concurrent.futures._base"
_CALLS = "_invoke_callbacks"
_LANES = 256
_new: Any = object.__new__


def full_since(pool: Pool, running: list[Job], oldest: Job, now: float) -> float:
    """Since when a pool that was not full at the last look has had no free worker, as far as that can be proven.

    Where looks come late, the interpreter was held or the host was busy, and so were the workers kept from work. A
    limiter lets nobody wait while it has a token.
    """
    if pool.waits_only_when_full:
        return float(oldest.submitted)
    return max((job.started or now for job in running), default=now)


def with_callbacks(pool: Pool, running: list[Job], now: float) -> list[Job] | None:
    """``running``, and what stands for the callbacks that hold all other workers; None where a worker is free.

    A worker calls the callbacks of a future when its job is over. Looked for where jobs wait beside workers that
    have none: one that can still start a thread does so for the next job, and is not full.
    """
    threads: list[Thread] = list(getattr(pool.executor(), "_threads", ()))
    if pool.kind != "thread" or not 0 < pool.limit() <= len(threads):
        return None
    busy = {job.worker.ident for job in running if job.worker is not None}
    taken = list(running)
    with _compat.uncollected():
        stacks = _compat.stacks()
        for thread in threads:
            if thread.ident not in busy:
                frames = _callback(stacks.get(thread.ident or 0))
                if frames is None:
                    return None
                taken.append(_stand_in(pool, thread, frames, pool.full_since or now))
    return taken


def _callback(frame: FrameType | None) -> tuple[RawFrame, ...] | None:
    frames = copy_stack(frame, ())[0] or ()
    for index, each in enumerate(frames):
        if each.module == _FUTURES and each.code.co_name == _CALLS:
            return frames[index + 1 :]
    return None


def _stand_in(pool: Pool, thread: Thread, frames: tuple[RawFrame, ...], since: float) -> Job:
    """A callback as if it were a job that its own frames have submitted: so whose it is follows from them."""
    codes = tuple(frame.code for frame in frames)
    key, lanes = (_CALLS, *map(id, codes)), pool.lanes  # wherever in its functions it is
    lane = lanes.get(key)
    if lane is None:
        lane = Lane(Origin(tuple(reversed(frames)), "done-callback", pool.name), codes)
        if len(lanes) < _LANES:
            lanes[key] = lane
    job: Job = _new(PlainJob)
    job.pool, job.lane, job.started, job.worker = pool, lane, since, _new(Worker)
    job.worker.ident, job.worker.native, job.worker.job = thread.ident or 0, thread.native_id or 0, job
    return job
