"""The one table of metric names: Prometheus, OpenTelemetry, dashboards and docs read it from here.

Names, types and labels are a contract. Histograms carry their bounds in seconds; the OpenTelemetry
SDK's own defaults are scaled to milliseconds and would put everything into one bucket.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

STEP_BOUNDS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
TURN_BOUNDS = STEP_BOUNDS
STALL_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
JOB_BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
GC_BOUNDS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)

Type = Literal["histogram", "counter", "gauge", "info"]
Together = Literal["sum", "max"]
"""What several processes tell together: their sum, or the greatest; of gauges, that of those which live."""


class Metric(NamedTuple):
    """One row: ``prometheus`` is the full name as scraped (a counter's without ``_total`` is its family name)."""

    prometheus: str
    opentelemetry: str
    type: Type
    unit: str
    labels: tuple[str, ...]
    help: str
    bounds: tuple[float, ...] = ()
    together: Together = "sum"


def _table(*rows: Metric) -> dict[str, Metric]:
    return {row.prometheus: row for row in rows}


# fmt: off
METRICS = _table(
    Metric("loopwatch_step_duration_seconds", "asyncio.callback.duration", "histogram", "s", ("loop",),
           "Time one step (one run of one callback) held its event loop.", STEP_BOUNDS),
    Metric("loopwatch_turn_duration_seconds", "asyncio.eventloop.delay", "histogram", "s", ("loop",),
           "Busy time of one turn of the loop: what a newly ready event waits at most.", TURN_BOUNDS),
    Metric("loopwatch_loop_time_seconds_total", "asyncio.eventloop.time", "counter", "s", ("loop", "state"),
           "Time the loop was active (running steps) or idle (waiting for I/O)."),
    Metric("loopwatch_loop_utilization_ratio", "asyncio.eventloop.utilization", "gauge", "1", ("loop",),
           "Active share of the loop's time over about the last ten seconds, 0 to 1.", together="max"),
    Metric("loopwatch_ready_callbacks", "asyncio.eventloop.ready", "gauge", "{callback}", ("loop",),
           "Callbacks that are ready to run now."),
    Metric("loopwatch_tasks", "asyncio.tasks", "gauge", "{task}", ("loop",),
           "Tasks of the loop that are not done."),
    Metric("loopwatch_stall_duration_seconds", "asyncio.eventloop.blocked.duration", "histogram", "s",
           ("loop", "cause"), "Duration of finished stalls, by cause.", STALL_BOUNDS),
    Metric("loopwatch_stalled_seconds", "asyncio.eventloop.blocked", "gauge", "s", ("loop",),
           "Age of the stall in progress, 0 when the loop is not held.", together="max"),
    Metric("loopwatch_blocking_seconds_total", "loopwatch.blocking.time", "counter", "s", ("kind", "site", "cause"),
           "Seconds lost at a site: loop (held a loop), queue (held the workers for which jobs waited), "
           "offload (worker threads waited on behalf of a loop)."),
    Metric("loopwatch_offload_jobs_total", "loopwatch.offload.jobs", "counter", "{job}", ("site",),
           "Jobs whose workers waited on behalf of a loop, by the site that handed them over."),
    Metric("loopwatch_offload_seconds_total", "loopwatch.offload.time", "counter", "s", ("site", "part"),
           "Time of these jobs: queue (waited for a worker), run (on a worker), cpu (the part of run they computed)."),
    Metric("loopwatch_executor_workers", "python.executor.thread.count", "gauge", "{thread}", ("executor", "state"),
           "Workers of the executor that exist, busy or idle."),
    Metric("loopwatch_executor_workers_max", "python.executor.thread.limit", "gauge", "{thread}", ("executor",),
           "Workers the executor may have at most."),
    Metric("loopwatch_executor_queue_depth", "python.executor.queue.size", "gauge", "{job}", ("executor",),
           "Jobs that wait for a worker now."),
    Metric("loopwatch_executor_oldest_wait_seconds", "python.executor.oldest_wait", "gauge", "s", ("executor",),
           "How long the oldest waiting job has waited.", together="max"),
    Metric("loopwatch_executor_wait_seconds", "python.executor.task.wait_time", "histogram", "s", ("executor",),
           "Time jobs waited for a worker.", JOB_BOUNDS),
    Metric("loopwatch_executor_run_seconds", "python.executor.task.run_time", "histogram", "s", ("executor",),
           "Time jobs ran on a worker.", JOB_BOUNDS),
    Metric("loopwatch_executor_jobs_total", "python.executor.task.count", "counter", "{job}", ("executor", "outcome"),
           "Jobs by outcome: completed, failed, cancelled, or abandoned (the awaiter gave up while it ran)."),
    Metric("loopwatch_executor_saturated_seconds_total", "python.executor.saturated.time", "counter", "s",
           ("executor",), "Time in which every worker was busy while jobs waited."),
    Metric("loopwatch_gc_pause_seconds", "loopwatch.gc.pause", "histogram", "s", ("generation",),
           "Pauses of the cyclic garbage collector.", GC_BOUNDS),
    Metric("loopwatch_events_dropped_total", "loopwatch.events.dropped", "counter", "{event}", (),
           "Events lost because a queue of the watch was full: reporters too slow, or more overruns than it can keep."),
    Metric("loopwatch_sampler_seconds_total", "loopwatch.sampler.time", "counter", "s", (),
           "CPU time taken by loopwatch's own sampler thread."),
    Metric("loopwatch_coverage", "loopwatch.coverage", "gauge", "{subject}", ("subject", "seen"),
           "How each thing is seen: exact, partial or blind. 1 where it is so.", together="max"),
    Metric("loopwatch_info", "loopwatch.info", "info", "", ("version", "python", "steps", "coverage"),
           "What this watch is and how it sees: always 1.", together="max"),
)

class Delay(NamedTuple):
    """A gauge for OpenTelemetry alone, as Node.js has them: a number that says how the turns of a loop spread."""

    opentelemetry: str
    help: str


DELAYS = {
    part: Delay(f"asyncio.eventloop.delay.{part}", f"{what} of the turns of about the last ten seconds.")
    for part, what in {
        "min": "Shortest", "max": "Longest", "mean": "Mean", "stddev": "Standard deviation",
        "p50": "Median", "p90": "90th percentile", "p99": "99th percentile",
    }.items()
}
"""By the last part of the name. Unit ``s``, attribute ``loop``."""
# fmt: on
