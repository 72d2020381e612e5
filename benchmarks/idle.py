"""CPU time that the watch takes while the application does nothing, or next to nothing."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from .apart import begin, results_at_once
from .figure import Figure, Look
from .watching import stopwatches, watching
from .workloads import new_loop

_SETTLE = 2.0
_LOOPS = (("asyncio", 0), ("asyncio", 20), ("asyncio", 500), ("uvloop", 0))
"""What is looked at: the make of the loop, and its timers a second. Without any there is a bound."""
BOUND = 0.1 if stopwatches()[0] == "c" else 0.3


def measure(look: Look) -> list[Figure]:
    """All processes side by side: for each number of timers a watched and an unwatched one."""
    seconds = str(3.0 if look.fast else 30.0)
    commands = [
        ("--seconds", seconds, "--timers", str(timers), "--loop", make, *watched)
        for make, timers in _LOOPS
        for watched in ((), ("--watched",))
    ]
    results = results_at_once("benchmarks.idle", commands)
    return [_figure(*each, *results[2 * place : 2 * place + 2]) for place, each in enumerate(_LOOPS)]


def _figure(make: str, timers: int, unwatched: dict[str, Any], watched: dict[str, Any]) -> Figure:
    before, after = (100 * side["cpu"] / side["seconds"] for side in (unwatched, watched))
    loop = "loop" if make == "asyncio" else f"loop of {make}"
    what = f"CPU for a {loop} with {timers} timers a second" if timers else f"CPU for an idle {loop}, of a core"
    note = f"{before:.3f} % unwatched, {after:.3f} % watched, over {watched['seconds']:.0f} s"
    details = {"unwatched": unwatched, "watched": watched}
    return Figure("idle", what, after - before, None if timers else BOUND, " %", note=note, details=details)


async def _live(seconds: float, timers: int) -> dict[str, float]:
    """The CPU time of the whole process while its loop has only so many timers a second."""
    await _wait(_SETTLE, timers)
    cpu, started = time.process_time(), time.perf_counter()
    await _wait(seconds, timers)
    return {"cpu": time.process_time() - cpu, "seconds": time.perf_counter() - started}


async def _wait(seconds: float, timers: int) -> None:
    until = time.perf_counter() + seconds
    while (left := until - time.perf_counter()) > 0:
        await asyncio.sleep(min(left, 1 / timers) if timers else left)


async def _watched_within(live: Callable[[], Awaitable[dict[str, float]]]) -> dict[str, float]:
    with watching(True):
        return await live()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--timers", type=int, default=0, help="a second")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--watched", action="store_true")
    parser.add_argument("--within", action="store_true", help="install the watch in the loop, as a lifespan does")
    options = begin(parser)
    loop = new_loop(options.loop)
    live = partial(_live, options.seconds, options.timers)
    if options.within:
        result = loop.run_until_complete(_watched_within(live))
    else:
        with watching(options.watched):
            result = loop.run_until_complete(live())
    loop.close()
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
