"""Parts of the tests of executors: the hook with the jobs that it tells of, and jobs that a gate holds."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from loopwatch.observe.jobs import job as jobs_module
from loopwatch.observe.jobs.executors import ExecutorHook
from loopwatch.observe.jobs.job import Job, Pool
from loopwatch.observe.loops.asyncio_loop import step_codes
from tests.made_alarm import Alarm

SOON = 20.0
"""Seconds after which what should come at once will never come."""

SPAWN = multiprocessing.get_context("spawn")


class Watched:
    """The hook, and the jobs that it tells of."""

    def __init__(self) -> None:
        self.alarm = Alarm(asleep=True)
        self.faults: deque[BaseException] = deque()
        self.hook = ExecutorHook(self.alarm, self.faults, step_codes)

    def jobs(self, number: int) -> list[Job]:
        """The jobs that have ended since the last call; waits until there are so many, since a result comes first."""
        found: list[Job] = []

        def enough() -> bool:
            found.extend(self.hook.ended())
            return len(found) >= number

        until(enough)
        assert len(found) == number
        return found

    def job(self) -> Job:
        return self.jobs(1)[0]

    def pool(self) -> Pool:
        """The only pool that is alive."""
        (pool,) = self.hook.pools
        return pool

    def quiet(self) -> bool:
        """Whether no pool has anything left to do."""
        return not any(pool.waiting or pool.running for pool in self.hook.pools)


@contextlib.contextmanager
def watching() -> Iterator[Watched]:
    """The hook, installed. At the end nothing of it has failed, and no job is left in any pool."""
    watched = Watched()
    jobs_module.faults.clear()
    watched.hook.install()
    yield watched
    try:
        until(watched.quiet)
    finally:
        watched.hook.uninstall()
    assert [*watched.faults, *jobs_module.faults] == []


class Gate:
    """Holds jobs, so that tests need no clock."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.opened = threading.Event()

    def hold(self, result: Any = None) -> Any:
        self.entered.release()
        assert self.opened.wait(SOON)
        return result


def until(met: Callable[[], object]) -> None:
    deadline = time.monotonic() + SOON
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def submitters(job: Job) -> list[str]:
    """Names of the submitting functions, innermost first."""
    return [frame.code.co_name for frame in job.lane.origin.frames]


def target(job: Job) -> str:
    return job.lane.origin.target.rpartition(".")[2]
