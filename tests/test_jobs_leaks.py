"""Jobs leave nothing behind, whatever makes them: no reference is kept, and none is given away."""

from __future__ import annotations

import asyncio
import gc
import sys
import textwrap
import threading
import tracemalloc
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import loopwatch
from loopwatch import _compat
from tests.chores import double
from tests.implementations import accelerator

JOBS = 3000


def fail(*given: Any) -> None:
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


def succeed(*given: Any) -> None: ...


def done(pool: ThreadPoolExecutor, argument: object) -> None:
    for _ in range(JOBS):
        pool.submit(succeed, argument).result()


def failed(pool: ThreadPoolExecutor, argument: object) -> None:
    for _ in range(JOBS):
        pool.submit(fail, argument).exception()


def cancelled(pool: ThreadPoolExecutor, argument: object) -> None:
    """While the worker is held."""
    over = threading.Event()
    held = pool.submit(over.wait)
    for _ in range(JOBS):
        pool.submit(succeed, argument).cancel()
    over.set()
    held.result()


def kept(pool: ThreadPoolExecutor, argument: object) -> None:
    """Their futures live until all are done."""
    futures = [pool.submit(succeed, argument) for _ in range(JOBS)]
    assert [future.result() for future in futures] == [None] * JOBS


def by_jobs(pool: ThreadPoolExecutor, argument: object) -> None:
    def submit() -> list[Future[None]]:
        return [pool.submit(succeed, argument) for _ in range(JOBS)]

    for future in pool.submit(submit).result():
        future.result()


def on_a_loop(pool: ThreadPoolExecutor, argument: object) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(pool)
        for _ in range(JOBS // 2):
            await asyncio.to_thread(succeed, argument)
            await asyncio.gather(asyncio.to_thread(fail, argument), return_exceptions=True)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop._default_executor = None  # type: ignore[attr-defined]  # which would end with the loop
    loop.close()


@pytest.mark.parametrize("way", [done, failed, cancelled, kept, by_jobs, on_a_loop])
def test_jobs_keep_the_count_of_references_to_what_they_are_given(way: Any) -> None:
    """What takes part in each is referred to as often afterwards as before; so is None, of which C gives many away."""
    argument = object()
    with loopwatch.install(reporters=[], prometheus=False) as watch, ThreadPoolExecutor(1) as pool:

        def counts() -> list[int]:
            pool.submit(double, 1).result()  # so that the worker has let go of the one before
            assert watch.flush(20.0)
            gc.collect()
            return [sys.getrefcount(each) for each in (succeed, fail, argument, pool, way, None)]

        way(pool, argument)
        before = counts()
        way(pool, argument)
        assert [abs(now - first) < 100 for now, first in zip(counts(), before, strict=True)] == [True] * 6


def test_the_module_can_be_made_anew() -> None:
    """Multi-phase initialisation: one that is gone leaves nothing, and those that are there go on undisturbed."""
    accelerator()
    import importlib.util

    from loopwatch.observe.jobs import _jobs_c

    spec: Any = _jobs_c.__spec__
    with loopwatch.install(reporters=[], prometheus=False) as watch, ThreadPoolExecutor(1) as pool:
        for _ in range(5):
            other: Any = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(other)
            assert other.JobFields is not _jobs_c.JobFields
            pool.submit(succeed).result()
            made = type("Made", (other.JobFields,), {})()
            assert made.ended is None
            gone = weakref.ref(other.JobFields)
            del other, made
            gc.collect()
            assert gone() is None or not _compat.gil_enabled()  # there the interpreter takes its time with types
            pool.submit(succeed).result()
        assert watch.flush(20.0)
        (stats,) = watch.snapshot().executors
        assert stats.outcomes["completed"] == 10
        assert list(watch._faults) == []


# --- under valgrind ----------------------------------------------------------------------------

STORY = """
    import asyncio, functools, gc
    from concurrent.futures import ThreadPoolExecutor
    import loopwatch
    from loopwatch.observe.jobs.job_fields import IN_C
    assert IN_C

    def fail():
        raise ValueError

    def outer(pool):
        return pool.submit(int, "7").result()

    async def hand_over(pool):
        loop = asyncio.get_running_loop()
        for _ in range(20):
            await asyncio.to_thread(int, "7")
            await asyncio.gather(loop.run_in_executor(None, fail), return_exceptions=True)
            await loop.run_in_executor(pool, functools.partial(int, "7"))

    for _ in range(2):
        with loopwatch.install(reporters=[], prometheus=False) as watch, ThreadPoolExecutor(2) as pool:
            for number in range(40):
                futures = [pool.submit(fail), pool.submit(int, "7"), pool.submit(outer, pool)]
                late = pool.submit(int, "7")
                late.cancel()
                for future in futures:
                    future.exception()
            asyncio.run(hand_over(pool))
            assert watch.flush(60.0)
            assert sum(sum(each.outcomes.values()) for each in watch.snapshot().executors) > 200
    gc.collect()
"""


@pytest.mark.needs(programs=("valgrind",))
def test_valgrind_finds_nothing_in_jobs(tmp_path: Path) -> None:
    """No byte is read that was not written, or that is not ours, whether a job ends well, fails or never begins."""
    accelerator()
    if not _compat.gil_enabled():
        pytest.skip("without the interpreter lock it needs an allocator of its own, which valgrind cannot look into")
    from loopwatch.observe.jobs import _jobs_c
    from tests.valgrind import blamed

    assert blamed(tmp_path, textwrap.dedent(STORY), _jobs_c) == []
