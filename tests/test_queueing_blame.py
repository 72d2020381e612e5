"""Backlogs end to end: who is blamed where a real pool is full, and a pool that waits for itself."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.chores import slow_report, work
from tests.executing import SOON, until
from tests.queueing import ask_for_lookup, ask_for_report, ask_for_work, backlogs, settled, site, the_backlog

pytestmark = pytest.mark.realtime

on_each_loop = pytest.mark.usefixtures("each_loop")
"""For those in which the loop has a part: what a pool does by itself is the same under each."""


# --- who is blamed ---


@on_each_loop
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
    lost = {each.site: each for each in watch.snapshot().sites if each.kind == "queue"}
    assert sum(each.seconds for each in lost.values()) == pytest.approx(backlog.submitters[0].waited, rel=0.1)
    assert lost[site(ask_for_report)].seconds > 0.8 * backlog.submitters[0].waited
    assert sum(each.count for each in lost.values()) == 100
    assert {holder.target for holder in backlog.holders} == {f"{slow_report.__module__}.slow_report"}


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


@on_each_loop
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


@on_each_loop
def test_a_pool_with_free_workers_is_not_blamed_for_a_loop_that_holds_the_interpreter(watch, events):
    """Seven jobs on sixteen workers: four end late and three begin late, since nothing could run meanwhile."""
    big = 7**300_000

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(pool, work, 0.05) for _ in range(16)))
        for _ in range(4):
            early = [loop.run_in_executor(pool, work, 0.03) for _ in range(4)]
            await asyncio.sleep(0.005)
            late = [loop.run_in_executor(pool, work, 0.0) for _ in range(3)]
            began = time.perf_counter()
            while time.perf_counter() - began < 0.15:
                assert big * big  # one C call, which lets no other thread run
            await asyncio.gather(*early, *late)

    with ThreadPoolExecutor(16, "roomy") as pool:
        asyncio.run(main())
        settled(watch)
    assert backlogs(events) == []
    assert [each for each in watch.snapshot().sites if each.kind == "queue"] == []


@on_each_loop
def test_a_done_callback_that_holds_the_worker_is_blamed(watch, events):
    """Its job is over, and the worker is not free: the jobs behind it wait, and the callback is named."""
    gate = threading.Event()

    def clean_up(_: Any) -> None:
        gate.wait(SOON)

    async def main() -> None:
        pool.submit(work, 0.02).add_done_callback(clean_up)
        await asyncio.sleep(0.1)
        waiting = [asyncio.ensure_future(ask_for_lookup(pool)) for _ in range(5)]
        await asyncio.sleep(0.8)
        gate.set()
        await asyncio.gather(*waiting)

    with ThreadPoolExecutor(1, "small") as pool:
        asyncio.run(main())
        settled(watch)
    backlog = the_backlog(events)
    assert backlogs(events)[0].in_progress and backlog.jobs == 5 and backlog.waited > 0.7
    assert backlog.site.startswith(f"{__name__}.") and "clean_up" in backlog.site
    assert any(frame.function.endswith("clean_up") for frame in backlog.holders[0].stack)
    (lost, *_) = sorted(watch.snapshot().sites, key=lambda each: -each.seconds)
    assert lost.kind == "queue" and "clean_up" in lost.site


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


def submit_and_await(pool: ThreadPoolExecutor, answer: threading.Event) -> None:
    pool.submit(work, 0.0)
    answer.wait(SOON)


def test_a_worker_that_waits_for_the_loop_after_a_nested_submit_is_no_deadlock(watch, events):
    """Nobody waits for the job behind it, and the loop will answer."""

    async def main() -> None:
        answer = threading.Event()
        asked = asyncio.get_running_loop().run_in_executor(pool, submit_and_await, pool, answer)
        await asyncio.sleep(0.7)
        answer.set()
        await asked

    with ThreadPoolExecutor(1, "shared") as pool:
        asyncio.run(main())
        settled(watch)
    assert the_backlog(events).evidence["nested"] == 1
    assert not any(each.self_deadlock for each in backlogs(events))


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
