"""Backlogs end to end: real pools under a real watch, what is told of them, and of what nothing is told."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest

import loopwatch
from loopwatch.report.text import render
from tests.chores import work
from tests.executing import SOON
from tests.queueing import ask_for_lookup, ask_for_work, backlogs, settled, site, the_backlog

pytestmark = pytest.mark.realtime

on_each_loop = pytest.mark.usefixtures("each_loop")
"""For those in which the loop has a part: what a pool does by itself is the same under each."""


# --- what is told ---


@on_each_loop
def test_a_burst_over_a_small_pool_is_one_backlog(watch, events):
    """Twelve jobs of 150 ms for three workers: nine wait, up to 450 ms; one event, with the right numbers."""

    async def burst() -> None:
        await asyncio.gather(*(ask_for_work(pool, 0.15) for _ in range(12)))

    with ThreadPoolExecutor(3, "small") as pool:
        asyncio.run(burst())
        settled(watch)
    backlog = the_backlog(events)
    assert (backlog.executor, backlog.workers, backlog.depth, backlog.jobs) == ("small", 3, 9, 9)
    assert 0.4 < backlog.waited <= backlog.duration < 2.0
    assert backlog.culprit is not None and backlog.culprit.site == backlog.site == site(ask_for_work)
    (submitter,) = backlog.submitters
    assert (submitter.site, submitter.jobs, submitter.share) == (site(ask_for_work), 9, 1.0)
    assert 9 * 0.14 < submitter.waited < 9 * backlog.waited
    assert [holder.target for holder in backlog.holders] == [f"{work.__module__}.work"] * 3
    assert all(holder.thread.startswith("small") and 0 < holder.seconds < 1.0 for holder in backlog.holders)
    assert all(holder.stack[-1].function == "work" for holder in backlog.holders)
    assert not backlog.self_deadlock and "more than 3 workers" in backlog.remedy
    assert abs(backlog.started_at - time.time()) < 10.0


def test_the_snapshot_has_the_same_numbers(watch, events):
    """Outcomes, waits and runs by executor; the time in which it was full; the seconds lost by site."""

    async def burst() -> None:
        await asyncio.gather(*(ask_for_work(pool, 0.1) for _ in range(6)))

    with ThreadPoolExecutor(2, "small") as pool:
        asyncio.run(burst())
        settled(watch)
        (executor,) = watch.snapshot().executors
    assert (executor.name, executor.kind, executor.workers, executor.workers_max) == ("small", "thread", 2, 2)
    assert (executor.busy, executor.depth, executor.outcomes) == (0, 0, {"completed": 6})
    assert executor.wait.count == executor.run.count == 6
    assert 0.55 < executor.run.sum < 2.0 and 0.55 < executor.wait.sum < 2.0
    assert 0.1 < executor.saturated < 1.0
    lost = {(entry.kind, entry.site): entry for entry in watch.snapshot().sites}
    assert lost["queue", site(ask_for_work)].count == 4
    assert lost["queue", site(ask_for_work)].seconds == pytest.approx(the_backlog(events).submitters[0].waited, rel=0.1)


def test_the_gauges_tell_of_now(watch):
    """While jobs run and wait, a snapshot says how many, and for how long the oldest has waited."""
    gate = threading.Event()
    with ThreadPoolExecutor(2, "small") as pool:
        futures = [pool.submit(gate.wait, SOON) for _ in range(5)]
        time.sleep(0.1)
        (executor,) = watch.snapshot().executors
        gate.set()
        assert all(future.result() for future in futures)
    assert (executor.busy, executor.depth) == (2, 3)
    assert 0.09 < executor.oldest_wait < 5.0


def test_a_long_backlog_is_told_while_it_lasts(watch, events):
    """In progress at ten times the wait, with who waits so far; at its end once more, under the same id."""

    async def burst() -> None:
        await asyncio.gather(*(ask_for_work(pool, 0.7) for _ in range(3)))

    with ThreadPoolExecutor(1, "small") as pool:
        asyncio.run(burst())
        settled(watch)
    told = backlogs(events)
    assert [each.in_progress for each in told] == [True, True, False]
    assert len({each.id for each in told}) == 1
    assert 0.45 < told[0].duration < 0.7 and told[0].jobs == 2
    assert told[-1].jobs == 2 and 1.3 < told[-1].waited < 3.0
    assert sum(each.share for each in told[0].submitters) == pytest.approx(1.0)


def test_jobs_that_run_on_after_their_wait_are_no_second_backlog(watch, events):
    """The queue is empty long before the last of them ends."""

    async def burst() -> None:
        await asyncio.gather(*(ask_for_work(pool, 0.6) for _ in range(4)))

    with ThreadPoolExecutor(2, "small") as pool:
        asyncio.run(burst())
        settled(watch)
    assert the_backlog(events).jobs == 2


def test_two_pools_are_two_backlogs(watch, events):
    """Each is told under its own name."""

    async def burst() -> None:
        both = [ask_for_work(pool, 0.1) for pool in (one, two) for _ in range(4)]
        await asyncio.gather(*both)

    with ThreadPoolExecutor(1, "one") as one, ThreadPoolExecutor(1, "two") as two:
        asyncio.run(burst())
        settled(watch)
    assert sorted((each.executor, each.jobs) for each in events.backlogs) == [("one", 3), ("two", 3)]


@on_each_loop
def test_the_default_pool_of_a_loop_is_called_default(watch, events):
    """to_thread over a full default pool: the workers are those that the pool may have."""

    async def burst() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2, "asyncio"))
        await asyncio.gather(*(asyncio.to_thread(work, 0.15) for _ in range(6)))

    asyncio.run(burst())
    settled(watch)
    backlog = the_backlog(events)
    assert (backlog.executor, backlog.workers, backlog.jobs) == ("default", 2, 4)
    # gather() runs to_thread() as a task of its own: no code of the application handed this over.
    assert backlog.submitters[0].site == f"{work.__module__}.work:{work.__code__.co_firstlineno}"


@on_each_loop
@pytest.mark.needs("asgiref")
def test_the_one_thread_of_asgiref_is_a_pool(watch, events):
    """thread_sensitive code waits for one worker."""
    from asgiref.sync import sync_to_async

    async def view() -> None:
        await sync_to_async(work)(0.12)

    async def burst() -> None:
        await asyncio.gather(*(view() for _ in range(4)))

    asyncio.run(burst())
    settled(watch)
    backlog = the_backlog(events)
    assert (backlog.workers, backlog.jobs) == (1, 3)
    assert backlog.culprit is not None and backlog.culprit.function.endswith("view")


def test_a_pool_of_processes_has_backlogs(watch, events):
    """Its workers cannot be looked into, but its queue is seen."""

    async def burst() -> None:
        await asyncio.gather(*(ask_for_work(pool, 0.2) for _ in range(3)))

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(work, 0.0).result()
        asyncio.run(burst())
        settled(watch)
    backlog = the_backlog(events)
    assert (backlog.executor, backlog.workers, backlog.jobs) == ("ProcessPoolExecutor", 1, 2)
    assert render(backlog).startswith("Process pool 'ProcessPoolExecutor' (1 worker) had no free worker for ")
    assert 0.35 < backlog.waited < 3.0
    assert backlog.culprit is not None and backlog.culprit.site == site(ask_for_work)


@on_each_loop
def test_a_watch_that_is_uninstalled_tells_of_the_backlog_in_progress(events):
    """What has been seen is not lost with the watch."""

    async def burst() -> None:
        burst = asyncio.gather(*(ask_for_work(pool, 0.3) for _ in range(4)))
        await asyncio.sleep(0.2)
        watch.uninstall()
        await burst

    with ThreadPoolExecutor(1, "small") as pool:
        watch = loopwatch.install(reporters=[events], prometheus=False)
        asyncio.run(burst())
    backlog = the_backlog(events)
    assert backlog.jobs == 3 and 0.15 < backlog.waited < 0.3


# --- silence ---


@on_each_loop
def test_one_job_on_a_free_pool_is_nothing(watch, events):
    """to_thread(time.sleep, 0.5) holds a worker, and nobody waits for it."""
    asyncio.run(_sleep_in_a_thread())
    settled(watch)
    assert events.events == []


async def _sleep_in_a_thread() -> None:
    await asyncio.to_thread(time.sleep, 0.5)


def test_a_pool_that_no_loop_waits_for_is_silent(watch, events):
    """Threads that wait for threads are their own affair."""
    with ThreadPoolExecutor(1) as pool:
        for future in [pool.submit(work, 0.1) for _ in range(6)]:
            future.result()
        settled(watch)
    assert events.events == []


def test_a_queue_that_is_quick_is_silent(watch, events):
    """Jobs that wait a few milliseconds for a full pool."""

    async def main() -> None:
        for _ in range(20):
            await asyncio.gather(*(ask_for_lookup(pool) for _ in range(4)))

    with ThreadPoolExecutor(2) as pool:
        asyncio.run(main())
        settled(watch)
    assert backlogs(events) == []


@on_each_loop
def test_a_job_that_waits_for_the_interpreter_accuses_no_pool(watch, events):
    """The pool has free workers: it is the loop that holds everything, and that is a stall."""

    async def main() -> None:
        await asyncio.to_thread(work, 0.0)
        job = asyncio.get_running_loop().run_in_executor(None, work, 0.0)
        sum(range(15_000_000))  # one C call, which lets no other thread run
        await job

    asyncio.run(main())
    settled(watch)
    assert backlogs(events) == []
    assert events.stalls and events.stalls[-1].duration > 2 * watch.settings.executor_wait
