"""One process that makes many steps, stalls, sites and loops; says how much memory it held at which moment."""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

from .apart import begin
from .sites import make_sites
from .watching import watching

_THRESHOLD = 0.001
_HOLD = 0.0013


def resident() -> int:
    """Bytes of memory in use, garbage collected; 0 where the platform does not tell."""
    gc.collect()
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


async def _step(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _stall(sites: Sequence[Callable[[], None]], count: int) -> None:
    loop = asyncio.get_running_loop()
    for number in range(count):
        loop.call_soon(sites[number % len(sites)])
        await asyncio.sleep(0)


async def _nothing() -> None:
    pass


def _open_and_close(count: int) -> None:
    for _ in range(count):
        asyncio.run(_nothing())


def _half(
    options: argparse.Namespace, sites: Sequence[Callable[[], None]], settle: Callable[[], None]
) -> dict[str, int]:
    """Half of everything; returns what each part has added."""
    parts: dict[str, Callable[[], object]] = {
        "steps": lambda: asyncio.run(_step(options.steps // 2)),
        "stalls": lambda: asyncio.run(_stall(sites, options.stalls // 2)),
        "loops": lambda: _open_and_close(options.loops // 2),
    }
    grown = {}
    for what, work in parts.items():
        before = resident()
        work()
        settle()
        grown[what] = resident() - before
    return grown


def _work(options: argparse.Namespace, watch: Any) -> dict[str, Any]:
    def settle() -> None:
        if watch is not None:
            watch.flush(30.0)

    sites = make_sites(options.sites, _HOLD)
    middle = len(sites) // 2
    asyncio.run(_nothing())  # what asyncio itself keeps
    settle()
    result: dict[str, Any] = {"ready": resident()}
    result["first_half"] = _half(options, sites[:middle], settle)
    result["half"] = resident()
    # The sites of this half are all new.
    result["second_half"] = _half(options, sites[middle:], settle)
    result["end"] = resident()
    result["told"] = _told(watch) if watch is not None else 0
    return result


def _told(watch: Any) -> int:
    return sum(stalls.count for loop in watch.snapshot().loops for stalls in loop.stalls.values())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory_process", description=__doc__)
    for what in ("steps", "stalls", "sites", "loops"):
        parser.add_argument(f"--{what}", type=int, required=True)
    parser.add_argument("--watched", action="store_true")
    parser.add_argument("--beside", metavar="MODULE", help="that the process has imported anyway")
    options = begin(parser)
    if options.beside:
        importlib.import_module(options.beside)
    # The reporter that people have, the log, does all its work; its lines go nowhere.
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        logging.basicConfig(stream=nowhere)
        with watching(options.watched, threshold=_THRESHOLD, reporters=["log"]) as watch:
            result = _work(options, watch)
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
