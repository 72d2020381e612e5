"""A watched pool does what it did: frames, errors, arguments, contexts, callbacks."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import os
import sys
import threading
import traceback
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.thread import BrokenThreadPool
from typing import Any

import pytest

from tests.chores import double, fail
from tests.executing import SOON, Gate, target


def frames_of(error: BaseException) -> list[str]:
    return [frame.filename for frame in traceback.extract_tb(error.__traceback__)]


def test_no_frame_of_ours_stands_in_a_traceback(watched):
    """Neither the worker nor who awaits or asks for the result sees anything of the watch."""

    async def awaiting() -> BaseException:
        try:
            await asyncio.to_thread(fail)
        except LookupError as error:
            return error
        raise AssertionError

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(fail).exception()
        assert asked is not None
    for error in (asked, asyncio.run(awaiting())):
        assert frames_of(error)[-1] == fail.__code__.co_filename
        assert not any(os.sep + "loopwatch" + os.sep + "observe" in file for file in frames_of(error))
    watched.jobs(2)


def test_no_frame_of_ours_stands_in_a_workers_stack(watched):
    """While a job runs, its thread shows what it would show unwatched."""

    def stack() -> list[str]:
        return [frame.filename for frame in traceback.extract_stack()]

    with ThreadPoolExecutor(1) as pool:
        assert not any(os.sep + "observe" + os.sep in file for file in pool.submit(stack).result())
        watched.job()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()])
def test_what_a_job_raises_arrives_unchanged(watched, error):
    """The very same object, also when it is no Exception."""

    def raising() -> None:
        raise error

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(raising).exception() is error
        assert watched.job().outcome == "failed"


def test_arguments_and_results_pass_through(watched):
    """Positional and keyword arguments, also called self and fn, and the result itself."""
    given = object()

    def echo(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(echo, given, self=1, fn=2).result() == ((given,), {"self": 1, "fn": 2})
        watched.job()


def test_context_variables_reach_the_worker(watched):
    """to_thread copies the context; a plain submit does not, as ever."""
    variable = contextvars.ContextVar("variable", default="default")

    async def main() -> tuple[str, str]:
        variable.set("of the task")
        return await asyncio.to_thread(variable.get), await asyncio.wrap_future(pool.submit(variable.get))

    with ThreadPoolExecutor(1) as pool:
        unwatched = "of the task" if getattr(sys.flags, "thread_inherit_context", 0) else "default"
        assert asyncio.run(main()) == ("of the task", unwatched)
    watched.jobs(2)


def test_callbacks_of_the_application_run_in_their_order(watched):
    """Ours is one of them, and passes no error and no result on."""
    gate = Gate()
    called: list[tuple[int, Any]] = []

    def note(number: int, done: Future[Any]) -> None:
        called.append((number, done.result()))

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(gate.hold, 5)
        for number in range(3):
            future.add_done_callback(functools.partial(note, number))
        gate.opened.set()
    assert called == [(0, 5), (1, 5), (2, 5)]
    watched.job()


def test_a_submit_after_shutdown_raises_the_same_error(watched):
    """The error is the pool's own, and no job is left behind."""
    pool = ThreadPoolExecutor(1)
    pool.submit(double, 1).result()
    pool.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        pool.submit(double, 1)
    watched.job()
    assert watched.quiet()


def test_wrong_calls_of_submit_raise_as_ever(watched):
    """A submit without a function is a TypeError, and leaves no job."""
    with ThreadPoolExecutor(1) as pool, pytest.raises(TypeError):
        pool.submit()  # type: ignore[call-arg]
    assert watched.hook.ended() == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_pool_whose_initializer_fails_leaves_no_job_behind(watched, caplog):
    """Its jobs fail without having started, and it takes no more."""
    with ThreadPoolExecutor(1, initializer=fail) as pool:
        with pytest.raises(BrokenThreadPool):
            pool.submit(double, 1).result(SOON)
        with pytest.raises(BrokenThreadPool):
            pool.submit(double, 1)
        job = watched.job()
    assert (job.outcome, job.started) == ("failed", None)


def test_a_pool_that_cannot_start_a_thread_leaves_no_job_behind(watched, monkeypatch):
    """submit raises, though the job is queued: whether it runs later or not, it is not counted."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with ThreadPoolExecutor(1) as pool:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                pool.submit(double, 1)
        assert watched.quiet()
        pool.submit(double, 1).result()
        assert target(watched.job()) == "double"
    assert watched.hook.ended() == []


def test_the_functions_look_like_those_they_replace(watched):
    """Name, signature, docstring and module are those of the class's own."""
    for owner, name in ((ThreadPoolExecutor, "submit"), (ProcessPoolExecutor, "submit"), (Future, "cancel")):
        function = vars(owner)[name]
        original = function.__wrapped__
        assert (function.__name__, function.__qualname__, function.__doc__, function.__module__) == (
            original.__name__,
            original.__qualname__,
            original.__doc__,
            original.__module__,
        )
        assert inspect.signature(function) == inspect.signature(original)
