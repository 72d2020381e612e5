"""The executor hook put in and taken out: jobs under way, other tools, faults, forks."""

from __future__ import annotations

import contextlib
import functools
import gc
import inspect
import os
import queue
import sys
import threading
import weakref
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import pytest

from loopwatch.observe.jobs.job import Pool, here, pool_on
from tests.chores import double, fail
from tests.executing import SOON, Gate, Watched, target, until, watching


def test_the_alarm_is_woken_only_when_it_sleeps(watched):
    """A submit to a watch that is awake costs one attribute."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(double, 1).result()
        assert watched.alarm.woken == 1
        watched.alarm.asleep = False
        pool.submit(double, 1).result()
        assert watched.alarm.woken == 1
    watched.jobs(2)


def test_jobs_under_way_survive_an_uninstall(watched):
    """What was submitted watched ends as ever, and a later install sees what comes after it."""
    gate = Gate()
    with ThreadPoolExecutor(1) as pool:
        futures = [pool.submit(gate.hold, number) for number in range(3)]
        gate.entered.acquire(timeout=SOON)
        watched.hook.uninstall()
        assert ThreadPoolExecutor.submit is vars(ThreadPoolExecutor)["submit"]
        assert not hasattr(ThreadPoolExecutor.submit, "__wrapped__")
        unwatched = pool.submit(double, 3)
        again = Watched()
        again.hook.install()
        seen = pool.submit(double, 4)
        gate.opened.set()
        assert [future.result(SOON) for future in (*futures, unwatched, seen)] == [0, 1, 2, 6, 8]
        assert target(again.job()) == "double"
        until(again.quiet)
        again.hook.uninstall()
    assert list(again.faults) == []


def test_an_uninstall_during_a_submit_leaves_nothing_on_the_executor(monkeypatch):
    """A thread is about to meet a new pool as everything is taken out: the next watch sees that pool as its own."""
    watched, meets, goes_on = Watched(), threading.Event(), threading.Event()
    meet = watched.hook._pool

    def late(*given: Any) -> Any:
        meets.set()
        assert goes_on.wait(SOON)
        return meet(*given)

    monkeypatch.setattr(watched.hook, "_pool", late)
    watched.hook.install()
    with ThreadPoolExecutor(1) as pool:
        submitting = threading.Thread(target=lambda: pool.submit(double, 1).result())
        submitting.start()
        assert meets.wait(SOON)
        watched.hook.uninstall()
        goes_on.set()
        submitting.join(SOON)
        assert pool_on(pool) is None and list(watched.hook.pools) == []
        with watching() as again:
            assert pool.submit(double, 2).result() == 4
            assert again.job().pool is again.pool() is pool_on(pool)
    assert list(watched.faults) == []


def test_what_an_earlier_watch_has_left_is_no_pool_of_the_next(watched):
    """Whose a pool is stands in it: one of another watch is replaced, and so the executor is counted."""
    left = Pool(watched, "thread", "left", lambda: 1.0, lambda: 1)
    left.hook = object()
    with ThreadPoolExecutor(1) as pool:
        object.__setattr__(pool, "_loopwatch", left)
        assert pool.submit(double, 1).result() == 2
        assert watched.job().pool is watched.pool() is pool_on(pool) is not left


def test_watches_may_come_and_go_while_threads_submit():
    """Whatever falls between: every job runs, and no executor keeps anything of a watch."""
    stop, results, executors = threading.Event(), [], []

    def work() -> None:
        while not stop.is_set():
            with ThreadPoolExecutor(1) as pool:
                results.append(pool.submit(double, 1).result(SOON) + pool.submit(double, 2).result(SOON))
                executors.append(pool)

    def grown(number: int) -> bool:
        return len(results) > number

    threads = [threading.Thread(target=work) for _ in range(3)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for _ in range(60):
            watched = Watched()
            watched.hook.install()
            until(functools.partial(grown, len(results)))
            watched.hook.uninstall()
            assert list(watched.faults) == []
    finally:
        stop.set()
        sys.setswitchinterval(before)
        for thread in threads:
            thread.join(SOON)
    assert set(results) == {6}
    assert [pool for pool in executors if pool_on(pool) is not None] == []


def test_attributes_of_an_executor_stay_as_fast_as_they_were():
    """From the moment that somebody asks for an object's ``__dict__``, the interpreter has to keep one: we never do."""
    asked = []

    class Reticent(ThreadPoolExecutor):
        def __getattribute__(self, name: str) -> Any:
            if name == "__dict__":
                asked.append(name)
            return super().__getattribute__(name)

    with Reticent(1) as pool:
        with watching() as watched:
            pool.submit(double, 1).result()
            watched.job()
            assert pool_on(pool) is not None
        assert pool_on(pool) is None
    assert asked == []


def test_a_tool_that_wrapped_submit_before_us_is_kept(monkeypatch):
    """Its function is called for each job, and is back in its place afterwards."""
    called = []
    original = ThreadPoolExecutor.submit

    def theirs(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        called.append(fn)
        return original(self, fn, *args, **kwargs)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", theirs)
    watched = Watched()
    watched.hook.install()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(double, 1).result() == 2
        watched.job()
    watched.hook.uninstall()
    assert len(called) == 1
    assert vars(ThreadPoolExecutor)["submit"] is theirs


def test_a_tool_beneath_us_may_look_at_the_function(monkeypatch):
    """Tracers read the name of what is submitted, and wrap it in a function of theirs."""
    original, seen = ThreadPoolExecutor.submit, []

    def theirs(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        seen.append((fn.__name__, inspect.signature(fn.__wrapped__), getattr(fn, "missing", None)))
        return original(self, lambda *given, **named: fn(*given, **named), *args, **kwargs)

    @functools.wraps(double)
    def decorated(number: int) -> int:
        return double(number)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", theirs)
    watched = Watched()
    watched.hook.install()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(decorated, 1).result() == 2
        assert target(watched.job()) == "double"
    watched.hook.uninstall()
    assert seen == [("double", inspect.signature(double), None)]
    assert list(watched.faults) == []


def test_a_tool_beneath_us_may_call_the_function_again(monkeypatch):
    """Tools that try again what has failed: the one job ends with the last call, and keeps nothing alive."""
    original = ThreadPoolExecutor.submit

    def theirs(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        def again(*given: Any) -> Any:
            with contextlib.suppress(LookupError):
                return fn(*given)
            return fn(*given)

        return original(self, again, *args, **kwargs)

    class Flaky:
        calls = 0

        def __call__(self, number: int) -> int:
            self.calls += 1
            if self.calls == 1:
                fail()
            return 2 * number

    monkeypatch.setattr(ThreadPoolExecutor, "submit", theirs)
    with watching() as watched, ThreadPoolExecutor(1) as pool:
        flaky = Flaky()
        kept, gone = pool.submit(flaky, 1), weakref.ref(flaky)
        assert kept.result() == 2
        assert watched.job().outcome == "completed"
        del flaky
        pool.submit(double, 1).result()  # now the worker has let go of the first
        watched.job()
        gc.collect()
        assert gone() is None


def test_a_pool_of_the_applications_own_make_may_look_at_its_queue(watched):
    """What waits looks like the function that was submitted."""

    class Listing(ThreadPoolExecutor):
        def __init__(self, workers: int) -> None:
            super().__init__(workers)
            self._work_queue: Any = queue.LifoQueue()

        def waiting(self) -> list[str]:
            items = [item for item in self._work_queue.queue if item is not None]
            return [(item.fn if hasattr(item, "fn") else item.task[0]).__name__ for item in items]  # task: Python 3.14

    gate = Gate()
    with Listing(1) as pool:
        held = pool.submit(gate.hold)
        gate.entered.acquire(timeout=SOON)
        pool.submit(double, 1)
        try:
            assert pool.waiting() == ["double"]
        finally:
            gate.opened.set()
        held.result()
        watched.jobs(2)


def test_a_tool_that_wrapped_submit_after_us_is_kept(monkeypatch):
    """Ours stays beneath it, passes everything through, and does not count twice with a later install."""
    watched = Watched()
    watched.hook.install()
    ours = vars(ThreadPoolExecutor)["submit"]
    original = ours.__wrapped__
    called = []

    def theirs(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        called.append(fn)
        return ours(self, fn, *args, **kwargs)

    ThreadPoolExecutor.submit = theirs  # type: ignore[method-assign]
    try:
        watched.hook.uninstall()
        assert vars(ThreadPoolExecutor)["submit"] is theirs
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(double, 1).result() == 2
            again = Watched()
            again.hook.install()
            assert pool.submit(double, 1).result() == 2
            again.job()
            again.hook.uninstall()
        assert watched.hook.ended() == [] and len(called) == 2
    finally:
        ThreadPoolExecutor.submit = original  # type: ignore[method-assign]


def test_a_fault_of_ours_lets_the_job_run_unwatched(watched, monkeypatch):
    """The error is noted, and the application sees nothing of it."""
    with monkeypatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(Pool, "_new_lane", None)
        assert pool.submit(double, 1).result() == 2
    assert [type(fault) for fault in watched.faults] == [TypeError]
    watched.faults.clear()
    assert watched.quiet() and watched.hook.ended() == []


def test_executors_of_another_kind_are_not_touched(watched):
    """The base class has no submit of ours, and neither have executors that stand on it alone."""
    assert not hasattr(vars(Executor)["submit"], "__wrapped__")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_forgets_the_jobs_of_the_parent(watched):
    """In the child nothing waits or runs, and a new pool is watched with the child's own thread ids."""
    gate = Gate()
    with ThreadPoolExecutor(1) as pool:
        futures = [pool.submit(gate.hold, number) for number in range(3)]
        gate.entered.acquire(timeout=SOON)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                told = _in_child(watched)
            except BaseException as error:
                told = repr(error)
            os.write(writing, told.encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            told = pipe.read().decode()
        os.waitpid(child, 0)
        gate.opened.set()
        assert [future.result(SOON) for future in futures] == [0, 1, 2]
        watched.jobs(3)
    assert told == "quiet, then double completed by this process"


def _in_child(watched: Watched) -> str:
    watched.hook.after_fork()
    told = "quiet" if watched.quiet() and not watched.hook.ended() else "noisy"
    with ThreadPoolExecutor(1) as pool:
        pool.submit(double, 1).result(SOON)
        job = watched.job()
    by_me = here.worker.native == threading.get_native_id()
    return f"{told}, then {target(job)} {job.outcome} by {'this' if by_me else 'another'} process"
