"""What Prometheus scrapes: the exact text, of any names, and no number counted twice."""

from __future__ import annotations

import logging
import platform
from dataclasses import replace
from typing import Any

import pytest

from loopwatch.metrics import METRICS

prometheus_client = pytest.importorskip("prometheus_client")

from loopwatch.report import prometheus  # noqa: E402
from tests.made_scrapes import SNAPSHOT, TEXT, Source, registry_over, scrape  # noqa: E402


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def registry(source: Source) -> Any:
    return registry_over(source)


# --- the text ---


def test_the_text_is_exactly_this(registry: Any) -> None:
    """Names, help, types, labels, buckets and values of every metric, in the order of the table."""
    assert scrape(registry) == TEXT


def test_every_row_of_the_table_is_scraped(registry: Any) -> None:
    """Each name of the table is a family with at least one sample; there are no others."""
    families = {family.name: family for family in registry.collect()}
    suffixes = {"counter": "_total", "info": "_info"}
    assert set(families) == {name.removesuffix(suffixes.get(metric.type, "\n")) for name, metric in METRICS.items()}
    assert all(family.samples for family in families.values())


def test_the_families_are_those_of_the_library(registry: Any) -> None:
    """Made without the library's ``add_metric``, they are equal to what it makes, down to each sample's labels."""
    from prometheus_client import core

    families = {family.name: family for family in registry.collect()}
    jobs = core.CounterMetricFamily(
        "loopwatch_executor_jobs", METRICS["loopwatch_executor_jobs_total"].help, labels=("executor", "outcome")
    )
    jobs.add_metric(("default", "completed"), 20)
    jobs.add_metric(("default", "failed"), 1)
    pauses = core.HistogramMetricFamily(
        "loopwatch_gc_pause_seconds", METRICS["loopwatch_gc_pause_seconds"].help, labels=("generation",)
    )
    pauses.add_metric(("2",), [("0.0005", 3), ("1.0", 5), ("+Inf", 6)], 4.5)
    depth = core.GaugeMetricFamily(
        "loopwatch_executor_queue_depth", METRICS["loopwatch_executor_queue_depth"].help, labels=("executor",)
    )
    depth.add_metric(("default",), 7)
    info = core.InfoMetricFamily("loopwatch", METRICS["loopwatch_info"].help)
    info.add_metric(
        (), {"version": "1.2.3", "python": platform.python_version(), "steps": "python", "coverage": "blind"}
    )
    for made in (jobs, pauses, depth, info):
        assert families[made.name] == made


def test_the_openmetrics_text_is_valid() -> None:
    """A strict parser of the newer format takes it, with the metrics' own bounds and several sites."""
    from prometheus_client.openmetrics.exposition import generate_latest
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    sites = tuple(replace(SNAPSHOT.sites[0], site=f"shop.views:{number}") for number in range(40))
    source = Source(replace(SNAPSHOT, sites=sites))
    registry = prometheus.registry_with(prometheus.make_collector(source, 32))
    families = list(text_string_to_metric_families(generate_latest(registry).decode()))
    assert len(families) == len(METRICS)


def test_at_most_the_cap_of_sites_becomes_series(source: Source) -> None:
    """``max_sites`` names, and one series of ``other`` that holds the rest."""
    sites = tuple(replace(SNAPSHOT.sites[0], site=f"site:{number}", seconds=1.0) for number in range(100))
    source.now = replace(SNAPSHOT, sites=sites)
    registry = prometheus.registry_with(prometheus.make_collector(source, 3))
    lines = [line for line in scrape(registry).splitlines() if line.startswith("loopwatch_blocking_seconds_total{")]
    assert lines == [
        'loopwatch_blocking_seconds_total{cause="wait",kind="loop",site="site:0"} 1.0',
        'loopwatch_blocking_seconds_total{cause="wait",kind="loop",site="site:1"} 1.0',
        'loopwatch_blocking_seconds_total{cause="wait",kind="loop",site="site:2"} 1.0',
        'loopwatch_blocking_seconds_total{cause="wait",kind="loop",site="other"} 97.0',
    ]


@pytest.mark.parametrize("name", ["line\nbreak", 'quo"te', "back\\slash", "été", "\ud800", ""])
def test_any_name_can_be_a_label(source: Source, registry: Any, name: str) -> None:
    """A thread pool may be called anything; it takes nobody's metrics away."""
    from prometheus_client.parser import text_string_to_metric_families

    source.now = replace(SNAPSHOT, executors=(replace(SNAPSHOT.executors[0], name=name),))
    found = [
        sample.labels["executor"]
        for family in text_string_to_metric_families(scrape(registry))
        for sample in family.samples
        if sample.name == "loopwatch_executor_queue_depth"
    ]
    assert found == [name if name != "\ud800" else "\\ud800"]


# --- reading ---


def test_scraping_twice_counts_nothing_twice(source: Source, registry: Any) -> None:
    """A scrape reads one snapshot, changes nothing and keeps nothing."""
    assert scrape(registry) == scrape(registry) == TEXT
    assert source.asked == 2


def test_who_changes_the_labels_of_a_sample_changes_no_other(registry: Any) -> None:
    """As a collector around ours may do, to add a label or take one away."""
    for family in registry.collect():
        for sample in family.samples:
            sample.labels.clear()
            sample.labels["region"] = "eu"
    assert scrape(registry) == TEXT
    counted = [sample.labels for family in registry.collect() for sample in family.samples]
    assert len({id(labels) for labels in counted}) == len(counted)


def test_a_scrape_shows_the_numbers_of_now(source: Source, registry: Any) -> None:
    """Nothing of an earlier scrape is remembered: what grew is shown once, what went is gone."""
    scrape(registry)
    source.now = replace(SNAPSHOT, events_dropped=5, executors=(), gc_pauses={})
    text = scrape(registry)
    assert registry.get_sample_value("loopwatch_events_dropped_total") == 5
    assert "executor=" not in text
    assert "generation=" not in text


def test_registering_takes_no_snapshot(source: Source) -> None:
    """``install()`` registers before there is anything to read."""
    registry = prometheus_client.CollectorRegistry(auto_describe=True)
    registry.register(prometheus.make_collector(source, 32))
    assert source.asked == 0


def test_the_names_can_be_taken_only_once(source: Source, registry: Any) -> None:
    """A second watch in the same registry is refused instead of being added to the first."""
    with pytest.raises(ValueError, match="loopwatch_"):
        registry.register(prometheus.make_collector(source, 32))
    assert scrape(registry) == TEXT


def test_unregistering_frees_the_names(source: Source) -> None:
    """The pair can be repeated, and unregistering what is not registered does nothing."""
    registry = prometheus_client.CollectorRegistry()
    collector = prometheus.make_collector(source, 32)
    prometheus.unregister(collector, registry)
    for _ in range(2):
        registry.register(collector)
        assert scrape(registry) == TEXT
        prometheus.unregister(collector, registry)
        prometheus.unregister(collector, registry)
        assert scrape(registry) == ""


def test_the_implementation_of_the_stopwatch_is_told(source: Source) -> None:
    """``loopwatch_info`` says how steps are timed."""
    registry = prometheus.registry_with(prometheus.make_collector(source, 32, steps="c"))
    assert 'steps="c"' in scrape(registry)


def test_a_snapshot_that_fails_leaves_the_other_metrics_alone(
    source: Source, registry: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The application's own metrics are scraped all the same; the log says so once; the next scrape tries again."""
    prometheus_client.Counter("orders", "Orders so far.", registry=registry).inc(3)
    source.error = RuntimeError("broken")
    for _ in range(3):
        assert registry.get_sample_value("orders_total") == 3
        assert "loopwatch_" not in scrape(registry)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("loopwatch", logging.ERROR)
    assert "left out of the scrape" in record.getMessage()
    assert record.exc_info is not None
    source.error = None
    assert TEXT in scrape(registry)


def test_the_default_registry_is_that_of_the_library() -> None:
    """What an application's own ``/metrics`` shows without being told."""
    assert prometheus.DEFAULT is prometheus_client.REGISTRY
