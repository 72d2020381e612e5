"""Parts of the tests of AnyIO's worker threads: both hooks, and jobs that a gate holds."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from loopwatch.observe.jobs.anyio_threads import AnyioHook
from loopwatch.observe.jobs.executors import ExecutorHook
from loopwatch.observe.jobs.job import Job
from loopwatch.observe.loops.asyncio_loop import step_codes
from tests.executing import SOON
from tests.made_alarm import Alarm

anyio = pytest.importorskip("anyio")
from anyio import to_thread  # noqa: E402
from anyio._backends import _asyncio as backend  # noqa: E402

OWNER: Any = getattr(backend, "AsyncIOBackend", backend)
IN_MODULE = OWNER is backend
"""AnyIO 3 has no class for a backend."""
ENTRY = "run_sync_in_worker_thread"
ABANDON = "abandon_on_cancel" if "abandon_on_cancel" in (to_thread.run_sync.__kwdefaults__ or {}) else "cancellable"


class Watched:
    """Both hooks, and the jobs that they tell of."""

    def __init__(self) -> None:
        self.faults: deque[BaseException] = deque()
        self.alarm = Alarm(asleep=True)
        self.executors = ExecutorHook(self.alarm, self.faults, step_codes)
        self.hook = AnyioHook(self.executors)

    def install(self) -> None:
        self.executors.install()
        self.hook.install()

    def uninstall(self) -> None:
        self.hook.uninstall()
        self.executors.uninstall()

    def jobs(self) -> list[Job]:
        """The jobs that have ended since the last call."""
        return self.executors.ended()

    def job(self) -> Job:
        """The only job that has ended since the last call."""
        (job,) = self.jobs()
        return job

    async def pool(self, running: int = 1) -> Any:
        """The only pool, once so many of its jobs run."""
        await until(lambda: any(len(pool.running) == running for pool in list(self.executors.pools)))
        (pool,) = self.executors.pools
        return pool


@contextlib.contextmanager
def watching() -> Iterator[Watched]:
    """The hooks, installed; at the end none of them has met an error of its own, unless the test has cleared it."""
    watched = Watched()
    watched.install()
    yield watched
    watched.uninstall()
    assert list(watched.faults) == []


async def until(met: Callable[[], object]) -> None:
    """Let the loop run until something is so."""
    deadline = time.monotonic() + SOON
    while not met():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)


in_thread: Callable[..., Coroutine[Any, Any, Any]] = to_thread.run_sync


def wait_of(job: Job) -> float:
    end = job.ended if job.started is None else job.started
    assert end is not None
    return float(end - job.submitted)


def run_of(job: Job) -> float:
    assert job.started is not None and job.ended is not None
    return job.ended - job.started


def spin(seconds: float) -> str:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return "done"
