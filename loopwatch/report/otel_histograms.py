"""Histograms that were counted elsewhere, for one reader of the OpenTelemetry SDK."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable
from typing import Any
from weakref import ref

from .. import _compat
from .._version import __version__
from ..errors import MissingExtra
from ..metrics import METRICS
from ..model import Histogram
from .readings import Reading
from .spread import since

try:
    from opentelemetry.sdk.metrics import export
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
except ImportError as missing:
    raise MissingExtra("OpenTelemetry", "opentelemetry-sdk", "otel") from missing

_log = logging.getLogger("loopwatch")
_SCOPE = InstrumentationScope("loopwatch", __version__)
_Told = dict[tuple[str, tuple[str, ...]], Histogram]


class HistogramProducer:
    """Adds the histograms that ``ask`` gives to whatever ``reader`` collects, in the thread that collects.

    Each reader has its own temporality: one that wants differences is given what was added since its last time.
    """

    def __init__(
        self, reader: Any, ask: Callable[[], Iterable[tuple[str, list[Reading]]]], resource: Resource | None
    ) -> None:
        self.reader = ref(reader)
        self._ask: Callable[[], Iterable[tuple[str, list[Reading]]]] | None = ask
        self._resource = resource or Resource({})
        self._delta = _wants_delta(reader)
        self._started = self._before = _now()
        self._told: _Told = {}
        self._failed = False
        self._inner = reader._collect
        self._collect = self._make_collect(self._inner)
        reader._collect = self._collect

    def detach(self) -> None:
        """Leave the reader as it was. Where another tool stands around us, ours stays and adds nothing."""
        self._ask = None
        reader = self.reader()
        if reader is not None and reader._collect is self._collect:
            reader._collect = self._inner

    def _make_collect(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        def collect(*args: Any, **named: Any) -> Any:
            found = inner(*args, **named)
            ask = self._ask
            if ask is None:
                return found
            try:
                return self._with_histograms(found, ask())
            except Exception:
                if not self._failed:
                    self._failed = True
                    _log.exception("loopwatch: its histograms could not be given to OpenTelemetry and are left out.")
                return found

        return collect

    def _with_histograms(self, found: Any, told: Iterable[tuple[str, list[Reading]]]) -> Any:
        now = _now()
        metrics = [self._metric(name, readings, now) for name, readings in told if readings]
        self._before = now
        if not metrics:
            return found
        resources = list(found.resource_metrics) if found is not None else []
        first = resources[0] if resources else export.ResourceMetrics(self._resource, [], self._resource.schema_url)
        scopes = list(first.scope_metrics)
        ours = next((scope for scope in scopes if scope.scope.name == _SCOPE.name), None)
        if ours is None:
            scopes.append(export.ScopeMetrics(_SCOPE, metrics, ""))
        else:
            scopes[scopes.index(ours)] = dataclasses.replace(ours, metrics=[*ours.metrics, *metrics])
        return export.MetricsData([dataclasses.replace(first, scope_metrics=scopes), *resources[1:]])

    def _metric(self, name: str, readings: list[Reading], now: int) -> export.Metric:
        row = METRICS[name]
        kind = export.AggregationTemporality
        points = [self._point(name, row.labels, reading, now) for reading in readings]
        data = export.Histogram(points, kind.DELTA if self._delta else kind.CUMULATIVE)
        return export.Metric(row.opentelemetry, row.help, row.unit, data)

    def _point(self, name: str, labels: tuple[str, ...], reading: Reading, now: int) -> export.HistogramDataPoint:
        values = reading.value
        assert isinstance(values, Histogram)
        start = self._started
        if self._delta:
            key, start = (name, reading.labels), self._before
            before, self._told[key] = self._told.get(key), values
            values = since(before, values)
        nothing: Any = None  # the least and the greatest are not known, and may be left out
        return export.HistogramDataPoint(
            attributes=dict(zip(labels, reading.labels)),
            start_time_unix_nano=start,
            time_unix_nano=now,
            count=values.count,
            sum=values.sum,
            bucket_counts=values.counts,
            explicit_bounds=values.bounds,
            min=nothing,
            max=nothing,
        )


def _wants_delta(reader: Any) -> bool:
    """By the reader's own table, whose keys are the SDK's classes of instruments."""
    wanted = getattr(reader, "_instrument_class_temporality", {})
    found = (value for kind, value in wanted.items() if kind.__name__.strip("_") == "Histogram")
    return next(found, None) is export.AggregationTemporality.DELTA


def _now() -> int:
    return int(_compat.clocks.wall() * 1e9)
