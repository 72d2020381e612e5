"""Is any instance blocked now, by what, and which line is it?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from grafana_foundation_sdk.builders import dashboard

from .board import board
from .panels import Column, Told, lines, number, ranking, rows
from .queries import grown, quantile, rate, series, top, total, worst

_STALLED = series("loopwatch_stalled_seconds")
_BLOCKING = "loopwatch_blocking_seconds_total"
_STALLS = "loopwatch_stall_duration_seconds"


def overview() -> Any:
    """The first one to look at."""
    made = board(
        "loopwatch-overview", "loopwatch: overview", "What blocks asyncio services: now, lately, and where.", "loop"
    )
    for row, panels in (("Now", _now()), ("Lately", _lately()), ("Where", _where()), ("The watch itself", _watch())):
        made.with_row(dashboard.Row(row))
        for panel in panels:
            made.with_panel(panel)
    return made


def _now() -> Iterator[Any]:
    yield number(
        "Instances blocked now",
        Told(
            "How many instances have an event loop that is held at this moment.",
            "0, or a flicker of 1 in a large fleet.",
            "The same number for several scrapes: these instances answer nobody.",
            "See *Worst sites* for the line that holds them; the log of the instance names it while it lasts.",
        ),
        f"sum({worst('job, instance', _STALLED)} > bool 0)",
        yellow=1,
        red=2,
        decimals=0,
    )
    yield number(
        "Longest stall in progress",
        Told(
            "The age of the oldest stall that has not ended.",
            "0 s.",
            "Above a second: health checks of that instance fail by now.",
            "If it grows with the clock, the loop hangs for good: look at the log, restart the instance.",
        ),
        worst("", _STALLED),
        unit="s",
        yellow=0.05,
        red=1,
    )
    yield number(
        "Worst utilisation",
        Told(
            "The active share of the busiest loop's time over about ten seconds.",
            "Below 60 %: a burst still finds room.",
            "Above 90 %: the loop is full, and everything on it waits, even if no single step is long.",
            "Add processes, or take work off the loop; *Worst loops* names the instance.",
        ),
        worst("", series("loopwatch_loop_utilization_ratio")),
        unit="percentunit",
        yellow=0.6,
        red=0.9,
    )
    yield number(
        "Loop seconds lost",
        Told(
            "Seconds that loops were held by one line, in each second, all instances together.",
            "Near 0 s.",
            "1 s means: one whole loop of the fleet does nothing but wait.",
            "*Worst sites* has them in the order in which to mend them.",
        ),
        total("", rate(_BLOCKING, kind="loop")),
        unit="s",
        yellow=0.05,
        red=0.5,
    )
    yield number(
        "Queue seconds lost",
        Told(
            "Seconds that jobs waited for a worker in each second, all instances together.",
            "Near 0 s.",
            "More than the number of workers: most of the response time is queue, and no health check shows it.",
            "Go to the dashboard *executors*.",
        ),
        total("", rate(_BLOCKING, kind="queue")),
        unit="s",
        yellow=0.5,
        red=5,
    )
    yield number(
        "Workers that only wait",
        Told(
            "How many worker threads, on average, did nothing but wait on behalf of a loop (simulated async).",
            "Near 0.",
            "As many as a pool has workers: calls are served so many at a time, whatever the upstream could do.",
            "Go to the dashboard *simulated async*.",
        ),
        total("", rate(_BLOCKING, kind="offload")),
        yellow=1,
        red=3,
    )


def _lately() -> Iterator[Any]:
    yield lines(
        "Blocking seconds by kind",
        Told(
            "Seconds lost in each second: `loop` (a line held a loop), `queue` (jobs waited for workers), `offload` "
            "(workers waited on behalf of a loop).",
            "All three near 0.",
            "A step up at a deployment: that version blocks.",
            "The kind says where to look: `loop` here, `queue` in *executors*, `offload` in *simulated async*.",
        ),
        {"{{kind}}": total("kind", rate(_BLOCKING))},
    )
    yield lines(
        "Stalls by cause",
        Told(
            "How many stalls ended in each second, by what the loop's thread did meanwhile.",
            "None, or few.",
            "`cpu` and `wait` are your code's own; `gc`, `suspended` and `unknown` often come from the host.",
            "`wait`: an async call instead of a blocking one. `cpu`: a process pool, or smaller pieces.",
        ),
        {"{{cause}}": total("cause", rate(_STALLS, "_count"))},
        unit="ops",
        stacked=True,
    )
    yield lines(
        "What a ready event waits",
        Told(
            "Busy time of the loops' turns: so long a request that arrives waits before its first line runs, at most.",
            "99 % within 50 ms.",
            "The 99th percentile above 100 ms while the median is low: few, long blocks. Both up: too much work.",
            "Few long blocks: mend the worst sites. Too much work: more processes.",
        ),
        {
            "99 %": quantile(0.99, "loopwatch_turn_duration_seconds"),
            "90 %": quantile(0.9, "loopwatch_turn_duration_seconds"),
            "50 %": quantile(0.5, "loopwatch_turn_duration_seconds"),
        },
        red=0.05,
    )
    yield lines(
        "How long stalls last",
        Told(
            "Quantiles of the finished stalls. A dot is one stall with its trace, where traces are on.",
            "Nothing, or little above the threshold.",
            "Seconds: health checks and upstream time-outs fail.",
            "Click a dot for the trace; *Worst sites* for the line.",
        ),
        {"99 %": quantile(0.99, _STALLS), "50 %": quantile(0.5, _STALLS)},
        exemplars=True,
    )
    yield lines(
        "Utilisation of the fleet",
        Told(
            "The active share of the loops' time: of the busiest, at nine tenths of the loops, and in the middle.",
            "Lines close together, below 60 %.",
            "The busiest far above the middle: load is not spread. All high: too few processes.",
            "Look at *Worst loops*; balance the load, or add processes.",
        ),
        {
            "busiest": worst("", series("loopwatch_loop_utilization_ratio")),
            "90 %": f"quantile(0.9, {series('loopwatch_loop_utilization_ratio')})",
            "middle": f"quantile(0.5, {series('loopwatch_loop_utilization_ratio')})",
        },
        unit="percentunit",
        red=0.9,
        most=1,
    )
    yield lines(
        "Tasks and ready callbacks",
        Told(
            "Tasks that are not done, and callbacks that are ready to run, all instances together.",
            "Tasks follow the load; ready callbacks are few.",
            "Tasks only grow: they are leaked, or wait for something that never comes. Many ready ones: the loop lags.",
            "Compare with the requests in flight; look for `create_task` whose result nobody awaits.",
        ),
        {"tasks": total("", series("loopwatch_tasks")), "ready": total("", series("loopwatch_ready_callbacks"))},
        unit="short",
    )


def _where() -> Iterator[Any]:
    yield ranking(
        "Worst sites",
        Told(
            "The lines that lost most seconds in the time shown, of any kind.",
            "No bars, or short ones.",
            "One long bar: a single line to mend. `other`: more sites than `max_sites`.",
            "Open `package.module.function:line`; the log has the stack and a remedy for each.",
        ),
        top(10, total("kind, site, cause", grown(_BLOCKING))),
        "{{site}} ({{kind}}, {{cause}})",
    )
    yield rows(
        "Worst loops",
        Told(
            "The loops with the highest utilisation, and what they are doing now.",
            "All below 60 %.",
            "The same instance at the top for long: it gets more than its share, or something holds it.",
            "Choose the instance above to see only its sites.",
        ),
        ("job", "instance", "loop"),
        (
            Column(
                "utilisation",
                top(15, worst("job, instance, loop", series("loopwatch_loop_utilization_ratio"))),
                "percentunit",
            ),
        ),
        width=12,
        height=8,
    )
    yield rows(
        "Culprits",
        Told(
            "Every line that is charged, with its kind and cause, and the seconds it lost in the time shown.",
            "A short table of small numbers.",
            "Anything in the thousands of seconds; a site that was not there yesterday.",
            "Sort by seconds and begin at the top. `loop` first: it stops everybody.",
        ),
        ("job", "kind", "site", "cause"),
        (Column("seconds", top(50, total("job, kind, site, cause", grown(_BLOCKING))), "s"),),
    )


def _watch() -> Iterator[Any]:
    yield number(
        "Events dropped",
        Told(
            "Findings that were lost in the time shown because a reporter was too slow, or too many came at once.",
            "0.",
            "Any: the numbers here are right all the same, but the log and other reporters lack some.",
            "Make the reporter faster, or raise `queue_size`.",
        ),
        total("", grown("loopwatch_events_dropped_total")),
        yellow=1,
        red=100,
        decimals=0,
        width=6,
    )
    yield number(
        "What the watch costs",
        Told(
            "CPU of loopwatch's sampler thread, the mean of all instances.",
            "Below 1 % of a core.",
            "Several per cent for long: very many stalls are being looked at.",
            "Mend the stalls, or raise `threshold`.",
        ),
        f"avg({rate('loopwatch_sampler_seconds_total')})",
        unit="percentunit",
        yellow=0.02,
        red=0.1,
        width=6,
    )
    yield lines(
        "Garbage collection",
        Told(
            "Seconds in the cyclic collector, in each second, by generation, all instances together.",
            "Below 10 ms.",
            "Generation 2 at tens of milliseconds: its pauses are stalls of cause `gc`.",
            "Fewer cycles; `gc.freeze()` after start-up; larger thresholds.",
        ),
        {"generation {{generation}}": total("generation", rate("loopwatch_gc_pause_seconds", "_sum"))},
        height=4,
    )
    yield rows(
        "How it is seen",
        Told(
            "How many instances see each thing exactly, in part, or not at all.",
            "`exact`, or `partial` with a known reason (uvloop, process pools).",
            "`blind` for a loop: nothing of what holds it is in these dashboards.",
            "The log at start-up and `watch.snapshot().coverage` say why.",
        ),
        ("subject", "seen"),
        (Column("instances", total("subject, seen", series("loopwatch_coverage")), "short", 0),),
        width=12,
    )
    yield rows(
        "Watches",
        Told(
            "The versions that run, and whether steps are timed in C.",
            "One line.",
            "`steps` is `python`: the accelerator was not built, and a step costs more.",
            "Install a wheel, or a compiler where loopwatch is built.",
        ),
        ("version", "python", "steps", "coverage"),
        (Column("instances", total("version, python, steps, coverage", series("loopwatch_info")), "short", 0),),
        width=12,
    )
