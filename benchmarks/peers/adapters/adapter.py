"""What every tool's adapter is: where the tool goes into a program, and what it told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

THRESHOLD = 0.05
"""Seconds; what every tool is set to that can be set: the default of loopwatch."""

Work = Callable[[], Awaitable[None]]
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


@dataclass(frozen=True)
class Report:
    """One thing that a tool told. ``text`` is all of it; ``cause`` its own words for the reason, where it gives one."""

    text: str
    cause: str = ""


class Adapter:
    """A program without any tool; each tool changes what it needs to.

    In this order: ``install`` before there is a loop, then ``watch`` inside the running loop, around
    the work. ``begin`` forgets what was told of the way there, ``finish`` comes when the loop is closed.
    """

    debug: bool | None = False
    """Whether the loop runs in asyncio's debug mode; None: as asyncio itself would have it."""

    def __init__(self) -> None:
        self.reports: list[Report] = []

    def loop_factory(self, loop: str) -> LoopFactory:
        """The loop to run: ``asyncio`` or ``uvloop``."""
        if loop == "uvloop":
            import uvloop

            factory: LoopFactory = uvloop.new_event_loop
            return factory
        return asyncio.new_event_loop

    def install(self) -> None: ...

    async def watch(self, work: Work) -> None:
        await work()

    async def serve(self, app: Any, answer: Callable[[Any], Awaitable[None]]) -> None:
        """The same around a service: an ASGI application, and what serves it."""
        await self.watch(lambda: answer(app))

    def begin(self) -> None:
        self.reports.clear()

    def finish(self) -> None: ...


class ToReports(logging.Handler):
    """Keeps what a logger is told, traceback and all; ``read`` makes a report of a record, or None of what is none."""

    def __init__(self, reports: list[Report], read: Callable[[logging.LogRecord, str], Report | None]) -> None:
        super().__init__()
        self._reports = reports
        self._read = read

    def emit(self, record: logging.LogRecord) -> None:
        report = self._read(record, self.format(record))
        if report is not None:
            self._reports.append(report)


def hear(
    logger: str, reports: list[Report], read: Callable[[logging.LogRecord, str], Report | None] | None = None
) -> None:
    """Make a report of every warning of that logger."""
    handler = ToReports(reports, read or (lambda record, text: Report(text)))
    handler.setLevel(logging.WARNING)
    logging.getLogger(logger).addHandler(handler)


def run_in_loop(adapter: Adapter, loop: str, main: Coroutine[Any, Any, None]) -> None:
    """As ``asyncio.run`` does, in the loop that the adapter makes."""
    # Typed for 3.10, which has no Runner; the environments have a newer one.
    runner: Any = vars(asyncio)["Runner"]
    with runner(debug=adapter.debug, loop_factory=adapter.loop_factory(loop)) as running:
        running.run(main)
