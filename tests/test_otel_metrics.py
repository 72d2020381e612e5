"""What a reader of the OpenTelemetry SDK collects: every row of the table, once, as the snapshot has it."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import loopwatch
from loopwatch.metrics import DELAYS, METRICS
from loopwatch.model import Histogram

pytest.importorskip("opentelemetry.sdk.metrics")

from opentelemetry.sdk.metrics import Histogram as HistogramKind
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader

from loopwatch.report import otel
from tests.made_scrapes import HISTOGRAM, SNAPSHOT, Source
from tests.programs import hold_once, run

DELTA: dict[type, AggregationTemporality] = {HistogramKind: AggregationTemporality.DELTA}


class Bench:
    """A provider with readers, and our instruments over a made-up snapshot."""

    def __init__(self, *readers: InMemoryMetricReader) -> None:
        self.readers = readers or (InMemoryMetricReader(),)
        self.provider = MeterProvider(self.readers, shutdown_on_exit=False)
        self.snapshots = Source()
        self.source = otel.Source(self.snapshots, 32, "python")
        self.instruments = otel.instruments_of(self.provider)
        self.instruments.use(self.source)

    def collect(self, reader: int = 0) -> dict[str, Any]:
        return collected(self.readers[reader])


def collected(reader: InMemoryMetricReader) -> dict[str, Any]:
    """The metrics of our scope by name."""
    data = reader.get_metrics_data()
    scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
    found = [metric for scope in scopes if scope.scope.name == "loopwatch" for metric in scope.metrics]
    assert len({metric.name for metric in found}) == len(found)
    return {metric.name: metric for metric in found}


def points(metric: Any) -> dict[tuple[str, ...], Any]:
    """Its points by the values of their attributes."""
    return {tuple(point.attributes.values()): point for point in metric.data.data_points}


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.instruments.release(bench.source)


# --- the table ---------------------------------------------------------------------------------


def test_every_row_of_the_table_is_collected(bench: Bench) -> None:
    """Under its name, with its unit and help, as the right kind, and nothing else but the delays."""
    kinds = {"counter": "Sum", "gauge": "Gauge", "info": "Gauge", "histogram": "Histogram"}
    found = bench.collect()
    table = {row.opentelemetry: (kinds[row.type], row.unit or "1", row.help) for row in METRICS.values()}
    table |= {delay.opentelemetry: ("Gauge", "s", delay.help) for delay in DELAYS.values()}
    assert {
        name: (type(each.data).__name__, each.unit, each.description) for name, each in found.items()
    } == table  # fmt: skip


def test_the_attributes_are_the_labels_of_the_table(bench: Bench) -> None:
    """The same words everywhere: dashboards for one are easily made into dashboards for the other."""
    found = bench.collect()
    for row in METRICS.values():
        for point in found[row.opentelemetry].data.data_points:
            assert tuple(point.attributes) == row.labels


def test_numbers_are_those_of_the_snapshot(bench: Bench) -> None:
    """Counters, which only grow, and gauges."""
    found = bench.collect()
    time = found["asyncio.eventloop.time"]
    assert {key: point.value for key, point in points(time).items()} == {("main", "active"): 1.5, ("main", "idle"): 8.5}
    assert time.data.is_monotonic
    assert points(found["python.executor.queue.size"])[("default",)].value == 7
    assert points(found["loopwatch.blocking.time"])[("loop", 'shop."x":1', "wait")].value == 0.352
    assert points(found["loopwatch.events.dropped"])[()].value == 1


def test_histograms_have_the_buckets_of_the_snapshot(bench: Bench) -> None:
    """Bounds in seconds, counts and sum as they were counted; the least and the greatest are not made up."""
    point = points(bench.collect()["asyncio.eventloop.blocked.duration"])[("main", "wait")]
    assert (point.explicit_bounds, point.bucket_counts) == (HISTOGRAM.bounds, HISTOGRAM.counts)
    assert (point.count, point.sum, point.min, point.max) == (6, 4.5, None, None)
    assert point.start_time_unix_nano <= point.time_unix_nano
    json.loads(point.to_json())


def test_a_collection_takes_one_snapshot(bench: Bench) -> None:
    """All of one collection are of one moment; the next one has a new moment."""
    bench.collect()
    assert bench.snapshots.asked == 1
    bench.snapshots.now = replace(SNAPSHOT, events_dropped=5)
    assert points(bench.collect()["loopwatch.events.dropped"])[()].value == 5
    assert bench.snapshots.asked == 2


def grown() -> Any:
    """The snapshot, with two turns more of the loop."""
    (loop,) = SNAPSHOT.loops
    more = Histogram(HISTOGRAM.bounds, (4, 2, 2), 7.5)
    return replace(SNAPSHOT, loops=(replace(loop, turn_duration=more),))


def test_each_reader_has_its_own_temporality() -> None:
    """One that wants differences is given what was added since its own last time, whatever another has collected."""
    bench = Bench(InMemoryMetricReader(), InMemoryMetricReader(preferred_temporality=DELTA))
    first = bench.collect(1)["asyncio.eventloop.delay"]
    assert first.data.aggregation_temporality is AggregationTemporality.DELTA
    assert points(first)[("main",)].count == 6
    bench.snapshots.now = grown()
    bench.collect(0)
    second = points(bench.collect(1)["asyncio.eventloop.delay"])[("main",)]
    assert (second.bucket_counts, second.sum) == ((1, 0, 1), 3.0)
    assert second.start_time_unix_nano == points(first)[("main",)].time_unix_nano
    total = bench.collect(0)["asyncio.eventloop.delay"]
    assert total.data.aggregation_temporality is AggregationTemporality.CUMULATIVE
    assert points(total)[("main",)].bucket_counts == (4, 2, 2)
    bench.instruments.release(bench.source)


def test_the_delays_are_those_of_late(bench: Bench) -> None:
    """Of the turns since an earlier collection, not of all since the start."""
    assert points(bench.collect()["asyncio.eventloop.delay.mean"])[("main",)].value == 0.75
    bench.snapshots.now = grown()
    found = bench.collect()
    assert points(found["asyncio.eventloop.delay.mean"])[("main",)].value == 1.5
    assert points(found["asyncio.eventloop.delay.max"])[("main",)].value == 1.0
    bench.snapshots.now = replace(grown())
    assert points(bench.collect()["asyncio.eventloop.delay.p99"])[("main",)].value == 1.0


def test_what_the_application_measures_stays_as_it_is(bench: Bench) -> None:
    """Its own scope, and its own histograms."""
    bench.provider.get_meter("shop").create_histogram("orders").record(3)
    data = bench.readers[0].get_metrics_data()
    assert data is not None
    (resource,) = data.resource_metrics
    scopes = {scope.scope.name: [metric.name for metric in scope.metrics] for scope in resource.scope_metrics}
    assert scopes["shop"] == ["orders"]
    assert set(scopes) == {"shop", "loopwatch"}


def test_a_reader_that_comes_later_has_all_of_it(bench: Bench) -> None:
    """Where the SDK allows for that."""
    add: Any = getattr(bench.provider, "add_metric_reader", None)
    if add is None:
        pytest.skip("this SDK knows its readers from the start")
    late = InMemoryMetricReader()
    add(late)
    bench.instruments.follow_readers()
    assert "asyncio.eventloop.delay" in collected(late)


def test_numbers_that_cannot_be_read_are_left_out(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """One line in the log, however often they are collected; what the application measures is collected."""
    bench.snapshots.error = ValueError("no numbers")
    bench.provider.get_meter("shop").create_counter("orders").add(1)
    for _ in range(3):
        data = bench.readers[0].get_metrics_data()
        assert data is not None
        assert [scope.scope.name for scope in data.resource_metrics[0].scope_metrics] == ["shop"]
    assert [record.getMessage() for record in caplog.records if record.name == "loopwatch"] == [
        "loopwatch: its metrics could not be read and are left out for OpenTelemetry."
    ]


def test_a_provider_of_another_make_has_all_but_the_histograms(caplog: pytest.LogCaptureFixture) -> None:
    """Its readers cannot be asked for; the log says so, once."""

    class Other:
        def __init__(self) -> None:
            self.real = MeterProvider([reader], shutdown_on_exit=False)

        def get_meter(self, name: str, version: str) -> Any:
            return self.real.get_meter(name, version)

    reader = InMemoryMetricReader()
    provider: Any = Other()
    instruments = otel.instruments_of(provider)
    source = otel.Source(Source(), 32, "python")
    instruments.use(source)
    instruments.follow_readers()
    found = collected(reader)
    assert set(found) == {row.opentelemetry for row in METRICS.values() if row.type != "histogram"} | {
        delay.opentelemetry for delay in DELAYS.values()
    }
    (record,) = [record for record in caplog.records if record.name == "loopwatch"]
    assert record.levelno == logging.WARNING
    assert "no histograms for OpenTelemetry" in record.getMessage()
    instruments.release(source)


def test_a_disabled_sdk_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """``OTEL_SDK_DISABLED`` disables ours, too."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    bench = Bench()
    assert bench.collect() == {}
    assert bench.snapshots.asked == 0
    bench.instruments.release(bench.source)


# --- in and out --------------------------------------------------------------------------------


def test_a_watch_tells_its_numbers_and_then_no_more() -> None:
    """Once the watch has ended nothing of it is collected, and the reader is as it was before."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    before = reader._collect
    with loopwatch.install(opentelemetry=provider, prometheus=False, reporters=[]) as watch:
        asyncio.run(hold_once())
        watch.flush()
        found = collected(reader)
        stalls = points(found["asyncio.eventloop.blocked.duration"])[("main", "wait")]
        assert stalls.count == 1
        assert 0.2 <= stalls.sum < 5
        steps = points(found["asyncio.callback.duration"])[("main",)]
        assert steps.count == watch.snapshot().loops[0].steps
    assert reader._collect == before
    assert collected(reader) == {}


def test_the_next_watch_has_the_same_instruments(caplog: pytest.LogCaptureFixture) -> None:
    """None is made twice, of which the SDK would warn; what is told is the new watch's."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    for _ in range(2):
        with loopwatch.install(opentelemetry=provider, prometheus=False, reporters=[]):
            asyncio.run(asyncio.sleep(0))
            point = points(collected(reader)["asyncio.callback.duration"])[("main",)]
            assert 0 < point.count < 20
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_provider_that_is_gone_is_not_kept() -> None:
    """Nor is the watch kept by a provider that stays."""
    bench = Bench()
    bench.collect()
    bench.instruments.release(bench.source)
    provider, source = weakref.ref(bench.provider), weakref.ref(bench.source)
    bench.source = None  # type: ignore[assignment]
    gc.collect()
    assert source() is None
    del bench
    gc.collect()
    assert provider() is None


AUTO = """
import asyncio, sys, time
import loopwatch

def imported():
    return sorted({name.partition(".")[0] for name in sys.modules if name.startswith("opentelemetry")})

watch = loopwatch.install(prometheus=False, reporters=[])
asyncio.run(asyncio.sleep(0.3))
watch.snapshot()
print(imported())

from opentelemetry import metrics
watch.snapshot()
print(watch._exporters._telemetry._instruments)

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
watch.snapshot()
print(watch._exporters._telemetry._instruments)

reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
watch.snapshot()  # the sampler would look by itself, within a quarter of a second where something goes on
names = {m.name for s in reader.get_metrics_data().resource_metrics[0].scope_metrics for m in s.metrics}
print("asyncio.callback.duration" in names)
watch.uninstall()
"""


def test_auto_follows_the_provider_of_the_process() -> None:
    """Nothing is imported where nobody has OpenTelemetry; a provider set after ``install()`` is found."""
    done = run(AUTO)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["[]", "None", "None", "True"]


def test_a_child_tells_its_own_numbers() -> None:
    """After a fork it begins at nothing, as the watch does."""
    program = """
        import asyncio, os, sys, warnings
        import loopwatch
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader

        def steps():
            data = reader.get_metrics_data()
            return [
                point.count
                for scope in data.resource_metrics[0].scope_metrics for metric in scope.metrics
                if metric.name == "asyncio.callback.duration" for point in metric.data.data_points
            ]

        async def many():
            for _ in range(1000):
                await asyncio.sleep(0)

        reader = InMemoryMetricReader()
        loopwatch.install(opentelemetry=MeterProvider([reader], shutdown_on_exit=False), prometheus=False, reporters=[])
        asyncio.run(many())
        assert steps()[0] > 1000, steps()
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with threads
        child = os.fork()
        if not child:
            asyncio.run(asyncio.sleep(0))
            print(0 < sum(steps()) < 100)
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)
        assert steps()[0] > 1000, steps()
    """
    done = run(program)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_an_sdk_that_is_being_imported_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """To import what it needs at the same time, in another thread, could make the application's own import fail."""
    from opentelemetry.sdk import metrics

    from loopwatch.report.telemetry import _is_imported

    assert _is_imported(metrics.__name__)
    monkeypatch.setattr(metrics.__spec__, "_initializing", True, raising=False)
    assert not _is_imported(metrics.__name__)
    assert not _is_imported("opentelemetry.sdk.nothing")


def test_the_log_says_where_the_numbers_go(caplog: pytest.LogCaptureFixture) -> None:
    """Once, at INFO, as all that the watch says of itself; also where they cannot go anywhere yet."""
    caplog.set_level(logging.INFO, "loopwatch")
    provider = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    with loopwatch.install(opentelemetry=provider, prometheus=False, reporters=[]) as watch:
        watch.snapshot()
    with loopwatch.install(opentelemetry=True, prometheus=False, reporters=[]):
        pass
    said = [record.getMessage() for record in caplog.records if "OpenTelemetry" in record.getMessage()]
    assert said == [
        "loopwatch: metrics go to OpenTelemetry as well.",
        "loopwatch: no provider is set for OpenTelemetry; one that is set later is used from then on.",
    ]
