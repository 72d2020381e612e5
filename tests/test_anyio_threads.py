"""AnyIO's worker threads, end to end with the real AnyIO: what is timed, and what it is called."""

from __future__ import annotations

import asyncio
import gc
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import loopwatch
from loopwatch.testing import RecordingReporter

anyio = pytest.importorskip("anyio")
from anyio import to_thread  # noqa: E402

from tests.anyio_jobs import Watched, in_thread, run_of, spin, until, wait_of  # noqa: E402
from tests.executing import SOON, Gate  # noqa: E402


def test_a_job_has_its_times_its_task_and_its_names(watched_anyio: Watched) -> None:
    """Run and CPU time are the worker's, task and site those of who asked, the target is what it asked for."""

    async def shop() -> Any:
        return await in_thread(spin, 0.05)

    async def main() -> tuple[Any, Any]:
        task = asyncio.create_task(shop())
        return await task, task

    result, task = asyncio.run(main())
    job = watched_anyio.job()
    assert result == "done"
    assert (job.outcome, job.pool.name, job.lane.origin.executor) == ("completed", "anyio", "anyio")
    assert run_of(job) >= 0.05
    assert job.cpu is not None and 0.05 <= job.cpu <= run_of(job) + 0.02
    assert 0 <= wait_of(job) < 5.0
    assert job.for_loop and job.task() is task
    assert job.lane.origin.target == "tests.anyio_jobs.spin"
    functions = [frame.code.co_name for frame in job.lane.origin.frames]
    assert functions == ["run_sync", "shop"]


def test_jobs_beyond_the_tokens_wait(watched_anyio: Watched) -> None:
    """Of 60 jobs 40 run and 20 wait, and their wait lasts until a worker is free."""
    gate = Gate()

    async def main() -> list[int]:
        jobs = asyncio.gather(*(in_thread(gate.hold, number) for number in range(60)))
        pool = await watched_anyio.pool(running=40)
        assert (len(pool.waiting), pool.limit(), pool.threads()) == (20, 40, 40)
        time.sleep(0.1)
        gate.opened.set()
        return await jobs

    assert asyncio.run(main()) == list(range(60))
    jobs = watched_anyio.jobs()
    late = [job for job in jobs if wait_of(job) >= 0.1]
    assert (len(jobs), len(late)) == (60, 20)
    assert {job.outcome for job in jobs} == {"completed"}
    assert watched_anyio.alarm.woken >= 60


async def resize(limiter: Any, gate: Gate) -> None:
    await in_thread(gate.hold, limiter=limiter)


def test_a_private_limiter_is_a_pool_of_its_own(watched_anyio: Watched) -> None:
    """It is called after the place that uses it, has its own queue, and its limit is what it says at the moment."""
    gate = Gate()

    async def main() -> None:
        limiter = anyio.CapacityLimiter(2)
        jobs = [asyncio.create_task(resize(limiter, gate)) for _ in range(3)]
        pool = await watched_anyio.pool(running=2)
        assert pool.name.startswith("anyio:") and pool.name.endswith("test_anyio_threads.resize")
        assert (len(pool.waiting), pool.limit(), pool.threads()) == (1, 2, 2)
        limiter.total_tokens = math.inf
        await until(lambda: len(pool.running) == 3)
        assert (len(pool.waiting), pool.limit()) == (0, math.inf)
        gate.opened.set()
        await asyncio.gather(*jobs)
        assert (pool.running, pool.waiting) == ({}, {})

    asyncio.run(main())
    assert len(watched_anyio.jobs()) == 3


def test_the_default_limiter_has_its_name_also_when_it_is_named(watched_anyio: Watched) -> None:
    """Who hands over the default limiter explicitly gets the same pool."""

    async def main() -> None:
        await in_thread(spin, 0.0, limiter=to_thread.current_default_thread_limiter())
        await in_thread(spin, 0.0)

    asyncio.run(main())
    assert [job.pool.name for job in watched_anyio.jobs()] == ["anyio", "anyio"]


def test_two_loops_have_two_pools_of_one_name(watched_anyio: Watched) -> None:
    """Each loop has a default limiter of its own; jobs of both are told under one name."""
    together = threading.Barrier(2, timeout=SOON)
    pools = []

    async def main() -> None:
        await asyncio.gather(*(in_thread(spin, 0.001) for _ in range(50)))
        together.wait()
        pools.append(len(watched_anyio.executors.pools))
        together.wait()

    threads = [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    jobs = watched_anyio.jobs()
    assert (pools, len(jobs)) == ([2, 2], 100)
    assert {job.pool.name for job in jobs} == {"anyio"}
    assert len({job.pool for job in jobs}) == 2


def test_a_job_that_a_worker_submits_belongs_to_the_same_loop(watched_anyio: Watched) -> None:
    """A thread pool used inside a ``def`` route works for the loop."""

    def route() -> None:
        with ThreadPoolExecutor(1, "inner") as pool:
            pool.submit(spin, 0.0).result()

    async def main() -> None:
        await in_thread(route)

    asyncio.run(main())
    inner, outer = watched_anyio.jobs()
    assert (inner.pool.name, inner.for_loop, outer.pool.name) == ("inner", True, "anyio")


# --- bounded -----------------------------------------------------------------------------------


def test_pools_go_with_their_limiters(watched_anyio: Watched) -> None:
    """A limiter is held by its users alone, and what is known of it goes with it."""

    async def request() -> None:
        await in_thread(spin, 0.0, limiter=anyio.CapacityLimiter(1))

    async def main() -> None:
        for _ in range(20):
            await request()
        assert len(watched_anyio.jobs()) == 20
        gc.collect()
        # A worker of older versions keeps its last call until it gets another.
        assert len(watched_anyio.executors.pools) == len(watched_anyio.hook._pools) <= 1

    asyncio.run(main())


def test_names_of_limiters_are_few(watched_anyio: Watched) -> None:
    """However many places make limiters, their names stay few enough for a label."""
    limiters = []

    async def main() -> None:
        for number in range(60):
            names: dict[str, Any] = {"__name__": "shop", "in_thread": to_thread.run_sync}
            exec(f"async def use{number}(limiter): await in_thread(len, '', limiter=limiter)", names)
            limiters.append(anyio.CapacityLimiter(1))
            await names[f"use{number}"](limiters[-1])

    asyncio.run(main())
    names = {job.pool.name for job in watched_anyio.jobs()}
    assert {"anyio:shop.use0", "anyio:other"} < names
    assert len(names) <= 20


@pytest.mark.needs("fastapi", "httpx")
def test_a_watch_tells_which_route_filled_the_threads(events: RecordingReporter) -> None:
    """Sixty requests at once to a ``def`` route: a backlog of the pool "anyio", held by the route's own function."""
    import fastapi
    import httpx

    app = fastapi.FastAPI()

    @app.get("/report")
    def report():
        time.sleep(0.15)

    async def main() -> None:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            await asyncio.gather(*(client.get("/report") for _ in range(60)))

    with loopwatch.install(reporters=[events], prometheus=False) as watch:
        asyncio.run(main())
        assert watch.flush(SOON)
        now = watch.snapshot()
        assert "AnyIO worker threads: exact" in " ".join(map(str, now.coverage))
    (backlog,) = events.backlogs
    assert (backlog.executor, backlog.workers) == ("anyio", 40)
    assert backlog.waited >= 0.1
    assert backlog.culprit is not None and backlog.culprit.function.endswith("report")
    (stats,) = (stats for stats in now.executors if stats.name == "anyio")
    assert dict(stats.outcomes) == {"completed": 60}
    (offload,) = (offload for offload in now.offloads if offload.executor == "anyio")
    assert offload.target.endswith(report.__qualname__)
    assert offload.run_seconds >= 60 * 0.15
