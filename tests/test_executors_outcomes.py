"""How jobs of real pools end: each once, whatever happens at the same time."""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.chores import double, fail
from tests.executing import SOON, Gate, target


def test_outcomes_are_told_apart(watched):
    """Completed, failed, cancelled in the queue, and abandoned by a task that gave up while the thread went on."""
    gate = Gate()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        given_up = asyncio.ensure_future(asyncio.wait_for(asyncio.to_thread(gate.hold), 0.05))
        with pytest.raises(asyncio.TimeoutError):
            await given_up
        held = loop.run_in_executor(pool, gate.hold)
        while not gate.entered.acquire(blocking=False):
            await asyncio.sleep(0.001)
        while not gate.entered.acquire(blocking=False):
            await asyncio.sleep(0.001)
        queued = loop.run_in_executor(pool, double, 1)
        queued.cancel()
        await asyncio.sleep(0.01)  # the pool is told by a callback
        gate.opened.set()
        await held
        await asyncio.gather(loop.run_in_executor(pool, fail), return_exceptions=True)

    with ThreadPoolExecutor(1) as pool:
        asyncio.run(main())
    jobs = watched.jobs(4)
    assert sorted(job.outcome for job in jobs) == ["abandoned", "cancelled", "completed", "failed"]
    by_outcome = {job.outcome: job for job in jobs}
    assert target(by_outcome["abandoned"]) == "hold" and by_outcome["cancelled"].started is None


def test_a_cancel_that_comes_too_late_changes_nothing(watched):
    """A future that is done is not abandoned."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(double, 1)
        future.result()
        job = watched.job()
        assert future.cancel() is False
    assert (job.outcome, job.abandoned) == ("completed", False)


def test_shutdown_cancels_what_waits(watched):
    """shutdown(cancel_futures=True) leaves no job in the queue."""
    gate = Gate()
    pool = ThreadPoolExecutor(1)
    held = pool.submit(gate.hold)
    gate.entered.acquire(timeout=SOON)
    waiting = [pool.submit(double, 1) for _ in range(3)]
    pool.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in waiting)
    gate.opened.set()
    held.result()
    assert sorted(job.outcome for job in watched.jobs(4)) == ["cancelled"] * 3 + ["completed"]


def test_cancel_races_with_the_worker(watched):
    """However submits and cancels fall, each job has one outcome, and none is left in the pool."""
    number = 400
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(2) as pool:
            futures = []
            for index in range(number):
                futures.append(pool.submit(double, index))
                if index % 2:
                    futures[-1].cancel()
    finally:
        sys.setswitchinterval(before)
    jobs = watched.jobs(number)
    cancelled = sum(future.cancelled() for future in futures)
    assert sum(job.outcome == "cancelled" for job in jobs) == cancelled
    assert all(job.started is not None for job in jobs if job.outcome != "cancelled")


def test_jobs_that_end_before_submit_returns_are_counted_once(watched):
    """The worker may be done before the submitting thread has put its callback in place."""
    number = 3000
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert sum(future.result() for future in [pool.submit(double, 1) for _ in range(number)]) == 2 * number
    finally:
        sys.setswitchinterval(before)
    assert len({id(job) for job in watched.jobs(number)}) == number


def test_many_threads_may_submit_to_a_new_pool_at_once(watched):
    """They share one pool, and each job is counted."""
    barrier = threading.Barrier(8)

    def submit() -> None:
        barrier.wait()
        for index in range(50):
            pool.submit(double, index)

    with ThreadPoolExecutor(2) as pool:
        threads = [threading.Thread(target=submit) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        watched.jobs(400)
        assert len(watched.hook.pools) == 1
