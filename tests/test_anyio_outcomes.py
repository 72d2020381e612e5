"""How jobs of AnyIO's worker threads end: completed, failed, cancelled, abandoned."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
import traceback

import pytest

anyio = pytest.importorskip("anyio")

from tests.anyio_jobs import ABANDON, OWNER, Watched, in_thread, run_of, spin, until, wait_of  # noqa: E402
from tests.executing import Gate  # noqa: E402


def test_a_failure_is_told_and_looks_as_ever(watched_anyio: Watched) -> None:
    """The very exception comes out, its traceback has no frame of ours, and the outcome is ``failed``."""
    raised = ValueError("no such thumb")

    def fail() -> None:
        raise raised

    async def main() -> None:
        with pytest.raises(ValueError) as caught:
            await in_thread(fail)
        assert caught.value is raised
        files = [frame.filename for frame in traceback.extract_tb(raised.__traceback__)]
        assert not [file for file in files if "loopwatch/" in file.replace("tests/", "")]

    asyncio.run(main())
    assert watched_anyio.job().outcome == "failed"


def test_a_wait_that_is_cancelled_is_told_and_costs_no_token(watched_anyio: Watched) -> None:
    """Cancelled in the queue: it never ran, its wait is known, no token and no job is left over."""
    gate = Gate()

    async def main() -> None:
        limiter = anyio.CapacityLimiter(1)
        holder = asyncio.ensure_future(in_thread(gate.hold, limiter=limiter))
        pool = await watched_anyio.pool()
        waiter = asyncio.ensure_future(in_thread(gate.hold, limiter=limiter))
        await until(lambda: pool.waiting)
        await asyncio.sleep(0.05)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await waiter
        ours = [frame for frame in traceback.extract_tb(caught.tb) if "loopwatch/observe" in frame.filename]
        assert len(ours) <= 1
        assert pool.waiting == {}
        job = watched_anyio.job()
        assert (job.outcome, job.started) == ("cancelled", None)
        assert wait_of(job) >= 0.04
        gate.opened.set()
        await holder
        assert limiter.borrowed_tokens == 0

    asyncio.run(main())
    assert watched_anyio.job().outcome == "completed"


def test_a_scope_that_is_cancelled_ends_the_wait_too(watched_anyio: Watched) -> None:
    """AnyIO's own cancellation works in the queue as it does unwatched."""
    gate = Gate()

    async def main() -> None:
        limiter = anyio.CapacityLimiter(1)
        async with anyio.create_task_group() as group:
            group.start_soon(functools.partial(in_thread, gate.hold, limiter=limiter))
            await watched_anyio.pool()
            with anyio.move_on_after(0.02) as scope:
                await in_thread(gate.hold, limiter=limiter)
            assert scope.cancel_called
            gate.opened.set()

    asyncio.run(main())
    assert [job.outcome for job in watched_anyio.jobs()] == ["cancelled", "completed"]


def test_an_abandoned_job_is_followed_to_its_end(watched_anyio: Watched) -> None:
    """The caller gave up while the thread runs: the job is over when its function is, and is called abandoned."""
    gate = Gate()

    async def main() -> None:
        with anyio.move_on_after(0.02):
            await in_thread(gate.hold, **{ABANDON: True})
        pool = await watched_anyio.pool()
        assert watched_anyio.jobs() == []
        assert (pool.busy(), pool.threads(), pool.full()) == (1, 1, False)  # a thread, but no token
        time.sleep(0.1)
        gate.opened.set()
        await until(lambda: not pool.running)

    asyncio.run(main())
    job = watched_anyio.job()
    assert job.outcome == "abandoned"
    assert run_of(job) >= 0.1


def test_a_cancelled_scope_waits_for_a_job_that_may_not_be_abandoned(watched_anyio: Watched) -> None:
    """Without leave to abandon it, a job of a cancelled scope runs to its end and is completed."""

    async def main() -> None:
        with anyio.move_on_after(0.01):
            await in_thread(time.sleep, 0.1)

    asyncio.run(main())
    job = watched_anyio.job()
    assert job.outcome == "completed"
    assert run_of(job) >= 0.09


def test_a_job_that_a_worker_takes_at_the_last_moment_still_runs(watched_anyio: Watched) -> None:
    """The caller gives up between the worker's look at whether it has and its call: told once, and called as ever."""

    async def main() -> None:
        frame = inspect.currentframe()
        assert frame is not None
        (job,) = watched_anyio.hook.stand_in(OWNER, (functools.partial(spin, 0.0),), {}, None, frame)
        with pytest.raises(asyncio.CancelledError):
            async with job:
                raise asyncio.CancelledError
        assert await asyncio.to_thread(job) == "done"

    asyncio.run(main())
    assert [job.outcome for job in watched_anyio.jobs() if job.pool.name == "anyio"] == ["cancelled"]


def test_a_borrower_that_asks_twice_gets_its_error(watched_anyio: Watched) -> None:
    """AnyIO's own refusal comes through, and nothing is left in the pool."""

    async def main() -> None:
        limiter = anyio.CapacityLimiter(1)
        async with limiter:
            with pytest.raises(RuntimeError, match="already holding"):
                await in_thread(spin, 0.0, limiter=limiter)
        pool = await watched_anyio.pool(running=0)
        assert pool.waiting == {}

    asyncio.run(main())
    assert (watched_anyio.jobs()[-1].outcome) == "failed"
