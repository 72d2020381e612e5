"""One run of the work in a process of its own, watched; prints its figures as one line of JSON.

``python -m examples.simulated_async.measure before URL``
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import io
import json
import logging
import math
import sys
import threading
import time
from typing import Any

import loopwatch
from loopwatch.model import Event

from ..children import leave_with_parent
from .api import Database
from .work import handle_orders

_CLIENTS = {"before": "ThreadedDatabase", "after": "NativeDatabase"}


def open_database(client: str, url: str) -> Database:
    """The client named ``before`` or ``after``. Only its own library is imported: memory is compared too."""
    module = importlib.import_module(f".{client}", __package__)
    database: Database = getattr(module, _CLIENTS[client])(url)
    return database


async def warm_up(client: str, url: str) -> None:
    """One request on a client of its own.

    First use imports modules and prepares TLS, which holds a loop for once; that is start-up, and
    not what the two clients are compared for.
    """
    async with open_database(client, url) as database:
        await handle_orders(database, 1, 1)


async def measured_work(database: Database, count: int, concurrency: int) -> dict[str, Any]:
    """Do the work once; the figures are in seconds and bytes."""
    threads = 0

    def count_threads() -> None:
        nonlocal threads
        threads = max(threads, threading.active_count())

    before = peak_memory()
    async with database:
        started = time.perf_counter()
        seconds = await handle_orders(database, count, concurrency, count_threads)
        elapsed = time.perf_counter() - started
    return {
        "requests": len(seconds),
        "mean": sum(seconds) / len(seconds),
        "p95": sorted(seconds)[math.ceil(0.95 * len(seconds)) - 1],
        "per_second": len(seconds) / elapsed,
        "peak_memory": peak_memory(),
        "memory_grown": peak_memory() - before,
        "threads": threads,
    }


def peak_memory() -> int:
    """The most memory (resident, in bytes) that this process has had, 0 where the platform does not tell."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return _peak_memory_by_getrusage()


def _peak_memory_by_getrusage() -> int:
    # Second choice: on Linux this figure starts from that of the parent process.
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


async def keep_going(database: Database, seconds: float) -> None:
    """A light load for ``seconds``, so that a scrape of the metrics sees something move."""
    until = time.monotonic() + seconds
    async with database:
        while time.monotonic() < until:
            await handle_orders(database, 12, 6)
            await asyncio.sleep(min(2.0, max(0.0, until - time.monotonic())))


def collect_log() -> io.StringIO:
    """Let the logger ``loopwatch`` write into the text that is returned, and nowhere else."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setLevel(logging.WARNING)
    logger = logging.getLogger("loopwatch")
    logger.addHandler(handler)
    logger.propagate = False
    return text


def blocking_by_kind(snapshot: dict[str, Any]) -> dict[str, float]:
    """Seconds of blocking in all sites: on the loop, in a pool's queue, in workers on behalf of the loop."""
    totals = {"loop": 0.0, "queue": 0.0, "offload": 0.0}
    for site in snapshot["sites"]:
        totals[site["kind"]] += site["seconds"]
    return totals


def run(options: argparse.Namespace) -> None:
    """Warm up, install the watch, do the work, print the result, and go on serving if asked to."""
    asyncio.run(warm_up(options.client, options.url))
    log = collect_log()
    events: list[Event] = []
    with loopwatch.install(reporters=["log", events.append]) as watch:
        result: dict[str, Any] = {"client": options.client}
        if options.serve_seconds:
            server = watch.serve_metrics(options.metrics_port)
            result["metrics"] = f"http://127.0.0.1:{server.port}/metrics"
        database = open_database(options.client, options.url)
        result.update(asyncio.run(measured_work(database, options.requests, options.concurrency)))
        watch.flush(timeout=5.0)
        snapshot = watch.snapshot().to_dict()
        result["blocking"] = blocking_by_kind(snapshot)
        result["offloads"] = snapshot["offloads"]
        result["events"] = [event.to_dict() for event in events]
        result["log"] = log.getvalue()
        print(json.dumps(result), flush=True)
        if options.serve_seconds:
            asyncio.run(keep_going(open_database(options.client, options.url), options.serve_seconds))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.simulated_async.measure", description=__doc__)
    parser.add_argument("client", choices=sorted(_CLIENTS))
    parser.add_argument("url", help="of the upstream")
    parser.add_argument("--requests", type=int, default=60)
    parser.add_argument("--concurrency", type=int, default=10)
    parser.add_argument("--serve-seconds", type=float, default=0.0, help="then keep a light load, with /metrics")
    parser.add_argument("--metrics-port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--with-parent", action="store_true", help="end when the standard input ends")
    options = parser.parse_args()
    if options.with_parent:
        leave_with_parent()
    run(options)


if __name__ == "__main__":
    main()
