"""Jobs that run in other processes and interpreters: timed from outside, and left as they are."""

from __future__ import annotations

import asyncio
import concurrent.futures
import pickle
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest

from tests.chores import double, fail, leave_the_process
from tests.executing import SOON, SPAWN, target


def test_a_process_pool_is_timed_from_outside(watched):
    """Its function still pickles; wait and run are seen, the CPU time is not."""
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        futures: list[Future[Any]] = [pool.submit(time.sleep, 0.1), pool.submit(double, 4)]
        assert futures[1].result() == 8
        slept, doubled = watched.jobs(2)
        assert watched.pool().kind == "process"
    assert slept.ended - slept.started > 0.09 and slept.cpu is None
    assert doubled.started >= slept.ended and doubled.started - doubled.submitted > 0.09
    assert (target(doubled), doubled.outcome) == ("double", "completed")


def test_a_coroutine_may_use_a_process_pool(watched):
    """run_in_executor with processes gives results and errors as ever."""

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        calls = (loop.run_in_executor(pool, double, 3), loop.run_in_executor(pool, fail))
        return await asyncio.gather(*calls, return_exceptions=True)

    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        result, error = asyncio.run(main())
        jobs = watched.jobs(2)
    assert result == 6 and isinstance(error, LookupError)
    assert [(job.outcome, job.for_loop) for job in jobs] == [("completed", True), ("failed", True)]


def test_what_does_not_pickle_fails_as_ever(watched):
    """The error comes at the future, not at submit, and the pool lives on."""
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        with pytest.raises((pickle.PicklingError, AttributeError)):
            pool.submit(lambda: 1).result()
        assert pool.submit(double, 1).result() == 2
        assert [job.outcome for job in watched.jobs(2)] == ["failed", "completed"]


def test_a_broken_process_pool_leaves_no_job_behind(watched):
    """A worker that dies fails every job; a submit after that raises the same error as ever."""
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        futures: list[Future[Any]] = [pool.submit(leave_the_process), *(pool.submit(double, 1) for _ in range(3))]
        for future in futures:
            with pytest.raises(BrokenProcessPool):
                future.result(SOON)
        with pytest.raises(BrokenProcessPool):
            pool.submit(double, 1)
        assert {job.outcome for job in watched.jobs(4)} == {"failed"}
        assert watched.quiet()


@pytest.mark.skipif(sys.version_info < (3, 14), reason="InterpreterPoolExecutor is new in Python 3.14")
def test_interpreters_are_timed_from_outside(watched):
    """What runs in another interpreter must pickle, so it is left as it is."""
    with concurrent.futures.InterpreterPoolExecutor(1) as pool:  # type: ignore[attr-defined]
        assert list(pool.map(pow, [2, 3], [2, 2])) == [4, 9]
        jobs = watched.jobs(2)
    assert [(target(job), job.cpu, job.outcome) for job in jobs] == [("pow", None, "completed")] * 2
