"""Jobs leave nothing behind, whatever makes them: no reference is kept, and none is given away."""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import loopwatch
from tests.chores import double

JOBS = 3000


def fail() -> None:
    raise ValueError("wanted")


def submit(pool: ThreadPoolExecutor, count: int) -> None:
    for number in range(count):
        future: Future[Any] = pool.submit(fail) if number % 3 == 0 else pool.submit(double, 1)
        if number % 3 == 1:
            future.cancel()
        else:
            future.exception()


async def hand_over(count: int) -> None:
    for _ in range(count):
        await asyncio.to_thread(double, 1)


def live() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def test_jobs_leave_no_memory_behind() -> None:
    """After the first thousands, which fill what is kept, as many more add nothing: the smallest object is 16 bytes."""
    with loopwatch.install(reporters=[], prometheus=False) as watch, ThreadPoolExecutor(2) as pool:
        for function in (submit, hand_over):

            def work(function: Any = function) -> None:
                asyncio.run(hand_over(JOBS)) if function is hand_over else submit(pool, JOBS)
                assert watch.flush(20.0)
                watch.snapshot()

            work()
            tracemalloc.start()
            try:
                work()
                before = live()
                work()
                grown = live() - before
            finally:
                tracemalloc.stop()
            assert grown < 8 * JOBS, function.__name__


def test_jobs_keep_the_count_of_references_to_what_they_are_given() -> None:
    """A function is referred to as often afterwards as before; so is None, of which C gives many away."""

    def function() -> None: ...

    with loopwatch.install(reporters=[], prometheus=False), ThreadPoolExecutor(1) as pool:
        pool.submit(function).result()
        before, nothing = sys.getrefcount(function), sys.getrefcount(None)
        for _ in range(JOBS):
            pool.submit(function).result()
        pool.submit(double, 1).result()  # so that the worker has let go of the one before
        assert abs(sys.getrefcount(function) - before) <= 1
        assert abs(sys.getrefcount(None) - nothing) < JOBS / 2
