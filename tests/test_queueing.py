"""Backlogs end to end: real pools under a real watch, and who is blamed."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest

import loopwatch
from loopwatch.model import Backlog
from loopwatch.report.text import render
from loopwatch.testing import RecordingReporter
from loopwatch.watch import Watch

pytestmark = pytest.mark.realtime

SOON = 20.0
MODULE = __name__


@pytest.fixture
def watch(events: RecordingReporter) -> Iterator[Watch]:
    """A watch that tells ``events``, and is gone with the test."""
    with loopwatch.install(reporters=[events], prometheus=False) as watch:
        yield watch


def settled(watch: Watch) -> None:
    """Let every episode come to its end, and every event arrive."""
    time.sleep(6 * watch.settings.executor_wait)
    assert watch.flush(SOON)


def backlogs(events: RecordingReporter) -> list[Backlog]:
    """All of them, also those told while they lasted."""
    return [event for event in events.events if isinstance(event, Backlog)]


def the_backlog(events: RecordingReporter) -> Backlog:
    """The only one that there was, as told at its end."""
    (backlog,) = events.backlogs
    assert {each.id for each in backlogs(events)} == {backlog.id}
    return backlog


def until(met: Callable[[], object]) -> None:
    deadline = time.monotonic() + SOON
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def work(seconds: float) -> None:
    time.sleep(seconds)


def slow_report(seconds: float) -> None:
    time.sleep(seconds)


def lookup() -> None:
    time.sleep(0.002)


async def ask_for_work(pool: Any, seconds: float) -> None:
    await asyncio.get_running_loop().run_in_executor(pool, work, seconds)


async def ask_for_report(pool: Any, seconds: float) -> None:
    await asyncio.get_running_loop().run_in_executor(pool, slow_report, seconds)


async def ask_for_lookup(pool: Any) -> None:
    await asyncio.get_running_loop().run_in_executor(pool, lookup)


def site(function: Callable[..., object]) -> str:
    """The site of the only line of a function."""
    return f"{MODULE}.{function.__qualname__}:{function.__code__.co_firstlineno + 1}"


# --- what is told ---


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
    assert [holder.target for holder in backlog.holders] == [f"{MODULE}.work"] * 3
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
    assert backlog.submitters[0].site == f"{MODULE}.work:{work.__code__.co_firstlineno}"


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


# --- who is blamed ---


def test_who_holds_the_workers_is_blamed_not_who_waits(watch, events):
    """Three slow reports hold every worker while a hundred quick lookups wait."""

    async def main() -> None:
        reports = [asyncio.ensure_future(ask_for_report(pool, 0.4)) for _ in range(3)]
        await asyncio.sleep(0.01)
        await asyncio.gather(*reports, *(ask_for_lookup(pool) for _ in range(100)))

    with ThreadPoolExecutor(3, "shared") as pool:
        asyncio.run(main())
        settled(watch)
    backlog = the_backlog(events)
    assert backlog.culprit is not None and backlog.culprit.site == site(ask_for_report)
    assert [(each.site, each.share) for each in backlog.submitters] == [(site(ask_for_lookup), 1.0)]
    assert backlog.depth == backlog.jobs == 100
    assert {holder.site for holder in backlog.holders} == {site(ask_for_report)}
    assert {holder.target for holder in backlog.holders} == {f"{MODULE}.slow_report"}


def test_everyone_who_waits_has_a_share(watch, events):
    """Two sites that fill one queue are both named, the longer wait first, and the shares are of all waiting."""

    async def main() -> None:
        works = [asyncio.ensure_future(ask_for_work(pool, 0.1)) for _ in range(7)]
        await asyncio.gather(*works, ask_for_report(pool, 0.1))

    with ThreadPoolExecutor(1, "shared") as pool:
        asyncio.run(main())
        settled(watch)
    backlog = the_backlog(events)
    shares = {each.site: each for each in backlog.submitters}
    assert shares[site(ask_for_work)].jobs == 6 and shares[site(ask_for_report)].jobs == 1
    assert shares[site(ask_for_work)].share == pytest.approx(21 / 28, abs=0.05)
    assert shares[site(ask_for_report)].share == pytest.approx(7 / 28, abs=0.05)


def test_requests_that_time_out_in_the_queue_have_waited(watch, events):
    """Who gave up before a worker came free is a part of the backlog."""

    async def impatient() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ask_for_lookup(pool), 0.2)

    async def main() -> None:
        holding = asyncio.ensure_future(ask_for_report(pool, 0.5))
        await asyncio.sleep(0.01)
        await asyncio.gather(holding, *(impatient() for _ in range(5)))

    with ThreadPoolExecutor(1, "shared") as pool:
        asyncio.run(main())
        settled(watch)
    backlog = the_backlog(events)
    assert backlog.jobs == 5 and 0.15 < backlog.waited < 0.45
    (executor,) = watch.snapshot().executors
    assert executor.outcomes == {"completed": 1, "cancelled": 5}


# --- a pool that waits for itself ---


def nested(pool: ThreadPoolExecutor, timeout: float, begun: threading.Barrier) -> str:
    begun.wait(SOON)
    inner: Future[str] = pool.submit(str, "inner")
    return inner.result(timeout)


def test_a_nested_submit_is_named_as_a_self_deadlock_while_it_lasts(watch, events):
    """Both workers wait for jobs behind them: told with their stacks, long before the timeout frees them."""

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        begun = threading.Barrier(2)
        outer = [loop.run_in_executor(pool, nested, pool, 1.5, begun) for _ in range(2)]
        return await asyncio.gather(*outer, return_exceptions=True)

    with ThreadPoolExecutor(2, "shared") as pool:
        errors = asyncio.run(main())
        settled(watch)
    assert any(isinstance(error, Exception) for error in errors)
    told = backlogs(events)
    first = told[0]
    assert first.in_progress and first.self_deadlock and first.duration < 1.2
    assert first.evidence["nested"] == 2
    assert "a pool of their own" in first.remedy
    assert all("nested" in [frame.function for frame in holder.stack] for holder in first.holders)
    assert told[-1].self_deadlock and not told[-1].in_progress


def test_a_self_deadlock_without_a_loop_is_told_as_well(watch, events):
    """Nobody else would ever notice."""
    with ThreadPoolExecutor(1, "lonely") as pool:
        outer = pool.submit(nested, pool, 1.5, threading.Barrier(1))
        until(lambda: any(each.self_deadlock for each in backlogs(events)))
        assert not outer.done()
        with pytest.raises(Exception):  # noqa: B017  TimeoutError has two homes
            outer.result()
        settled(watch)
    assert the_backlog(events).self_deadlock


def submit_and_go_on(pool: ThreadPoolExecutor) -> None:
    pool.submit(work, 0.0)
    time.sleep(0.9)


def test_a_nested_submit_that_nobody_waits_for_is_no_deadlock(watch, events):
    """It waits for the worker that submitted it, which will come free."""

    async def main() -> None:
        await asyncio.get_running_loop().run_in_executor(pool, submit_and_go_on, pool)

    with ThreadPoolExecutor(1, "shared") as pool:
        asyncio.run(main())
        settled(watch)
    assert backlogs(events) and not any(each.self_deadlock for each in backlogs(events))


# --- silence ---


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
