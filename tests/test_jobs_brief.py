"""Jobs that are over in no time are told in sums, where jobs are made in C: none is lost, none counts twice."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

import loopwatch
from loopwatch.observe.bounded import Finished
from loopwatch.observe.foreign_loops import step_codes
from loopwatch.observe.jobs.executors import ExecutorHook
from loopwatch.observe.jobs.job import NOWHERE, QuickJob
from loopwatch.observe.jobs.job_fields import IN_C
from tests.chores import double
from tests.made_alarm import Alarm
from tests.made_jobs import Setting, setting_up

pytestmark = pytest.mark.skipif(not IN_C, reason="jobs are not made in C here")


@pytest.fixture
def brief() -> Iterator[Setting]:
    """A pool whose jobs share one lane, and are brief if they take less than a second."""
    with setting_up(QuickJob) as setting:
        setting.pool.brief = 1.0
        yield setting


def submit(setting: Setting) -> tuple[Any, Future[Any]]:
    pool, future = setting.pool, Future[Any]()
    lane = next(iter(pool.lanes.values()), None) or pool.lane(None, double, NOWHERE)
    job = QuickJob(pool, double, lane, setting.finished)
    pool.waiting[job] = None
    job.attach(future)
    return job, future


def run(setting: Setting, wait: float = 0.0, run: float = 0.0, cpu: float = 0.0, failed: bool = False) -> Any:
    job, future = submit(setting)
    job.for_loop = failed
    setting.clock.advance(wait)
    job.begin()
    setting.clock.advance(run)
    setting.cpu.advance(cpu)
    future.set_exception(ValueError()) if failed else future.set_result(None)
    return job


def test_a_brief_job_is_added_to_one_that_waits_to_be_counted(brief: Setting) -> None:
    """The first stands for itself, and tells that its lane has more; what is taken begins anew."""
    first = run(brief)
    run(brief, wait=0.25, run=0.5, cpu=0.125)
    run(brief, run=0.5, failed=True)
    assert list(brief.finished) == [first]
    assert first.lane.take() == (2, 1, 1, 0.25, 1.0, 0.125, 1.0)
    assert first.lane.take() is None


def test_the_next_one_after_a_count_stands_for_itself(brief: Setting) -> None:
    """Otherwise nobody would come to fetch the sum."""
    first = run(brief)
    first.lane.take()
    again = run(brief)
    assert list(brief.finished) == [first, again]


def test_the_cpu_time_is_that_of_the_jobs_of_which_it_is_known(brief: Setting) -> None:
    """A lane of quick jobs does not read the clock."""
    first = run(brief)
    run(brief, run=0.5, cpu=0.25)
    first.lane.quick = True
    run(brief, run=0.25, cpu=0.25)
    assert first.lane.take() == (2, 0, 0, 0.0, 0.75, 0.25, 0.5)


@pytest.mark.parametrize("what", ["long", "abandoned", "looked at", "queued", "unbegun"])
def test_what_is_to_be_told_by_itself_is(brief: Setting, what: str) -> None:
    """One that takes long in all, that nobody waits for any more, or of which something was seen."""
    first = run(brief)
    job, future = submit(brief)
    if what == "unbegun":
        future.cancel()
    else:
        brief.clock.advance(0.5 if what == "long" else 0.0)
        job.begin()
        brief.clock.advance(0.5 if what == "long" else 0.0)
        job.abandoned = what == "abandoned"
        job.queued = what == "queued"
        job.glances = [] if what == "looked at" else None
        future.set_result(None)
    assert list(brief.finished) == [first, job]
    assert first.lane.take() is None


def test_none_is_lost_and_none_counts_twice() -> None:
    """Whatever threads end them, and whoever counts meanwhile."""
    with loopwatch.install(reporters=[], prometheus=False) as watch, ThreadPoolExecutor(4, "brief") as pool:
        futures = [pool.submit(divmod, 7, number % 2) for number in range(6000)]
        while not all(future.done() for future in futures):
            watch.snapshot()
        watch.flush(5.0)
        (stats,) = (each for each in watch.snapshot().executors if each.name == "brief")
        (offload,) = watch.snapshot().offloads
    assert stats.outcomes == {"completed": 3000, "failed": 3000}
    assert (stats.wait.count, stats.run.count, offload.jobs) == (6000, 6000, 6000)
    assert 0 < offload.run_seconds < 60


def test_those_of_a_loop_are_known_as_such(events: Any) -> None:
    """Sums keep whose jobs they are."""

    async def main() -> None:
        for _ in range(50):
            await asyncio.to_thread(double, 1)

    with loopwatch.install(reporters=[events], prometheus=False) as watch:
        asyncio.run(main())
        watch.flush(5.0)
        (tally,) = watch._accounts.tallies()
    assert (tally.jobs, tally.loop_jobs) == (50, 50)


def test_what_was_lost_is_told() -> None:
    """Where nobody collects for long, the job that would have told of a lane may be gone: so is its sum then."""
    hook = ExecutorHook(Alarm(asleep=True), deque(), step_codes, brief=60.0)
    hook.finished = Finished(3)
    hook.install()
    try:
        with ThreadPoolExecutor(1) as pool:
            for _ in range(5):
                pool.submit(double, 1).result()
            for _ in range(3):  # each from a place, or of a function, of its own
                for function in (abs, float, int):
                    pool.submit(function, 1).result()
        assert len(hook.ended()) == 3
        assert hook.dropped == 5 + 9 - 3
    finally:
        hook.uninstall()
