"""The numbers for OpenTelemetry: instruments that are asked when a reader collects, and histograms as they are.

Counters and gauges are observable instruments: public API, for any provider. The API has no observable histogram,
and to record each step would cost more than the step. So the buckets, which are counted anyway, are given to the
SDK's readers as its specification has it for numbers from elsewhere (a *MetricProducer*, for which the SDK for Python
has no place yet): what a reader has collected is handed on with the histograms of the same snapshot.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, ref

from .. import _compat
from .._version import __version__
from ..errors import MissingExtra
from ..metrics import DELAYS, METRICS
from ..model import Histogram, Snapshot
from .otel_histograms import HistogramProducer
from .readings import Reading, read
from .spread import since, spread

try:
    from opentelemetry import metrics as api
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
except ImportError as missing:
    raise MissingExtra("OpenTelemetry", "opentelemetry-sdk", "otel") from missing

_log = logging.getLogger("loopwatch")
_WINDOW = 10.0
_HISTOGRAMS = "the histograms"


class Source:
    """The readings of one watch, for all instruments of a collection alike.

    An instrument that is asked once more begins a new collection: only then is a new snapshot taken.
    """

    def __init__(self, snapshot: Callable[[], Snapshot], max_sites: int, steps: str) -> None:
        self._snapshot = snapshot
        self._max_sites = max_sites
        self._steps = steps
        self._asked: set[str] = set()
        self._now: Snapshot | None = None
        self._readings: Mapping[str, list[Reading]] = {}
        self._delays: dict[str, list[Reading]] = {}
        self._turns: deque[tuple[float, dict[str, Histogram]]] = deque()
        self._failed = False

    def readings(self, who: str, of: str) -> list[Reading]:
        """What ``who`` is to tell of one row. Nothing, and one line in the log, where that cannot be read."""
        try:
            if who in self._asked or self._now is None:
                self._read()
            self._asked.add(who)
            return self._delays.get(of, []) if of in DELAYS else self._readings[of]
        except Exception:
            if not self._failed:
                self._failed = True
                _log.exception("loopwatch: its metrics could not be read and are left out for OpenTelemetry.")
            return []

    def _read(self) -> None:
        self._now = now = self._snapshot()
        self._asked.clear()
        self._readings = read(now, self._max_sites, self._steps)
        self._delays = {}
        for loop, values in self._lately({each.name: each.turn_duration for each in now.loops}).items():
            for part, value in spread(values).items():
                self._delays.setdefault(part, []).append(Reading((loop,), value))

    def _lately(self, turns: dict[str, Histogram]) -> dict[str, Histogram]:
        """The turns since the latest collection that is ten seconds old, or since the first of all."""
        at, earlier = _compat.clocks.monotonic(), self._turns
        while len(earlier) > 1 and at - earlier[1][0] >= _WINDOW:
            earlier.popleft()
        before = earlier[0][1] if earlier and at - earlier[0][0] > 0 else {}
        if not earlier or at - earlier[-1][0] >= 1.0:
            earlier.append((at, turns))
        return {loop: since(before.get(loop), values) for loop, values in turns.items()}


class Instruments:
    """What one provider has of ours. Made once for each, since instruments cannot be taken away: they fall silent.

    Holds its provider weakly, as the table of those that were made does.
    """

    def __init__(self, provider: MeterProvider) -> None:
        self.source: Source | None = None
        self._provider = ref(provider)
        self._told_of_histograms = False
        self._producers: WeakSet[HistogramProducer] = WeakSet()
        meter = provider.get_meter("loopwatch", __version__)
        self._silent = _does_nothing(meter)
        """The provider is disabled, or was shut down."""
        for name, metric in METRICS.items():
            if metric.type != "histogram":
                make = meter.create_observable_counter if metric.type == "counter" else meter.create_observable_gauge
                ask = partial(self._observe, name, metric.labels)
                make(metric.opentelemetry, [ask], metric.unit or "1", metric.help)
        for part, delay in DELAYS.items():
            meter.create_observable_gauge(
                delay.opentelemetry, [partial(self._observe, part, ("loop",))], "s", delay.help
            )  # fmt: skip

    def _observe(self, of: str, names: tuple[str, ...], options: CallbackOptions) -> Iterator[Observation]:
        source = self.source
        if source is not None:
            for reading in source.readings(of, of):
                value: Any = reading.value
                yield Observation(value, dict(zip(names, reading.labels)))

    def use(self, source: Source) -> None:
        """Tell the numbers of a watch from now on."""
        self.source = source
        self.follow_readers()

    def release(self, source: Source) -> None:
        """Fall silent, unless another watch has taken over."""
        if self.source is source:
            self.source = None
            for producer in list(self._producers):
                producer.detach()
            self._producers.clear()

    def follow_readers(self) -> None:
        """Give histograms to readers that have come since. Cheap where there are none; from any thread."""
        provider = self._provider()
        if provider is None or self.source is None or self._silent:
            return
        readers = readers_of(provider)
        if readers is None:
            if not self._told_of_histograms:
                self._told_of_histograms = True
                kind = f"{type(provider).__module__}.{type(provider).__qualname__}"
                _log.warning("loopwatch: no histograms for OpenTelemetry: the readers of %s are not known.", kind)
            return
        known = {id(producer.reader()) for producer in self._producers}
        for reader in readers:
            if id(reader) not in known:
                resource = getattr(getattr(provider, "_sdk_config", None), "resource", None)
                self._producers.add(HistogramProducer(reader, self._histograms, resource))

    def _histograms(self) -> Iterable[tuple[str, list[Reading]]]:
        source = self.source
        if source is None:
            return
        for name, metric in METRICS.items():
            if metric.type == "histogram":
                yield name, source.readings(f"{_HISTOGRAMS} {name}", name)


def readers_of(provider: MeterProvider) -> list[Any] | None:
    """The readers that collect from a provider of the SDK; None for a provider of any other make.

    The SDK has no public way to ask: they are kept in one of two places (``opentelemetry.sdk.metrics._internal``).
    """
    storages = getattr(getattr(provider, "_measurement_consumer", None), "_reader_storages", None)
    if storages is not None:
        found = list(storages)
        return found if all(hasattr(reader, "_collect") for reader in found) else None
    return None


_made: WeakKeyDictionary[MeterProvider, Instruments] = WeakKeyDictionary()


def instruments_of(provider: MeterProvider) -> Instruments:
    """Those that a provider has of ours, made where it has none."""
    found = _made.get(provider)
    if found is None:
        found = _made[provider] = Instruments(provider)
    return found


def global_provider() -> MeterProvider | None:
    """The provider that the process has set, None as long as it has set none or one that does nothing."""
    provider = api.get_meter_provider()
    return None if _does_nothing(provider) else provider


def _does_nothing(thing: object) -> bool:
    """Whether it is one that the API itself has, for as long as there is no SDK behind it."""
    return type(thing).__module__.startswith("opentelemetry.metrics")
