"""A FastAPI service with one route for each way to block, and a healthy one; loopwatch tells them apart.

    python -m examples.fastapi_service --port 8000
    python -m examples.load http://127.0.0.1:8000

What loopwatch has to say goes to the log; ``/findings`` has it as JSON, ``/metrics`` as numbers.
The settings of loopwatch can be given in the environment, such as ``LOOPWATCH_THRESHOLD=0.1``.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import prometheus_client
import requests
import uvicorn
from fastapi import FastAPI

import loopwatch
from loopwatch.model import Event

from .children import child, end_on_sigterm, leave_with_parent
from .listening import listen
from .simulated_async.api import Row
from .simulated_async.before import ThreadedDatabase

UPSTREAM_URL = "UPSTREAM_URL"
"""The environment variable that names the slow service behind this one."""

_KEPT_EVENTS = 1000


@asynccontextmanager
async def lifespan(service: FastAPI) -> AsyncIterator[None]:
    """Install the watch before the first request, and take it out after the last."""
    events: deque[Event] = deque(maxlen=_KEPT_EVENTS)
    with loopwatch.install(reporters=["log", events.append]) as watch:
        async with ThreadedDatabase(os.environ[UPSTREAM_URL]) as database:
            service.state.watch, service.state.events, service.state.database = watch, events, database
            yield


app = FastAPI(title="one route for each disease", lifespan=lifespan)
app.mount("/metrics", prometheus_client.make_asgi_app())


@app.get("/healthy")
async def healthy() -> dict[str, str]:
    """No disease: whatever makes this one slow was done by another."""
    return {"status": "ok"}


@app.get("/sync-client")
async def sync_client() -> Row:
    """Synchronous I/O in a coroutine: the loop stands still until the upstream has replied."""
    row: Row = requests.get(f"{os.environ[UPSTREAM_URL]}/tables/orders/rows/1", timeout=30).json()
    return row


@app.get("/cpu")
async def cpu() -> dict[str, int]:
    """Work in a coroutine: the loop computes for 120 ms and does nothing else meanwhile."""
    until = time.thread_time() + 0.12
    rounds = total = 0
    while time.thread_time() < until:
        for number in range(2000):
            total += number * number
        rounds += 1
    return {"rounds": rounds, "total": total}


@app.get("/report")
def report() -> dict[str, str]:
    """A blocking ``def`` route: fine on a free worker, but the 41st at a time waits for one of AnyIO's 40."""
    time.sleep(0.2)
    return {"report": "done"}


@app.get("/burst")
async def burst() -> dict[str, float]:
    """Hundreds of small steps that are ready at once: each is short, the turn they make together is not."""
    prices = await asyncio.gather(*(burst_price(item) for item in range(300)))
    return {"total": sum(prices)}


async def burst_price(item: int) -> float:
    """About a millisecond of work, at no single place long enough to be noticed."""
    until = time.thread_time() + 0.001
    price = 0.0
    while time.thread_time() < until:
        for number in range(1, 200):
            price += 1 / (item + number)
    return price


@app.get("/simulated")
async def simulated() -> Row:
    """An async client that is a thread pool inside: the loop is free, and requests wait for three workers."""
    database: ThreadedDatabase = app.state.database
    return await database.get("orders", 1)


@app.get("/findings")
def findings() -> dict[str, Any]:
    """What loopwatch has told so far: its events, oldest first, and the offloads it knows."""
    watch, events = app.state.watch, app.state.events
    watch.flush(timeout=5.0)
    return {
        "events": [event.to_dict() for event in tuple(events)],
        "offloads": watch.snapshot().to_dict()["offloads"],
    }


def main() -> None:
    end_on_sigterm()
    parser = argparse.ArgumentParser(prog="python -m examples.fastapi_service", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default 8000)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; another one only in a container")
    parser.add_argument("--upstream-delay", type=float, default=0.15, help="seconds its reply takes (default 0.15)")
    parser.add_argument("--with-parent", action="store_true", help="end when the standard input ends")
    options = parser.parse_args()
    if options.with_parent:
        leave_with_parent()
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    delay = ("--delay", str(options.upstream_delay))
    with child("examples.simulated_async.upstream", "--with-parent", *delay, seconds=60.0) as (url, _):
        os.environ[UPSTREAM_URL] = url
        serve(options.port, options.host)


def serve(port: int, host: str = "127.0.0.1") -> None:
    """Serve the application until the process is told to end."""
    # By its name, not as the object: this module is __main__ here, and sites shall have its real name.
    config = uvicorn.Config(f"{__package__}.fastapi_service:app", loop="asyncio", access_log=False, log_level="warning")
    listener = listen(host, port)
    print(f"http://{host}:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
