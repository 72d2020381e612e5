"""What each row of the metric table reads from a snapshot, for every exporter alike."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..model import Histogram, Offload, SiteStats, Snapshot

_OTHER = "other"
_WORSE = ("exact", "partial", "blind")


class Reading(NamedTuple):
    """One value with its label values, in the order of ``Metric.labels``."""

    labels: tuple[str, ...]
    value: float | Histogram


def read(now: Snapshot, max_sites: int, steps: str) -> Mapping[str, list[Reading]]:
    """All readings of the snapshot ``now`` by Prometheus name; ``steps`` names the stopwatch implementation."""
    loops, executors = now.loops, now.executors
    return {
        "loopwatch_step_duration_seconds": [Reading((each.name,), each.step_duration) for each in loops],
        "loopwatch_turn_duration_seconds": [Reading((each.name,), each.turn_duration) for each in loops],
        "loopwatch_loop_time_seconds_total": [
            Reading((each.name, state), seconds)
            for each in loops
            for state, seconds in (("active", each.active), ("idle", each.idle))
        ],
        "loopwatch_loop_utilization_ratio": [Reading((each.name,), each.utilization) for each in loops],
        "loopwatch_ready_callbacks": [Reading((each.name,), each.ready) for each in loops],
        "loopwatch_tasks": [Reading((each.name,), each.tasks) for each in loops],
        "loopwatch_stall_duration_seconds": [
            Reading((each.name, cause), stalls) for each in loops for cause, stalls in each.stalls.items()
        ],
        "loopwatch_stalled_seconds": [Reading((each.name,), each.stalled) for each in loops],
        "loopwatch_blocking_seconds_total": capped(now.sites, max_sites),
        **offloaded(now.offloads, max_sites),
        "loopwatch_executor_workers": [
            Reading((each.name, state), count)
            for each in executors
            for state, count in (("busy", each.busy), ("idle", max(0, each.workers - each.busy)))
        ],
        "loopwatch_executor_workers_max": [Reading((each.name,), each.workers_max) for each in executors],
        "loopwatch_executor_queue_depth": [Reading((each.name,), each.depth) for each in executors],
        "loopwatch_executor_oldest_wait_seconds": [Reading((each.name,), each.oldest_wait) for each in executors],
        "loopwatch_executor_wait_seconds": [Reading((each.name,), each.wait) for each in executors],
        "loopwatch_executor_run_seconds": [Reading((each.name,), each.run) for each in executors],
        "loopwatch_executor_jobs_total": [
            Reading((each.name, outcome), jobs) for each in executors for outcome, jobs in each.outcomes.items()
        ],
        "loopwatch_executor_saturated_seconds_total": [Reading((each.name,), each.saturated) for each in executors],
        "loopwatch_gc_pause_seconds": [Reading((generation,), pauses) for generation, pauses in now.gc_pauses.items()],
        "loopwatch_events_dropped_total": [Reading((), now.events_dropped)],
        "loopwatch_sampler_seconds_total": [Reading((), now.sampler_seconds)],
        "loopwatch_coverage": [Reading((each.subject, each.seen), 1) for each in now.coverage],
        "loopwatch_info": [Reading((now.version, sys.version.partition(" ")[0], steps, worst_coverage(now)), 1)],
    }


def capped(sites: Sequence[SiteStats], most: int) -> list[Reading]:
    """Seconds by (kind, site, cause) with at most ``most`` named sites; all others are summed as ``other``.

    Sites keep their names in the order in which they were first seen: a counter whose name is once
    out never gives way to a bigger one, so none ever goes backwards.
    """
    named: set[str] = set()
    sums: dict[tuple[str, ...], float] = {}
    for entry in sites:
        if entry.site != _OTHER and len(named) < most:
            named.add(entry.site)
        key = (entry.kind, entry.site if entry.site in named else _OTHER, entry.cause)
        sums[key] = sums.get(key, 0.0) + entry.seconds
    return [Reading(labels, seconds) for labels, seconds in sums.items()]


def offloaded(offloads: Sequence[Offload], most: int) -> dict[str, list[Reading]]:
    """Jobs and their time by site, of offloads whose workers waited for a loop; at most ``most`` sites are named."""
    named: set[str] = set()
    jobs: dict[tuple[str, ...], float] = {}
    seconds: dict[tuple[str, ...], float] = {}
    for each in offloads:
        if each.cause != "wait":
            continue
        if each.site != _OTHER and len(named) < most:
            named.add(each.site)
        site = each.site if each.site in named else _OTHER
        jobs[(site,)] = jobs.get((site,), 0) + each.jobs
        for part, spent in (("queue", each.wait_seconds), ("run", each.run_seconds), ("cpu", each.cpu_seconds)):
            if spent is not None:
                seconds[site, part] = seconds.get((site, part), 0.0) + spent
    return {
        "loopwatch_offload_jobs_total": [Reading(labels, count) for labels, count in jobs.items()],
        "loopwatch_offload_seconds_total": [Reading(labels, spent) for labels, spent in seconds.items()],
    }


def worst_coverage(now: Snapshot) -> str:
    """The weakest of all coverage entries: ``exact``, ``partial`` or ``blind``."""
    return max((entry.seen for entry in now.coverage), key=_WORSE.index, default="exact")
