"""Loops that start and end in several threads, while they are watched, looked at and let go by others."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from together import require, run_together

import loopwatch
from loopwatch.errors import LoopwatchError

FIELDS = ("mark", "turn", "idle", "slow_from", "quick", "quick_before", "quick_turns", "brief", "brief_turns", "handle")

present: set[asyncio.AbstractEventLoop] = set()


def cause() -> None:
    raise ValueError("meant to be")


async def nap(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def work() -> None:
    """Steps of all kinds: quick, brief, slow, raising, cancelled, given by another thread, and polls that wait."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)
    present.add(loop)
    try:
        for count in range(10):
            tasks = [loop.create_task(nap(0.0)) for _ in range(5)]
            loop.call_soon(cause)
            loop.call_soon(loop.call_soon, len, ())
            loop.call_later(0.001, cause).cancel()
            await asyncio.gather(*tasks)
            await asyncio.sleep(0.001)
            loop.call_soon(time.sleep, 0.002 if count % 5 else 0.03)
            await asyncio.to_thread(loop.call_soon_threadsafe, len, ())
    finally:
        present.discard(loop)


def run_loop() -> None:
    asyncio.run(work())


def watch() -> None:
    """Install, take snapshots while loops come and go, and uninstall."""
    with loopwatch.install(reporters=[], prometheus=False, threshold=0.02) as watch:
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            watch.snapshot()
            time.sleep(0.01)
    time.sleep(0.05)


def read_fields() -> None:
    """As the sampler does, but without a pause."""
    for loop in present.copy():
        stopwatch: Any = getattr(loop, "_loopwatch", None)
        if stopwatch is not None:
            for name in FIELDS:
                getattr(stopwatch, name, None)
    time.sleep(0.0002)


def take_snapshot() -> None:
    current = loopwatch.current()
    if current is not None:
        with contextlib.suppress(LoopwatchError):  # it has ended meanwhile
            current.snapshot()
    time.sleep(0.005)


require("loopwatch.observe.stopwatch._steps_c")
run_together(run_loop, run_loop, run_loop, watch, read_fields, take_snapshot)
