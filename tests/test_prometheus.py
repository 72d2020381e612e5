"""What Prometheus scrapes: the exact text, no number counted twice, and an answer while everything else hangs."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import signal
import socket
import threading
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from loopwatch.metrics import METRICS
from loopwatch.model import Coverage, ExecutorStats, Histogram, LoopStats, SiteStats, Snapshot

prometheus_client = pytest.importorskip("prometheus_client")

from loopwatch.report import prometheus  # noqa: E402

HISTOGRAM = Histogram(bounds=(0.0005, 1.0), counts=(3, 2, 1), sum=4.5)

SNAPSHOT = Snapshot(
    loops=(
        LoopStats(
            name="main", alive=1, active=1.5, idle=8.5, utilization=0.15, turns=6, steps=6, ready=2, tasks=3,
            stalled=0.25, step_duration=HISTOGRAM, turn_duration=HISTOGRAM, stalls={"wait": HISTOGRAM},
        ),
    ),
    executors=(
        ExecutorStats(
            name="default", kind="thread", workers=3, busy=2, workers_max=5, depth=7, oldest_wait=0.4, saturated=1.25,
            outcomes={"completed": 20, "failed": 1}, wait=HISTOGRAM, run=HISTOGRAM,
        ),
    ),
    offloads=(),
    sites=(SiteStats(kind="loop", site='shop."x":1', cause="wait", seconds=0.352, count=1),),
    coverage=(Coverage(subject="uvloop loops", seen="blind", detail="only their executors' jobs are seen"),),
    gc_pauses={"2": HISTOGRAM},
    events_dropped=1,
    sampler_seconds=0.02,
    version="1.2.3",
)  # fmt: skip


def series(name: str, labels: str, le: Callable[[str], str]) -> str:
    return f"""\
{name}_bucket{{{le("0.0005")}}} 3.0
{name}_bucket{{{le("1.0")}}} 5.0
{name}_bucket{{{le("+Inf")}}} 6.0
{name}_count{{{labels}}} 6.0
{name}_sum{{{labels}}} 4.5
"""


def by_loop(name: str) -> str:
    return series(name, 'loop="main"', lambda bound: f'le="{bound}",loop="main"')


def by_executor(name: str) -> str:
    return series(name, 'executor="default"', lambda bound: f'executor="default",le="{bound}"')


TEXT = f"""\
# HELP loopwatch_step_duration_seconds Time one step (one run of one callback) held its event loop.
# TYPE loopwatch_step_duration_seconds histogram
{by_loop("loopwatch_step_duration_seconds")}\
# HELP loopwatch_turn_duration_seconds Busy time of one turn of the loop: what a newly ready event waits at most.
# TYPE loopwatch_turn_duration_seconds histogram
{by_loop("loopwatch_turn_duration_seconds")}\
# HELP loopwatch_loop_time_seconds_total Time the loop was active (running steps) or idle (waiting for I/O).
# TYPE loopwatch_loop_time_seconds_total counter
loopwatch_loop_time_seconds_total{{loop="main",state="active"}} 1.5
loopwatch_loop_time_seconds_total{{loop="main",state="idle"}} 8.5
# HELP loopwatch_loop_utilization_ratio Active share of the loop's time over about the last ten seconds, 0 to 1.
# TYPE loopwatch_loop_utilization_ratio gauge
loopwatch_loop_utilization_ratio{{loop="main"}} 0.15
# HELP loopwatch_ready_callbacks Callbacks that are ready to run now.
# TYPE loopwatch_ready_callbacks gauge
loopwatch_ready_callbacks{{loop="main"}} 2.0
# HELP loopwatch_tasks Tasks of the loop that are not done.
# TYPE loopwatch_tasks gauge
loopwatch_tasks{{loop="main"}} 3.0
# HELP loopwatch_stall_duration_seconds Duration of finished stalls, by cause.
# TYPE loopwatch_stall_duration_seconds histogram
loopwatch_stall_duration_seconds_bucket{{cause="wait",le="0.0005",loop="main"}} 3.0
loopwatch_stall_duration_seconds_bucket{{cause="wait",le="1.0",loop="main"}} 5.0
loopwatch_stall_duration_seconds_bucket{{cause="wait",le="+Inf",loop="main"}} 6.0
loopwatch_stall_duration_seconds_count{{cause="wait",loop="main"}} 6.0
loopwatch_stall_duration_seconds_sum{{cause="wait",loop="main"}} 4.5
# HELP loopwatch_stalled_seconds Age of the stall in progress, 0 when the loop is not held.
# TYPE loopwatch_stalled_seconds gauge
loopwatch_stalled_seconds{{loop="main"}} 0.25
# HELP loopwatch_blocking_seconds_total Seconds lost at a site: loop (held a loop), queue (jobs waited for a worker), \
offload (worker threads waited on behalf of a loop).
# TYPE loopwatch_blocking_seconds_total counter
loopwatch_blocking_seconds_total{{cause="wait",kind="loop",site="shop.\\"x\\":1"}} 0.352
# HELP loopwatch_executor_workers Workers of the executor that exist, busy or idle.
# TYPE loopwatch_executor_workers gauge
loopwatch_executor_workers{{executor="default",state="busy"}} 2.0
loopwatch_executor_workers{{executor="default",state="idle"}} 1.0
# HELP loopwatch_executor_workers_max Workers the executor may have at most.
# TYPE loopwatch_executor_workers_max gauge
loopwatch_executor_workers_max{{executor="default"}} 5.0
# HELP loopwatch_executor_queue_depth Jobs that wait for a worker now.
# TYPE loopwatch_executor_queue_depth gauge
loopwatch_executor_queue_depth{{executor="default"}} 7.0
# HELP loopwatch_executor_oldest_wait_seconds How long the oldest waiting job has waited.
# TYPE loopwatch_executor_oldest_wait_seconds gauge
loopwatch_executor_oldest_wait_seconds{{executor="default"}} 0.4
# HELP loopwatch_executor_wait_seconds Time jobs waited for a worker.
# TYPE loopwatch_executor_wait_seconds histogram
{by_executor("loopwatch_executor_wait_seconds")}\
# HELP loopwatch_executor_run_seconds Time jobs ran on a worker.
# TYPE loopwatch_executor_run_seconds histogram
{by_executor("loopwatch_executor_run_seconds")}\
# HELP loopwatch_executor_jobs_total Jobs by outcome: completed, failed, cancelled, or abandoned \
(the awaiter gave up while it ran).
# TYPE loopwatch_executor_jobs_total counter
loopwatch_executor_jobs_total{{executor="default",outcome="completed"}} 20.0
loopwatch_executor_jobs_total{{executor="default",outcome="failed"}} 1.0
# HELP loopwatch_executor_saturated_seconds_total Time in which every worker was busy while jobs waited.
# TYPE loopwatch_executor_saturated_seconds_total counter
loopwatch_executor_saturated_seconds_total{{executor="default"}} 1.25
# HELP loopwatch_gc_pause_seconds Pauses of the cyclic garbage collector.
# TYPE loopwatch_gc_pause_seconds histogram
{series("loopwatch_gc_pause_seconds", 'generation="2"', lambda bound: f'generation="2",le="{bound}"')}\
# HELP loopwatch_events_dropped_total Events lost because a queue of the watch was full: reporters too slow, \
or more overruns than it can keep.
# TYPE loopwatch_events_dropped_total counter
loopwatch_events_dropped_total 1.0
# HELP loopwatch_sampler_seconds_total CPU time taken by loopwatch's own sampler thread.
# TYPE loopwatch_sampler_seconds_total counter
loopwatch_sampler_seconds_total 0.02
# HELP loopwatch_info What this watch is and how it sees: always 1.
# TYPE loopwatch_info gauge
loopwatch_info{{coverage="blind",python="{platform.python_version()}",steps="python",version="1.2.3"}} 1.0
"""


class Source:
    """Gives the snapshot that it is set to, and counts how often it was asked."""

    def __init__(self, now: Snapshot = SNAPSHOT) -> None:
        self.now = now
        self.asked = 0
        self.error: Exception | None = None

    def __call__(self) -> Snapshot:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.now


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def registry(source: Source) -> Any:
    """A fresh registry in which nothing but the collector over ``source`` is registered."""
    return prometheus.registry_with(prometheus.make_collector(source, 32))


def scrape(registry: Any) -> str:
    text: bytes = prometheus_client.generate_latest(registry)
    return text.decode()


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


# --- serving ---


@pytest.fixture
def server(registry: Any) -> Iterator[prometheus.MetricsServer]:
    server = prometheus.serve(registry, 0, "127.0.0.1")
    yield server
    server.close()


def fetch(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as response:
        text: bytes = response.read()
    return text.decode()


def test_the_server_answers_on_a_free_port(server: prometheus.MetricsServer) -> None:
    """Port 0 takes one that is free and tells which; the answer is the registry's text."""
    assert server.port > 0
    assert fetch(server.port) == TEXT


def test_the_server_shows_its_address(server: prometheus.MetricsServer) -> None:
    """At a prompt, or in a log, one sees what to scrape, and whether that still answers."""
    assert server.url == f"http://127.0.0.1:{server.port}/metrics"
    assert repr(server) == f"<MetricsServer {server.url}>"
    with urllib.request.urlopen(server.url, timeout=20) as response:
        assert response.read().decode() == TEXT
    server.close()
    assert repr(server) == f"<MetricsServer {server.url} (closed)>"


def test_an_address_with_colons_stands_in_brackets(registry: Any) -> None:
    """The URL of an IPv6 server can be used as it is."""
    try:
        server = prometheus.serve(registry, 0, "::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    try:
        assert server.url == f"http://[::1]:{server.port}/metrics"
    finally:
        server.close()


def test_the_server_answers_while_the_loop_of_the_main_thread_hangs(server: prometheus.MetricsServer) -> None:
    """A hanging loop can be looked at: the step that holds it ends only when the scrape is over."""
    answers: list[str] = []
    answered = threading.Event()

    def look() -> None:
        answers.append(fetch(server.port))
        answered.set()

    async def hang() -> None:
        threading.Thread(target=look).start()
        assert answered.wait(20)

    asyncio.run(hang())
    assert answers == [TEXT]


def test_the_server_listens_on_the_given_address_only(server: prometheus.MetricsServer) -> None:
    """Nothing is reachable from outside unless that is asked for."""
    assert server._server.server_address == ("127.0.0.1", server.port)
    assert server._server.socket.getsockname() == ("127.0.0.1", server.port)


def test_the_server_runs_on_a_daemon_thread_with_our_name(server: prometheus.MetricsServer) -> None:
    """It does not keep the process alive, and who looks at the threads sees whose it is."""
    assert [thread.daemon for thread in threading.enumerate() if thread.name == "loopwatch-metrics"] == [True]


def test_a_closed_server_is_gone(registry: Any) -> None:
    """Thread and port are free when ``close()`` returns; closing again does nothing."""
    server = prometheus.serve(registry, 0, "127.0.0.1")
    fetch(server.port)
    server.close()
    server.close()
    assert [thread for thread in threading.enumerate() if thread.name == "loopwatch-metrics"] == []
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.port), timeout=5)
    prometheus.serve(registry, server.port, "127.0.0.1").close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_forked_child_can_close_its_copy(server: prometheus.MetricsServer) -> None:
    """It waits for no thread that only the parent has, and the parent's server goes on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what is tested
        pid = os.fork()
    if pid == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)
            server.close()
            os._exit(0 if server._server.socket.fileno() == -1 else 1)
        finally:
            os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    assert fetch(server.port) == TEXT


def test_a_port_that_is_taken_is_refused(registry: Any) -> None:
    """The error comes from the call, not from a thread that nobody looks at."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError):
        prometheus.serve(registry, taken.getsockname()[1], "127.0.0.1")
