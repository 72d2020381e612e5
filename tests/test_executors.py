"""Every way into a pool, with real ones: what is seen of each job."""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest

from tests.chores import double
from tests.executing import SPAWN, Gate, submitters, target


def test_a_direct_submit_is_timed(watched):
    """Wait and run of a job are real durations, its CPU time is that of the worker alone."""
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(time.sleep, 0.05)
        second = pool.submit(time.sleep, 0.05)
        assert (first.result(), second.result()) == (None, None)
        ahead, behind = watched.jobs(2)
    assert 0.04 < behind.started - behind.submitted < 1.0
    assert all(0.045 < job.ended - job.started < 1.0 for job in (ahead, behind))
    assert all(0 <= job.cpu < 0.04 for job in (ahead, behind))
    assert (target(ahead), submitters(ahead)) == ("sleep", ["test_a_direct_submit_is_timed"])
    assert (ahead.for_loop, ahead.task, ahead.outcome) == (False, None, "completed")
    assert ahead.lane.origin.executor == "ThreadPoolExecutor"  # without CPython's number


def test_cpu_time_is_counted(watched):
    """A job that computes has nearly all its run as CPU time."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: sum(range(1_500_000))).result()
        job = watched.job()
    assert 0 < job.cpu <= job.ended - job.started + 0.005


WAYS: dict[str, Callable[[Any], Any]] = {
    "to_thread": lambda pool: asyncio.to_thread(double, 2),
    "the default pool": lambda pool: asyncio.get_running_loop().run_in_executor(None, double, 2),
    "a private pool": lambda pool: asyncio.get_running_loop().run_in_executor(pool, double, 2),
    "submit on the loop": lambda pool: asyncio.wrap_future(pool.submit(double, 2)),
    "map on the loop": lambda pool: _awaited_map(pool),
}


async def _awaited_map(pool: ThreadPoolExecutor) -> Any:
    await asyncio.sleep(0)
    (doubled,) = pool.map(double, [2])
    return doubled


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_job_of_a_task_is_known_with_its_task_and_site(watched, way):
    """However a coroutine hands work over: the job is one of a loop, and has target, submitting site and task."""
    tasks = []

    async def asking() -> Any:
        tasks.append(asyncio.current_task())
        return await way(pool)

    with ThreadPoolExecutor(1, "private") as pool:
        assert asyncio.run(asking()) == 4
        job = watched.job()
    assert (target(job), job.for_loop) == ("double", True)
    assert "asking" in submitters(job)
    assert job.task() is tasks[0]
    assert job.lane.origin.executor in ("default", "private")


def test_a_callback_of_a_loop_has_no_task(watched):
    """A job submitted by a timer belongs to the loop all the same."""

    async def main() -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def submit() -> None:
            loop.run_in_executor(pool, double, 1).add_done_callback(lambda _: done.set())

        loop.call_later(0.001, submit)
        await done.wait()

    with ThreadPoolExecutor(1) as pool:
        asyncio.run(main())
        job = watched.job()
    assert (job.for_loop, job.task) == (True, None)
    assert submitters(job) == ["run_in_executor", "submit"]


def test_the_walk_from_a_task_ends_at_the_loop(watched):
    """The frames of the loop itself, and of whoever runs it, say nothing about a job."""

    async def inner() -> None:
        await asyncio.to_thread(double, 1)

    async def outer() -> None:
        await inner()

    asyncio.run(outer())
    assert submitters(watched.job()) == ["run_in_executor", "to_thread", "inner", "outer"]


@pytest.mark.parametrize("executor", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_map_is_a_job_each(watched, executor):
    """map() gives its results in order; its jobs are named by what they run, and by who called map."""
    with _make(executor) as pool:
        assert list(pool.map(double, range(5))) == [0, 2, 4, 6, 8]
        jobs = watched.jobs(5)
    assert {target(job) for job in jobs} == {"double"}
    assert all("test_map_is_a_job_each" in submitters(job) for job in jobs)


def test_chunks_of_a_map_are_named_by_what_they_run(watched):
    """With chunks a job is several calls, and not one of concurrent.futures' own function."""
    with _make(ProcessPoolExecutor) as pool:
        assert list(pool.map(double, range(6), chunksize=3)) == [0, 2, 4, 6, 8, 10]
        jobs = watched.jobs(2)
    assert {job.lane.origin.target for job in jobs} == {f"{double.__module__}.double"}


def test_the_timeout_of_a_map_is_raised(watched):
    """A map that takes too long raises as ever, and cancels what still waits."""
    gate = Gate()
    with ThreadPoolExecutor(1) as pool:
        results = pool.map(gate.hold, [1, 2, 3], timeout=0.05)
        with pytest.raises(concurrent.futures.TimeoutError):
            next(results)
        gate.opened.set()
    outcomes = sorted(job.outcome for job in watched.jobs(3))
    assert outcomes[:2] == ["abandoned", "cancelled"] or outcomes == ["cancelled", "cancelled", "completed"]


def _make(executor: Any) -> Any:
    return executor(2, mp_context=SPAWN) if executor is ProcessPoolExecutor else executor(2)


class Wrapping(ThreadPoolExecutor):
    """Has an own __init__, and overrides submit."""

    def __init__(self, label: str) -> None:
        self.label = label
        super().__init__(1, thread_name_prefix=label)

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        return super().submit(self.labelled, fn, *args, **kwargs)

    def labelled(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        return self.label, fn(*args, **kwargs)


class Guarded(ThreadPoolExecutor):
    """Refuses attributes that it does not know, once it is made."""

    def __init__(self) -> None:
        super().__init__(1)
        self.made = True

    def __setattr__(self, name: str, value: Any) -> None:
        if "made" in vars(self) and name not in vars(self):
            raise TypeError(f"no {name} here")
        super().__setattr__(name, value)


def test_a_subclass_with_its_own_submit_is_timed(watched):
    """What it hands to its base is the job; its name is the prefix that it gave its threads."""
    with Wrapping("label") as pool:
        assert pool.submit(double, 4).result() == ("label", 8)
        job = watched.job()
    assert (target(job), submitters(job), job.lane.origin.executor) == ("labelled", ["submit"], "label")


def test_a_subclass_that_guards_its_attributes_is_timed(watched):
    """Nothing is asked of an executor's __setattr__."""
    with Guarded() as pool:
        assert pool.submit(double, 1).result() == 2
        assert target(watched.job()) == "double"


def test_an_initializer_runs_unwatched_and_first(watched):
    """initializer= and initargs= are the pool's own affair."""
    seen = threading.local()
    with ThreadPoolExecutor(1, initializer=setattr, initargs=(seen, "ready", 1)) as pool:
        assert pool.submit(lambda: seen.ready).result() == 1
        watched.job()


def test_a_worker_thread_submits_for_the_loop_of_its_job(watched):
    """Nested work counts for the loop of the outer job, if it has one, and knows the worker that submitted it."""

    def outer() -> int:
        return second.submit(double, 1).result()

    async def main() -> None:
        await asyncio.get_running_loop().run_in_executor(pool, outer)

    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as second:
        asyncio.run(main())
        jobs = {target(job): job for job in watched.jobs(2)}
        pool.submit(outer).result()
        alone = {target(job): job for job in watched.jobs(2)}
    assert jobs["double"].for_loop and jobs["double"].submitter == jobs["outer"].worker.ident
    assert not alone["double"].for_loop and alone["double"].submitter == alone["outer"].worker.ident
    assert "outer" in submitters(jobs["double"])


def test_the_loops_own_name_lookup_is_a_job(watched):
    """getaddrinfo of the loop uses its pool, also in debug mode."""

    async def main() -> None:
        await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)

    asyncio.run(main())
    asyncio.run(main(), debug=True)
    jobs = watched.jobs(2)
    assert [target(job) for job in jobs] == ["getaddrinfo", "_getaddrinfo_debug"]
    assert all(job.for_loop and "main" in submitters(job) for job in jobs)


@pytest.mark.needs("asgiref")
@pytest.mark.parametrize("sensitive", [True, False])
def test_asgiref_is_timed(watched, sensitive):
    """sync_to_async is a job of its one thread, or of the default pool, with the function that was meant."""
    from asgiref.sync import sync_to_async

    async def asking() -> Any:
        return await sync_to_async(double, thread_sensitive=sensitive)(21)

    assert asyncio.run(asking()) == 42
    job = watched.job()
    assert (target(job), job.for_loop) == ("double", True)
    assert "asking" in submitters(job)
    assert (job.lane.origin.executor == "default") is not sensitive
