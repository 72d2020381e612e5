"""Made-up jobs of a pool of two workers, by clocks that stand still."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from loopwatch.observe.bounded import Finished
from loopwatch.observe.jobs import job as jobs
from loopwatch.observe.jobs import job_fields
from loopwatch.observe.jobs.job import IN_C, NOWHERE, Job, PlainJob, Pool, QuickJob, RemoteJob
from loopwatch.testing import FakeClock

KINDS: tuple[type[Any], ...] = (PlainJob, QuickJob) if IN_C else (PlainJob,)


@contextlib.contextmanager
def reading(**given: Any) -> Iterator[None]:
    """Have jobs of every kind read these: ``_clock``, ``_thread_cpu``, ``here``."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in given.items():
                patch.setattr(jobs, name, value)
            job_fields.use(jobs._clock, jobs._thread_cpu, jobs.here)
            yield
    finally:
        job_fields.use(jobs._clock, jobs._thread_cpu, jobs.here)


class Executor:
    """Something that a pool can stand for."""


class Setting:
    """A pool of two workers, the clocks that its jobs read, and the jobs that it has finished."""

    def __init__(self, clock: FakeClock, cpu: FakeClock, kind: type[Any] = PlainJob) -> None:
        self.kind = kind
        self.clock = clock
        self.cpu = cpu
        self.executor = Executor()
        self.pool = Pool(self.executor, "thread", "pool", lambda: 2.0, lambda: 0)
        self.remote = Pool(self.executor, "process", "remote", lambda: 2.0, lambda: 0)
        self.finished = Finished(100_000)

    def submit(self, function: Any = max) -> tuple[Job, Future[Any]]:
        job = self.kind(self.pool, function, self.pool.lane(sys._getframe(1), function, NOWHERE), self.finished)
        self.pool.waiting[job] = None
        future: Future[Any] = Future()
        future.add_done_callback(job.finish)
        return job, future

    def submit_remote(self, function: Any = max) -> tuple[Job, Future[Any]]:
        job = RemoteJob(self.remote, function, self.remote.lane(sys._getframe(1), function, NOWHERE), self.finished)
        job.enter()
        future: Future[Any] = Future()
        future.add_done_callback(job.finish)
        return job, future


@contextlib.contextmanager
def setting_up(kind: type[Any]) -> Iterator[Setting]:
    """At the end no job has met an error of ours, unless the test has cleared it."""
    clock, cpu = FakeClock(100.0), FakeClock(5.0)
    jobs.faults.clear()
    with reading(_clock=clock, _thread_cpu=cpu):
        yield Setting(clock, cpu, kind)
    assert list(jobs.faults) == []
