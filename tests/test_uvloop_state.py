"""What two looks at libuv's counters tell of a loop: made-up counters, a clock of its own, no real loop."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import pytest

from loopwatch.observe.looks.alarm import Alarm
from loopwatch.observe.loops.loop_state import Held, Outlets
from loopwatch.observe.resting._rest_py import Gauge
from loopwatch.observe.stopwatch.steps import NEVER
from loopwatch.observe.uvloops.uvloop_state import UvloopState
from loopwatch.testing import FakeClock

THRESHOLD = 0.125
TINY = 1e-9


class Counters:
    """As much of libuv as is asked for, and the loop whose counters these are."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.waited = 0.0
        self.began = 0
        self.polling = False
        self.closed = False

    def pointer_of(self, loop: Any) -> int:
        return 1

    def configure(self, pointer: int) -> None:
        pass

    def idle(self, pointer: int) -> float:
        assert not self.closed, "freed memory was read"
        if self.polling:  # time goes on between two calls
            self.waited += TINY
        return self.waited

    def turns(self, pointer: int) -> int:
        assert not self.closed, "freed memory was read"
        return self.began

    # --- what the loop does ---

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return self.closed

    def poll(self, seconds: float) -> None:
        """Begin to wait, or go on with it."""
        if not self.polling:
            self.began += 1
        self.polling = True
        self.waited += seconds
        self.clock.advance(seconds)

    def work(self, seconds: float) -> None:
        self.polling = False
        self.clock.advance(seconds)

    def turn(self, seconds: float) -> None:
        """A whole turn between two looks, with a poll that does not wait before it."""
        self.polling = False
        self.began += 1
        self.clock.advance(seconds)


class Watched:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.loop = Counters(self.clock)
        self.held: deque[Held] = deque(maxlen=10)
        outlets = Outlets(Alarm(), self.held, deque(), lambda state: None, self.clock)
        self.state = UvloopState(self.loop, THRESHOLD, outlets, self.loop)  # type: ignore[arg-type]
        self.state.begin(self.clock(), threading.get_ident(), "MainThread", 0)

    def told(self) -> Any:
        """Each overrun: its duration, and by how much it may be wrong."""
        return [(round(each.ended - each.started, 6), round(each.within or 0.0, 6)) for each in self.held]

    def waits_on(self) -> bool:
        gauge = self.state.gauge()
        assert gauge is not None
        waits: bool = gauge.waits_on(self.clock())
        gauge.take_back()
        return waits


def waiting() -> Watched:
    found = Watched()
    found.loop.poll(1.0)
    found.state.refresh()
    return found


@pytest.fixture
def watched() -> Watched:
    return waiting()


def test_a_loop_in_its_poll_is_not_held(watched: Watched) -> None:
    """However long it waits there."""
    for _ in range(5):
        watched.loop.poll(10.0)
        watched.state.refresh()
        assert watched.state.mark == NEVER and watched.state.at_rest(0.0)
    assert watched.told() == []


def test_when_it_woke_from_the_poll_is_known_exactly(watched: Watched) -> None:
    """Also where that was between two looks."""
    watched.loop.poll(0.02)
    watched.loop.work(0.01)
    watched.state.refresh()
    assert watched.clock() - watched.state.mark == pytest.approx(0.01, abs=1e-6)
    assert watched.state.within == 0


def test_a_stall_between_two_polls_is_timed_exactly(watched: Watched) -> None:
    """Where the loop waits before it and after it, as it does in a service that is not busy."""
    watched.loop.poll(0.02)
    watched.loop.work(0.03)
    watched.state.refresh()
    watched.loop.work(0.37)
    watched.loop.poll(0.04)
    watched.state.refresh()
    assert watched.told() == [(pytest.approx(0.4, abs=1e-5), 0)]
    assert watched.held[0].active == pytest.approx(0, abs=1e-5)
    assert watched.state.mark == NEVER


def test_less_than_the_threshold_is_no_stall(watched: Watched) -> None:
    """Of one stretch, or of many together."""
    for _ in range(20):
        watched.loop.work(0.1)
        watched.state.refresh()
        watched.loop.poll(0.01)
        watched.state.refresh()
    assert watched.told() == []


def test_a_busy_loop_is_not_held(watched: Watched) -> None:
    """Its turns are short, though it never waits."""
    for _ in range(200):
        for _ in range(5):
            watched.loop.turn(0.01)
        watched.state.refresh()
    assert watched.told() == []


def test_a_stall_among_turns_is_wrong_by_no_more_than_it_says(watched: Watched) -> None:
    """Where its beginning and its end lie between looks with turns of the usual length."""
    for usual in (0.001, 0.004):
        watched.held.clear()
        for _ in range(40):
            for _ in range(5):
                watched.loop.turn(usual)
            watched.state.refresh()
        watched.loop.turn(0.02)
        watched.state.refresh()
        watched.loop.work(0.2)
        watched.state.refresh()
        watched.loop.work(0.01)
        for _ in range(3):
            watched.loop.turn(usual)
        watched.state.refresh()
        ((duration, within),) = watched.told()
        assert abs(duration - 0.23) <= within <= 0.08


def test_a_stall_that_nobody_looked_at_is_told_all_the_same(watched: Watched) -> None:
    """As where the interpreter was held all the while: one turn, so its duration is known."""
    watched.loop.work(0.4)
    watched.loop.poll(0.01)
    watched.state.refresh()
    assert watched.told() == [(pytest.approx(0.4, abs=1e-5), 0)]


def test_of_many_turns_that_nobody_looked_at_none_is_accused(watched: Watched) -> None:
    """Four hundred milliseconds in ten turns may be ten short ones."""
    for _ in range(10):
        watched.loop.turn(0.04)
    watched.loop.poll(0.01)
    watched.state.refresh()
    assert watched.told() == []


def test_idle_time_that_libuv_forgets_is_no_work(watched: Watched) -> None:
    """It begins to count anew where a signal interrupts a poll."""
    before = watched.state.times(0.0)
    watched.loop.waited -= 0.9  # what it had waited in this poll
    watched.loop.poll(0.1)
    watched.state.refresh()
    assert watched.told() == [] and watched.state.mark == NEVER
    after = watched.state.times(0.0)
    assert after[0] == pytest.approx(before[0], abs=1e-6)
    assert after[1] - before[1] == pytest.approx(0.1, abs=1e-6)


def test_active_and_idle_time_are_all_the_time(watched: Watched) -> None:
    """Whatever it does, at every look."""
    for seconds in (0.01, 0.2, 0.03):
        watched.loop.work(seconds)
        watched.state.refresh()
        watched.loop.poll(seconds)
        watched.state.glance()
        active, idle = watched.state.times(watched.clock())
        assert active + idle == pytest.approx(watched.clock() - watched.state.run_started, abs=1e-6)
    assert active == pytest.approx(0.24, abs=1e-5)


def test_a_run_that_ends_is_judged(watched: Watched) -> None:
    """Its last stretch may have been a stall."""
    watched.loop.work(0.3)
    watched.state.end(watched.clock())
    assert watched.told() == [(pytest.approx(0.3, abs=1e-5), 0)]
    assert watched.state.ran == pytest.approx(1.3, abs=1e-5)


def test_another_loop_inside_a_step_takes_nothing_of_its_time(watched: Watched) -> None:
    """While that runs this one is neither held nor active, and what came before and after it counts together."""
    before = watched.state.times(watched.clock())
    watched.loop.work(0.05)
    watched.state.pause(watched.clock())
    for _ in range(3):
        watched.loop.work(1.0)
        watched.state.refresh()
        assert watched.state.mark == NEVER and not watched.state.holds(NEVER)
        assert sum(watched.state.times(watched.clock())) == pytest.approx(sum(before) + 0.05, abs=1e-5)
    watched.state.resume(watched.clock())
    assert watched.state.age(watched.clock()) == pytest.approx(0.05, abs=1e-5)
    assert watched.state.away == pytest.approx(3.0, abs=1e-5)
    watched.loop.work(0.1)
    watched.loop.poll(0.2)
    watched.state.refresh()
    assert watched.told() == [(pytest.approx(0.15, abs=1e-5), 0)]
    active, idle = watched.state.times(watched.clock())
    assert active - before[0] == pytest.approx(0.15, abs=1e-5)
    assert idle - before[1] == pytest.approx(0.2, abs=1e-5)
    assert watched.held[0].active == pytest.approx(before[0], abs=1e-5)


def test_what_is_closed_is_not_asked(watched: Watched) -> None:
    """Neither by a look nor by a snapshot."""
    watched.state.end(watched.clock())
    assert watched.state.before_close() == 1
    watched.loop.closed = True
    watched.state.refresh()
    watched.state.glance()
    assert not watched.state.holds(watched.state.mark)
    assert sum(watched.state.times(watched.clock())) == pytest.approx(1.0, abs=1e-5)


def test_turns_are_counted_as_libuv_counts_them(watched: Watched) -> None:
    """Those between two looks at their mean."""
    before = sum(watched.state.turn_counts)
    for _ in range(10):
        watched.loop.turn(0.001)
    watched.loop.poll(0.1)
    watched.state.refresh()
    assert sum(watched.state.turn_counts) - before == 11


def test_that_it_waits_on_is_told_by_its_idle_time_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment of work is none; more is for a look to find, as is a loop that was not seen to wait."""
    monkeypatch.setattr("loopwatch.observe.uvloops.counted_loop.make_gauge", made_gauge)
    watched = waiting()
    for _ in range(3):
        watched.loop.poll(0.1)
        assert watched.waits_on()
    watched.loop.turn(0.0001)
    watched.loop.poll(0.1)
    assert watched.waits_on()
    watched.loop.turn(0.01)
    watched.loop.poll(0.1)
    assert not watched.waits_on()
    watched.loop.work(0.01)
    watched.state.refresh()
    assert watched.state.gauge() is None
    watched.loop.poll(1.0)
    watched.state.refresh()
    assert watched.waits_on()


@pytest.mark.parametrize("over", ["end", "closed", "let go", "forked"])
def test_whose_run_is_over_is_not_asked_any_more(monkeypatch: pytest.MonkeyPatch, over: str) -> None:
    """From the very moment, also by who has begun to: its counters may be gone the next."""
    monkeypatch.setattr("loopwatch.observe.uvloops.counted_loop.make_gauge", made_gauge)
    watched = waiting()
    gauge = watched.state.gauge()
    assert gauge is not None
    if over == "end":
        watched.state.end(watched.clock())
    elif over == "let go":
        watched.state.let_go()
    elif over == "closed":
        watched.state.before_close()
    else:
        watched.state.after_fork()
        assert watched.state.gauge() is None
        return
    watched.loop.closed = True
    assert not gauge.waits_on(watched.clock())
    assert watched.state.gauge() is None


def test_a_run_of_whose_end_nobody_tells_is_asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever closes the loop may not tell of that either. Without an interpreter lock it might close meanwhile."""
    monkeypatch.setattr("loopwatch.observe.uvloops.counted_loop.make_gauge", made_gauge)
    monkeypatch.setattr("loopwatch.observe.uvloops.counted_loop._compat.gil_enabled", lambda: True)
    watched = waiting()
    watched.state.told_of_end = False
    gauge = watched.state.gauge()
    assert gauge is not None and gauge.waits_on(watched.clock())
    watched.loop.closed = True
    assert not gauge.waits_on(watched.clock())
    watched.loop.closed = False
    monkeypatch.setattr("loopwatch.observe.uvloops.counted_loop._compat.gil_enabled", lambda: False)
    assert watched.state.gauge() is None
    watched.state.told_of_end = True
    assert watched.waits_on()


def made_gauge(libuv: Any, most: float, clock: Any) -> Gauge:
    return Gauge(lambda pointer: round(libuv.idle(pointer) * 1e9), most)
