"""The metric table: names, types and labels are a contract with dashboards and alerts."""

from __future__ import annotations

import re

import pytest

from loopwatch.metrics import METRICS, Metric

CONTRACT = {
    # Prometheus name: (OpenTelemetry name, type, labels)
    "loopwatch_step_duration_seconds": ("asyncio.callback.duration", "histogram", ("loop",)),
    "loopwatch_turn_duration_seconds": ("asyncio.eventloop.delay", "histogram", ("loop",)),
    "loopwatch_loop_time_seconds_total": ("asyncio.eventloop.time", "counter", ("loop", "state")),
    "loopwatch_loop_utilization_ratio": ("asyncio.eventloop.utilization", "gauge", ("loop",)),
    "loopwatch_ready_callbacks": ("asyncio.eventloop.ready", "gauge", ("loop",)),
    "loopwatch_tasks": ("asyncio.tasks", "gauge", ("loop",)),
    "loopwatch_stall_duration_seconds": ("asyncio.eventloop.blocked.duration", "histogram", ("loop", "cause")),
    "loopwatch_stalled_seconds": ("asyncio.eventloop.blocked", "gauge", ("loop",)),
    "loopwatch_blocking_seconds_total": ("loopwatch.blocking.time", "counter", ("kind", "site", "cause")),
    "loopwatch_offload_jobs_total": ("loopwatch.offload.jobs", "counter", ("site",)),
    "loopwatch_offload_seconds_total": ("loopwatch.offload.time", "counter", ("site", "part")),
    "loopwatch_executor_workers": ("python.executor.thread.count", "gauge", ("executor", "state")),
    "loopwatch_executor_workers_max": ("python.executor.thread.limit", "gauge", ("executor",)),
    "loopwatch_executor_queue_depth": ("python.executor.queue.size", "gauge", ("executor",)),
    "loopwatch_executor_oldest_wait_seconds": ("python.executor.oldest_wait", "gauge", ("executor",)),
    "loopwatch_executor_wait_seconds": ("python.executor.task.wait_time", "histogram", ("executor",)),
    "loopwatch_executor_run_seconds": ("python.executor.task.run_time", "histogram", ("executor",)),
    "loopwatch_executor_jobs_total": ("python.executor.task.count", "counter", ("executor", "outcome")),
    "loopwatch_executor_saturated_seconds_total": ("python.executor.saturated.time", "counter", ("executor",)),
    "loopwatch_gc_pause_seconds": ("loopwatch.gc.pause", "histogram", ("generation",)),
    "loopwatch_events_dropped_total": ("loopwatch.events.dropped", "counter", ()),
    "loopwatch_sampler_seconds_total": ("loopwatch.sampler.time", "counter", ()),
    "loopwatch_coverage": ("loopwatch.coverage", "gauge", ("subject", "seen")),
    "loopwatch_info": ("loopwatch.info", "info", ("version", "python", "steps", "coverage")),
}

ROWS = list(METRICS.values())
EACH_ROW = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.prometheus)
EACH_HISTOGRAM = pytest.mark.parametrize(
    "row", [row for row in ROWS if row.type == "histogram"], ids=lambda row: row.prometheus
)

FINEST, COARSEST = 0.001, 60.0
"""Seconds: a histogram tells apart what is shorter than the one, and needs no bound above the other."""


def test_the_table_is_the_contract() -> None:
    """Names, types and labels are those that dashboards were built on; the order is the documented one."""
    assert {name: (row.opentelemetry, row.type, row.labels) for name, row in METRICS.items()} == CONTRACT
    assert list(METRICS) == list(CONTRACT)


@EACH_ROW
def test_a_row_is_found_under_its_own_name(row: Metric) -> None:
    """The key of the table is the row's Prometheus name."""
    assert METRICS[row.prometheus] is row


@EACH_ROW
def test_names_are_legal_in_prometheus(row: Metric) -> None:
    """Names and labels keep to the legacy character set, and no label takes a name that Prometheus uses itself."""
    assert re.fullmatch(r"loopwatch_[a-z][a-z0-9_]*[a-z0-9]", row.prometheus)
    for label in row.labels:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", label)
        assert label not in {"le", "quantile", "job", "instance"}
    assert len(set(row.labels)) == len(row.labels)


@EACH_ROW
def test_a_name_tells_type_and_unit(row: Metric) -> None:
    """Counters end in ``_total``, the info metric in ``_info``, seconds and ratios in their unit."""
    assert row.prometheus.endswith("_total") == (row.type == "counter")
    assert row.prometheus.endswith("_info") == (row.type == "info")
    assert row.prometheus.removesuffix("_total").endswith("_seconds") == (row.unit == "s")
    assert row.prometheus.endswith("_ratio") == (row.unit == "1")


def test_no_name_is_made_twice() -> None:
    """The series that a scrape makes of one row are never those of another: no name is another's plus a suffix."""
    suffixes = {"histogram": ("_bucket", "_count", "_sum", ""), "counter": ("", "_created"), "gauge": ("",)}
    series = [
        row.prometheus.removesuffix("_total") + suffix if suffix == "_created" else row.prometheus + suffix
        for row in ROWS
        for suffix in suffixes.get(row.type, ("",))
    ]
    assert len(set(series)) == len(series)
    assert len({row.opentelemetry for row in ROWS}) == len(ROWS)


@EACH_ROW
def test_names_are_legal_in_opentelemetry(row: Metric) -> None:
    """The OpenTelemetry name is an instrument name: lower case words with dots, at most 255 characters."""
    assert re.fullmatch(r"[a-z][a-z_]*(\.[a-z][a-z_]*)+", row.opentelemetry)
    assert len(row.opentelemetry) <= 255


@EACH_ROW
def test_every_row_is_explained_in_one_sentence(row: Metric) -> None:
    """The help text is one line that ends like a sentence."""
    assert row.help.endswith(".") or row.type == "info"
    assert "\n" not in row.help
    assert len(row.help) > 20


@EACH_ROW
def test_only_histograms_have_bounds(row: Metric) -> None:
    """Bounds belong to histograms, and each of them has its own."""
    assert bool(row.bounds) == (row.type == "histogram")


@EACH_HISTOGRAM
def test_bounds_are_sorted_and_of_the_size_of_seconds(row: Metric) -> None:
    """Bounds rise, are positive, and tell milliseconds from seconds: taken as milliseconds they would be useless."""
    assert list(row.bounds) == sorted(set(row.bounds))
    assert row.bounds[0] > 0
    assert any(bound <= FINEST for bound in row.bounds) or row.prometheus == "loopwatch_stall_duration_seconds"
    assert any(bound >= 1.0 for bound in row.bounds)
    assert row.bounds[-1] <= COARSEST


@EACH_HISTOGRAM
def test_the_default_thresholds_are_bounds(row: Metric) -> None:
    """What is over the default threshold can be read off every histogram of durations without interpolation."""
    assert 0.05 in row.bounds
