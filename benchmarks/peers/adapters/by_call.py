"""Tools that look at calls: refuse some, or time them."""

from __future__ import annotations

import logging
import threading
import traceback
from typing import Any

from .adapter import THRESHOLD, Adapter, Report, Work, hear

_excepthook = threading.excepthook


class Blockbuster(Adapter):
    """blockbuster. Source: "Manually" in the README of its package. It has no threshold: a call that may block raises,
    and whatever becomes of that exception is its report.
    """

    def install(self) -> None:
        from blockbuster import BlockBuster

        hear("asyncio", self.reports, self._refusal)
        threading.excepthook = lambda thread: None if self._keep(thread.exc_value) else _excepthook(thread)
        BlockBuster().activate()

    def _refusal(self, record: logging.LogRecord, text: str) -> None:
        self._keep(record.exc_info[1] if record.exc_info else None)

    def _keep(self, error: BaseException | None) -> bool:
        """Make a report of it, if a refusal is in it."""
        from blockbuster import BlockingError

        seen, kept = error, False
        while seen is not None:
            if isinstance(seen, BlockingError):
                self.reports.append(Report("".join(traceback.format_exception(error)), str(seen)))
                return True
            for inner in getattr(seen, "exceptions", ()):
                kept = self._keep(inner) or kept
            seen = seen.__cause__ or seen.__context__
        return kept

    async def watch(self, work: Work) -> None:
        try:
            await work()
        except Exception as error:
            if not self._keep(error):
                raise


class AsyncioEventLoopMonitor(Adapter):
    """asyncio-event-loop-monitor. Source: "Custom Callback" in the README of its package, with the threshold. It names
    functions; where that is one in C, the name says what was called and counts as the reason.
    """

    async def watch(self, work: Work) -> None:
        from asyncio_event_loop_monitor import event_loop_monitor_ctx

        with event_loop_monitor_ctx(threshold_ms=THRESHOLD * 1000, on_blocking_call=self._told):
            await work()

    def _told(self, call: Any) -> None:
        text = f"{call.method_name} took {call.duration_ms:.2f} ms"
        self.reports.append(Report(text, call.method_name if call.is_c_call else ""))


class OpentelemetryAsyncio(Adapter):
    """OpenTelemetry's asyncio instrumentation. Source: its module's documentation:
    ``AsyncioInstrumentor().instrument()``. It is not made to find what blocks: it measures how long coroutines and
    ``to_thread`` calls last, waiting included. A duration as long as the others' threshold is taken for its report.
    """

    def __init__(self) -> None:
        super().__init__()
        self._reader: Any = None

    def install(self) -> None:
        from opentelemetry.instrumentation.asyncio import AsyncioInstrumentor
        from opentelemetry.sdk.metrics import Histogram, MeterProvider
        from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader

        self._reader = InMemoryMetricReader(preferred_temporality={Histogram: AggregationTemporality.DELTA})
        AsyncioInstrumentor().instrument(meter_provider=MeterProvider([self._reader]))

    def begin(self) -> None:
        super().begin()
        self._reader.get_metrics_data()

    def finish(self) -> None:
        data = self._reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        for metric in (metric for scope in scopes for metric in scope.metrics):
            if metric.name != "asyncio.process.duration":
                continue
            for point in metric.data.data_points:
                if point.max >= THRESHOLD:
                    self.reports.append(Report(f"{metric.name} {dict(point.attributes)} max {point.max:.3f} s"))
