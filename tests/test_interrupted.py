"""What a signal handler raises in the middle of our code arrives where it would arrive without us."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

from loopwatch.observe.jobs import executors
from loopwatch.observe.jobs.job import Pool
from tests.chores import double
from tests.executing import SOON, Gate, Watched, target, until, watching
from tests.made_jobs import KINDS, reading

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs a signal that nobody else sends")


class Timeout(Exception):
    """What an application raises to leave what takes too long."""


def timeout(signum: int, frame: Any) -> None:
    raise Timeout


@pytest.fixture(params=[Timeout, KeyboardInterrupt])
def interrupt(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """A function that is interrupted once, and its exception in ``kind``: it is to stand in the middle of ours."""
    before = signal.signal(signal.SIGUSR1, timeout)
    sent: list[int] = []

    def interrupted(*given: Any) -> Any:
        if not sent:
            sent.append(signal.SIGUSR1 if request.param is Timeout else signal.SIGINT)
            signal.raise_signal(sent[0])
        return False

    interrupted.kind = request.param  # type: ignore[attr-defined]
    yield interrupted
    signal.signal(signal.SIGUSR1, before)
    assert sent


@pytest.fixture
def watched() -> Iterator[Watched]:
    with watching() as watched:
        yield watched


def interrupted_alarm(watched: Watched, interrupt: Any) -> None:
    watched.hook.alarm = watched.alarm = type("Alarm", (), {"asleep": property(interrupt)})()


class Inline(Executor):
    """Runs each job at once."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def test_an_interrupted_submit_raises_and_leaves_no_job(watched: Watched, interrupt: Any, monkeypatch: Any) -> None:
    """Before the pool has it: nothing was submitted."""
    with ThreadPoolExecutor(1) as pool:
        with monkeypatch.context() as patch:
            patch.setattr(Pool, "_new_lane", interrupt)
            with pytest.raises(interrupt.kind):
                pool.submit(double, 1)
        assert watched.quiet()
        assert pool.submit(double, 1).result() == 2
        watched.job()


def test_a_submit_interrupted_at_its_end_raises_and_counts_no_job(interrupt: Any) -> None:
    """The pool runs what it was given, and nothing of it stays with us."""
    watched, ran = Watched(), Gate()
    ran.opened.set()
    interrupted_alarm(watched, interrupt)
    watched.hook.install()
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(interrupt.kind):
            pool.submit(ran.hold)
        assert ran.entered.acquire(timeout=SOON)
        until(watched.quiet)
        assert pool.submit(double, 1).result() == 2
        until(watched.quiet)
    watched.hook.uninstall()
    assert [target(job) for job in watched.hook.ended()][-1] == "double"
    assert list(watched.faults) == []


def test_an_interrupted_submit_of_any_executor_raises(interrupt: Any) -> None:
    """Also where a job is seen from outside only."""
    watched = Watched()
    interrupted_alarm(watched, interrupt)
    watched.hook.install()
    try:
        with pytest.raises(interrupt.kind):
            Inline().submit(double, 1)
        assert watched.quiet()
    finally:
        watched.hook.uninstall()
    assert list(watched.faults) == []


def test_an_interrupted_cancel_raises(watched: Watched, interrupt: Any, monkeypatch: Any) -> None:
    """Whoever cancels is not told False instead."""
    gate = Gate()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(gate.hold)
        assert gate.entered.acquire(timeout=SOON)
        with monkeypatch.context() as patch, pytest.raises(interrupt.kind):
            patch.setattr(executors, "_given_up", interrupt)
            future.cancel()
        gate.opened.set()
        watched.job()


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_begin_raises_and_counts_no_job(watched: Watched, interrupt: Any, kind: Any) -> None:
    """What breaks out in a worker ends the job, as it would have ended the function."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(double, 1).result()
        job = kind(watched.pool(), double, watched.job().lane, watched.hook.finished)
        with reading(_thread_cpu=interrupt), pytest.raises(interrupt.kind):
            job()


def test_an_interrupted_end_leaves_no_job(watched: Watched, interrupt: Any) -> None:
    """The callbacks of a future run in whoever cancels it."""
    gate = Gate()
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(gate.hold)
        assert gate.entered.acquire(timeout=SOON)
        waiting = pool.submit(double, 1)
        # What is an exception is told by concurrent.futures, and goes.
        with reading(_clock=interrupt), contextlib.suppress(interrupt.kind):
            waiting.cancel()
        assert not watched.pool().waiting
        gate.opened.set()
        held.result()
        assert watched.job().outcome == "completed"


# --- AnyIO ---


@pytest.mark.needs("anyio")
@pytest.mark.parametrize("interrupt", [Timeout], indirect=True)
@pytest.mark.parametrize("where", ["alarm", "_admitted", "_leave"])
def test_an_interrupted_call_of_anyio_raises_and_gives_its_token_back(
    interrupt: Any, monkeypatch: Any, where: str
) -> None:
    """Wherever it happens, no token is lost and no job stays."""
    from loopwatch.observe.jobs.limiters import ThreadJob
    from tests.anyio_jobs import Watched, anyio, in_thread

    watched = Watched()

    async def main() -> None:
        limiter = anyio.CapacityLimiter(1)
        with monkeypatch.context() as patch:
            if where == "alarm":
                patch.setattr(type(watched.alarm), "asleep", property(interrupt), raising=False)
            else:
                patch.setattr(ThreadJob, where, interrupt)
            with pytest.raises(Timeout):
                await in_thread(double, 1, limiter=limiter)
        assert limiter.borrowed_tokens == 0
        for pool in watched.executors.pools:
            assert not (pool.waiting or pool.running or pool.holding)  # type: ignore[attr-defined]
        assert await in_thread(double, 1, limiter=limiter) == 2

    watched.install()
    asyncio.run(main())
    watched.uninstall()
    assert list(watched.faults) == []
