"""A capacity limiter is a pool: who waits for its tokens, and for what else no wait is counted."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

import loopwatch
from loopwatch.testing import RecordingReporter

anyio = pytest.importorskip("anyio")

from tests.anyio_jobs import Watched, in_thread, spin, until, wait_of  # noqa: E402
from tests.executing import SOON, Gate  # noqa: E402

# --- a wait for the loop is no wait for a worker ------------------------------------------------


def test_a_held_loop_is_no_wait_where_tokens_are_free(watched_anyio: Watched) -> None:
    """The loop is held between the call and its start; no worker was short."""

    async def main() -> None:
        job = asyncio.ensure_future(in_thread(spin, 0.0))
        for _ in range(4):
            await asyncio.sleep(0)
            time.sleep(0.1)
        await job

    asyncio.run(main())
    assert wait_of(watched_anyio.job()) < 0.09


def test_a_held_loop_is_no_wait_before_the_queue(watched_anyio: Watched) -> None:
    """The loop is held before the job can queue: its wait begins in the queue."""
    gate = Gate()

    async def main() -> None:
        limiter = anyio.CapacityLimiter(1)
        holder = asyncio.ensure_future(in_thread(gate.hold, limiter=limiter))
        pool = await watched_anyio.pool()
        waiter = asyncio.ensure_future(in_thread(spin, 0.0, limiter=limiter))
        await asyncio.sleep(0)
        assert pool.waiting == {}
        time.sleep(0.3)
        await until(lambda: pool.waiting)
        gate.opened.set()
        await asyncio.gather(holder, waiter)

    asyncio.run(main())
    assert wait_of(watched_anyio.jobs()[-1]) < 0.25


def test_a_held_loop_is_no_wait_once_a_function_has_returned(watched_anyio: Watched) -> None:
    """The loop is held while the only token could be handed on: the wait ends with the function that had it."""

    async def main() -> None:
        limiter = anyio.CapacityLimiter(1)
        jobs = [asyncio.ensure_future(in_thread(time.sleep, 0.05, limiter=limiter)) for _ in range(2)]
        pool = await watched_anyio.pool()
        time.sleep(0.5)
        assert (pool.waiting, pool.running) == ({}, {})
        await asyncio.gather(*jobs)
        assert (pool.waiting, pool.running, pool.heirs) == ({}, {}, {})

    asyncio.run(main())
    first, second = watched_anyio.jobs()
    assert wait_of(first) < 0.04
    assert 0.03 <= wait_of(second) < 0.3


def test_an_heir_that_gives_up_is_forgotten(watched_anyio: Watched) -> None:
    """Cancelled after a token was on its way to it: nothing of the job is left in the pool."""

    async def main() -> None:
        limiter = anyio.CapacityLimiter(1)
        first, second = (asyncio.ensure_future(in_thread(time.sleep, 0.02, limiter=limiter)) for _ in range(2))
        pool = await watched_anyio.pool()
        time.sleep(0.2)
        assert len(pool.heirs) == 1
        second.cancel()
        await asyncio.wait([first, second])
        assert (pool.waiting, pool.running, pool.heirs, pool.threads()) == ({}, {}, {}, 0)

    asyncio.run(main())
    assert {job.outcome for job in watched_anyio.jobs()} == {"cancelled", "completed"}


# --- a limiter that others use as well ---------------------------------------------------------


def test_tokens_held_directly_make_jobs_wait(watched_anyio: Watched) -> None:
    """A token that is taken without a job is no job: the limit stays, and who waits for it waits in full."""
    gate = Gate()

    async def main() -> None:
        limiter = anyio.CapacityLimiter(2)
        async with limiter:
            jobs = [asyncio.ensure_future(in_thread(gate.hold, limiter=limiter)) for _ in range(2)]
            pool = await watched_anyio.pool()
            assert (len(pool.running), len(pool.waiting), pool.limit(), pool.threads()) == (1, 1, 2, 2)
            await asyncio.sleep(0.1)
        await until(lambda: len(pool.running) == 2)
        gate.opened.set()
        await asyncio.gather(*jobs)
        assert (pool.running, pool.waiting, pool.heirs, pool.threads()) == ({}, {}, {}, 0)

    asyncio.run(main())
    first, second = sorted(watched_anyio.jobs(), key=wait_of)
    assert wait_of(first) < 0.09
    assert wait_of(second) >= 0.09


def test_a_job_behind_a_direct_user_waits_in_full(watched_anyio: Watched) -> None:
    """The token of a finished job goes to a direct user first: the job behind it goes on waiting for a worker."""

    async def direct(limiter: Any) -> None:
        async with limiter:
            await asyncio.sleep(0.15)

    async def main() -> None:
        limiter = anyio.CapacityLimiter(1)
        gate = Gate()
        first = asyncio.ensure_future(in_thread(gate.hold, limiter=limiter))
        await watched_anyio.pool()
        ahead = asyncio.ensure_future(direct(limiter))
        await until(lambda: limiter.statistics().tasks_waiting == 1)
        behind = asyncio.ensure_future(in_thread(spin, 0.0, limiter=limiter))
        await until(lambda: limiter.statistics().tasks_waiting == 2)
        gate.opened.set()
        await asyncio.gather(first, ahead, behind)

    asyncio.run(main())
    assert wait_of(watched_anyio.jobs()[-1]) >= 0.14


def test_a_job_behind_a_lowered_limit_waits_in_full(watched_anyio: Watched) -> None:
    """A token that is taken away while it is out is not handed on: the wait goes on to the next."""

    async def main() -> None:
        limiter = anyio.CapacityLimiter(2)
        short = asyncio.ensure_future(in_thread(time.sleep, 0.1, limiter=limiter))
        long = asyncio.ensure_future(in_thread(time.sleep, 0.3, limiter=limiter))
        await watched_anyio.pool(running=2)
        behind = asyncio.ensure_future(in_thread(spin, 0.0, limiter=limiter))
        await until(lambda: limiter.statistics().tasks_waiting == 1)
        limiter.total_tokens = 1
        await asyncio.gather(short, long, behind)

    asyncio.run(main())
    assert wait_of(watched_anyio.jobs()[-1]) >= 0.2


def test_tokens_held_directly_are_busy_workers(watched_anyio: Watched) -> None:
    """What the application holds itself is not free for jobs; what a job holds is counted once."""
    gate = Gate()

    async def main() -> None:
        limiter = anyio.CapacityLimiter(3)
        await in_thread(spin, 0.0, limiter=limiter)
        pool: Any = next(iter(watched_anyio.executors.pools))
        assert (pool.busy(), pool.taken(), pool.threads(), pool.full()) == (0, 0, 0, False)
        async with limiter:
            assert (pool.busy(), pool.taken(), pool.threads(), pool.full()) == (1, 1, 1, False)
            jobs = [asyncio.ensure_future(in_thread(gate.hold, limiter=limiter)) for _ in range(3)]
            await watched_anyio.pool(running=2)
            assert (pool.busy(), pool.taken(), pool.threads(), pool.full()) == (3, 1, 3, True)
            gate.opened.set()
            await asyncio.gather(*jobs)
            assert (pool.busy(), pool.taken(), pool.threads(), pool.full()) == (1, 1, 1, False)
        assert (pool.busy(), pool.holding) == (0, {})

    asyncio.run(main())


def test_a_function_that_has_returned_is_no_busy_worker(watched_anyio: Watched) -> None:
    """Its token is out until the loop comes to it, but no thread is at work."""

    async def main() -> None:
        gate, limiter = Gate(), anyio.CapacityLimiter(1)
        job = asyncio.ensure_future(in_thread(gate.hold, limiter=limiter))
        pool = await watched_anyio.pool()
        gate.opened.set()
        deadline = time.monotonic() + SOON
        while pool.running:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        assert (pool.busy(), pool.threads(), pool.taken()) == (0, 1, 0)
        await job

    asyncio.run(main())


def test_a_limiter_without_tokens_is_full(watched_anyio: Watched) -> None:
    """A limit that was lowered to nothing, or below what is out, lets nobody in."""

    async def main() -> None:
        limiter = anyio.CapacityLimiter(2)
        await in_thread(spin, 0.0, limiter=limiter)
        (pool,) = watched_anyio.executors.pools
        async with limiter:
            limiter.total_tokens = 1
            assert pool.full()
        assert not pool.full()
        try:
            limiter.total_tokens = 0
        except ValueError:  # older versions have at least one
            return
        assert pool.full()

    asyncio.run(main())


def test_tokens_held_directly_are_told_and_blame_nobody_else(events: RecordingReporter) -> None:
    """Jobs wait for a limiter that the application holds: saturated for that time, busy, and no job is to blame."""

    async def ask(limiter: Any) -> None:
        await in_thread(spin, 0.0, limiter=limiter)

    async def main() -> Any:
        limiter = anyio.CapacityLimiter(1)
        async with limiter:
            jobs = [asyncio.ensure_future(ask(limiter)) for _ in range(2)]
            await asyncio.sleep(0.5)
            now = watch.snapshot()
        await asyncio.gather(*jobs)
        return now

    with loopwatch.install(reporters=[events], prometheus=False) as watch:
        now = asyncio.run(main())
        assert watch.flush(SOON)
        (then,) = watch.snapshot().executors
    (stats,) = now.executors
    assert (stats.workers, stats.busy, stats.workers_max, stats.depth) == (1, 1, 1, 2)
    assert 0.25 <= then.saturated <= 2.0
    backlog = events.backlogs[-1]
    assert (backlog.evidence["held_directly"], backlog.culprit, backlog.jobs) == (1, None, 2)
