"""Which steps and turns of a loop are written down as overruns, and with what."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from loopwatch import _compat
from loopwatch.observe.loops.loop_state import LoopState
from loopwatch.observe.loops.polls import waiting
from loopwatch.observe.stopwatch.steps import QUICK
from tests.bench import about
from tests.state_bench import KINDS, THRESHOLD, bench

pytestmark = pytest.mark.usefixtures("plain_loops")


# --- steps -------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("over", [-1e-9, 0.0, 0.01])
def test_a_step_is_held_from_the_threshold_on(entry: bool, over: float) -> None:
    """At least the threshold is an overrun, less is none; it is told once, at the next poll."""
    b = bench(entry)
    b.clock.now = 0.0  # where sums of seconds are exact
    b.begin()
    b.run(THRESHOLD + over)
    assert not b.held
    b.wait(1.0)
    b.wait(1.0)
    assert len(b.held) == (over >= 0)
    assert not b.faults


@KINDS
def test_an_overrun_says_what_and_when(entry: bool) -> None:
    """The facts of a step: its callback, its times, what waited behind it, what the loop had done before."""
    b = bench(entry)
    b.run(0.02)
    b.wait(3.0)
    b.loop._ready.extend("abc")  # made ready by the step itself, for all that is known
    b.events = ["event", "event"]
    began = b.clock()
    b.run(0.3)
    for _ in range(3):
        b.run(0.0)
    b.wait(1.0)
    (held,) = b.held
    assert (held.state, held.kind, held.steps, held.contributors) == (b.state, "step", 1, ())
    assert (held.started, held.ended) == (about(began), about(began + 0.3))
    assert held.handle.callback.endswith("Handle.rest")
    assert held.delayed == 5
    assert held.active == about(0.02)
    assert held.cpu is not None
    assert (held.switches is not None) is _compat.LINUX
    assert held.base is b.state.base


@KINDS
def test_each_step_is_one_count(entry: bool) -> None:
    """Quick, slow or held, a step is in the histogram once."""
    b = bench(entry)
    for seconds in (0.0, QUICK / 2, QUICK * 2, 0.001, 0.2, 3.0):
        b.run(seconds)
    assert b.state.steps_run() == 6
    assert b.state.steps_counted()[:3] == [2, 1, 1]
    assert sum(b.state.step_counts) == 3


def test_an_overrun_is_told_when_the_loop_ends() -> None:
    """The last steps of a run are followed by no poll."""
    b = bench()
    b.run(0.3)
    b.end()
    assert [h.kind for h in b.held] == ["step"]


def test_an_overrun_wakes_the_sampler() -> None:
    """There is something to tell."""
    b = bench()
    b.alarm.asleep = True
    b.run(0.3)
    b.select(0)
    assert b.alarm.woken == 1


def test_an_overrun_is_told_once_though_two_threads_tell_it() -> None:
    """The thread that ends the watch publishes what is left, while the loop's own does the same at its poll."""
    b = bench()

    class OtherThread:
        """Comes in between, while what waits is asked for."""

        def at_poll(self, events: bool) -> None:
            b.state.counted(())

    b.run(0.3)
    b.state.pending[0] = b.state.pending[0]._replace(victims=OtherThread())  # type: ignore[arg-type]
    b.select(0)
    assert [h.kind for h in b.held if h.kind == "step"] == ["step"]
    assert list(b.faults) == []


def test_overruns_that_make_room_for_others_are_counted() -> None:
    """Of a thousand between two looks of the sampler only so many can be kept; the first ones go, and not unsaid."""
    b = bench()
    b.state.outlets = b.state.outlets._replace(held=deque(maxlen=3))
    for _ in range(3):
        b.run(0.3)
        b.wait(1.0)
    assert b.state.lost == 0
    for _ in range(2):
        b.run(0.3)
        b.run(0.3)
        b.wait(1.0)
    assert (b.state.lost, len(b.state.outlets.held)) == (4, 3)
    b.state.outlets = b.state.outlets._replace(held=deque(maxlen=0))  # nobody watches any more
    b.run(0.3)
    b.wait(1.0)
    assert b.state.lost == 4


def test_timers_that_are_due_wait_too() -> None:
    """Those that were cancelled do not, nor those whose time has not come; many are counted up to a bound."""

    class Timer:
        def __init__(self, when: float, cancelled: bool = False) -> None:
            self._when, self._cancelled = when, cancelled

    b = bench()
    now = b.clock()
    b.loop._scheduled = [Timer(now - 3), Timer(now - 2), Timer(now - 2, True), Timer(now - 1), Timer(now + 1)]
    assert waiting(b.loop) == 3
    b.loop._scheduled = [Timer(now - 1, cancelled=True)] * 100_000
    assert waiting(b.loop) == 0
    b.loop._scheduled = [Timer(now - 1)] * 100_000
    assert 500 <= waiting(b.loop) <= 1000


def test_an_overrun_is_told_though_its_loop_cannot_be_asked() -> None:
    """A loop whose own clock fails loses the number of what waited, not the stall."""
    b = bench()

    def fail() -> float:
        raise ZeroDivisionError

    b.loop.time, b.loop._scheduled = fail, [object()]  # type: ignore[assignment]
    b.run(0.3)
    b.wait(1.0)
    assert [h.delayed for h in b.held] == [0]
    assert [type(fault) for fault in b.faults] == [ZeroDivisionError]


@pytest.mark.parametrize("events", [{1, 2}, iter([1, 2]), None, ()], ids=["set", "iterator", "none", "empty"])
def test_any_answer_of_a_selector_will_do(events: Any) -> None:
    """What waits is counted where it can be counted; the overrun is told in any case."""
    b = bench()
    b.events = events
    b.run(0.3)
    assert b.select(0) is events
    assert [h.delayed for h in b.held] == [2 if isinstance(events, set) else 0]
    assert not b.faults


# --- turns -------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("timeout", [0, None])
def test_many_steps_of_one_turn_are_one_overrun(entry: bool, timeout: float | None) -> None:
    """200 steps of 2 ms held the loop for 400 ms together: neither 200 overruns nor none."""
    b = bench(entry)
    b.wait(1.0)
    began = b.clock()
    for _ in range(200):
        b.run(0.002)
    b.select(timeout)
    (held,) = b.held
    assert (held.kind, held.steps, held.turn_seconds) == ("turn", 200, about(0.4))
    assert (held.started, held.ended) == (about(began), about(began + 0.4))
    ((name, steps, seconds, code),) = held.contributors
    assert (name.rpartition(".")[2], steps, seconds) == ("rest", 200, about(0.4))
    assert code is not None and code.co_name == "rest"


@KINDS
def test_quick_steps_can_fill_a_turn(entry: bool) -> None:
    """Steps too short to be looked at are counted all the same."""
    b = bench(entry)
    for seconds in (0.00006, 0.0002):
        b.held.clear()
        b.wait(1.0)
        for _ in range(1000):
            b.run(seconds)
        b.wait(1.0)
        (held,) = b.held
        assert (held.kind, held.steps, held.contributors) == ("turn", 1000, ())
        assert held.ended - held.started == about(1000 * seconds)


@KINDS
def test_short_steps_leave_the_contributors_of_their_turn_alone(entry: bool) -> None:
    """Of a turn of many steps those that are worth a name have it, and all are counted."""
    b = bench(entry)
    b.wait(1.0)
    for _ in range(100):
        b.run(0.0)
        b.run(0.0003)
        b.run(0.0007)
    b.wait(1.0)
    (held,) = b.held
    assert (held.kind, held.steps, held.turn_seconds) == ("turn", 300, about(0.1))
    ((name, steps, seconds, _),) = held.contributors
    assert (name.rpartition(".")[2], steps, seconds) == ("rest", 100, about(0.07))


@KINDS
@pytest.mark.parametrize("threshold", [0.0003, QUICK / 2])
def test_a_low_threshold_is_kept_exactly(entry: bool, threshold: float) -> None:
    """However low it is, whatever is longer than quick is judged by it, and by nothing else."""
    b = bench(entry, threshold=threshold)
    for seconds in (0.00011, 0.00025, 0.00031, 0.00045):
        b.run(seconds)
        b.wait(1.0)
    judged = [each for each in (0.00011, 0.00025, 0.00031, 0.00045) if each >= threshold]
    assert [(h.kind, h.ended - h.started) for h in b.held] == [("step", about(each)) for each in judged]
    assert b.state.steps_counted()[:2] == [0, 4]


@KINDS
def test_steps_of_several_turns_are_no_overrun(entry: bool) -> None:
    """Whoever lets the loop poll between short steps holds nobody up."""
    b = bench(entry)
    for _ in range(100):
        b.run(0.005)
        b.select(0)
    b.end()
    assert not b.held
    assert sum(b.state.turns_counted()) == about(101, 1)


@KINDS
def test_a_stall_is_not_a_part_of_another(entry: bool) -> None:
    """A step that is a stall of its own is in none of the numbers of its turn but the turn's whole length."""
    b = bench(entry)
    b.wait(1.0)
    b.run(0.1)
    b.run(0.01)
    b.wait(1.0)
    assert [(h.kind, h.steps) for h in b.held] == [("step", 1)]
    b.held.clear()
    for _ in range(30):
        b.run(0.002)
    b.run(0.1)
    b.wait(1.0)
    assert [(h.kind, h.steps, h.ended - h.started) for h in b.held] == [
        ("step", 1, about(0.1)),
        ("turn", 30, about(0.06)),
    ]
    assert b.held[1].turn_seconds == about(0.16)
    assert [(c.steps, c.seconds) for c in b.held[1].contributors] == [(30, about(0.06))]


def test_the_biggest_contributors_come_first_and_are_few() -> None:
    """Ten names at most, by the time they took; what a turn has kept is forgotten with it."""
    b = bench()
    b.wait(1.0)

    def steps(names: int) -> None:
        for number in range(names):
            space: dict[str, Any] = {"advance": b.clock.advance}
            exec(f"def work_{number}(): advance(0.001 + {number} / 1e5)", space)
            b.run(space[f"work_{number}"])

    steps(100)
    assert len(b.state.noted) <= 65
    b.wait(1.0)
    (held,) = b.held
    assert len(held.contributors) == 10
    assert [c.seconds for c in held.contributors] == sorted((c.seconds for c in held.contributors), reverse=True)
    assert held.contributors[0].name == "other callbacks"
    assert held.contributors[0].steps == 100 - 64
    assert not b.state.noted


def test_one_step_and_its_end_are_named_for_it() -> None:
    """Where a turn has one step, it is that step's, though it took less than the threshold itself."""
    b = bench()
    b.wait(1.0)
    b.run(0.03)
    b.clock.advance(0.03)  # the end of what the callback had kept alive
    b.wait(1.0)
    (held,) = b.held
    assert (held.kind, held.steps) == ("turn", 1)
    assert held.handle.callback.endswith("rest")


@pytest.mark.parametrize("steps", [[], [0.0], [0.0003]], ids=["none", "a quick one", "a brief one"])
def test_a_turn_without_steps_of_note_names_nobody(steps: list[float]) -> None:
    """What the loop does between its callbacks is none of theirs; one that took no time is not many."""
    b = bench()
    b.wait(1.0)
    for seconds in steps:
        b.run(seconds)
    b.clock.advance(0.2)
    b.wait(1.0)
    (held,) = b.held
    assert (held.kind, held.steps, held.handle.callback) == ("turn", len(steps), "the loop between its callbacks")


@KINDS
def test_the_last_turn_of_a_run_is_judged(entry: bool) -> None:
    """Though no poll ends it."""
    b = bench(entry)
    for _ in range(100):
        b.run(0.001)
    b.end()
    assert [(h.kind, h.steps) for h in b.held] == [("turn", 100)]


# --- loops that are not what they were ---------------------------------------------------------


def test_a_step_is_not_believed_when_the_loop_has_another_selector() -> None:
    """A poll may lie in it that nobody saw: it is counted, and told as nothing."""
    b = bench()
    b.trusted = False
    b.loop._selector = object()
    b.run(0.3)
    assert b.adapted == [b.state]
    b.loop._selector = None
    b.wait(1.0)
    assert not b.held
    assert (b.state.quick, sum(b.state.step_counts)) == (1, 0)


def test_what_ran_before_a_step_that_is_not_believed_is_no_part_of_its_turn() -> None:
    """The turn begins anew with the step's end: with its time, the steps before it and the stalls among them go."""
    b = bench()
    b.trusted = False
    b.wait(1.0)
    for seconds in (0.0, 0.0003, 0.002, 0.1):
        b.run(seconds)
    b.loop._selector = object()
    b.run(0.3)
    b.loop._selector = None
    b.held.clear()
    for _ in range(30):
        b.run(0.002)
    b.wait(1.0)
    (held,) = [held for held in b.held if held.kind == "turn"]
    assert (held.steps, held.ended - held.started, held.turn_seconds) == (30, about(0.06), about(0.06))
    assert [(each.steps, each.seconds) for each in held.contributors] == [(30, about(0.06))]
    assert sum(b.state.steps_counted()) == 35


def test_a_loop_that_begins_to_turn_in_its_own_way_is_noticed() -> None:
    """At the first step that is not quick; whether that step is believed is for others to say."""
    b = bench()
    b.loop.odd = True  # type: ignore[attr-defined]
    b.run(0.0)
    assert not b.adapted
    b.run(0.3)
    assert b.adapted == [b.state]
    assert len(b.state.pending) == 1


def test_a_fault_in_judging_stays_within() -> None:
    """It is kept to be told, and the loop goes on."""
    b = bench()

    def fail(state: LoopState) -> bool:
        raise ZeroDivisionError

    b.state.outlets = b.state.outlets._replace(adapt=fail)
    b.loop.odd = True  # type: ignore[attr-defined]
    b.run(0.3)
    assert [type(fault) for fault in b.faults] == [ZeroDivisionError]
