"""Made-up pools of two workers under a watch, by a clock that stands still."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from loopwatch.facts import Congestion, Origin
from loopwatch.observe.bounded import Finished
from loopwatch.observe.jobs import job as jobs
from loopwatch.observe.jobs.executors import Pools
from loopwatch.observe.jobs.job import Job, Lane, PlainJob, Pool, RemoteJob, here
from loopwatch.observe.looks import pools
from loopwatch.observe.looks.pools import PoolWatch
from loopwatch.testing import FakeClock

WAIT = 0.05
LOOK = 0.0125


class Hook:
    """Stands in for the executor hook: the pools, and the jobs that have ended."""

    def __init__(self) -> None:
        self.pools = Pools()
        self.finished = Finished(100_000)
        self.on_fork: Any = None


class Executor:
    """Something that a pool can stand for."""


class World:
    """A pool of two workers, and a watch that looks at it."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.hook = Hook()
        self.told: list[Congestion] = []
        self.watch = PoolWatch(self.hook, WAIT, self.told.append)  # type: ignore[arg-type]
        self.kept: list[Any] = []
        self.pool = self.make_pool("pool", 2)
        self.lane = self.make_lane("target")

    def make_pool(self, name: str, workers: int, kind: str = "thread") -> Pool:
        executor = Executor()
        pool = Pool(executor, kind, name, lambda: float(workers), lambda: workers)
        self.kept += [executor, pool]
        self.hook.pools.add(pool)
        return pool

    def make_lane(self, target: str) -> Lane:
        return Lane(Origin((), target, "pool"), ())

    def submit(self, lane: Lane | None = None, pool: Pool | None = None, for_loop: bool = True) -> Job:
        pool = pool or self.pool
        job = (PlainJob if pool.inside else RemoteJob)(pool, max, lane or self.lane, self.hook.finished)
        job.for_loop = for_loop
        if isinstance(job, RemoteJob):
            job.enter()
        else:
            pool.waiting[job] = None
        return job

    def running(self, number: int = 2, **options: Any) -> list[Job]:
        """Jobs that hold the workers."""
        held = [self.submit(**options) for _ in range(number)]
        for job in held:
            job.begin()
        return held

    def end(self, *ended: Job, outcome: str = "completed") -> None:
        """Workers are done with jobs, and the drain tells of them."""
        for job in ended:
            job.end()
            job.settle(outcome)
        self.drain()

    def drain(self) -> None:
        while self.hook.finished:
            self.watch.finished(self.hook.finished.popleft())

    def look(self, seconds: float = 0.0) -> None:
        """Let time pass, with a look every 12.5 ms."""
        for _ in range(max(1, round(seconds / LOOK))):
            self.clock.advance(LOOK)
            self.watch.look(self.clock())

    @property
    def ended(self) -> list[Congestion]:
        return [each for each in self.told if each.ended is not None]


@contextlib.contextmanager
def made_world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    clock = FakeClock(1000.0)
    monkeypatch.setattr(jobs, "_clock", clock)
    monkeypatch.setattr(jobs, "_thread_cpu", FakeClock())
    monkeypatch.setattr(pools, "clocks", SimpleNamespace(monotonic=clock, wall=lambda: clock() + 1e9))
    try:
        yield World(clock)
    finally:
        here.worker.job = None
