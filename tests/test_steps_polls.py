"""The stopwatch at the poll: what is idle time, where a turn ends, and that the poll is passed through."""

from __future__ import annotations

from typing import Any

import pytest

from loopwatch.observe.stopwatch.steps import NEVER
from loopwatch.testing import FakeClock
from tests.implementations import NAMES
from tests.made_steps import Alarm, Handle, parts, watched

Stopwatch: Any
Noted: Any
make_run: Any
make_select: Any


@pytest.fixture(scope="module", autouse=True, params=NAMES)
def _each_implementation(request: pytest.FixtureRequest) -> None:
    """Every test of this file is run with each of the stopwatches."""
    global Stopwatch, Noted, make_run, make_select
    Stopwatch, Noted, make_run, make_select = parts(request.param)


class Selector:
    """A selector of which the waiting takes the clock's time, and whose answers are given."""

    def __init__(self, clock: FakeClock, seconds: float = 0.0, events: Any = ()) -> None:
        self.clock = clock
        self.seconds = seconds
        self.events = events
        self.asked: list[Any] = []

    def select(self, timeout: Any = None) -> Any:
        self.asked.append(timeout)
        self.clock.advance(0 if timeout == 0 else self.seconds)
        return self.events


def polled(clock: FakeClock, state: Any, selector: Selector, alarm: Any = None) -> Any:
    state.mark = state.turn = clock()
    return make_select(state, selector.select, alarm or Alarm(), clock)


@pytest.mark.parametrize("timeout", [None, 1.5, 0, 0.0, -1])
def test_a_poll_is_passed_through(clock: FakeClock, timeout: float | None) -> None:
    """The selector is asked once, with the timeout given, and its answer, the very object, is returned."""
    selector = Selector(clock, 0.5, [object()])
    assert polled(clock, Stopwatch(), selector)(timeout) is selector.events
    assert selector.asked == [timeout]


def test_the_timeout_may_be_left_out_or_named(clock: FakeClock) -> None:
    """As for the methods of ``selectors``."""
    selector = Selector(clock)
    select = polled(clock, Stopwatch(), selector)
    select()
    select(timeout=0)
    assert selector.asked == [None, 0]


def test_idle_is_the_time_in_the_poll(clock: FakeClock) -> None:
    """Only polls that may wait are idle time; while one lasts, ``idle`` and the clock together tell how long."""
    state = Stopwatch()
    selector = Selector(clock, 2.0)
    seen: list[Any] = []
    began: list[float] = []

    def look(timeout: Any) -> Any:
        answer = selector.select(timeout)
        seen.append((state.idle + clock() if state.idle < 0 else state.idle, state.mark))
        began.append(state.turn)
        return answer

    state.mark = state.turn = clock()
    select = make_select(state, look, Alarm(), clock)
    select(None)
    clock.advance(1)
    state.mark = active = clock()  # a step ended
    select(0)
    select(5)
    assert seen == [(pytest.approx(2.0), NEVER), (pytest.approx(2.0), active), (pytest.approx(4.0), NEVER)]
    assert state.idle == pytest.approx(4.0)
    assert began == [active - 3, active, active]  # while it waits, the turn is the poll


def test_a_poll_ends_the_turn_and_begins_the_next(clock: FakeClock) -> None:
    """A turn lasts from the end of one poll that waited to the beginning of the next."""
    state = Noted()
    selector = Selector(clock, 2.0)
    run, select = watched(make_run, clock, state), polled(clock, state, selector)
    began = clock()
    for _ in range(3):
        run(Handle(clock, 0.1))
    select(None)
    assert state.told[-1] == ("turn", began, pytest.approx(began + 0.3))
    assert state.turn == state.mark == clock() == pytest.approx(began + 2.3)


def test_a_poll_that_does_not_wait_ends_the_turn_with_its_last_step(clock: FakeClock) -> None:
    """There the clock is not read: the end of the last step stands for it."""
    state = Noted()
    run, select = watched(make_run, clock, state), polled(clock, state, Selector(clock))
    began = clock()
    run(Handle(clock, 0.1))
    select(0)
    assert state.told[-1] == ("turn", began, pytest.approx(began + 0.1))
    assert state.turn == state.mark == clock()
    assert state.idle == 0


@pytest.mark.parametrize("timeout", [0, None])
@pytest.mark.parametrize("pending", [False, True])
def test_quick_steps_of_a_turn_can_be_told(clock: FakeClock, timeout: float | None, pending: bool) -> None:
    """``quick - quick_before`` is the number of quick steps in the present turn, also after one that was held."""
    state = Noted(pending)
    run, select = watched(make_run, clock, state), polled(clock, state, Selector(clock, events=[object()]))
    for count in (3, 5):
        run(Handle(clock, 1.0))
        for _ in range(count):
            run(Handle(clock))
        assert state.quick - state.quick_before == count
        select(timeout)
        assert state.quick - state.quick_before == 0


@pytest.mark.parametrize("ready", [[object()], []], ids=["ready", "nothing"])
def test_what_waits_behind_a_held_turn_is_counted_at_once(clock: FakeClock, ready: list[object]) -> None:
    """A poll that would wait looks first, without waiting, and waits only when nothing was ready."""
    state = Noted(pending=True)
    selector = Selector(clock, 2.0, ready)
    run, select = watched(make_run, clock, state), polled(clock, state, selector)
    run(Handle(clock, 0.1))
    assert select(7.0) is ready
    assert selector.asked == ([0] if ready else [0, 7.0])
    assert state.told[-1] == ("counted", ready)
    assert state.idle == (0 if ready else pytest.approx(2.0))
    assert state.turn == state.mark == clock()


def test_what_waits_behind_a_held_turn_is_counted_by_a_poll_that_does_not_wait(clock: FakeClock) -> None:
    """There one look is enough."""
    state = Noted(pending=True)
    selector = Selector(clock, 2.0, [object()])
    run, select = watched(make_run, clock, state), polled(clock, state, selector)
    run(Handle(clock, 0.1))
    assert select(0) is selector.events
    assert selector.asked == [0]
    assert state.told[-1] == ("counted", selector.events)


@pytest.mark.parametrize("timeout", [0, None])
@pytest.mark.parametrize("error", [OSError("bad descriptor"), KeyboardInterrupt()], ids=repr)
def test_a_poll_that_raises_is_over(clock: FakeClock, error: BaseException, timeout: float | None) -> None:
    """What the selector raises comes out unchanged, and the loop is active again."""
    state = Stopwatch()

    def fail(timeout: Any) -> Any:
        clock.advance(2.0)
        raise error

    state.mark = state.turn = clock()
    with pytest.raises(type(error)) as caught:
        make_select(state, fail, Alarm(), clock)(timeout)
    assert caught.value is error
    assert state.mark != NEVER
    assert state.idle == (0 if timeout == 0 else pytest.approx(2.0))


def test_the_sampler_is_woken_after_a_wait(clock: FakeClock) -> None:
    """When it sleeps, and only then; a poll that did not wait leaves it alone."""
    alarm = Alarm()
    select = polled(clock, Stopwatch(), Selector(clock), alarm)
    select(None)
    alarm.asleep = True
    select(0)
    assert alarm.woken == 0
    select(None)
    assert alarm.woken == 1


def test_what_ran_last_is_let_go_before_the_wait(clock: FakeClock) -> None:
    """An idle loop keeps no callback alive, and what ends with it ends in the turn, not in the poll."""
    state = Stopwatch()
    ended: list[float] = []

    class Slow(Handle):
        def __del__(self) -> None:
            clock.advance(0.25)
            ended.append(state.mark)

    began = clock()
    state.mark = state.turn = began
    state.handle = Slow(clock)
    make_select(state, Selector(clock, 2.0).select, Alarm(), clock)(None)
    assert ended == [began]
    assert state.handle is None
    assert state.idle == pytest.approx(2.0)


def test_a_select_that_was_let_go_only_passes_through(clock: FakeClock) -> None:
    """From then on, the poll under way included, it writes nothing into the stopwatch."""
    state = Stopwatch()
    selector = Selector(clock, 2.0, [object()])
    select = polled(clock, state, selector)
    select.let_go()
    before = (state.mark, state.turn, state.idle, state.quick_turns)
    assert select(None) is selector.events
    assert select(0) is selector.events
    assert (state.mark, state.turn, state.idle, state.quick_turns) == before
