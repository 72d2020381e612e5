"""Tools that let the loop tick and look, from a thread or when the tick comes late."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from .adapter import THRESHOLD, Adapter, Report, Work, hear


class Pyleak(Adapter):
    """pyleak's ``no_event_loop_blocking``. Source: the README of its package, with ``action="log"``, the threshold,
    and the ``check_interval`` that its table gives.
    """

    def install(self) -> None:
        hear("pyleak.eventloop", self.reports)

    async def watch(self, work: Work) -> None:
        from pyleak import no_event_loop_blocking
        from pyleak.base import LeakAction

        async with no_event_loop_blocking(action=LeakAction.LOG, threshold=THRESHOLD, check_interval=0.01):
            await work()


class Loopsentry(Adapter):
    """LoopSentry. Source: "Quick Start" in the README of its package; it writes what it finds as JSON lines."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path()
        self._old = 0

    def install(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="loopsentry-"))

    async def watch(self, work: Work) -> None:
        from loopsentry import LoopSentry

        sentry = LoopSentry(base_dir=str(self._folder), threshold=THRESHOLD)
        sentry.start()
        try:
            await work()
        finally:
            sentry.stop()

    def _blocks(self) -> list[dict[str, Any]]:
        files = sorted(self._folder.rglob("*.jsonl"))
        lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
        return [entry for entry in map(json.loads, lines) if entry["type"] == "block_started"]

    def begin(self) -> None:
        self._old = len(self._blocks())

    def finish(self) -> None:
        for block in self._blocks()[self._old :]:
            self.reports.append(Report("\n".join([f"blocked {block['duration_current']:.3f} s", *block["stack"]])))
        shutil.rmtree(self._folder)


class Asynclens(Adapter):
    """AsyncLens. Source: the FastAPI example in the README of its package: the watchdog around the application."""

    def install(self) -> None:
        hear("asynclens", self.reports)

    async def watch(self, work: Work) -> None:
        from asynclens import AsyncWatchdog

        async with AsyncWatchdog(threshold_ms=int(THRESHOLD * 1000)):
            await work()


class FastapiLoopguard(Adapter):
    """fastapi-loopguard. Source: README and ``docs/CONFIGURATION.md`` of its repository, for production: the
    middleware in the mode ``log``. The work is done in a request that goes through it. Its calibration may only lower
    the threshold; a high ``threshold_multiplier`` keeps it at the 50 ms of ``fallback_threshold_ms``.
    """

    def install(self) -> None:
        hear("fastapi_loopguard", self.reports)

    def _guarded(self, app: Any) -> Any:
        from fastapi_loopguard import LoopGuardConfig, LoopGuardMiddleware

        threshold = THRESHOLD * 1000
        config = LoopGuardConfig(enforcement_mode="log", fallback_threshold_ms=threshold, threshold_multiplier=1e6)
        return LoopGuardMiddleware(app, config=config)

    async def serve(self, app: Any, answer: Callable[[Any], Awaitable[None]]) -> None:
        await answer(self._guarded(app))

    async def watch(self, work: Work) -> None:
        app = self._guarded(_application(work))
        events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        events.put_nowait({"type": "lifespan.startup"})
        lifespan = asyncio.ensure_future(app({"type": "lifespan", "asgi": {}, "state": {}}, events.get, _forget))
        try:
            await asyncio.sleep(0.01)
            await app(_request(), events.get, _forget)
        finally:
            events.put_nowait({"type": "lifespan.shutdown"})
            await lifespan


async def _forget(message: dict[str, Any]) -> None:
    pass


def _request() -> dict[str, Any]:
    place = {"path": "/work", "raw_path": b"/work", "query_string": b"", "root_path": "", "scheme": "http"}
    return {"type": "http", "asgi": {}, "method": "GET", "http_version": "1.1", "headers": [], "state": {}, **place}


def _application(work: Work) -> Callable[..., Awaitable[None]]:
    """The smallest ASGI application: one route that does the work."""

    async def application(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        if scope["type"] == "lifespan":
            for reply in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{reply}.complete"})
            return
        await work()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return application
