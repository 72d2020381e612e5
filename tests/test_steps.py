"""The stopwatch: what it counts, to which bucket it counts it, and that it lets everything through."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwatch.metrics import STEP_BOUNDS, TURN_BOUNDS
from loopwatch.observe.steps import NEVER, QUICK
from loopwatch.testing import FakeClock
from tests.implementations import NAMES, implementation

ON_THE_BOUNDS = [*STEP_BOUNDS, *(math.nextafter(bound, 99) for bound in STEP_BOUNDS)]
durations = st.lists(st.one_of(st.floats(0, 60), st.sampled_from(ON_THE_BOUNDS)), max_size=30)


Stopwatch: Any
Noted: Any
make_run: Any
make_select: Any


@pytest.fixture(scope="module", autouse=True, params=NAMES)
def _each_implementation(request: pytest.FixtureRequest) -> None:
    """Every test of this file is run with each of the stopwatches."""
    global Stopwatch, Noted, make_run, make_select
    chosen = implementation(request.param)
    Stopwatch, make_run, make_select = chosen.Stopwatch, chosen.make_run, chosen.make_select
    Noted = type("Noted", (Noting, Stopwatch), {})


class Noting:
    """A stopwatch that keeps what its slow paths are told."""

    mark: float
    turn: float

    def __init__(self, pending: bool = False) -> None:
        super().__init__()
        self.told: list[tuple[Any, ...]] = []
        self.pending = pending

    def slow_step(self, handle: Any, now: float) -> None:
        super().slow_step(handle, now)  # type: ignore[misc]
        self.told.append(("step", handle, self.mark, now))

    def slow_turn(self, ended: float) -> bool:
        super().slow_turn(ended)  # type: ignore[misc]
        self.told.append(("turn", self.turn, ended))
        return self.pending

    def counted(self, events: Any) -> None:
        self.told.append(("counted", events))


class Loop:
    """What a handle needs of a loop: room for a stopwatch."""

    _loopwatch: Any


class Handle:
    """A handle whose run takes some of the clock's time."""

    def __init__(self, clock: FakeClock, seconds: float = 0.0, error: BaseException | None = None) -> None:
        self._loop: Any = Loop()
        self.clock = clock
        self.seconds = seconds
        self.error = error
        self.ran = 0

    def run(self) -> None:
        self.ran += 1
        self.clock.advance(self.seconds)
        if self.error is not None:
            raise self.error


class Alarm:
    asleep = False
    woken = 0

    def wake(self) -> None:
        self.woken += 1


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def watched(clock: FakeClock, state: Any) -> Callable[[Handle], None]:
    """The run of a handle, timed by ``state``, which begins now."""
    state.mark = state.turn = clock()
    run = make_run(Handle.run, lambda handle: state, clock)

    def of(handle: Handle) -> None:
        handle._loop._loopwatch = state
        run(handle)

    return of


def cumulated(quick: int, counts: list[int]) -> list[int]:
    return list(accumulate([quick + counts[0], *counts[1:]]))


@given(durations)
def test_steps_are_counted_as_le(seconds: list[float]) -> None:
    """Summed up to a bound, the counts are the number of steps that took as long as it or less; +Inf holds all."""
    state = Stopwatch()
    run = make_run(Handle.run, lambda handle: state, clock := FakeClock(0.0))
    for each in seconds:
        clock.now = 0.0
        state.mark = 0.0
        handle = Handle(clock, each)
        handle._loop._loopwatch = state
        run(handle)
    assert cumulated(state.quick, state.step_counts) == [
        sum(each <= bound for each in seconds) for bound in (*STEP_BOUNDS, math.inf)
    ]


@given(durations, st.booleans())
def test_turns_are_counted_as_le(seconds: list[float], waits: bool) -> None:
    """Likewise for turns, whether the poll that ends them waits or not."""
    state = Stopwatch()
    select = make_select(state, lambda timeout: [], Alarm(), clock := FakeClock(0.0))
    for each in seconds:
        clock.now = state.mark = each
        state.turn = 0.0
        select(1 if waits else 0)
    assert cumulated(state.quick_turns, state.turn_counts) == [
        sum(each <= bound for each in seconds) for bound in (*TURN_BOUNDS, math.inf)
    ]


def test_a_new_stopwatch_stands_still() -> None:
    """Nothing runs, and nothing was counted."""
    state = Stopwatch()
    assert (state.mark, state.turn, state.handle, state.idle) == (NEVER, NEVER, None, 0)
    assert (state.quick, state.quick_turns, sum(state.step_counts), sum(state.turn_counts)) == (0, 0, 0, 0)


def test_steps_tile_the_turn(clock: FakeClock) -> None:
    """Each step begins where the one before it ended, so no time between them is lost."""
    state = Noted()
    run = watched(clock, state)
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
    run = watched(clock, state)
    with pytest.raises(type(error)) as caught:
        run(Handle(clock, seconds, error))
    assert caught.value is error
    assert caught.value.__context__ is None
    assert (state.quick, len(state.told)) == ((1, 0) if seconds == 0 else (0, 1))
    assert state.mark == clock()


def test_what_runs_is_published(clock: FakeClock) -> None:
    """While a handle runs, another thread finds it, and the time at which it began, in the stopwatch."""
    state = Stopwatch()
    run = watched(clock, state)
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
    run = watched(clock, state)
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

    run = watched(clock, Broken())
    run(Handle(clock, 1.0))
    with pytest.raises(SystemExit):
        run(Handle(clock, 1.0, SystemExit()))


# --- the poll ----------------------------------------------------------------------------------


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
    run, select = watched(clock, state), polled(clock, state, selector)
    began = clock()
    for _ in range(3):
        run(Handle(clock, 0.1))
    select(None)
    assert state.told[-1] == ("turn", began, pytest.approx(began + 0.3))
    assert state.turn == state.mark == clock() == pytest.approx(began + 2.3)


def test_a_poll_that_does_not_wait_ends_the_turn_with_its_last_step(clock: FakeClock) -> None:
    """There the clock is not read: the end of the last step stands for it."""
    state = Noted()
    run, select = watched(clock, state), polled(clock, state, Selector(clock))
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
    run, select = watched(clock, state), polled(clock, state, Selector(clock, events=[object()]))
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
    run, select = watched(clock, state), polled(clock, state, selector)
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
    run, select = watched(clock, state), polled(clock, state, selector)
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


def test_quick_is_the_lowest_bound() -> None:
    """What is counted without looking belongs to the first bucket of both histograms."""
    assert min(STEP_BOUNDS[0], TURN_BOUNDS[0]) == QUICK
