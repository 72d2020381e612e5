"""Pools that threads share: they submit, cancel and wait, while others look at the numbers."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future, ThreadPoolExecutor

from together import require, run_together

import loopwatch


def double(number: int) -> int:
    return 2 * number


def cause(_number: int) -> int:
    raise ValueError("meant to be")


def submit_within(pool: ThreadPoolExecutor) -> int:
    return pool.submit(double, 4).result()


def submit(pool: ThreadPoolExecutor) -> None:
    futures: list[Future[int]] = []
    for count in range(30):
        futures.append(pool.submit((double, cause, int)[count % 3], count))
        if count % 7 == 0:
            futures[-1].cancel()
    for future in futures:
        if not future.cancelled():
            future.exception()


async def hand_over(pool: ThreadPoolExecutor) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(5):
        await asyncio.gather(*[loop.run_in_executor(pool, double, number) for number in range(4)])
        await asyncio.to_thread(time.sleep, 0.001)
        await loop.run_in_executor(pool, submit_within, other)


def watch() -> None:
    with loopwatch.install(reporters=[], prometheus=False, threshold=0.02, executor_wait=0.01) as watch:
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            watch.snapshot()
            time.sleep(0.003)


def come_and_go() -> None:
    with ThreadPoolExecutor(2) as brief:
        submit(brief)


require("loopwatch.observe.jobs._jobs_c")
with ThreadPoolExecutor(3) as pool, ThreadPoolExecutor(2) as other:
    run_together(
        watch,
        lambda: submit(pool),
        lambda: submit(pool),
        lambda: asyncio.run(hand_over(pool)),
        lambda: asyncio.run(hand_over(pool)),
        come_and_go,
    )
