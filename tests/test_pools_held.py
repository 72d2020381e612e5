"""Who holds the workers of a full pool, and a pool that waits for itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from loopwatch.observe.jobs import Job
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


# --- self-deadlock ---


class Stuck:
    """A worker that waits for a future, as after a nested submit."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.begun = threading.Event()
        self.thread: threading.Thread | None = None

    def begin(self, job: Job, wait: bool = True) -> None:
        def run() -> None:
            job.begin()
            self.begun.set()
            if wait:
                self.free.wait(30)
            else:
                while not self.free.is_set():
                    time.sleep(0.001)

        self.thread = threading.Thread(target=run)
        self.thread.start()
        assert self.begun.wait(30)
        time.sleep(0.02)

    def end(self) -> None:
        self.free.set()
        assert self.thread is not None
        self.thread.join()


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    stuck = Stuck()
    yield stuck
    stuck.end()


def nest(world: World, outer: Job) -> Job:
    inner = world.submit(pool=outer.pool, for_loop=False)
    assert outer.worker is not None
    inner.submitter = outer.worker.ident
    return inner


@pytest.mark.parametrize("for_loop", [True, False])
def test_a_pool_that_waits_for_itself_is_told_as_stuck(world, stuck, for_loop):
    """While it lasts, and with or without a loop: nobody else would ever notice."""
    single = world.make_pool("single", 1)
    outer = world.submit(pool=single, for_loop=for_loop)
    stuck.begin(outer)
    inner = nest(world, outer)
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


def test_workers_that_wait_for_something_else_are_not_stuck(world, stuck):
    """Only a job in the pool's own queue that a worker has submitted makes a self-deadlock."""
    single = world.make_pool("single", 1)
    stuck.begin(world.submit(pool=single))
    world.submit(pool=single)
    world.look(0.6)
    (event,) = world.told
    assert (event.nested, event.progressing) == (0, True)
