"""The numbers for Prometheus: a collector that reads one snapshot a scrape and keeps no number itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import accumulate, chain, repeat
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIServer

from ..errors import MissingExtra, SettingsError
from ..metrics import METRICS, Metric
from ..model import Exemplar, Histogram, Snapshot
from .readings import Reading, read

try:
    from prometheus_client import REGISTRY, CollectorRegistry, start_http_server
    from prometheus_client.metrics_core import Metric as Family
    from prometheus_client.registry import Collector
    from prometheus_client.samples import Exemplar as _Exemplar
    from prometheus_client.samples import Sample
    from prometheus_client.utils import floatToGoString
except ImportError as missing:
    raise MissingExtra("Prometheus metrics", "prometheus_client", "prometheus") from missing

_log = logging.getLogger("loopwatch")

DEFAULT: CollectorRegistry = REGISTRY
FAMILY_LEAVES_OUT = {"counter": "_total", "info": "_info"}


class SnapshotCollector(Collector):
    """Reads a snapshot when it is scraped, in the thread that scrapes."""

    def __init__(self, snapshot: Callable[[], Snapshot], max_sites: int, steps: str) -> None:
        self._snapshot = snapshot
        self._max_sites = max_sites
        self._steps = steps
        self._failed = False

    def describe(self) -> Iterator[Family]:
        """The families without values, so that registering takes no snapshot."""
        return map(_family, METRICS.values())

    def collect(self) -> Iterator[Family]:
        """The families with the values of one snapshot taken now.

        None, and one line in the log, where that fails: an exception here would take the application's
        own metrics out of the scrape.
        """
        try:
            readings = read(self._snapshot(), self._max_sites, self._steps)
            return iter([_filled(metric, readings[metric.prometheus]) for metric in METRICS.values()])
        except Exception:
            if not self._failed:
                self._failed = True
                _log.exception("loopwatch: its metrics could not be read and are left out of the scrape.")
            return iter(())


def make_collector(snapshot: Callable[[], Snapshot], max_sites: int, steps: str = "python") -> Collector:
    """A collector over ``snapshot`` with at most ``max_sites`` values of the label ``site`` beside ``other``.

    ``steps`` names the stopwatch implementation in ``loopwatch_info``.
    """
    return SnapshotCollector(snapshot, max_sites, steps)


def registry_with(collector: Collector) -> CollectorRegistry:
    """A registry that holds ``collector`` alone."""
    registry = CollectorRegistry()
    registry.register(collector)
    return registry


def unregister(collector: Collector, registry: CollectorRegistry) -> None:
    """Have ``registry`` forget ``collector``; does nothing when the collector is not (or no longer) registered."""
    try:
        registry.unregister(collector)
    except KeyError:
        return


class MetricsServer:
    """A running HTTP server of one registry: ``port`` and ``url`` tell where it listens, ``close()`` ends it."""

    def __init__(self, server: WSGIServer, thread: Thread) -> None:
        self._server = server
        self._thread = thread
        thread.name = "loopwatch-metrics"
        self.port: int = server.server_port
        host = str(server.server_address[0])
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}/metrics"

    def __repr__(self) -> str:
        closed = " (closed)" if self._server.socket.fileno() == -1 else ""
        return f"<MetricsServer {self.url}{closed}>"

    def close(self) -> None:
        """Stop listening and wait for the thread to end; a second call does nothing."""
        if self._thread.is_alive():  # not in a forked child, which has the socket alone
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def serve(registry: CollectorRegistry, port: int, addr: str) -> MetricsServer:
    """Serve ``registry`` on ``http://addr:port/metrics`` from a daemon thread; port 0 takes any free one.

    Raises :class:`SettingsError` for what is no port, :class:`OSError` when the address is taken or is none.
    """
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise SettingsError("port", port, "a whole number from 0 to 65535, of which 0 takes any free port")
    try:
        server, thread = start_http_server(port, addr, registry)
    except OSError as error:  # its own words name neither
        raise OSError(error.errno, f"cannot serve metrics on {addr}:{port}: {error.strerror}") from error
    return MetricsServer(server, thread)


def _family(metric: Metric) -> Family:
    name = metric.prometheus.removesuffix(FAMILY_LEAVES_OUT.get(metric.type, ""))
    return Family(name, metric.help, metric.type)


def _filled(metric: Metric, readings: list[Reading]) -> Family:
    """The family with its samples, made without the library's own ``add_metric``, which takes three times as long."""
    family = _family(metric)
    name, names, samples = metric.prometheus, metric.labels, family.samples
    if metric.type != "histogram":
        labels = (_labels(names, texts).copy() for texts, _ in readings)
        samples += _samples(repeat(name), labels, [value for _, value in readings])
        return family
    bucket, ends = f"{name}_bucket", (f"{name}_count", f"{name}_sum")
    for texts, value in readings:
        assert isinstance(value, Histogram)
        counts = list(accumulate(value.counts))
        first = len(samples)
        samples += _samples(
            chain(repeat(bucket, len(counts)), ends),
            map(dict.copy, _label_sets(names, texts, value.bounds)),
            (*counts, counts[-1], value.sum),
        )
        for place, exemplar in enumerate(value.exemplars, first):
            if exemplar is not None:
                samples[place] = samples[place]._replace(exemplar=_told(exemplar))
    return family


def _samples(names: Iterable[str], labels: Iterable[dict[str, str]], values: Iterable[Any]) -> Iterator[Sample]:
    """Samples, made as the tuples that they are, without a step of Python for each: there are hundreds."""
    return map(tuple.__new__, repeat(Sample), zip(names, labels, values, *_REST))


@lru_cache(maxsize=1024)
def _labels(names: tuple[str, ...], texts: tuple[str, ...]) -> dict[str, str]:
    """To be copied: who scrapes may change what he is given."""
    return dict(zip(names, map(encodable, texts)))


@lru_cache(maxsize=256)
def _label_sets(names: tuple[str, ...], texts: tuple[str, ...], bounds: tuple[float, ...]) -> list[dict[str, str]]:
    """The labels of a histogram's buckets, its count and its sum, to be copied as well."""
    labels = _labels(names, texts)
    return [*({**labels, "le": le} for le in les(bounds)), labels, labels]


def _told(exemplar: Exemplar) -> Any:
    """As OpenMetrics has it; the older format of text leaves it out."""
    labels = {"trace_id": exemplar.trace_id, "span_id": exemplar.span_id}
    return _Exemplar(labels, exemplar.value, exemplar.at)


_REST = [repeat(field) for field in Sample("", {}, 0.0)[3:]]
"""What a sample is besides its name, labels and value; more in newer versions of the library."""


def encodable(text: str) -> str:
    """``text`` without lone surrogates: one such name of a thread pool would end every scrape."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


@lru_cache(maxsize=32)
def les(bounds: tuple[float, ...]) -> tuple[str, ...]:
    """The label ``le`` of each bucket."""
    return (*map(floatToGoString, bounds), "+Inf")
