"""How lookups share libuv's threads, as far as their loops can tell, by a clock that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from loopwatch.explain.backlog import explain_backlog
from loopwatch.explain.culprit import OwnCode
from loopwatch.facts import Congestion
from loopwatch.observe.jobs import job as jobs
from loopwatch.observe.looks import pools
from loopwatch.observe.looks.pools import PoolWatch
from loopwatch.observe.stopwatch.steps import NEVER
from loopwatch.observe.uvloops import libuv_pool, lookup_methods
from loopwatch.observe.uvloops.libuv_pool import LibuvPool, LookupJob
from loopwatch.observe.uvloops.lookup_methods import LookupHook
from loopwatch.report.text import render
from loopwatch.testing import FakeClock
from tests.made_pools import LOOK, WAIT, Hook, World


class Loop:
    """As much of a loop as is asked for; ``held`` is since when it is, if so."""

    def __init__(self) -> None:
        self._loopwatch = self
        self.held = NEVER
        self.closed = False
        self.running = True

    def marks(self) -> tuple[float, float]:
        return (self.held, self.held)

    def is_closed(self) -> bool:
        return self.closed

    def is_running(self) -> bool:
        return self.running


class Future:
    """Likewise of a future, on which a lookup is told of its end."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._state = "PENDING"
        self._exception: BaseException | None = None


class Lookups(World):
    """libuv's pool, which makes two lookups at a time, under a watch that looks at it."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.hook = Hook()
        self.told: list[Congestion] = []
        self.watch = PoolWatch(self.hook, WAIT, self.told.append)  # type: ignore[arg-type]
        self.lane = self.make_lane("uvloop.loop.Loop.getaddrinfo")
        self.loop = Loop()
        self.pool: LibuvPool = LibuvPool(self, {})
        self.lookups = LookupHook(SimpleNamespace(finished=self.hook.finished, pools=self.hook.pools, alarm=self))  # type: ignore[arg-type]
        self.lookups._pool = self.pool
        self.asleep = False
        self.futures: dict[LookupJob, Future] = {}

    def look_up(self, loop: Loop | None = None) -> LookupJob:
        future = Future(loop or self.loop)
        job = self.lookups.begin(self.pool, self.lane, future, self.clock())
        assert job is not None
        self.futures[job] = future
        return job

    def found(self, *over: LookupJob) -> None:
        """Their loop learns of the end."""
        for job in over:
            self.futures[job]._state = "FINISHED"
            job.came_back()
        self.drain()

    def states(self) -> list[str]:
        return ["runs" if job in self.pool.running else "waits" for job in self.futures if job.ended is None]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lookups]:
    clock = FakeClock(1000.0)
    for module in (jobs, libuv_pool, lookup_methods):
        monkeypatch.setattr(module, "_clock", clock)
    monkeypatch.setattr(asyncio, "current_task", lambda loop: None)
    monkeypatch.setattr(pools, "clocks", SimpleNamespace(monotonic=clock, wall=lambda: clock() + 1e9))
    yield Lookups(clock)
    assert not jobs.faults


def waits(*lookups: LookupJob) -> list[Any]:
    return [None if job.started is None else round(job.started - job.submitted, 6) for job in lookups]


def test_two_are_made_at_a_time_and_the_oldest_begins_next(made: Lookups) -> None:
    """As libuv takes them from its queue."""
    one, two, three, four = (made.look_up() for _ in range(4))
    assert made.states() == ["runs", "runs", "waits", "waits"]
    made.clock.advance(0.2)
    made.found(two)
    assert made.states() == ["runs", "runs", "waits"] and three in made.pool.running
    made.clock.advance(0.1)
    made.found(one, three)
    assert waits(one, two, three, four) == [0.0, 0.0, 0.2, 0.3]
    assert (two.ended, two.outcome, made.pool.busy()) == (1000.2, "completed", 1)


def test_an_order_that_was_not_assumed_is_no_wait(made: Lookups) -> None:
    """One that ends before it was thought to begin may not have waited at all."""
    *_, third = (made.look_up() for _ in range(3))
    made.clock.advance(0.2)
    made.found(third)
    assert waits(third) == [0.0] and made.states() == ["runs", "runs"]


def test_one_that_is_given_up_goes_on_until_libuv_lets_go_of_its_future(made: Lookups) -> None:
    """It keeps others from its thread for so long."""
    one, two, three = (made.look_up() for _ in range(3))
    made.futures[one]._state = "CANCELLED"
    one.came_back()
    assert made.states() == ["runs", "runs", "waits"]
    made.clock.advance(0.4)
    del made.futures[one]
    assert (one.ended, one.outcome) == (1000.4, "abandoned")
    assert waits(three) == [0.4] and two.ended is None


def test_a_queue_is_told_with_what_to_do(made: Lookups) -> None:
    """What the workers do is known without a look at them."""
    one, two, three = (made.look_up() for _ in range(3))
    made.look(0.2)
    made.found(one, two)
    made.look(1.0)
    (told,) = made.ended
    assert (told.kind, told.executor, told.workers, told.jobs) == ("libuv", "libuv", 2, 1)
    text = render(explain_backlog(told, OwnCode()))
    assert text.startswith("Libuv's pool for lookups (2 workers) had no free worker for ")
    assert "Half of libuv's threads look up names, here 2 at a time" in text and "aiodns" in text
    assert three.congested


def test_while_a_loop_is_held_no_queue_is_seen(made: Lookups) -> None:
    """What it waits for may be there: what waits then waits for the loop, and began as it was held at the latest."""
    lookups = [made.look_up() for _ in range(4)]
    made.look(0.025)
    made.loop.held = made.clock()
    made.look(0.5)
    made.loop.held = NEVER
    made.found(*lookups)
    made.look(1.0)
    assert made.told == []
    assert waits(*lookups)[:3] == [0.0, 0.0, 0.025] and waits(*lookups)[3] <= 0.025
    assert not any(job.congested for job in lookups)


def test_a_queue_is_seen_before_and_after_its_loop_is_held(made: Lookups) -> None:
    """Only the time between is not known."""
    lookups = [made.look_up() for _ in range(4)]
    made.look(0.2)
    made.loop.held = made.clock()
    made.look(0.1)
    made.loop.held = NEVER
    made.look(0.1)
    made.found(*lookups)
    made.look(1.0)
    (told,) = made.ended
    assert told.jobs == 2


def test_another_loop_that_is_free_tells_of_its_own(made: Lookups) -> None:
    """A turn that is short does not hide a queue."""
    made.look_up()
    made.look_up()
    made.look_up(Loop())
    made.loop.held = made.clock() + 0.19
    made.look(0.2)
    assert made.pool.full_since


def test_lookups_of_loops_that_are_gone_are_forgotten(made: Lookups) -> None:
    """Nobody will tell of their ends: a loop that is closed, or that nobody has run for a minute."""
    closed, stopped = Loop(), Loop()
    closed.closed, stopped.running = True, False
    one, two, three = made.look_up(closed), made.look_up(stopped), made.look_up()
    made.lookups._installed = False  # nothing is to be put in place
    made.lookups.refresh()
    assert (one.outcome, two.ended, three.ended) == ("abandoned", None, None)
    made.clock.advance(60.1)
    made.lookups.refresh()
    assert (two.outcome, three.ended) == ("abandoned", None)


def test_no_more_are_followed_than_memory_has_room_for(made: Lookups, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those beyond are not counted."""
    monkeypatch.setattr(lookup_methods, "_AT_ONCE", 3)
    for _ in range(3):
        made.look_up()
    assert made.lookups.begin(made.pool, made.lane, Future(made.loop), 0.0) is None


def test_every_look_of_the_watch_is_short_of_a_loop_that_is_held() -> None:
    """What is taken for held is longer than one look, and shorter than what may wait."""
    assert LOOK < libuv_pool._HELD < WAIT
