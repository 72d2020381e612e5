"""An application with a route that blocks, for tests of real servers. Each answer tells the coverage of its watch."""

from __future__ import annotations

import json
import time
from typing import Any

import loopwatch

loopwatch.install()  # as applications do it: a server that loads them before it forks gives each worker this watch


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    if scope["path"] == "/block":
        time.sleep(0.4)  # held: route
    watch = loopwatch.current()
    assert watch is not None
    coverage = {entry.subject: entry.seen for entry in watch.snapshot().coverage}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(coverage).encode()})


async def live(receive: Any, send: Any) -> None:
    while (message := await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    assert message["type"] == "lifespan.shutdown"
    await send({"type": "lifespan.shutdown.complete"})
