"""What each row of the metric table reads from a snapshot, before any exporter's library is involved."""

from __future__ import annotations

import math
import platform
from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwatch.metrics import METRICS
from loopwatch.model import Coverage, ExecutorStats, Histogram, LoopStats, Offload, SiteStats, Snapshot
from loopwatch.report.readings import Reading, capped, offloaded, read, worst_coverage

EMPTY = Snapshot(
    loops=(), executors=(), offloads=(), sites=(), coverage=(), gc_pauses={}, events_dropped=0, sampler_seconds=0.0,
    version="1.2.3",
)  # fmt: skip


def histogram(total: float) -> Histogram:
    """Told from another by its sum."""
    return Histogram(bounds=(0.1, 1.0), counts=(1, 0, 0), sum=total)


def loop(name: str) -> LoopStats:
    return LoopStats(
        name=name, alive=1, active=1.5, idle=8.5, utilization=0.15, turns=2, steps=4, ready=5, tasks=6, stalled=0.25,
        step_duration=histogram(1), turn_duration=histogram(2), stalls={"cpu": histogram(3), "wait": histogram(4)},
    )  # fmt: skip


def executor(name: str) -> ExecutorStats:
    return ExecutorStats(
        name=name, kind="thread", workers=3, busy=2, workers_max=8, depth=7, oldest_wait=0.4, saturated=1.25,
        outcomes={"completed": 20, "failed": 1}, wait=histogram(5), run=histogram(6),
    )  # fmt: skip


def site(name: str, seconds: float = 1.0, kind: str = "loop", cause: str = "wait") -> SiteStats:
    return SiteStats(kind=kind, site=name, cause=cause, seconds=seconds, count=1)


def offload(name: str, cause: str = "wait", cpu: float | None = 0.25) -> Offload:
    return Offload(
        site=name, target="send", executor="default", jobs=12, wait_seconds=2.5, run_seconds=1.75, cpu_seconds=cpu,
        cause=cause,
    )  # fmt: skip


FULL = replace(
    EMPTY,
    loops=(loop("main"), loop("worker")),
    executors=(executor("default"), executor("anyio")),
    offloads=(offload("a:1"), offload("b:2")),
    sites=(site("a:1"), site("b:2")),
    gc_pauses={"0": histogram(7), "2": histogram(8)},
    coverage=(Coverage(subject="asyncio loops", seen="exact", detail="every step"),),
    events_dropped=9,
    sampler_seconds=0.02,
)

ONE_EACH: dict[str, list[tuple[tuple[str, ...], Any]]] = {
    # Values of FULL for the loop "main", the executor "default" and the first of everything else.
    "loopwatch_step_duration_seconds": [(("main",), histogram(1))],
    "loopwatch_turn_duration_seconds": [(("main",), histogram(2))],
    "loopwatch_loop_time_seconds_total": [(("main", "active"), 1.5), (("main", "idle"), 8.5)],
    "loopwatch_loop_utilization_ratio": [(("main",), 0.15)],
    "loopwatch_ready_callbacks": [(("main",), 5)],
    "loopwatch_tasks": [(("main",), 6)],
    "loopwatch_stall_duration_seconds": [(("main", "cpu"), histogram(3)), (("main", "wait"), histogram(4))],
    "loopwatch_stalled_seconds": [(("main",), 0.25)],
    "loopwatch_blocking_seconds_total": [(("loop", "a:1", "wait"), 1.0)],
    "loopwatch_offload_jobs_total": [(("a:1",), 12)],
    "loopwatch_offload_seconds_total": [(("a:1", "queue"), 2.5), (("a:1", "run"), 1.75), (("a:1", "cpu"), 0.25)],
    "loopwatch_executor_workers": [(("default", "busy"), 2), (("default", "idle"), 1)],
    "loopwatch_executor_workers_max": [(("default",), 8)],
    "loopwatch_executor_queue_depth": [(("default",), 7)],
    "loopwatch_executor_oldest_wait_seconds": [(("default",), 0.4)],
    "loopwatch_executor_wait_seconds": [(("default",), histogram(5))],
    "loopwatch_executor_run_seconds": [(("default",), histogram(6))],
    "loopwatch_executor_jobs_total": [(("default", "completed"), 20), (("default", "failed"), 1)],
    "loopwatch_executor_saturated_seconds_total": [(("default",), 1.25)],
    "loopwatch_gc_pause_seconds": [(("0",), histogram(7))],
    "loopwatch_events_dropped_total": [((), 9)],
    "loopwatch_sampler_seconds_total": [((), 0.02)],
    "loopwatch_coverage": [(("asyncio loops", "exact"), 1)],
    "loopwatch_info": [(("1.2.3", platform.python_version(), "python", "exact"), 1)],
}


def test_every_row_of_the_table_is_read() -> None:
    """No metric is promised and never given, and none is given that the table does not know."""
    assert set(ONE_EACH) == set(METRICS)
    assert set(read(FULL, 32, "python")) == set(METRICS) == set(read(EMPTY, 32, "python"))


@pytest.mark.parametrize("name", METRICS)
def test_a_row_reads_its_own_field(name: str) -> None:
    """Each value comes from the field that its help text describes, with the labels in the table's order."""
    readings = read(FULL, 32, "python")[name]
    assert readings[: len(ONE_EACH[name])] == [Reading(*each) for each in ONE_EACH[name]]


@pytest.mark.parametrize("name", METRICS)
def test_readings_have_the_labels_and_the_kind_of_their_row(name: str) -> None:
    """As many label values as labels, all texts and no two alike; histograms for histograms, numbers for all else."""
    readings = read(FULL, 32, "python")[name]
    metric = METRICS[name]
    assert readings
    for reading in readings:
        assert len(reading.labels) == len(metric.labels)
        assert all(isinstance(label, str) for label in reading.labels)
        assert isinstance(reading.value, Histogram) == (metric.type == "histogram")
    assert len({reading.labels for reading in readings}) == len(readings)


def test_every_loop_and_every_executor_is_read() -> None:
    """One reading a name, in every row with that label."""
    for name, readings in read(FULL, 32, "python").items():
        for label, names in (("loop", {"main", "worker"}), ("executor", {"default", "anyio"})):
            if label in METRICS[name].labels:
                assert {reading.labels[METRICS[name].labels.index(label)] for reading in readings} == names


def test_a_process_without_loops_and_executors_has_its_totals_all_the_same() -> None:
    """What has no label is always there: a missing series cannot be told from a missing watch."""
    readings = read(EMPTY, 32, "python")
    assert [name for name, found in readings.items() if found] == [
        "loopwatch_events_dropped_total",
        "loopwatch_sampler_seconds_total",
        "loopwatch_info",
    ]


def test_idle_workers_are_never_fewer_than_none() -> None:
    """A worker that is counted as busy before it is counted at all does not make a negative gauge."""
    now = replace(EMPTY, executors=(replace(executor("default"), workers=1, busy=2),))
    assert read(now, 32, "python")["loopwatch_executor_workers"] == [
        Reading(("default", "busy"), 2),
        Reading(("default", "idle"), 0),
    ]


# --- the cap on sites ---


def test_sites_beyond_the_cap_are_summed_as_other() -> None:
    """The first sites keep their names; of the rest, seconds are summed by kind and cause."""
    sites = [
        site("a:1", 1.0),
        site("b:2", 2.0, kind="queue"),
        site("c:3", 4.0),
        site("d:4", 8.0),
        site("a:1", 16.0, cause="cpu"),
        site("d:4", 32.0, cause="cpu"),
        site("e:5", 64.0, kind="queue"),
    ]
    assert capped(sites, 2) == [
        Reading(("loop", "a:1", "wait"), 1.0),
        Reading(("queue", "b:2", "wait"), 2.0),
        Reading(("loop", "other", "wait"), 12.0),
        Reading(("loop", "a:1", "cpu"), 16.0),
        Reading(("loop", "other", "cpu"), 32.0),
        Reading(("queue", "other", "wait"), 64.0),
    ]


@pytest.mark.parametrize("count", [31, 32, 33, 500])
def test_at_most_the_cap_of_sites_is_named(count: int) -> None:
    """Exactly the cap fits; one more makes ``other``."""
    named = {reading.labels[1] for reading in capped([site(f"site:{number}") for number in range(count)], 32)}
    assert len(named) == min(count, 33)
    assert ("other" in named) == (count > 32)


def test_what_the_recorder_calls_other_is_the_same_other() -> None:
    """Sites that were summed before they came here share the series of those that are summed here."""
    assert capped([site("a:1"), site("b:2", 2.0), site("other", 4.0)], 1) == [
        Reading(("loop", "a:1", "wait"), 1.0),
        Reading(("loop", "other", "wait"), 6.0),
    ]
    assert capped([site("other", 4.0), site("a:1"), site("b:2", 2.0)], 1)[1:] == [Reading(("loop", "a:1", "wait"), 1.0)]


losses = st.lists(
    st.tuples(
        st.sampled_from(["loop", "queue", "offload"]),
        st.integers(0, 9).map("site:{}".format) | st.just("other"),
        st.sampled_from(["cpu", "wait"]),
        st.floats(0, 100),
    ),
    max_size=40,
)


@given(losses, st.integers(1, 5))
def test_no_counter_ever_goes_back(steps: list[tuple[str, str, str, float]], most: int) -> None:
    """However losses come in, a series that was once scraped stays, never falls, and no second is lost."""
    sums: dict[tuple[str, str, str], float] = {}
    before: dict[Any, Any] = {}
    now: dict[Any, Any]
    for kind, name, cause, seconds in steps:
        sums[kind, name, cause] = sums.get((kind, name, cause), 0.0) + seconds
        now = {
            reading.labels: reading.value
            for reading in capped([site(each[1], total, each[0], each[2]) for each, total in sums.items()], most)
        }
        assert before.keys() <= now.keys()
        assert all(now[labels] >= value for labels, value in before.items())
        assert math.fsum(now.values()) == pytest.approx(math.fsum(sums.values()))
        assert len({labels[1] for labels in now} - {"other"}) <= most
        before = now


# --- coverage ---


@pytest.mark.parametrize(
    ("seen", "worst"),
    [
        (["exact"], "exact"),
        (["exact", "partial"], "partial"),
        (["blind", "exact", "partial"], "blind"),
        ([], "exact"),
    ],
)
def test_the_weakest_coverage_is_told(seen: list[Literal["exact", "partial", "blind"]], worst: str) -> None:
    """One word says whether everything is seen."""
    entries = tuple(Coverage(subject="loops", seen=each, detail="") for each in seen)
    assert worst_coverage(replace(EMPTY, coverage=entries)) == worst


# --- offloads ----------------------------------------------------------------------------------


def test_only_offloads_that_wait_are_told() -> None:
    """Whose workers compute, or of which nothing is known yet, is no waste of a worker."""
    assert offloaded([offload("a:1", cause="unknown"), offload("b:2", cpu=None)], 32) == {
        "loopwatch_offload_jobs_total": [Reading(("b:2",), 12)],
        "loopwatch_offload_seconds_total": [Reading(("b:2", "queue"), 2.5), Reading(("b:2", "run"), 1.75)],
    }


def test_sites_of_offloads_are_capped_and_added_up() -> None:
    """Several targets of one site are one; all sites beyond the cap are ``other``."""
    told = offloaded([offload("a:1"), offload("a:1"), offload("b:2"), offload("c:3")], 1)
    assert told["loopwatch_offload_jobs_total"] == [Reading(("a:1",), 24), Reading(("other",), 24)]
    assert Reading(("other", "queue"), 5.0) in told["loopwatch_offload_seconds_total"]
