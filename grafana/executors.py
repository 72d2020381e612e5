"""Do jobs wait for a worker, who fills the queue, and how many workers would do?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from grafana_foundation_sdk.builders import dashboard

from .board import board
from .panels import Column, Told, lines, number, ranking, rows
from .queries import grown, mean, quantile, rate, series, top, total, worst

_WAIT, _RUN = "loopwatch_executor_wait_seconds", "loopwatch_executor_run_seconds"
_DEPTH = series("loopwatch_executor_queue_depth")
_OLDEST = series("loopwatch_executor_oldest_wait_seconds")
_BUSY = series("loopwatch_executor_workers", state="busy")
_MAX = series("loopwatch_executor_workers_max")

# Little's law: jobs come so often, each is there so long; the product is how many are there at once.
RUNNING = total("executor", rate(_RUN, "_sum"))
SATURATED = f"avg by (executor) ({rate('loopwatch_executor_saturated_seconds_total')})"
RARELY = 0.01
QUEUED = f"{total('executor', rate(_WAIT, '_sum'))} / ({SATURATED} > {RARELY})"
"""How many wait while all workers are busy. The mean of all time would make little of a burst."""
OCCUPIED = 0.7
RECOMMENDED = f"ceil(({total('executor', _MAX)} + {QUEUED}) or ({RUNNING} / {OCCUPIED}))"
"""Workers for what runs, at seven tenths of their time; where jobs queue, for all that are there when they do."""


def executors() -> Any:
    """The loop is idle, every health check is green, and requests wait."""
    made = board(
        "loopwatch-executors", "loopwatch: executors", "Jobs that wait for workers: where, and why.", "executor"
    )
    for row, panels in (("Now", _now()), ("Lately", _lately()), ("Who, and how many", _who())):
        made.with_row(dashboard.Row(row))
        for panel in panels:
            made.with_panel(panel)
    return made


def _now() -> Iterator[Any]:
    yield number(
        "Jobs that wait",
        Told(
            "Jobs in the queues at this moment.",
            "0.",
            "More than there are workers: each new job waits at least as long as one runs.",
            "See which executor, and who fills it, below.",
        ),
        total("", _DEPTH),
        yellow=1,
        red=20,
        decimals=0,
        width=6,
    )
    yield number(
        "Oldest wait",
        Told(
            "How long the job that waits longest has waited.",
            "Below 50 ms.",
            "It grows as fast as the clock: no worker takes anything any more, the pool may wait for itself.",
            "The log names what holds the workers; see the runbook of LoopwatchPoolSelfDeadlock.",
        ),
        worst("", _OLDEST),
        unit="s",
        yellow=0.05,
        red=1,
        width=6,
    )
    yield number(
        "Share of time that is queue",
        Told(
            "Of the time between submission and end of jobs, the part in which they waited for a worker.",
            "Below 10 %.",
            "Above 50 %: most of what callers wait for is your own queue.",
            "More workers if they compute little (see *Workers that would do*), else less work.",
        ),
        f"{total('', rate(_WAIT, '_sum'))} / ({total('', rate(_WAIT, '_sum'))} + {total('', rate(_RUN, '_sum'))})",
        unit="percentunit",
        yellow=0.1,
        red=0.5,
        width=6,
    )
    yield number(
        "Busiest executor",
        Told(
            "Busy workers over all that an executor may have, of the fullest one.",
            "Below 70 %.",
            "100 %: the next job waits.",
            "See *Saturation* for how often that is so.",
        ),
        f"max({total('executor, job, instance', _BUSY)} / {total('executor, job, instance', _MAX)})",
        unit="percentunit",
        yellow=0.7,
        red=1,
        width=6,
    )


def _lately() -> Iterator[Any]:
    yield lines(
        "Queue depth",
        Told(
            "Jobs that wait, by executor, all instances together; the ten deepest.",
            "0, with short peaks.",
            "It does not come down between peaks: more comes in than goes out.",
            "See *Who fills the queue*.",
        ),
        {"{{executor}}": top(10, total("executor", _DEPTH))},
        unit="short",
    )
    yield lines(
        "Oldest wait by executor",
        Told(
            "How long the oldest waiting job has waited, in the worst instance.",
            "Below 50 ms.",
            "A saw-tooth: bursts. A straight line upwards: nothing is taken from the queue.",
            "Bursts: limit how many are submitted at once. A line: look at what the workers wait for.",
        ),
        {"{{executor}}": top(10, worst("executor", _OLDEST))},
        red=1,
    )
    yield lines(
        "Wait and run, 95 %",
        Told(
            "So long 95 % of the jobs waited for a worker at most, and ran on one. A dot is a job with its trace, "
            "where traces are on.",
            "Wait far below run.",
            "Wait above run: adding workers helps more than making the jobs faster.",
            "Follow the trace of a dot; see *Workers that would do*.",
        ),
        {"wait": quantile(0.95, _WAIT), "run": quantile(0.95, _RUN)},
        exemplars=True,
    )
    yield lines(
        "Mean wait by executor",
        Told(
            "The mean time that jobs waited for a worker; the ten worst.",
            "Below 10 ms.",
            "As long as a job runs, or longer.",
            "Give this kind of work a pool of its own, or more workers.",
        ),
        {"{{executor}}": top(10, mean(_WAIT, "executor"))},
    )
    yield lines(
        "Saturation",
        Told(
            "The share of time in which all workers were busy while jobs waited, the mean of the instances.",
            "Below 5 %.",
            "Above 50 %: the pool is too small for its work, or its work too slow for it.",
            "See *Workers that would do*, and *Who fills the queue* for whose work it is.",
        ),
        {"{{executor}}": top(10, SATURATED)},
        unit="percentunit",
        red=0.5,
    )
    yield lines(
        "Workers",
        Told(
            "Workers that are busy, and that there may be at most, all chosen executors and instances together.",
            "Busy well below the limit.",
            "Busy is the limit.",
            "As for saturation.",
        ),
        {"busy": total("", _BUSY), "exist": total("", series("loopwatch_executor_workers")), "limit": total("", _MAX)},
        unit="short",
    )
    yield lines(
        "Jobs by outcome",
        Told(
            "How many jobs end in each second, and how.",
            "All `completed`.",
            "`abandoned`: the caller gave up, and the thread goes on: a worker less. `failed`: see the log.",
            "Give the blocking call itself a time-out that is shorter than the caller's.",
        ),
        {"{{outcome}}": total("outcome", rate("loopwatch_executor_jobs_total"))},
        unit="ops",
        stacked=True,
    )
    yield ranking(
        "Who fills the queue",
        Told(
            "The sites whose jobs held the workers while others waited, by the seconds that these waited.",
            "No bars.",
            "One site far above the others: its jobs are long, many, or both.",
            "Move that site to a pool of its own, or make it async; the `Backlog` in the log has its stacks.",
        ),
        top(10, total("site, cause", grown("loopwatch_blocking_seconds_total", kind="queue"))),
        "{{site}} ({{cause}})",
    )


def _who() -> Iterator[Any]:
    yield rows(
        "Workers that would do",
        Told(
            "By Little's law: jobs a second times the time each takes is how many are there at once. *Would do* has "
            f"workers for what runs at {OCCUPIED:.0%} of their time; where all were busy more than {RARELY:.0%} of the "
            "time, for all jobs that were there then.",
            "*Would do* is at most what may be.",
            "More than may be: requests queue. Far less than may be: threads that are not needed.",
            "`max_workers`, or `anyio.to_thread.current_default_thread_limiter().total_tokens`. For jobs that compute, "
            "threads beyond the number of CPUs do not help: use processes.",
        ),
        ("executor",),
        (
            Column("would do", RECOMMENDED, "short", 0),
            Column("may be", total("executor", _MAX), "short", 0),
            Column("run at once", RUNNING, "short", 2),
            Column("wait while all are busy", QUEUED, "short", 2),
            Column("jobs/s", total("executor", rate(_RUN, "_count")), "short", 2),
            Column("mean wait", mean(_WAIT, "executor"), "s"),
            Column("mean run", mean(_RUN, "executor"), "s"),
        ),
    )
