"""Episodes of backlog, followed look by look over made-up pools and by a clock that stands still."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.made_pools import LOOK

# --- what is an episode ---


def test_a_full_pool_in_which_nobody_waits_long_is_silent(world):
    """Forty milliseconds in a queue are nobody's loss."""
    held = world.running()
    waiting = world.submit()
    world.look(0.0375)
    world.end(held[0])
    waiting.begin()
    world.end(held[1], waiting)
    world.look(1.0)
    assert world.told == []


def test_an_episode_is_one_event_with_its_numbers(world):
    """Depth is the deepest queue, waited the longest wait; the episode lasts from the first submit to the last wait."""
    held = world.running()
    waiting = [world.submit() for _ in range(3)]
    began = world.clock()
    world.look(0.2)
    world.end(*held)
    for job in waiting[:2]:
        job.begin()
    world.look(0.1)
    world.end(*waiting[:2])
    waiting[2].begin()
    world.end(waiting[2])
    world.look(1.0)
    (event,) = world.told
    assert (event.executor, event.workers, event.depth, event.jobs) == ("pool", 2, 3, 3)
    assert event.waited == pytest.approx(0.3)
    assert event.started == began and event.ended == pytest.approx(began + 0.3)
    assert event.started_at == pytest.approx(began + 1e9)
    (tally,) = event.tallies
    assert (tally.jobs, tally.waited) == (3, pytest.approx(0.2 + 0.2 + 0.3))


def test_a_burst_is_one_event_also_when_its_jobs_run_long(world):
    """Jobs that waited are counted when they begin, so that their late end makes no second event."""
    held = world.running()
    waiting = [world.submit() for _ in range(2)]
    world.look(0.5)
    world.end(*held)
    for job in waiting:
        job.begin()
    world.look(3.0)
    assert [(event.jobs, event.tallies[0].jobs) for event in world.ended] == [(2, 2)]
    world.end(*waiting)
    world.look(3.0)
    assert len(world.ended) == 1


def test_a_pool_with_a_free_worker_is_never_full(world):
    """A job that waits while a worker is free waits for the interpreter or for the host: no pool is to blame."""
    held = world.running(1)
    waiting = world.submit()
    world.look(0.5)
    waiting.begin()
    world.end(*held, waiting)
    world.look(1.0)
    assert world.told == []
    assert waiting.congested is False


def test_a_wait_between_two_looks_counts_where_a_worker_came_free_for_it(world):
    """Looks may be far apart: a job that began after another's end has waited for a worker."""
    held = world.running()
    waiting = world.submit()
    world.clock.advance(0.3)
    world.end(*held)
    waiting.begin()
    world.end(waiting)
    world.look(1.0)
    assert [(event.jobs, event.depth) for event in world.ended] == [(1, 1)]
    assert waiting.congested is True


def test_a_worker_that_was_slow_to_start_is_not_a_full_pool(world):
    """The pool is full once the job has begun, and not before."""
    slow = world.submit()
    world.look(0.1)
    slow.begin()
    other = world.submit()
    other.begin()
    behind = world.submit()
    world.look(LOOK)
    assert world.pool.full_at > slow.submitted
    assert slow.congested is False
    world.end(slow, other)
    behind.begin()
    world.end(behind)
    world.look(1.0)
    assert world.told == []


def test_a_wait_of_which_nothing_is_known_accuses_nobody(world):
    """Without a look, and without another job's end, the pool was not seen full."""
    waiting = world.submit()
    world.clock.advance(0.3)
    waiting.begin()
    world.end(waiting)
    world.look(1.0)
    assert world.told == []


def test_a_job_that_was_seen_in_a_full_pools_queue_has_waited_for_a_worker(world):
    """Also when no other job's end let it begin, but a pool that was made larger."""
    world.running()
    waiting = world.submit()
    world.look(0.2)
    waiting.begin()
    world.look(0.5)
    assert waiting.after < waiting.submitted
    assert [event.jobs for event in world.ended] == [1]


def test_who_gave_up_in_the_queue_has_waited_too(world):
    """A request that timed out in the queue is part of the backlog."""
    held = world.running()
    waiting = world.submit()
    world.look(0.1)
    world.end(waiting, outcome="cancelled")
    world.look(0.5)
    world.end(*held)
    (event,) = world.ended
    assert (event.jobs, event.tallies[0].waited) == (1, pytest.approx(0.1))


def test_a_short_pause_does_not_end_an_episode(world):
    """Bursts that follow each other within five times the wait are one episode, later ones another."""
    for pause in (0.2, 0.4, 1.0):
        held = world.running()
        waiting = world.submit()
        world.look(0.1)
        world.end(*held)
        waiting.begin()
        world.end(waiting)
        world.look(pause)
    assert [event.jobs for event in world.ended] == [2, 1]
    assert len({event.id for event in world.ended}) == 2


def test_two_pools_are_two_episodes(world):
    """Each has its own id, numbers and name."""
    other = world.make_pool("other", 1)
    held = [*world.running(), *world.running(1, pool=other)]
    waiting = [world.submit(), world.submit(pool=other), world.submit(pool=other)]
    world.look(0.2)
    world.end(*held)
    for job in waiting:
        job.begin()
    world.end(*waiting)
    world.look(0.5)
    assert sorted((event.executor, event.workers, event.jobs) for event in world.ended) == [
        ("other", 1, 2),
        ("pool", 2, 1),
    ]
    assert len({event.id for event in world.ended}) == 2


def test_a_pool_without_a_loop_is_silent(world):
    """Threads that wait for threads are their own affair."""
    held = world.running(for_loop=False)
    waiting = world.submit(for_loop=False)
    world.look(2.0)
    world.end(*held)
    waiting.begin()
    world.end(waiting)
    world.look(1.0)
    assert world.told == []


def test_one_job_of_a_loop_that_waits_is_enough(world):
    """A loop's job in a queue of others makes it a backlog, and all who wait are told."""
    held = world.running(for_loop=False)
    waiting = [world.submit(for_loop=False), world.submit(for_loop=True)]
    world.look(0.2)
    world.end(*held)
    for job in waiting:
        job.begin()
    world.end(*waiting)
    world.look(1.0)
    assert [event.jobs for event in world.ended] == [2]


def test_processes_have_backlogs(world):
    """Their jobs are timed from outside, and are told without stacks."""
    remote = world.make_pool("processes", 1, "process")
    held, waiting = (world.submit(pool=remote) for _ in range(2))
    world.look(0.2)
    done = SimpleNamespace(_state="FINISHED", _exception=None)
    held.finish(done)
    waiting.finish(done)
    world.drain()
    world.look(0.5)
    (event,) = world.ended
    assert (event.executor, event.jobs, event.depth) == ("processes", 1, 1)
    assert [(look.thread, look.frames) for look in event.holders] == [("worker of processes", ())]


# --- while it lasts ---


def test_an_episode_is_told_while_it_lasts(world):
    """At ten times the wait and at doublings, under one id, with all who wait; and once more at its end."""
    held = world.running()
    waiting = [world.submit() for _ in range(4)]
    world.look(2.5)
    ages = [event.seen - event.started for event in world.told]
    assert ages == pytest.approx([0.5, 1.0, 2.0], abs=2 * LOOK)
    assert [(event.jobs, event.ended) for event in world.told] == [(4, None)] * 3
    assert world.told[-1].waited == pytest.approx(ages[-1])
    world.end(*held)
    for job in waiting[:2]:
        job.begin()
    world.end(*waiting[:2])
    for job in waiting[2:]:
        job.begin()
    world.end(*waiting[2:])
    world.look(0.5)
    assert len(world.told) == 4 and len({event.id for event in world.told}) == 1
    assert (world.told[-1].jobs, world.told[-1].ended) == (4, pytest.approx(1002.5))


def test_a_watch_that_ends_tells_what_goes_on(world):
    """An episode in progress is told, with those who still wait."""
    world.running()
    world.submit()
    world.look(0.3)
    world.watch.close()
    (event,) = world.told
    assert event.jobs == 1 and event.waited == pytest.approx(0.3)
    assert event.ended == pytest.approx(event.started + 0.3)
    assert world.watch.episodes == {}


def test_the_time_before_the_first_long_wait_counts(world):
    """The deepest queue may have been there before anyone had waited too long."""
    held = world.running()
    waiting = [world.submit() for _ in range(50)]
    world.look(LOOK)
    for job in waiting[:40]:
        world.end(*held)
        job.begin()
        held = [job]
    held += world.running(1)
    world.look(0.1)
    world.end(*held)
    for job in waiting[40:]:
        job.begin()
        world.end(job)
    world.look(0.5)
    (event,) = world.ended
    assert event.depth >= 48
    assert event.started == 1000.0


def test_a_long_time_of_short_waits_is_no_part_of_an_episode(world):
    """Who held the workers an hour ago did not fill the queue of now."""
    early = world.make_lane("early")
    for _ in range(40):
        held = world.running(lane=early)
        waiting = world.submit()
        world.look(2 * LOOK)
        world.end(*held)
        waiting.begin()
        world.end(waiting)
    began = world.clock()
    late = world.make_lane("late")
    held = world.running(lane=late)
    waiting = world.submit()
    world.look(0.4)
    world.end(*held)
    waiting.begin()
    world.end(waiting)
    world.look(0.5)
    (event,) = world.ended
    assert event.started == began
    held_by = {tally.origin.target: tally.held for tally in event.tallies}
    assert held_by["late"] == pytest.approx(0.8, abs=0.1)
    assert held_by.get("early", 0.0) <= 0.2
