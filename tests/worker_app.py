"""An application for several workers: routes that block, and the metrics of all, as prometheus_client says it is done.

Written against ASGI and WSGI themselves, so that it needs the servers alone.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

import loopwatch

REQUESTS = Counter("app_requests", "The application's own metric.")
STALL = 0.1
JOB = 0.12


def metrics() -> bytes:
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    text: bytes = generate_latest(registry)
    return text


async def work(path: str) -> bytes:
    if path == "/metrics":
        return await asyncio.to_thread(metrics)
    REQUESTS.inc()
    started = time.monotonic()
    if path == "/block":
        time.sleep(STALL)
    elif path == "/hang":
        time.sleep(60)
    elif path == "/job":
        await asyncio.to_thread(time.sleep, JOB)
    return f"{os.getpid()} {time.monotonic() - started}".encode()


async def app(scope: Any, receive: Any, send: Any) -> None:
    """For uvicorn: each worker installs its own watch."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                loopwatch.install(reporters=[])
            else:
                loopwatch.uninstall()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = await work(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """For gunicorn, which loads the application before it forks: the watch goes on in each worker."""
    body = asyncio.run(work(environ["PATH_INFO"]))
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


if os.environ.get("INSTALL_AT_ONCE"):
    loopwatch.install(reporters=[])
