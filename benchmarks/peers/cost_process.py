"""One process that has one tool, or none, and measures itself; says the result as one line of JSON.

``steps``: seconds for one step, task, round trip, job. ``memory``: what a million steps leave. ``idle``: CPU of a
loop that does nothing. ``serve``: a small service; says its address, and lives until its input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import statistics
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.workloads import echoes, sleeps, tasks, thread_hops

from .adapters.adapter import Adapter, run_in_loop
from .tools import BARE, TOOLS

_SLICES = 5
_SETTLE = 1.5

Timed = Callable[[int], Awaitable[float]]


async def call_soon(loops: int) -> float:
    """A callback that schedules itself, in the loop that runs."""
    loop = asyncio.get_running_loop()
    left, done = loops, loop.create_future()

    def step() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(step)
        else:
            done.set_result(None)

    started = time.perf_counter()
    loop.call_soon(step)
    await done
    return time.perf_counter() - started


WORK: dict[str, Timed] = {
    "call_soon": call_soon,
    "sleep": sleeps,
    "create_task": tasks,
    "echo": echoes,
    "to_thread": thread_hops,
}


async def steps(options: argparse.Namespace) -> dict[str, float]:
    """Seconds for one of each, as the median of some slices of the same length."""
    found = {}
    for name, timed in WORK.items():
        loops = 8
        while await timed(loops) < options.seconds:
            loops *= 2
        slices = []
        for _ in range(_SLICES):
            gc.collect()
            slices.append(await timed(loops) / loops)
        found[name] = statistics.median(slices)
    return found


async def memory(options: argparse.Namespace) -> dict[str, float]:
    """Megabytes in use after so many steps."""
    await sleeps(options.count)
    gc.collect()
    return {"memory": await asyncio.to_thread(_resident)}


def _resident() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


async def idle(options: argparse.Namespace) -> dict[str, float]:
    """Per cent of a core."""
    await asyncio.sleep(_SETTLE)
    cpu, started = time.process_time(), time.perf_counter()
    await asyncio.sleep(options.seconds)
    return {"idle": 100 * (time.process_time() - cpu) / (time.perf_counter() - started)}


async def serve(adapter: Adapter, say: Callable[[Any], None]) -> None:
    """One route; whoever asks for something else gets the 404."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def healthy(request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok")

    async def answer(app: Any) -> None:
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", http="httptools", access_log=False)
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        # From a thread, as all I/O here: one of the tools refuses it on the loop.
        await asyncio.to_thread(say, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
        await serving

    await adapter.serve(Starlette(routes=[Route("/healthy", healthy)]), answer)


def _leave_at_end_of_input() -> None:
    while os.read(0, 1024):
        pass
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.cost_process", description=__doc__)
    parser.add_argument("tool", choices=(BARE, *TOOLS))
    parser.add_argument("loop", choices=("asyncio", "uvloop"))
    parser.add_argument("what", choices=("steps", "memory", "idle", "serve"))
    parser.add_argument("--seconds", type=float, default=0.04, help="of a slice, or of idling")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--core", type=int, help="the processor to stay on")
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    threading.Thread(target=_leave_at_end_of_input, daemon=True).start()
    answer = os.dup(1)
    os.dup2(2, 1)  # what a tool prints is not the answer

    def say(result: Any) -> None:
        os.write(answer, json.dumps(result).encode() + b"\n")

    logging.lastResort = None  # what is told costs what it costs, but is not printed
    _run(options, say)


def _run(options: argparse.Namespace, say: Callable[[Any], None]) -> None:
    adapter = Adapter() if options.tool == BARE else TOOLS[options.tool].make()
    if options.what == "serve":
        # As in a service, whose imports come first; one of the tools refuses what some do when the loop runs.
        import starlette.applications  # noqa: F401
        import uvicorn.protocols.http.httptools_impl  # noqa: F401
    adapter.install()
    measure = {"steps": steps, "memory": memory, "idle": idle}

    async def work() -> None:
        adapter.begin()
        result = await measure[options.what](options)
        await asyncio.to_thread(say, result)

    run_in_loop(adapter, options.loop, serve(adapter, say) if options.what == "serve" else adapter.watch(work))
    adapter.finish()


if __name__ == "__main__":
    main()
