"""Looks at workers and at queues: few, cheap, and bounded in what they keep."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from loopwatch import _compat
from loopwatch.observe.jobs.job import Job
from tests.made_pools import LOOK, World

# --- looks at workers ---


def test_a_job_that_runs_for_long_is_looked_at_ever_more_rarely(world, monkeypatch):
    """At most 16 looks are kept of a job, and their distance grows with its age."""
    monkeypatch.setattr(_compat, "kernel_activity", lambda native: "sleep")
    (job,) = world.running(1)
    looks = []
    for _ in range(800):
        world.look(LOOK)
        if job.glanced == world.clock():
            looks.append(job.glanced - job.submitted)
    assert job.glances is not None and len(job.glances) == 16
    assert looks[:4] == pytest.approx([LOOK, 2 * LOOK, 3 * LOOK, 4 * LOOK])
    assert len(looks) < 50
    assert looks[-1] - looks[-2] == pytest.approx(looks[-1] / 8, rel=0.2)


def test_no_more_than_a_few_workers_are_looked_at_at_once(world, monkeypatch):
    """Eight a look, those first that were not looked at for longest."""
    monkeypatch.setattr(_compat, "kernel_activity", lambda native: "sleep")
    wide = world.make_pool("wide", 10)
    held = world.running(10, pool=wide)
    for looked_at in (8, 10):
        world.look(LOOK)
        assert sum(bool(job.glances) for job in held) == looked_at


def test_looks_that_take_long_are_few(world, monkeypatch):
    """To ask the kernel is to wait for the interpreter: where that takes long, one worker a look is enough."""

    def wait_for_the_interpreter(native: int) -> str:
        world.clock.advance(0.04)
        return "running"

    monkeypatch.setattr(_compat, "kernel_activity", wait_for_the_interpreter)
    wide = world.make_pool("wide", 10)
    held = world.running(10, pool=wide)
    for looked_at in (1, 2, 3):
        world.look(LOOK)
        assert sum(bool(job.glances) for job in held) == looked_at


def test_a_thread_that_computes_in_python_is_known_to_without_asking(world, monkeypatch):
    """Whoever looks has the interpreter: a thread between two instructions can wait for nothing else."""
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        pytest.skip("without a GIL such a thread does not wait")
    job, begun = world.submit(), threading.Event()

    def compute() -> None:
        job.begin()
        begun.set()
        number = 0
        while not stopped:
            number += 1

    stopped: list[int] = []
    asked: list[int] = []
    monkeypatch.setattr(_compat, "kernel_activity", asked.append)
    thread = threading.Thread(target=compute)
    thread.start()
    try:
        assert begun.wait(30)
        for _ in range(200):
            world.look(LOOK)
            if job.glances:
                break
    finally:
        stopped.append(1)
        thread.join()
    assert job.glances is not None
    assert {(glance.activity, glance.at.code.co_name) for glance in job.glances if glance.at} == {("futex", "compute")}


def test_a_job_that_ends_under_the_look_leaves_none(world, monkeypatch):
    """What its worker does by then says nothing of it."""
    (job,) = world.running(1)
    monkeypatch.setattr(_compat, "kernel_activity", lambda native: world.pool.running.pop(job) or "sleep")
    world.look(LOOK)
    assert job.glances is None


def test_a_worker_whose_doing_is_not_known_leaves_no_look(world, monkeypatch):
    """Where the kernel does not tell what a thread does, there is no evidence."""
    monkeypatch.setattr(_compat, "kernel_activity", lambda native: None)
    (job,) = world.running(1)
    world.look(0.2)
    assert job.glances is None


# --- numbers and bounds ---


def test_saturated_time_is_that_of_full_pools_with_a_queue(world):
    """Neither a full pool without a queue nor a queue with a free worker counts."""
    held = world.running()
    world.look(0.5)
    assert world.watch.saturated.get("pool", 0.0) == 0.0
    waiting = world.submit()
    world.look(0.5)
    assert world.watch.saturated["pool"] == pytest.approx(0.5, abs=LOOK)
    world.end(held[0])
    world.look(0.5)
    assert world.watch.saturated["pool"] == pytest.approx(0.5, abs=LOOK)
    world.end(held[1], waiting)


def test_the_watch_is_busy_only_while_there_is_something_to_see(world):
    """A queue, an episode, or a job that has begun lately; a job that runs for long alone does not keep it awake."""
    assert not world.watch.busy()
    held = world.running()
    assert world.watch.busy()
    world.clock.advance(11.0)
    assert not world.watch.busy()
    waiting = world.submit()
    assert world.watch.busy()
    world.look(0.1)
    world.end(*held, waiting)
    assert world.watch.busy()
    world.look(0.5)
    assert not world.watch.busy()


def test_an_episode_is_bounded_in_memory(world):
    """However many lanes pass through it."""
    held = world.running()
    for number in range(2000):
        waiting = world.submit(lane=world.make_lane(f"target {number}"))
        world.clock.advance(0.06)
        world.watch.look(world.clock())
        world.end(held.pop(0))
        waiting.begin()
        held.append(waiting)
    (episode,) = world.watch.episodes.values()
    assert len(episode.tallies) <= 513
    world.watch.close()
    assert world.told[-1].jobs == 2000


def test_saturated_time_is_bounded_in_memory(world):
    """However many pools come and go, each under its own name: no second is lost, the later ones share an entry."""
    for number in range(200):
        pool = world.make_pool(f"request {number}", 1)
        held = world.running(1, pool=pool)
        waiting = world.submit(pool=pool)
        world.look(LOOK)
        world.end(*held)
        waiting.begin()
        world.end(waiting)
    saturated = world.watch.saturated
    assert len(saturated) == 65
    assert sum(saturated.values()) == pytest.approx(200 * LOOK)
    assert saturated["other"] == pytest.approx(136 * LOOK)


def test_a_look_at_a_long_queue_is_quick(world):
    """A hundred thousand waiting jobs are not looked at one by one."""
    world.running()
    for _ in range(100_000):
        world.submit()
    world.look(0.1)
    best = min(_seconds(world) for _ in range(5))
    assert best < 0.02


def _seconds(world: World) -> float:
    began = time.perf_counter()
    world.look()
    return time.perf_counter() - began


def test_each_job_is_counted_once_by_whoever_comes_first(world):
    """The sampler looks while another thread drains for a snapshot."""
    jobs_run: list[Job] = []
    world.look()

    def drain() -> None:
        for job in list(jobs_run):
            world.watch.finished(job)

    for _ in range(50):
        held = world.running()
        waiting = world.submit()
        world.look(0.06)
        world.end(*held)
        waiting.begin()
        jobs_run.append(waiting)
        drainers = [threading.Thread(target=drain) for _ in range(2)]
        for drainer in drainers:
            drainer.start()
        world.look()
        for drainer in drainers:
            drainer.join()
        world.end(waiting)
    world.watch.close()
    assert world.told[-1].jobs == 50


def test_a_fork_ends_the_episodes_of_the_parent_unseen(world):
    """The child tells nothing of them."""
    world.running()
    world.submit()
    world.look(0.2)
    world.hook.on_fork()
    world.pool.clear()
    world.look(1.0)
    assert world.told == [] and not world.watch.episodes and not world.watch.busy()
