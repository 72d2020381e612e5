"""Tasks are counted from any thread, and whoever counts them never ends one."""

from __future__ import annotations

import asyncio
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import loopwatch
from loopwatch.observe.loops.task_counts import task_counts, task_ids

TASKS = [asyncio.Task, asyncio.tasks._PyTask]  # type: ignore[attr-defined]
BOTH = pytest.mark.parametrize("kind", TASKS, ids=["C", "Python"])


async def wait(event: asyncio.Event) -> None:
    await event.wait()


def run(main: Any, kind: type = asyncio.Task) -> Any:
    """Run a coroutine in a loop whose tasks are of a kind."""
    loop = asyncio.new_event_loop()
    loop.set_task_factory(lambda loop, coro, **given: kind(coro, loop=loop, **given))
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


@BOTH
def test_tasks_that_are_not_done_are_counted(kind: type) -> None:
    """Those that wait and the one that runs, not those that are done."""

    async def main() -> list[int]:
        loop, go = asyncio.get_running_loop(), asyncio.Event()
        tasks = [asyncio.ensure_future(wait(go)) for _ in range(5)]
        counts = [task_counts()(loop)]
        tasks.pop().cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        counts.append(task_counts()(loop))
        go.set()
        await asyncio.gather(*tasks)
        assert len(tasks) == 4  # done, and still there
        counts.append(task_counts()(loop))
        if kind is asyncio.Task:
            assert counts[-1] == len(asyncio.all_tasks())
        return counts

    assert run(main(), kind) == [6, 5, 1]


@BOTH
def test_tasks_are_named_by_their_ids(kind: type) -> None:
    """All that are there; to have asked keeps none."""

    async def main() -> None:
        loop, go = asyncio.get_running_loop(), asyncio.Event()
        before = task_ids([loop])
        tasks = [asyncio.ensure_future(wait(go)) for _ in range(5)]
        assert task_ids([loop]) - before == set(map(id, tasks))
        assert set(map(id, asyncio.all_tasks())) <= task_ids([loop])  # the one that runs is one of them
        assert id(None) not in before
        go.set()
        await asyncio.gather(*tasks)
        gone = [weakref.ref(task) for task in tasks]
        tasks.clear()
        await asyncio.sleep(0)
        task_ids([loop])
        assert [each() for each in gone] == [None] * 5

    run(main(), kind)


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="eager tasks are new in 3.12")
def test_an_eager_task_counts_while_it_runs_its_first_step() -> None:
    """It is kept elsewhere until then."""

    async def eager() -> int:
        return task_counts()(asyncio.get_running_loop())

    async def main() -> int:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        return await asyncio.create_task(eager())

    assert asyncio.run(main()) == 2


def test_each_loop_has_its_own() -> None:
    """Counted from the thread of another one, and a loop without tasks has none."""

    async def outer() -> tuple[int, int, int]:
        there = asyncio.new_event_loop()
        begun, counted = threading.Event(), threading.Event()

        async def inner() -> None:
            others = [asyncio.ensure_future(asyncio.sleep(30)) for _ in range(3)]
            begun.set()
            counted.wait(10)
            for other in others:
                other.cancel()

        thread = threading.Thread(target=there.run_until_complete, args=(inner(),))
        thread.start()
        assert begun.wait(10)
        empty = asyncio.new_event_loop()
        tasks = task_counts()
        counts = tasks(asyncio.get_running_loop()), tasks(there), tasks(empty)
        counted.set()
        thread.join(10)
        there.close()
        empty.close()
        return counts

    assert asyncio.run(outer()) == (1, 4, 0)


class Odd:
    """A task of another make: it tells nothing, and is hostile to whoever asks."""

    def get_loop(self) -> Any:
        raise ZeroDivisionError

    def done(self) -> bool:
        raise ZeroDivisionError

    @property
    def _loop(self) -> Any:
        raise ZeroDivisionError


def test_a_task_of_another_make_hides_no_other_and_raises_nothing() -> None:
    """What asyncio.all_tasks() would stumble over is left out, where that can be."""

    async def main() -> int:
        odd = Odd()
        asyncio.tasks._register_task(odd)  # type: ignore[arg-type]
        try:
            with pytest.raises(ZeroDivisionError):
                asyncio.all_tasks()
            return task_counts()(asyncio.get_running_loop())
        finally:
            asyncio.tasks._unregister_task(odd)  # type: ignore[arg-type]

    assert asyncio.run(main()) == (0 if sys.version_info >= (3, 14) else 1)


def counting_elsewhere(count: Callable[[Any], object], seconds: float) -> list[bool]:
    """Whether each task of a loop ended in the loop's own thread, while another thread counted them."""
    own, ended = threading.get_ident(), list[bool]()

    class Task(asyncio.Task):
        def __del__(self) -> None:
            ended.append(threading.get_ident() == own)
            super().__del__()

    async def main() -> None:
        loop, stop = asyncio.get_running_loop(), threading.Event()

        def others() -> None:
            while not stop.is_set():
                count(loop)

        thread = threading.Thread(target=others)
        thread.start()
        until = loop.time() + seconds
        while loop.time() < until:
            for _ in range(10):
                asyncio.ensure_future(asyncio.sleep(0))  # noqa: RUF006
            for _ in range(3):
                await asyncio.sleep(0)
        stop.set()
        thread.join(10)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        run(main(), Task)
    finally:
        sys.setswitchinterval(interval)
    return ended


def test_no_task_ends_in_the_thread_that_counts() -> None:
    """The last reference is never the counter's: what ends with a task ends where its loop runs."""
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        pytest.skip("without the interpreter lock a look at an object is a reference to it")
    ended = counting_elsewhere(lambda loop: task_counts()(loop), 0.5)
    assert len(ended) > 100
    assert all(ended)


def test_a_snapshot_counts_tasks_the_same_way() -> None:
    """While they come and go: the loop's tasks are told, and none of them ends elsewhere."""
    with loopwatch.install(reporters=[], prometheus=False) as watch:
        told: list[int] = []
        ended = counting_elsewhere(lambda loop: told.append(watch.snapshot().loops[0].tasks), 0.3)
    assert max(told) >= 1
    assert all(ended)
