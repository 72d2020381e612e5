"""How much of its callers' time an offload explains, with real tasks and made-up jobs."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from loopwatch.observe.jobs.callers import Callers

GET = object()
PUT = object()


class World:
    """Tasks that end when they are told to, and the time that was told of them by origin."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.told: dict[int, list[float]] = {}
        self.callers = Callers(self._told)

    def _told(self, origin: Any, awaited: float, covered: float) -> None:
        assert awaited >= 0 and covered >= 0
        entry = self.told.setdefault(id(origin), [0.0, 0.0])
        entry[0] += awaited
        entry[1] += covered

    def task(self) -> asyncio.Task[Any]:
        self.loop.call_soon(self.loop.stop)
        task = self.loop.create_task(asyncio.Event().wait())
        self.loop.run_forever()
        return task

    def end(self, task: asyncio.Task[Any]) -> None:
        task.cancel()
        self.loop.run_until_complete(asyncio.wait([task]))

    def job(self, task: Any, submitted: float, ended: float | None, origin: Any = GET) -> None:
        job: Any = SimpleNamespace(task=weakref.ref(task), submitted=submitted, ended=ended)
        self.callers.finished(job, origin)

    def shares(self, origin: Any = GET) -> list[float]:
        """Awaited and covered seconds."""
        return self.told.get(id(origin), [0.0, 0.0])


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    for task in asyncio.all_tasks(world.loop):
        world.end(task)
    world.loop.close()


def test_a_task_that_does_nothing_else_is_explained_whole(world):
    """One job from the task's beginning to its end."""
    task = world.task()
    world.end(task)
    world.job(task, 10.0, 12.0)
    assert world.shares() == [2.0, 2.0]


def test_time_between_jobs_is_awaited_and_not_covered(world):
    """A task that spends half of its time elsewhere is explained by half."""
    task = world.task()
    for start in (0.0, 2.0, 4.0):
        world.job(task, start, start + 1.0)
    assert world.shares() == [5.0, 3.0]


def test_time_after_the_last_job_counts_until_the_task_ends(world):
    """It is known to the nearest look."""
    task = world.task()
    world.job(task, 0.0, 1.0)
    world.callers.look(1.5)
    assert world.shares() == [1.0, 1.0]
    world.end(task)
    world.callers.look(3.0)
    assert world.shares() == [3.0, 1.0]
    world.callers.look(9.0)
    assert world.shares() == [3.0, 1.0]


def test_a_task_that_is_gone_has_ended(world):
    """A task that nobody holds any more needs no look at its state."""
    task = world.task()
    world.job(task, 0.0, 1.0)
    world.end(task)
    del task
    gc.collect()
    world.callers.look(2.0)
    assert world.shares() == [2.0, 1.0]


def test_jobs_at_the_same_time_cover_each_moment_once(world):
    """Two jobs that a task awaits together, in either order of their ends."""
    task = world.task()
    world.job(task, 0.0, 2.0)
    world.job(task, 1.0, 3.0)
    assert world.shares() == [3.0, 3.0]
    world.job(task, 2.5, 2.8)
    assert world.shares() == [3.0, 3.0]


def test_each_origin_of_a_task_is_counted_by_itself(world):
    """What one origin explains, another does not."""
    task = world.task()
    world.job(task, 0.0, 1.0, GET)
    world.job(task, 1.0, 2.0, PUT)
    world.end(task)
    world.callers.look(2.0)
    assert world.shares(GET) == [2.0, 1.0]
    assert world.shares(PUT) == [1.0, 1.0]


def test_each_task_is_counted_by_itself(world):
    """Ten tasks that wait at the same time wait ten times."""
    for _ in range(10):
        world.job(world.task(), 0.0, 1.0)
    assert world.shares() == [10.0, 10.0]


def test_a_job_of_less_than_a_millisecond_is_not_worth_following(world):
    """Nor one whose end is not known."""
    task = world.task()
    world.job(task, 0.0, 0.0009)
    world.job(task, 0.0, None)
    assert world.told == {} and world.callers._open == {}


def test_tasks_that_never_end_are_bounded(world):
    """Of many open tasks the oldest are let go."""
    tasks = [world.task() for _ in range(600)]
    for task in tasks:
        world.job(task, 0.0, 1.0)
    assert len(world.callers._open) == 512
    assert world.shares() == [600.0, 600.0]


def test_no_task_is_kept_alive(world):
    """Tasks are followed by weak reference."""
    task = world.task()
    world.job(task, 0.0, 1.0)
    world.end(task)
    gone = weakref.ref(task)
    del task
    gc.collect()
    assert gone() is None
