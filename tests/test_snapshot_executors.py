"""Executors become immutable numbers: by name, bounded, and never backwards; so do the collector's pauses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import inf
from typing import Any

from loopwatch.facts import Origin
from loopwatch.metrics import GC_BOUNDS
from loopwatch.model import ExecutorStats, Histogram
from loopwatch.record.recorder import Recorder
from loopwatch.record.snapshot import executor_stats, gc_histograms


class Executor:
    pass


class Pool:
    """What is known of an executor, made up."""

    def __init__(self, name: str = "database", limit: float = 3, threads: int = 3, kind: str = "thread") -> None:
        self.name, self.kind = name, kind
        self.lives: Any = Executor()
        self.limit, self.threads = lambda: limit, lambda: threads
        self.running: dict[Any, None] = {}
        self.waiting: dict[Any, None] = {}

    def executor(self) -> Any:
        return self.lives

    def busy(self) -> int:
        return len(self.running)

    def work(self, running: int, waiting: int, since: float = 99.0) -> Pool:
        self.running = {_Job(since): None for _ in range(running)}
        self.waiting = {_Job(since + number): None for number in range(waiting)}
        return self


@dataclass(eq=False)
class _Job:
    submitted: float
    started: float | None = None
    ended: float | None = None
    cpu: float | None = None
    outcome: str = "completed"
    for_loop: bool = True
    glances: None = None
    span: None = None


def executors(recorder: Recorder, *pools: Pool, **saturated: float) -> dict[str, ExecutorStats]:
    found = executor_stats(recorder, pools, saturated, 100.0)
    assert len({each.name for each in found}) == len(found)
    return {each.name: each for each in found}


def finish(recorder: Recorder, name: str, count: int = 1, kind: str = "thread") -> None:
    counts = recorder.counts(Origin((), "shop.send", name), kind, 3)
    for _ in range(count):
        counts.job(_Job(10.0, 10.5, 11.0))


def test_executors_of_one_name_are_added_up() -> None:
    """Their workers, their queues and their jobs; the oldest job of all is the oldest."""
    recorder = Recorder()
    finish(recorder, "database", 2)
    found = executors(
        recorder,
        Pool().work(3, 2, since=97.0),
        Pool(limit=5, threads=4).work(1, 1, since=98.5),
        Pool("mail", limit=1, threads=0),
        database=1.5,
    )
    assert found["database"] == ExecutorStats(
        name="database", kind="thread", workers=7, busy=4, workers_max=8, depth=3, oldest_wait=3.0, saturated=1.5,
        outcomes={"completed": 2}, wait=found["database"].wait, run=found["database"].run,
    )  # fmt: skip
    assert (found["database"].wait.sum, found["database"].run.sum, found["database"].run.count) == (1.0, 1.0, 2)
    assert (found["mail"].workers_max, found["mail"].oldest_wait, found["mail"].outcomes) == (1, 0.0, {})


def test_an_executor_that_is_gone_keeps_its_counts() -> None:
    """A counter does not vanish with what it counted; what only an executor that lives can have does."""
    recorder, pool = Recorder(), Pool().work(2, 5)
    finish(recorder, "database")
    pool.lives = None
    for pools in ([pool], []):
        found = executors(recorder, *pools, database=0.5)["database"]
        assert (found.workers, found.busy, found.workers_max, found.depth, found.oldest_wait) == (0, 0, 0, 0, 0.0)
        assert (found.outcomes, found.saturated) == ({"completed": 1}, 0.5)


def test_an_executor_that_was_told_once_is_told_for_good() -> None:
    """Also when it went before any of its jobs had finished."""
    recorder = Recorder()
    executors(recorder, Pool(kind="process"))
    assert executors(recorder)["database"].kind == "process"


def test_an_unlimited_number_of_workers_is_a_number() -> None:
    """AnyIO's limiters may have no limit; metrics need one."""
    found = executors(Recorder(), Pool(limit=inf))["database"]
    assert found.workers_max == 1 << 30
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_clock_that_was_read_before_the_job_came_shows_no_wait() -> None:
    """Jobs come while the numbers are read."""
    assert executors(Recorder(), Pool().work(0, 1, since=100.5))["database"].oldest_wait == 0.0


def test_a_queue_that_changes_while_it_is_read_is_read_again() -> None:
    """Jobs come and go in other threads, at any moment."""

    class Changing(dict[Any, None]):
        changes = 3

        def __iter__(self) -> Any:
            each = super().__iter__()
            if self.changes:
                self.changes -= 1
                self[object()] = None
            return each

    pool = Pool()
    pool.waiting = Changing({_Job(97.0): None})
    assert executors(Recorder(), pool)["database"].oldest_wait == 3.0
    pool.waiting.changes = 1000
    assert executors(Recorder(), pool)["database"].oldest_wait == 0.0


def test_a_pool_for_each_request_makes_a_bounded_number_of_labels() -> None:
    """However many come and go, seen alive or only by their jobs, labels stay few and counts stay whole."""
    recorder, labels = Recorder(), set()
    for number in range(500):
        name = f"ThreadPoolExecutor-{number}"
        found = executors(recorder, Pool(name, limit=1, threads=1).work(1, 2), **{name: 0.25})
        labels |= set(found)
        assert sum(each.depth for each in found.values()) == 2
        finish(recorder, name)
    found = executors(recorder, **{f"ThreadPoolExecutor-{number}": 0.25 for number in range(500)})
    assert labels == set(found)
    assert len(labels) == 65
    assert sum(each.run.count for each in found.values()) == 500
    assert sum(each.saturated for each in found.values()) == 125.0


def test_pauses_are_told_by_generation() -> None:
    """The collector's counts become histograms of their own bounds."""
    counts = {0: [1] + [0] * len(GC_BOUNDS), 2: [0] * len(GC_BOUNDS) + [3]}
    found = gc_histograms(counts, {0: 0.5, 2: 9.0})
    assert found == {
        "0": Histogram(GC_BOUNDS, (1, *[0] * len(GC_BOUNDS)), 0.5),
        "2": Histogram(GC_BOUNDS, (*[0] * len(GC_BOUNDS), 3), 9.0),
    }


def test_numbers_that_were_told_stay_as_they_are() -> None:
    """They are ready for JSON, and what is counted later is not in them."""
    recorder, pool = Recorder(), Pool().work(1, 1)
    finish(recorder, "database")
    counts = {0: [0] * (len(GC_BOUNDS) + 1)}
    told = (executors(recorder, pool)["database"], gc_histograms(counts, {0: 0.0})["0"])
    kept = json.dumps([each.to_dict() for each in told], allow_nan=False)
    counts[0][0] = 50
    finish(recorder, "database", 5)
    pool.work(3, 9)
    assert json.dumps([each.to_dict() for each in told], allow_nan=False) == kept
