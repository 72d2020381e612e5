"""How long one Prometheus scrape takes when there is a lot to tell."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from prometheus_client import CollectorRegistry, generate_latest

from .apart import begin, result_of
from .figure import Figure, Look
from .pairs import spread
from .sites import make_sites
from .watching import watching

_SITES = 32
_EXECUTORS = 10
_JOBS = 8
BOUND = 5.0


def measure(look: Look) -> list[Figure]:
    """The median scrape of a registry that holds loopwatch alone."""
    result = result_of("benchmarks.scrape", "--times", "20" if look.fast else "300")
    parts = ("whole", "cpu", "own", "snapshot")
    whole, cpu, own, snapshot = (spread([1000 * seconds for seconds in result[part]]) for part in parts)
    # On a busy machine it waits for a processor as well: the CPU time is what it takes elsewhere.
    note = (
        f"{whole}; {cpu.median:.2f} ms of CPU; our own part {own.median:.2f}, the snapshot {snapshot.median:.2f}; "
        f"{result['sites']} sites, {result['executors']} executors, {result['lines']} lines"
    )
    return [Figure("scrape", "one Prometheus scrape", whole.median, BOUND, " ms", note=note, details=result)]


async def _stall_and_submit(sites: list[Callable[[], None]], pools: list[ThreadPoolExecutor]) -> None:
    loop = asyncio.get_running_loop()
    for site in sites:
        loop.call_soon(site)
        await asyncio.sleep(0.01)
    for pool in pools:
        await asyncio.gather(*(loop.run_in_executor(pool, time.sleep, 0.02) for _ in range(_JOBS)))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scrape", description=__doc__)
    parser.add_argument("--times", type=int, default=300)
    options = begin(parser)
    registry = CollectorRegistry()
    pools = [ThreadPoolExecutor(2, thread_name_prefix=f"pool-{number}") for number in range(_EXECUTORS)]
    loop = asyncio.new_event_loop()
    with watching(True, prometheus=registry) as watch:
        assert watch is not None
        # A few more than are told by name: the backlogs of the pools have sites as well.
        loop.run_until_complete(_stall_and_submit(make_sites(_SITES, 0.06), pools))
        watch.flush(5.0)
        parts = {
            "whole": lambda: generate_latest(registry),
            "own": lambda: list(registry.collect()),
            "snapshot": watch.snapshot,
        }
        seconds: dict[str, list[float]] = {part: [] for part in (*parts, "cpu")}
        for _ in range(options.times):
            used = time.thread_time()
            seconds["whole"].append(_timed(parts["whole"]))
            seconds["cpu"].append(time.thread_time() - used)
            for part in ("own", "snapshot"):
                seconds[part].append(_timed(parts[part]))
        snapshot = watch.snapshot()
        result = {
            **seconds,
            "sites": len({site.site for site in snapshot.sites}),
            "executors": len(snapshot.executors),
            "lines": generate_latest(registry).count(b"\n"),
        }
    loop.close()
    for pool in pools:
        pool.shutdown()
    print(json.dumps(result), flush=True)


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
