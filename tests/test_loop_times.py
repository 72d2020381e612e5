"""When a loop runs, and for how long it was active and idle."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwatch import _compat
from loopwatch.observe.stopwatch.steps import NEVER
from tests.bench import about
from tests.state_bench import KINDS, Bench, bench, nested

pytestmark = pytest.mark.usefixtures("plain_loops")


# --- times -------------------------------------------------------------------------------------


@KINDS
def test_active_and_idle_make_up_the_whole_time(entry: bool) -> None:
    """Each moment of a run is either activity or a poll, at any time, inside of steps and polls too."""
    b = bench(entry)
    began = b.clock()
    inside: list[float] = []

    def check(*_: Any) -> list[Any]:
        inside.append(sum(b.times()) - (b.clock() - began))
        return []

    b.select = b.state.make_select(check)
    for seconds in (0.0, 0.3, 0.00001):
        b.run(seconds)
        b.run(check)
        b.clock.advance(0)
        b.select(None)
        b.select(0)
    assert len(inside) >= 9
    assert inside == [about(0)] * len(inside)
    b.end()
    assert sum(b.times()) == about(b.clock() - began)


@KINDS
def test_times_are_those_of_steps_and_polls(entry: bool) -> None:
    """Steps are activity, polls that wait are not; between runs nothing is counted."""
    b = bench(entry)
    b.run(0.3)
    b.wait(2.0)
    b.run(0.1)
    b.end()
    b.clock.advance(50)
    assert b.times() == (about(0.4), about(2.0))
    b.begin()
    b.run(0.6)
    assert b.times() == (about(1.0), about(2.0))


def test_a_poll_that_cannot_be_seen_is_the_rest_of_the_time() -> None:
    """Where only steps are seen, what is no step is idle time."""
    b = bench(entry=True, tapped=False)
    b.run(0.3)
    b.clock.advance(2)
    b.run(0.1)
    assert b.times() == (about(0.4), about(2.0))


@KINDS
@given(
    st.lists(st.tuples(st.sampled_from(["step", "wait", "look", "pause"]), st.floats(0, 3)), max_size=20),
    st.floats(0, 2),
)
def test_times_never_go_back(entry: bool, moves: list[tuple[str, float]], late: float) -> None:
    """Both are counters: they do not shrink, also for a reader whose reading of the clock is old."""
    b = bench(entry)
    before = (0.0, 0.0)
    for what, seconds in moves:
        now = b.clock() - late
        if what == "step":
            b.run(seconds)
        elif what == "wait":
            b.wait(seconds)
        elif what == "pause":
            b.run(lambda seconds=seconds: nested(b, seconds))
        after = b.state.times(now)
        assert all(new >= old - 1e-9 for new, old in zip(after, before))
        before = after


@KINDS
def test_a_nested_loop_is_neither_active_nor_idle_time(entry: bool) -> None:
    """What another loop does inside a step is its own, while it runs and afterwards."""
    b = bench(entry)
    seen = []

    def step() -> None:
        b.clock.advance(0.1)
        b.state.pause(b.clock())
        b.clock.advance(5)
        seen.append((*b.times(), b.state.mark, b.state.away))
        b.state.resume(b.clock())
        b.clock.advance(0.2)

    b.run(step)
    assert seen == [(about(0.1), 0.0, NEVER, 0.0)]
    assert b.times() == (about(0.3), 0.0)
    assert b.state.away == about(5)


@KINDS
def test_a_step_that_runs_another_loop_is_no_stall(entry: bool) -> None:
    """Only the step's own time counts: before and after the inner loop together."""
    b = bench(entry)

    def step(seconds: float) -> None:
        b.clock.advance(seconds)
        nested(b, 5)
        b.clock.advance(seconds)

    b.run(lambda: step(0.02))
    b.wait(1)
    assert not b.held
    b.run(lambda: step(0.03))
    b.wait(1)
    assert [(h.kind, h.ended - h.started) for h in b.held] == [("step", about(0.06))]
    assert sum(b.state.step_counts) == 2


def test_a_loop_run_from_within_the_poll_changes_nothing() -> None:
    """A signal handler may do so; the outer loop waits meanwhile."""
    b = bench()
    b.select = b.state.make_select(lambda timeout: nested(b, 3) or [])
    b.run(0.02)
    b.select(None)
    assert b.times() == (about(0.02), about(3))


@KINDS
def test_a_loop_that_stops_without_a_word_stands_still(entry: bool) -> None:
    """Its times end with the last thing that was seen of it, and go on from there when it runs again."""
    b = bench(entry)
    b.run(0.3)
    b.wait(1.0)
    b.run(0.2)
    b.loop.alive = False
    b.clock.advance(100)
    assert b.times() == (about(0.5), about(1.0))
    b.loop.alive = True
    b.begin()
    b.run(0.1)
    b.wait(2.0)
    assert b.times() == (about(0.6), about(3.0))
    assert [h.ended - h.started for h in b.held] == [about(each) for each in (0.3, 0.2, 0.1)]


@KINDS
def test_the_age_of_a_turn_is_what_the_loop_did_itself(entry: bool) -> None:
    """With all of its steps, without the loops that ran within them; there is none while it waits."""
    b = bench(entry)
    seen: list[float] = []

    def look() -> None:
        seen.append(b.state.age(b.clock()))

    def step() -> None:
        b.clock.advance(0.2)
        look()
        b.state.pause(b.clock())
        b.clock.advance(5)
        look()
        b.state.resume(b.clock())
        b.clock.advance(0.1)
        look()

    b.wait(1.0)
    b.run(0.3)
    b.run(step)
    assert seen == [about(0.5), about(0.5), about(0.6)]
    b.state.begin_poll(b.clock())
    b.clock.advance(1)
    assert b.state.age(b.clock()) == 0


@KINDS
def test_a_state_that_never_ran_has_no_times(entry: bool) -> None:
    """It can be asked for everything before its loop begins."""
    b = Bench(entry)
    assert b.times() == (0, 0)
    assert (b.state.base, b.state.away, b.state.run_started, b.state.age(b.clock())) == (None, 0, NEVER, 0)
    assert (b.state.name, b.state.mark, b.state.handle) == ("main", NEVER, None)


@KINDS
def test_each_run_begins_with_a_reading_of_the_thread(entry: bool) -> None:
    """What a stall is measured from: when, how long the thread had computed, how active the loop had been."""
    b = bench(entry)
    b.run(0.3)
    b.end()
    assert b.state.run_started == NEVER
    b.clock.advance(9)
    b.begin()
    assert b.state.run_started == b.clock()
    base = b.state.base
    assert base is not None
    assert (base.at, base.active, base.cpu > 0) == (b.clock(), about(0.3), True)


def test_runs_in_quick_succession_share_a_reading() -> None:
    """As the three of ``asyncio.run()``, where the loop had nothing to do; never one of another thread."""
    b = bench()
    first = b.state.base
    for seconds, shared in ((0.0005, True), (0.0015, False), (0.0015, False)):
        b.end()
        b.clock.advance(seconds)
        b.begin()
        assert (b.state.base is first) is shared
    latest = b.state.base
    b.end()
    b.state.begin(b.clock(), threading.get_ident(), "MainThread", 7)
    assert latest is not None and b.state.base is not latest


def test_a_loop_begun_by_another_thread_is_read_where_that_is_possible() -> None:
    """As when the watch is installed: the clock of the loop's thread is read from outside, or there is no reading."""

    ready, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        ready.set()
        go_on.wait(30)

    thread = threading.Thread(target=wait)
    thread.start()
    ready.wait(30)
    for native, known in ((thread.native_id or 0, _compat.LINUX), (0, False)):
        b = Bench()
        b.state.begin(b.clock(), thread.ident or 0, "other", native)
        base = b.state.base
        assert (base is not None) is known
        if base is not None:
            assert (base.at, base.active, base.queued, base.switches) == (b.clock(), 0, None, None)
            assert 0 < base.cpu < 1
    go_on.set()
    thread.join()


def test_the_main_thread_is_called_main() -> None:
    """A loop goes by the name of its thread."""
    b = bench()
    assert b.state.name == "main"
    b.end()
    b.state.begin(b.clock(), 1, "worker-3", 0)
    assert (b.state.name, b.state.ident, b.state.thread) == ("worker-3", 1, "worker-3")
