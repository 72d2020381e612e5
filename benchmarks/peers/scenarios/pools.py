"""Programs in which the loop is free and the work waits all the same: for a worker."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor

from .scenario import Scenario

_JOB = 0.15
_QUEUED = r"no free worker|backlog|queue"


async def _fetch_on_default_pool() -> None:
    await asyncio.to_thread(time.sleep, _JOB)  # held: default pool


async def crowd_the_default_pool() -> None:
    workers = min(32, (os.cpu_count() or 1) + 4)
    await asyncio.gather(*(_fetch_on_default_pool() for _ in range(4 * workers)))


async def _fetch_on_private_pool(pool: ThreadPoolExecutor) -> None:
    await asyncio.get_running_loop().run_in_executor(pool, time.sleep, _JOB)  # held: private pool


async def crowd_a_private_pool() -> None:
    with ThreadPoolExecutor(2) as pool:
        await asyncio.gather(*(_fetch_on_private_pool(pool) for _ in range(8)))


def load_anyio() -> None:
    import anyio

    anyio.run(asyncio.sleep, 0)  # loads its backend, which would hold the loop


async def crowd_an_anyio_limiter() -> None:
    import anyio
    import anyio.to_thread

    limiter = anyio.CapacityLimiter(2)

    async def fetch_on_anyio_pool() -> None:
        await anyio.to_thread.run_sync(time.sleep, _JOB, limiter=limiter)  # held: anyio limiter

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(fetch_on_anyio_pool)


SCENARIOS = (
    Scenario("default pool", "24 jobs or more for the default pool", "pool", crowd_the_default_pool, _QUEUED),
    Scenario("private pool", "8 jobs for a pool of 2 threads", "pool", crowd_a_private_pool, _QUEUED),
    Scenario("anyio limiter", "8 jobs for an AnyIO limiter of 2", "pool", crowd_an_anyio_limiter, _QUEUED, load_anyio),
)
