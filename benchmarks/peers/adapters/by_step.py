"""Tools that time each callback of the loop."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from pathlib import Path
from typing import Any

from .adapter import THRESHOLD, Adapter, LoopFactory, Report, Work, hear


class AsyncioDebug(Adapter):
    """asyncio's own debug mode. Source: "Debug Mode" of *Developing with asyncio*, in Python's documentation:
    ``PYTHONASYNCIODEBUG=1``, which takes in every loop, and ``slow_callback_duration``, told by the logger ``asyncio``.
    """

    debug = None  # as the environment says

    def install(self) -> None:
        hear("asyncio", self.reports, self._slow)

    @staticmethod
    def _slow(record: logging.LogRecord, text: str) -> Report | None:
        return Report(text) if text.startswith("Executing ") else None

    async def watch(self, work: Work) -> None:
        asyncio.get_running_loop().slow_callback_duration = THRESHOLD
        await work()


class Aiodebug(Adapter):
    """aiodebug. Source: the README in its package: ``log_slow_callbacks.enable(0.05)`` to the log, and
    ``hang_inspection.start(folder)`` for stacks of all threads, with the same threshold as its interval.
    """

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path()
        self._old: set[Path] = set()

    def install(self) -> None:
        import aiodebug.log_slow_callbacks

        self._folder = Path(tempfile.mkdtemp(prefix="aiodebug-"))
        hear("aiodebug.log_slow_callbacks", self.reports)
        aiodebug.log_slow_callbacks.enable(THRESHOLD)

    async def watch(self, work: Work) -> None:
        import aiodebug.hang_inspection

        dumper = aiodebug.hang_inspection.start(str(self._folder), interval=THRESHOLD)
        try:
            await work()
        finally:
            await aiodebug.hang_inspection.stop_wait(dumper)

    def begin(self) -> None:
        super().begin()
        self._old = set(self._folder.iterdir())

    def finish(self) -> None:
        for dump in sorted(set(self._folder.iterdir()) - self._old):
            self.reports.append(Report(dump.read_text(encoding="utf-8")))
            dump.unlink()
        for dump in self._old:
            dump.unlink()
        self._folder.rmdir()


class Aiocop(Adapter):
    """aiocop. Source: "Usage with ASGI" in the README of its package, with a callback that takes the events that
    ``exceeded_threshold``, as the one there does, and its CPU sampling, which is on by default.
    """

    def install(self) -> None:
        import aiocop

        aiocop.patch_audit_functions()
        aiocop.start_blocking_io_detection(trace_depth=20)
        aiocop.detect_slow_tasks(threshold_ms=int(THRESHOLD * 1000), on_slow_task=self._told)

    def _told(self, event: Any) -> None:
        if not event.exceeded_threshold:
            return
        calls = [each["event"] for each in event.blocking_events]
        traces = [each["trace"] for each in (*event.blocking_events, *event.cpu_stack_samples)]
        cause = ", ".join([event.reason, *calls])
        self.reports.append(Report("\n".join([f"{event.elapsed_ms:.0f} ms, {cause}", *traces]), cause))

    async def watch(self, work: Work) -> None:
        import aiocop

        aiocop.activate()
        try:
            await work()
        finally:
            aiocop.deactivate()


class MonitoredIoloop(Adapter):
    """monitored-ioloop. Source: "Recommended: Loop Factory" in the README of its package. It hands every callback's
    wall time to a function, without a threshold; this one takes what is as long as the others' threshold.
    """

    def loop_factory(self, loop: str) -> LoopFactory:
        if loop == "uvloop":
            from monitored_ioloop.monitored_uvloop import monitored_uvloop_loop_factory as factory
        else:
            from monitored_ioloop.monitored_asyncio import monitored_asyncio_loop_factory as factory
        made: LoopFactory = factory(self._told)
        return made

    def _told(self, state: Any) -> None:
        if state.callback_wall_time >= THRESHOLD:
            self.reports.append(Report(str(state)))


class Logfire(Adapter):
    """logfire's ``log_slow_async_callbacks``. Source: its docstring and the page of Logfire's documentation on
    asyncio: ``logfire.configure()``, then the hook; nothing is sent anywhere, the spans are kept in the process.
    """

    def __init__(self) -> None:
        super().__init__()
        self._exporter: Any = None

    def install(self) -> None:
        import logfire
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self._exporter = InMemorySpanExporter()
        logfire.configure(
            send_to_logfire=False,
            console=False,
            inspect_arguments=False,
            additional_span_processors=[SimpleSpanProcessor(self._exporter)],
        )
        logfire.log_slow_async_callbacks(slow_duration=THRESHOLD)

    def begin(self) -> None:
        super().begin()
        self._exporter.clear()

    def finish(self) -> None:
        for span in self._exporter.get_finished_spans():
            told = dict(span.attributes or {})
            place = f"{told.get('code.filepath')}:{told.get('code.lineno')} {told.get('code.function')}"
            self.reports.append(Report(f"{told.get('logfire.msg')}\n{place}\n{told.get('stack', '')}"))
