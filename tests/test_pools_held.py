"""Who holds the workers of a full pool, and a pool that waits for itself."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from loopwatch.observe.jobs.job import Job
from tests.made_pools import LOOK, WAIT, World

# --- who held the workers ---


def test_workers_are_held_by_those_who_run_not_by_those_who_wait(world):
    """Two slow jobs of one lane hold both workers while twenty of another wait."""
    slow, quick = world.make_lane("slow"), world.make_lane("quick")
    held = world.running(lane=slow)
    waiting = [world.submit(lane=quick) for _ in range(20)]
    world.look(0.06)
    world.end(*held)
    for job in waiting:
        job.begin()
        world.end(job)
    world.look(0.5)
    (event,) = world.ended
    tallies = {tally.origin.target: tally for tally in event.tallies}
    assert tallies["slow"].held == pytest.approx(2 * 0.0625) and tallies["slow"].jobs == 0
    assert tallies["quick"].held <= LOOK and tallies["quick"].jobs == 20


def test_jobs_too_quick_to_be_seen_hold_workers_all_the_same(world):
    """Whoever is on a worker at a look stands for the time since the last one."""
    quick = world.make_lane("quick")
    waiting = [world.submit(lane=quick) for _ in range(40)]
    held = [waiting.pop(0), waiting.pop(0)]
    for job in held:
        job.begin()
    while waiting:
        world.look(LOOK)
        world.end(*held)
        held = [waiting.pop(0), waiting.pop(0)]
        for job in held:
            job.begin()
    world.end(*held)
    world.look(0.5)
    (event,) = world.ended
    assert event.tallies[0].held == pytest.approx(19 * 2 * LOOK)


def test_the_stacks_of_the_workers_are_kept(world):
    """Whoever runs when the episode begins is looked at: thread, how long, and where."""
    world.running()
    world.submit()
    world.look(0.3)
    world.watch.close()
    (event,) = world.told
    assert [look.thread for look in event.holders] == [threading.current_thread().name] * 2
    assert all(look.seconds == pytest.approx(WAIT) for look in event.holders)
    functions = [frame.code.co_name for frame in event.holders[0].frames]
    assert "test_the_stacks_of_the_workers_are_kept" in functions


def test_a_job_that_waited_knows_who_held_the_workers_until_then(world):
    """Shares of the workers' time. What its own kind holds later, while others wait, is no part of its wait."""
    slow, slower, quick = (world.make_lane(name) for name in ("slow", "slower", "quick"))
    held = [*world.running(1, lane=slow), *world.running(1, lane=slower)]
    waiting = [world.submit(lane=quick) for _ in range(4)]
    world.look(0.1)
    world.end(held[0])
    waiting[0].begin()
    world.look(2.0)
    world.end(held[1], waiting[0])
    first = dict(waiting[0].held_by)
    assert first[slow] == pytest.approx(0.5, abs=0.06) and first.get(quick, 0.0) < 0.1
    waiting[1].begin()
    world.look(LOOK)
    shares = dict(waiting[1].held_by)  # not the first one's, though they have waited together
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares[slower] == pytest.approx(0.5, abs=0.01) and shares[quick] == pytest.approx(2.0 / 4.2, abs=0.01)


def test_of_a_wait_in_which_nobody_looked_no_holder_is_known(world):
    """Who ran meanwhile is gone."""
    held = world.running()
    waiting = world.submit()
    world.clock.advance(0.3)
    world.end(*held)
    waiting.begin()
    world.end(waiting)
    assert waiting.congested is True and waiting.held_by == ()


# --- self-deadlock ---


class Stuck:
    """A worker that waits for a future, as after a nested submit."""

    def __init__(self) -> None:
        self.free: Any = Future()
        self.begun = threading.Event()
        self.thread: threading.Thread | None = None

    def begin(self, job: Job, wait: bool = True) -> None:
        def run() -> None:
            job.begin()
            self.begun.set()
            if wait:
                self.free.result(30)
            else:
                while not self.free.done():
                    time.sleep(0.001)

        self.thread = threading.Thread(target=run)
        self.thread.start()
        assert self.begun.wait(30)
        time.sleep(0.02)

    def end(self) -> None:
        self.free._done_callbacks.clear()  # what is made up of a job ends in the test
        if not self.free.done():
            self.free.set_result(None)
        assert self.thread is not None
        self.thread.join()


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    stuck = Stuck()
    yield stuck
    stuck.end()


def nest(world: World, outer: Job, future: Any = None) -> Job:
    """A job that the worker of ``outer`` has submitted, and got ``future`` for."""
    inner = world.submit(pool=outer.pool, for_loop=False)
    assert outer.worker is not None
    inner.submitter = outer.worker.ident
    if future is not None:
        future._done_callbacks.append(inner.finish)
    return inner


@pytest.mark.parametrize("for_loop", [True, False])
def test_a_pool_that_waits_for_itself_is_told_as_stuck(world, stuck, for_loop):
    """While it lasts, and with or without a loop: nobody else would ever notice."""
    single = world.make_pool("single", 1)
    outer = world.submit(pool=single, for_loop=for_loop)
    stuck.begin(outer)
    inner = nest(world, outer, stuck.free)
    world.look(0.6)
    (event,) = world.told
    assert (event.nested, event.progressing, event.ended, event.jobs) == (1, False, None, 1)
    assert [frame.code.co_name for frame in event.holders[0].frames][-1] == "wait"
    stuck.end()
    world.end(outer)
    inner.begin()
    world.end(inner)
    world.look(0.5)
    assert len(world.told) == 2
    assert (world.told[1].nested, world.told[1].progressing, world.told[1].id) == (1, False, event.id)


def test_a_worker_that_goes_on_after_a_nested_submit_is_not_stuck(world, stuck):
    """Who submits to its own pool and does not wait will come free."""
    single = world.make_pool("single", 1)
    outer = world.submit(pool=single)
    stuck.begin(outer, wait=False)
    nest(world, outer).for_loop = True
    world.look(0.6)
    (event,) = world.told
    assert (event.nested, event.progressing) == (1, True)


def test_a_pool_in_which_another_worker_goes_on_is_not_stuck(world, stuck):
    """The inner job's turn will come."""
    outer = world.submit()
    stuck.begin(outer)
    world.running(1)  # this very thread, which is at work
    nest(world, outer).for_loop = True
    world.look(0.6)
    (event,) = world.told
    assert (event.nested, event.progressing) == (1, True)


@pytest.mark.parametrize("for_loop", [True, False])
def test_a_nested_submit_is_no_deadlock_where_the_worker_waits_for_something_else(world, stuck, for_loop):
    """What it waits for may come from the loop. It stands still all the same, and so is told, also without a loop."""
    single = world.make_pool("single", 1)
    outer = world.submit(pool=single, for_loop=for_loop)
    stuck.begin(outer)  # for a future, but not for that of the job behind it
    nest(world, outer, Future())
    world.look(0.6)
    (event,) = world.told
    assert (event.nested, event.progressing) == (1, True)
    assert [frame.code.co_name for frame in event.holders[0].frames][-1] == "wait"


def test_a_pool_of_which_one_worker_waits_for_something_else_is_not_stuck(world, stuck):
    """That one will come free, and run the job for which the other waits."""
    other = Stuck()
    outer = world.submit()
    stuck.begin(outer)
    other.begin(world.submit())
    try:
        nest(world, outer, stuck.free).for_loop = True
        world.look(0.6)
    finally:
        other.end()
    (event,) = world.told
    assert (event.nested, event.progressing) == (1, True)


@pytest.mark.parametrize("waiting", [concurrent.futures.wait, lambda them: list(concurrent.futures.as_completed(them))])
def test_workers_that_wait_for_several_jobs_of_their_pool_are_stuck(world, waiting):
    """As for one, with ``wait()`` and with ``as_completed()``."""
    single = world.make_pool("single", 1)
    futures: list[Any] = [Future(), Future()]
    outer, begun = world.submit(pool=single), threading.Event()

    def run() -> None:
        outer.begin()
        begun.set()
        waiting(futures)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert begun.wait(30)
        time.sleep(0.02)
        for future in futures:
            nest(world, outer, future)
        world.look(0.6)
    finally:
        for future in futures:
            future._done_callbacks.clear()
            future.set_result(None)
        thread.join()
    assert [(event.nested, event.progressing) for event in world.told] == [(2, False)]


def test_workers_that_wait_for_something_else_are_not_stuck(world, stuck):
    """Only a job in the pool's own queue that a worker has submitted makes a self-deadlock."""
    single = world.make_pool("single", 1)
    stuck.begin(world.submit(pool=single))
    world.submit(pool=single)
    world.look(0.6)
    (event,) = world.told
    assert (event.nested, event.progressing) == (0, True)
