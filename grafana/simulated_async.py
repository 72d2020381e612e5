"""Async clients that are thread pools inside: where, what they cost, and what a native client would give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from grafana_foundation_sdk.builders import dashboard

from .board import board
from .panels import Column, Told, lines, number, ranking, rows
from .queries import grown, rate, series, top, total

_JOBS, _SECONDS = "loopwatch_offload_jobs_total", "loopwatch_offload_seconds_total"


def _part(part: str, by: str = "") -> str:
    return total(by, rate(_SECONDS, part=part))


def _each(part: str, by: str = "") -> str:
    """Seconds of this part in one job."""
    return f"{_part(part, by)} / {total(by, rate(_JOBS))}"


def _waited(by: str = "") -> str:
    """Workers that do nothing but wait, on average."""
    return total(by, rate("loopwatch_blocking_seconds_total", kind="offload"))


def simulated_async() -> Any:
    """What ``async def`` with a thread behind it costs."""
    made = board(
        "loopwatch-simulated-async",
        "loopwatch: simulated async",
        "Clients with async methods that hop to a thread pool: throughput ends at the number of workers.",
    )
    for row, panels in (("In all", _in_all()), ("By site", _by_site())):
        made.with_row(dashboard.Row(row))
        for panel in panels:
            made.with_panel(panel)
    return made


def _in_all() -> Iterator[Any]:
    yield number(
        "Sites",
        Told(
            "Places in the code that hand blocking calls of an async client to threads.",
            "0.",
            "Any that is on the way of every request.",
            "The table below has them; the log names the wrapper, the caller and the remedy.",
        ),
        f"count({total('site', series(_JOBS))})",
        yellow=1,
        decimals=0,
    )
    yield number(
        "Workers that only wait",
        Told(
            "Threads that, on average, wait for the network on behalf of a loop.",
            "Near 0.",
            "The number of workers of the pool: it is full, and the next call queues.",
            "A native async client waits without a thread.",
        ),
        _waited(),
        yellow=1,
        red=3,
    )
    yield number(
        "Calls a second",
        Told(
            "Calls that went through such a client.",
            "Whatever the load is.",
            "It stays the same while the load grows: the number of workers is the limit.",
            "Compare with the requests that come in.",
        ),
        total("", rate(_JOBS)),
        unit="ops",
    )
    yield number(
        "A call takes now",
        Told(
            "Mean time of a call: its wait for a worker and its run on it.",
            "The same as *with a native client*.",
            "Several times that.",
            "See the next number.",
        ),
        f"({_part('queue')} + {_part('run')}) / {total('', rate(_JOBS))}",
        unit="s",
    )
    yield number(
        "With a native client",
        Told(
            "What the call would take without the wait for a worker: its run alone, if the upstream serves as many at "
            "once as are asked.",
            "It is what *a call takes now*.",
            "It is much less.",
            "That difference is what replacing the client gives; measure it with `make demo`.",
        ),
        _each("run"),
        unit="s",
    )
    yield number(
        "Time that is queue",
        Told(
            "The share of the callers' time that is waiting for a worker.",
            "Below 10 %.",
            "Two thirds, as in the published migration: 300 of 450 ms.",
            "A native client, or for the time being more workers.",
        ),
        f"{_part('queue')} / ({_part('queue')} + {_part('run')})",
        unit="percentunit",
        yellow=0.1,
        red=0.5,
    )


def _by_site() -> Iterator[Any]:
    yield lines(
        "Workers that only wait, by site",
        Told(
            "Threads that wait on behalf of a loop, on average; the ten sites with most.",
            "Near 0.",
            "A line that is flat at the number of workers while the load grows.",
            "Begin with the highest line.",
        ),
        {"{{site}}": top(10, _waited("site"))},
        unit="short",
    )
    yield lines(
        "What a call consists of",
        Told(
            "Mean seconds of a call: in the queue, waiting on a worker, and computing.",
            "Nearly all of it waiting on a worker, none in the queue.",
            "*queue* is the largest part.",
            "With a native client *queue* goes away, *waits on a worker* stays, and *computes* moves to the loop: "
            "where that is more than some milliseconds, keep the thread.",
        ),
        {
            "queue": _each("queue"),
            "waits on a worker": f"({_part('run')} - {_part('cpu')}) / {total('', rate(_JOBS))}",
            "computes": _each("cpu"),
        },
        stacked=True,
    )
    yield ranking(
        "Sites that cost most",
        Told(
            "Seconds that workers waited in the time shown.",
            "No bars.",
            "A site in a library that calls itself async.",
            "Replace the client named in the site.",
        ),
        top(10, total("site", grown("loopwatch_blocking_seconds_total", kind="offload"))),
        "{{site}}",
    )
    yield lines(
        "Calls a second, by site",
        Told(
            "Calls through the ten sites with most of them.",
            "Lines that follow the load.",
            "Lines cut off flat at the top.",
            "Divide the workers by the mean run: that is the most there can be.",
        ),
        {"{{site}}": top(10, total("site", rate(_JOBS)))},
        unit="ops",
    )
    yield rows(
        "Offloads",
        Told(
            "For each site: its calls, what they consist of, and what a native client would give.",
            "An empty table.",
            "*faster with a native client* above 50 %, or many threads to spare.",
            "Replace the client at the top of the table first. *computes* says what would then run on the loop.",
        ),
        ("site",),
        (
            Column("threads to spare", _waited("site"), "short", 2),
            Column("calls/s", total("site", rate(_JOBS)), "short", 2),
            Column("queue", _each("queue", "site"), "s"),
            Column("run", _each("run", "site"), "s"),
            Column("computes", _each("cpu", "site"), "s"),
            Column(
                "faster with a native client",
                f"{_part('queue', 'site')} / ({_part('queue', 'site')} + {_part('run', 'site')})",
                "percentunit",
            ),
            Column("calls in the time shown", total("site", grown(_JOBS)), "short", 0),
        ),
    )
