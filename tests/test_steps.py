"""The stopwatch: what it counts, to which bucket it counts it, and that it lets everything through."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwatch.metrics import STEP_BOUNDS, TURN_BOUNDS
from loopwatch.observe.stopwatch.steps import NEVER, NOTABLE, QUICK
from loopwatch.testing import FakeClock
from tests.implementations import NAMES
from tests.made_steps import Alarm, Handle, Loop, parts, watched

ON_THE_BOUNDS = [*STEP_BOUNDS, *(math.nextafter(bound, 99) for bound in STEP_BOUNDS)]
durations = st.lists(st.one_of(st.floats(0, 60), st.floats(0, 0.001), st.sampled_from(ON_THE_BOUNDS)), max_size=30)
bounds_of_slow = st.one_of(st.sampled_from((0.0, QUICK, NOTABLE)), st.floats(0, NOTABLE))
"""From where on a watch may want to be told of steps: its threshold, at most ``NOTABLE``."""


Stopwatch: Any
Noted: Any
make_run: Any
make_select: Any


@pytest.fixture(scope="module", autouse=True, params=NAMES)
def _each_implementation(request: pytest.FixtureRequest) -> None:
    """Every test of this file is run with each of the stopwatches."""
    global Stopwatch, Noted, make_run, make_select
    Stopwatch, Noted, make_run, make_select = parts(request.param)


@given(durations, bounds_of_slow)
def test_steps_are_counted_as_le(seconds: list[float], slow_from: float) -> None:
    """Summed up to a bound, the counts are the number of steps that took as long as it or less; +Inf holds all."""
    state = Stopwatch()
    state.slow_from = slow_from
    run = make_run(Handle.run, lambda handle: state, clock := FakeClock(0.0))
    for each in seconds:
        clock.now = 0.0
        state.mark = 0.0
        handle = Handle(clock, each)
        handle._loop._loopwatch = state
        run(handle)
    assert list(accumulate(state.steps_counted())) == [
        sum(each <= bound for each in seconds) for bound in (*STEP_BOUNDS, math.inf)
    ]
    assert state.steps_run() == len(seconds)


@given(durations, bounds_of_slow, st.booleans())
def test_turns_are_counted_as_le(seconds: list[float], slow_from: float, waits: bool) -> None:
    """Likewise for turns, whether the poll that ends them waits or not."""
    state = Stopwatch()
    state.slow_from = slow_from
    select = make_select(state, lambda timeout: [], Alarm(), clock := FakeClock(0.0))
    for each in seconds:
        clock.now = state.mark = each
        state.turn = 0.0
        select(1 if waits else 0)
    assert list(accumulate(state.turns_counted())) == [
        sum(each <= bound for each in seconds) for bound in (*TURN_BOUNDS, math.inf)
    ]


def test_a_new_stopwatch_stands_still() -> None:
    """Nothing runs, and nothing was counted."""
    state = Stopwatch()
    assert (state.mark, state.turn, state.handle, state.idle) == (NEVER, NEVER, None, 0)
    assert (state.steps_run(), sum(state.steps_counted()), sum(state.turns_counted())) == (0, 0, 0)


def test_steps_tile_the_turn(clock: FakeClock) -> None:
    """Each step begins where the one before it ended, so no time between them is lost."""
    state = Noted()
    run = watched(make_run, clock, state)
    began = clock()
    first, second = Handle(clock, 0.2), Handle(clock, 0.3)
    run(first)
    clock.advance(0.1)  # the loop takes the next callback from its queue
    run(second)
    assert state.told == [
        ("step", first, began, pytest.approx(began + 0.2)),
        ("step", second, pytest.approx(began + 0.2), pytest.approx(began + 0.6)),
    ]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("seconds", [0.0, 1.0], ids=["quick", "slow"])
def test_a_step_that_raises_is_timed_and_raises(clock: FakeClock, error: BaseException, seconds: float) -> None:
    """What comes out of a handle comes out unchanged, the very same object, and its time is counted."""
    state = Noted()
    run = watched(make_run, clock, state)
    with pytest.raises(type(error)) as caught:
        run(Handle(clock, seconds, error))
    assert caught.value is error
    assert caught.value.__context__ is None
    assert (state.quick, len(state.told)) == ((1, 0) if seconds == 0 else (0, 1))
    assert state.mark == clock()


def test_what_runs_is_published(clock: FakeClock) -> None:
    """While a handle runs, another thread finds it, and the time at which it began, in the stopwatch."""
    state = Stopwatch()
    run = watched(make_run, clock, state)
    began, seen = clock(), []

    class Looking(Handle):
        def run(self) -> None:
            seen.append((state.handle, state.mark))

    state_run = make_run(Looking.run, lambda handle: state, clock)
    handle = Looking(clock)
    handle._loop._loopwatch = state
    state_run(handle)
    assert seen == [(handle, began)]
    run(Handle(clock))
    assert state.handle is None  # nothing but what runs now is kept alive


@pytest.mark.parametrize("seconds", [0.0, 2 * QUICK])
def test_what_ran_ends_between_the_steps(clock: FakeClock, seconds: float) -> None:
    """Once its caller has let go of a handle nothing of it is left to end within the next step."""
    state = Stopwatch()
    run = watched(make_run, clock, state)
    ended: list[Any] = []

    class Ending(Handle):
        def __del__(self) -> None:
            ended.append(state.handle)

    run(Ending(clock, seconds))
    assert ended == [None]


class Refuses:
    """A loop that raises whatever it is asked for."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


class Agrees:
    """A loop, or a mock or proxy of one, that has an answer to every question."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args: None


class Full:
    """A loop in which another tool keeps something of its own under our name."""

    _loopwatch = 3


@pytest.mark.parametrize("kind", [Loop, Refuses, Agrees, Full], ids=lambda kind: kind.__name__)
def test_a_loop_without_a_stopwatch_is_given_one(clock: FakeClock, kind: type) -> None:
    """Whatever the loop answers when asked for its stopwatch, the handle runs, once, and is offered for adoption."""
    offered: list[Any] = []
    state = Stopwatch()

    def adopt(handle: Any) -> Any:
        offered.append(handle)
        return state

    handle = Handle(clock)
    handle._loop = kind()
    make_run(Handle.run, adopt, clock)(handle)
    assert handle.ran == 1
    assert offered == [handle]


def test_a_mocked_loop_does_no_harm(clock: FakeClock) -> None:
    """A handle of a mock runs as if nobody watched."""
    mock = pytest.importorskip("unittest.mock")
    for kind in (mock.Mock, mock.MagicMock, lambda: mock.Mock(spec=Loop)):
        handle = Handle(clock)
        handle._loop = kind()
        make_run(Handle.run, lambda handle: Stopwatch(), clock)(handle)
        assert handle.ran == 1


def test_a_fault_of_the_stopwatch_stays_within(clock: FakeClock) -> None:
    """What goes wrong in the accounting neither reaches the loop nor hides what the callback raised."""

    class Broken(Stopwatch):  # type: ignore[misc]
        def slow_step(self, handle: Any, now: float) -> None:
            raise ZeroDivisionError

    run = watched(make_run, clock, Broken())
    run(Handle(clock, 1.0))
    with pytest.raises(SystemExit):
        run(Handle(clock, 1.0, SystemExit()))


def test_quick_is_the_lowest_bound() -> None:
    """What is counted without looking belongs to the first bucket of both histograms."""
    assert min(STEP_BOUNDS[0], TURN_BOUNDS[0]) == QUICK


def test_all_that_is_brief_is_in_one_bucket() -> None:
    """What is longer than quick and not notable belongs to the second bucket of both histograms, whatever it took."""
    assert STEP_BOUNDS[:2] == TURN_BOUNDS[:2] == (QUICK, NOTABLE)


def test_what_is_brief_is_counted_and_not_told(clock: FakeClock) -> None:
    """Steps and turns that are longer than quick are told from the bound of their stopwatch on, and from none below."""
    for lasts, told in ((QUICK, False), (1.5 * QUICK, False), (2.5 * QUICK, True), (60.0, True)):
        for timeout in (0, None):
            clock.now = 0.0  # where sums of seconds are exact
            state = Noted()
            state.slow_from = 2 * QUICK
            run, select = watched(make_run, clock, state), make_select(state, lambda timeout: [], Alarm(), clock)
            run(Handle(clock, lasts))
            select(timeout)
            assert [each[0] for each in state.told] == ["step", "turn"] * told
            assert (
                (state.quick, state.brief)
                == (state.quick_turns, state.brief_turns)
                == (
                    lasts <= QUICK,
                    QUICK < lasts < 2 * QUICK,
                )
            )


@pytest.mark.parametrize("timeout", [0, None])
def test_brief_steps_of_a_turn_can_be_told(clock: FakeClock, timeout: float | None) -> None:
    """They are among the steps of the present turn that were counted only, as quick ones are."""
    state = Noted()
    state.slow_from = NOTABLE
    run, select = watched(make_run, clock, state), make_select(state, lambda timeout: [], Alarm(), clock)
    for _ in range(2):
        for seconds in (0.0, 2 * QUICK, 1.0, 3 * QUICK, 0.0):
            run(Handle(clock, seconds))
        assert state.quick - state.quick_before == 4
        select(timeout)
        assert state.quick - state.quick_before == 0
    assert (state.quick, state.brief, sum(state.step_counts)) == (4, 4, 2)
