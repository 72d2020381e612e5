"""The small things whose price is compared: each takes a number of times and returns the seconds they took."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import NamedTuple

from .pairs import TimeFunction

_MESSAGE = b"x" * 64


def new_loop(make: str) -> asyncio.AbstractEventLoop:
    """A loop of asyncio's own or, for "uvloop", one of uvloop's."""
    if make != "uvloop":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


def call_soon(loops: int, make: str = "asyncio") -> float:
    """A callback that schedules itself: one step a turn, nothing else."""
    loop = new_loop(make)
    left = loops

    def step() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(step)
        else:
            loop.stop()

    try:
        loop.call_soon(step)
        started = perf_counter()
        loop.run_forever()
        return perf_counter() - started
    finally:
        loop.close()


async def sleeps(loops: int) -> float:
    started = perf_counter()
    for _ in range(loops):
        await asyncio.sleep(0)
    return perf_counter() - started


async def tasks(loops: int) -> float:
    started = perf_counter()
    for _ in range(loops):
        await asyncio.create_task(_nothing_async())
    return perf_counter() - started


async def echoes(loops: int) -> float:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        started = perf_counter()
        for _ in range(loops):
            writer.write(_MESSAGE)
            await reader.readexactly(len(_MESSAGE))
        seconds = perf_counter() - started
        writer.close()
        await writer.wait_closed()
    return seconds


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while message := await reader.read(1024):
        writer.write(message)
    writer.close()


async def thread_hops(loops: int) -> float:
    await asyncio.to_thread(_nothing)  # starts the worker
    started = perf_counter()
    for _ in range(loops):
        await asyncio.to_thread(_nothing)
    return perf_counter() - started


def submit(loops: int) -> float:
    """One empty job at a time through a pool of one worker, from a thread without a loop."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(_nothing).result()
        started = perf_counter()
        for _ in range(loops):
            pool.submit(_nothing).result()
        return perf_counter() - started


def _nothing() -> None:
    pass


async def _nothing_async() -> None:
    pass


def _in_a_loop(body: Callable[[int], Coroutine[None, None, float]]) -> TimeFunction:
    return lambda loops: asyncio.run(body(loops))


def _in_uvloop(body: Callable[[int], Coroutine[None, None, float]]) -> TimeFunction:
    def time(loops: int) -> float:
        loop = new_loop("uvloop")
        try:
            return loop.run_until_complete(body(loops))
        finally:
            loop.close()

    return time


class Workload(NamedTuple):
    """What it is, how much dearer it may be when watched (by the name of the stopwatch), and what does it."""

    what: str
    bounds: Mapping[str, float]
    time: TimeFunction


WORKLOADS: dict[str, Workload] = {
    "call_soon": Workload("a call_soon chain, one step", {"c": 0.97, "python": 1.20}, call_soon),
    "sleep": Workload("await sleep(0), one step", {"c": 0.97, "python": 1.20}, _in_a_loop(sleeps)),
    "create_task": Workload(
        "await create_task() of an empty coroutine", {"c": 1.00, "python": 1.10}, _in_a_loop(tasks)
    ),
    "echo": Workload("a streams echo, one round trip", {"c": 1.00, "python": 1.05}, _in_a_loop(echoes)),
    "submit": Workload("one job, submit().result()", {"c": 1.15, "python": 1.15}, submit),
    "to_thread": Workload("one job, await asyncio.to_thread()", {"c": 1.05, "python": 1.10}, _in_a_loop(thread_hops)),
    "uvloop_call_soon": Workload(
        "a call_soon chain on uvloop, one step", {"c": 1.10, "python": 1.03}, partial(call_soon, make="uvloop")
    ),
    "uvloop_sleep": Workload("await sleep(0) on uvloop, one step", {"c": 1.10, "python": 1.03}, _in_uvloop(sleeps)),
    "uvloop_echo": Workload("a streams echo on uvloop", {"c": 1.03, "python": 1.08}, _in_uvloop(echoes)),
}
"""By name."""
