"""A snapshot made by hand, what Prometheus is to scrape of it, and a registry to scrape."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import pytest

from loopwatch.model import Coverage, ExecutorStats, Histogram, LoopStats, Offload, SiteStats, Snapshot

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
    offloads=(
        Offload(
            site="bank.Bank.get:7", target="bank.Bank._send", executor="bank", jobs=12, wait_seconds=2.5,
            run_seconds=1.75, cpu_seconds=0.25, verdict="simulated async", cause="wait",
        ),
    ),
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
# HELP loopwatch_blocking_seconds_total Seconds lost at a site: loop (held a loop), queue (held the workers for which \
jobs waited), offload (worker threads waited on behalf of a loop).
# TYPE loopwatch_blocking_seconds_total counter
loopwatch_blocking_seconds_total{{cause="wait",kind="loop",site="shop.\\"x\\":1"}} 0.352
# HELP loopwatch_offload_jobs_total Jobs whose workers waited on behalf of a loop, by the site that handed them over.
# TYPE loopwatch_offload_jobs_total counter
loopwatch_offload_jobs_total{{site="bank.Bank.get:7"}} 12.0
# HELP loopwatch_offload_seconds_total Time of these jobs: queue (waited for a worker), run (on a worker), \
cpu (the part of run they computed).
# TYPE loopwatch_offload_seconds_total counter
loopwatch_offload_seconds_total{{part="queue",site="bank.Bank.get:7"}} 2.5
loopwatch_offload_seconds_total{{part="run",site="bank.Bank.get:7"}} 1.75
loopwatch_offload_seconds_total{{part="cpu",site="bank.Bank.get:7"}} 0.25
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
# HELP loopwatch_coverage How each thing is seen: exact, partial or blind. 1 where it is so.
# TYPE loopwatch_coverage gauge
loopwatch_coverage{{seen="blind",subject="uvloop loops"}} 1.0
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


def registry_over(source: Source) -> Any:
    """A fresh registry in which nothing but the collector over ``source`` is registered."""
    return prometheus.registry_with(prometheus.make_collector(source, 32))


def scrape(registry: Any) -> str:
    text: bytes = prometheus_client.generate_latest(registry)
    return text.decode()
