"""Executors that run jobs by themselves: seen from outside, each job once, and said to be."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

import loopwatch
from loopwatch.observe.jobs.foreign_executors import with_own_submit
from loopwatch.record.coverage import coverage
from tests.chores import double, fail
from tests.executing import Gate, submitters, target, watching


class Inline(Executor):
    """Runs each job at once, in the thread that submits it."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class InlinePool(ThreadPoolExecutor):
    """Stands on a pool that it never uses."""

    submit = Inline.submit


class Threads(Executor):
    """Starts a thread for each job."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        future: Future[Any] = Future()
        threading.Thread(target=lambda: future.set_result(fn(*args, **kwargs))).start()
        return future


class Delegating(Executor):
    """Hands over to a pool of its own."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1, "inner")

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        return self.pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.pool.shutdown(wait, cancel_futures=cancel_futures)


class Chained(ThreadPoolExecutor):
    """Gives a future of its own for that of its base."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        inner, outer = super().submit(fn, *args, **kwargs), Future[Any]()
        inner.add_done_callback(lambda done: outer.set_result(done.result()))
        return outer


class Promising(Executor):
    """What it gives is no future."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)


def name(owner: type) -> str:
    return f"{owner.__module__}.{owner.__qualname__}"


# --- what is seen ---


@pytest.mark.parametrize("owner", [Inline, InlinePool])
def test_a_job_that_runs_in_submit_is_seen(watched, owner):
    """Its run is that of the call, its site and target are known, and its class is told as met."""
    with owner() as executor:
        assert executor.submit(double, 2).result() == 4
    job = watched.job()
    assert (target(job), submitters(job)) == ("double", ["test_a_job_that_runs_in_submit_is_seen"])
    assert (job.pool.kind, job.pool.name, job.outcome, job.cpu) == ("other", owner.__name__, "completed", None)
    assert job.submitted == job.started < job.ended
    assert watched.hook.foreign.met == {name(owner): True}


def test_a_job_of_a_loop_is_known_with_its_task(watched):
    """run_in_executor() with an executor of any make: a job of the loop, busy until its future ends."""
    gate, tasks = Gate(), []

    async def asking() -> Any:
        tasks.append(asyncio.current_task())
        asked = asyncio.get_running_loop().run_in_executor(Threads(), gate.hold, 7)
        (pool,) = watched.hook.pools
        assert (pool.busy(), pool.full(), pool.waiting) == (1, False, {})
        gate.opened.set()
        return await asked

    assert asyncio.run(asking()) == 7
    job = watched.job()
    assert (target(job), submitters(job)) == ("hold", ["run_in_executor", "asking"])
    assert job.for_loop and job.task() is tasks[0] and job.pool.busy() == 0


@pytest.mark.needs("asgiref")
def test_the_current_thread_of_asgiref_is_seen(watched):
    """Inside async_to_sync the work of sync_to_async goes to the thread that waits."""
    from asgiref.sync import async_to_sync, sync_to_async

    async def view() -> Any:
        return await sync_to_async(double)(21)

    assert async_to_sync(view)() == 42
    jobs = {job.pool.kind: job for job in watched.jobs(2)}  # async_to_sync has its loop in a pool of its own
    assert (target(jobs["other"]), jobs["other"].for_loop) == ("double", True)
    assert watched.hook.foreign.met == {"asgiref.current_thread_executor.CurrentThreadExecutor": True}


def test_a_class_that_is_made_later_is_seen(watched):
    """Nobody has to be imported before the watch."""

    class Later(Inline):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            return Inline.submit(self, fn, *args, **kwargs)

    assert Later().submit(double, 1).result() == 2
    job = watched.job()
    assert (target(job), job.pool.name) == ("double", "Inline")  # where it is really run


def test_a_job_that_fails_or_is_cancelled_says_so(watched):
    """The outcome is that of its future."""

    class Lazy(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            return Future()

    assert isinstance(Inline().submit(fail).exception(), LookupError)
    assert Lazy().submit(double, 1).cancel()
    assert [job.outcome for job in watched.jobs(2)] == ["failed", "cancelled"]


# --- each job once ---


@pytest.mark.parametrize("owner", [Delegating, Chained])
def test_a_job_that_ends_up_in_a_pool_is_counted_there(watched, owner):
    """One job, of the pool; the class is left alone from then on, and is nothing to be told."""
    before = vars(owner)["submit"].__wrapped__
    with owner() as executor:
        for _ in range(3):
            assert executor.submit(double, 1).result() == 2
        jobs = watched.jobs(3)
    assert {job.pool.kind for job in jobs} == {"thread"}
    assert vars(owner)["submit"] is before
    assert watched.hook.foreign.met == {}


# --- what is left as it is ---


def test_what_is_no_future_passes_and_is_said_to_be_blind(watched):
    """Nothing is asked of an object that only its executor knows."""
    assert Promising().submit(double, 4) == 8
    assert watched.hook.ended() == []
    assert watched.hook.foreign.met == {name(Promising): False}


def test_a_submit_of_another_shape_is_called_as_it_wants(watched):
    """Whatever its arguments are called, and whatever it raises."""

    class Odd(Executor):
        def submit(self, fn: Any, priority: int = 0, **kwargs: Any) -> Any:  # type: ignore[override]
            future: Future[Any] = Future()
            future.set_result((fn, priority))
            return future

    assert Odd().submit(fn=double, priority=3).result() == (double, 3)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'fn'"):
        Odd().submit()  # type: ignore[call-arg]
    assert Odd().submit("no function").result() == ("no function", 0)
    assert target(watched.job()) == "double"


@pytest.mark.parametrize("named", ["fn", "work"])
def test_a_function_given_by_keyword_is_seen(watched, named):
    """Whatever the class calls it."""
    made: dict[str, Any] = {"Future": Future}
    exec(f"def submit(self, {named}):\n  future = Future()\n  future.set_result({named}())\n  return future", made)
    owner = type("Keyword", (Executor,), {"submit": made["submit"]})
    assert owner().submit(**{named: list}).result() == []
    assert target(watched.job()) == "list"
    assert list(watched.hook.foreign.met.values()) == [True]


def test_uninstall_leaves_every_class_as_it_was():
    """Also those that were made meanwhile, used and unused."""
    before = {owner: vars(owner)["submit"] for owner in with_own_submit()}
    assert {Inline, InlinePool, Threads, Delegating, Chained, Promising} <= before.keys()
    with watching() as watched:
        assert vars(Inline)["submit"] is not before[Inline]

        class Unused(Executor):
            def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any: ...

        assert hasattr(vars(Unused)["submit"], "__wrapped__")
        Inline().submit(double, 1)
        watched.job()
    assert not hasattr(vars(Unused)["submit"], "__wrapped__")
    assert {owner: vars(owner)["submit"] for owner in before} == before
    assert Inline().submit(double, 1).result() == 2
    assert watched.hook.ended() == []


def test_classes_are_bounded():
    """A process that makes a class for each request does not fill the memory, and what is not seen is said."""

    def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any: ...

    with watching() as watched:
        made = [type(f"Made{number}", (Inline,), {"submit": submit}) for number in range(100)]
        wrapped = [owner for owner in made if vars(owner)["submit"] is not submit]
        assert 0 < len(wrapped) <= 64
        assert watched.hook.foreign.met == {"other": False}
    assert {vars(owner)["submit"] for owner in made} == {submit}
    del made, wrapped, watched
    gc.collect()  # other tests look at all classes that there are


def test_jobs_that_never_end_are_bounded(watched):
    """A future that nobody finishes does not stay for ever, with thousands of its like."""

    class Forgetful(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            return Future()

    executor = Forgetful()
    for _ in range(10_100):
        executor.submit(double, 1)
    (pool,) = watched.hook.pools
    assert pool.busy() == 10_000
    pool.clear()


# --- what is said ---


def test_executors_are_spoken_of_once_they_are_met() -> None:
    """By class: timed as a whole, or not at all."""
    found = {each.subject: each.seen for each in coverage(executors={"shop.Pool": True, "shop.Odd": False})}
    assert found["executors of shop.Pool"] == "partial"
    assert found["executors of shop.Odd"] == "blind"
    assert not [each for each in coverage() if each.subject.startswith("executors")]


@pytest.mark.parametrize(
    ("module", "subject"),
    [("anyio.to_process", "AnyIO worker processes"), ("multiprocessing.pool", "multiprocessing pools")],
)
def test_processes_that_are_no_executor_are_spoken_of_where_they_are_imported(module: str, subject: str) -> None:
    """What they belong to does not import them, so who does uses them."""
    (known,) = (each for each in coverage(modules=(module,)) if each.subject == subject)
    assert known.seen == "blind" and "no executor" in known.detail
    assert known not in coverage(modules=(module.rpartition(".")[0],))


def test_a_watch_counts_the_jobs_of_any_executor_and_says_how(events):
    """They are in the snapshot, under the name of their class; a pool of processes is no entry while there is none."""
    with loopwatch.install(reporters=[events], prometheus=False) as watch:
        assert {each.seen for each in watch.snapshot().coverage if "pools" in each.subject} == {"exact"}
        assert Inline().submit(double, 1).result() == 2
        now = watch.snapshot()
    (stats,) = (stats for stats in now.executors if stats.name == "Inline")
    assert (stats.kind, dict(stats.outcomes), stats.workers, stats.busy) == ("other", {"completed": 1}, 0, 0)
    assert [each.seen for each in now.coverage if each.subject == f"executors of {name(Inline)}"] == ["partial"]
    assert events.events == []
