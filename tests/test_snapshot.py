"""Loops become immutable numbers: by name, bounded, and never backwards."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import loopwatch
from loopwatch.metrics import STEP_BOUNDS, TURN_BOUNDS
from loopwatch.model import LoopStats, Stall
from loopwatch.record.recorder import Recorder
from loopwatch.record.snapshot import LoopTotals


class Loop:
    """A loop, made up."""

    def __init__(self, ready: int = 0, tasks: int = 0) -> None:
        self._ready = [None] * ready
        self.tasks = tasks
        self.closed = False

    def is_closed(self) -> bool:
        return self.closed


@dataclass(eq=False)
class State:
    """What is known of a loop, made up: it ran since ``run_started``, was ``idle``, and runs a step since ``mark``."""

    name: str = "main"
    quick: int = 0
    quick_turns: int = 0
    tells_of_steps: bool = True
    idle: float = 0.0
    ran: float = 0.0
    run_started: float = inf
    mark: float = inf
    turn: float = inf
    lost: int = 0
    step_counts: list[int] = field(default_factory=lambda: [0] * (len(STEP_BOUNDS) + 1))
    turn_counts: list[int] = field(default_factory=lambda: [0] * (len(TURN_BOUNDS) + 1))
    lives: Loop | None = field(default_factory=Loop)

    def loop(self) -> Loop | None:
        return self.lives

    def steps_counted(self) -> list[int]:
        return [self.quick + self.step_counts[0], *self.step_counts[1:]]

    def turns_counted(self) -> list[int]:
        return [self.quick_turns + self.turn_counts[0], *self.turn_counts[1:]]

    def is_gone(self) -> bool:
        return self.lives is None or self.lives.closed

    def active(self, now: float) -> float:
        return self.ran + (now - self.run_started if self.run_started < inf else 0.0) - self.idle_now(now)

    def idle_now(self, now: float) -> float:
        waits = self.mark == inf and self.run_started < inf and self.turn < now
        return self.idle + (now - self.turn if waits else 0.0)


def stats(
    totals: LoopTotals,
    *states: State,
    now: float = 100.0,
    recorder: Recorder | None = None,
    stalled: Callable[[Any, float], float] = lambda state, now: 0.0,
) -> dict[str, LoopStats]:
    found = totals.stats(states, now, recorder or Recorder(), stalled, lambda loop: int(loop.tasks))
    assert len({each.name for each in found}) == len(found)
    return {each.name: each for each in found}


def stall(loop: str, cause: Any = "cpu", duration: float = 0.2) -> Stall:
    return Stall("1", "step", duration, 0.0, loop, "MainThread", callback="tick", cause=cause)


# --- loops ---


def test_quick_steps_and_turns_are_in_the_first_bucket() -> None:
    """What was too short to be looked at is counted all the same."""
    state = State(quick=40, quick_turns=7)
    state.step_counts[0], state.step_counts[3] = 2, 5
    state.turn_counts[-1] = 1
    main = stats(LoopTotals(), state)["main"]
    assert (main.steps, main.step_duration.counts[:4]) == (47, (42, 0, 0, 5))
    assert (main.turns, main.turn_duration.counts[0], main.turn_duration.counts[-1]) == (8, 7, 1)
    assert (main.step_duration.bounds, main.turn_duration.bounds) == (STEP_BOUNDS, TURN_BOUNDS)


def test_the_step_that_runs_is_in_no_histogram_yet() -> None:
    """A histogram's sum is that of the steps it has counted; the time of the one that runs is active time."""
    state = State(run_started=90.0, idle=4.0, turn=95.0, mark=97.0, quick=3)
    main = stats(LoopTotals(), state, now=100.0)["main"]
    assert (main.active, main.idle) == (6.0, 4.0)
    assert (main.step_duration.sum, main.turn_duration.sum) == (3.0, 1.0)


def test_in_the_poll_every_step_has_been_counted() -> None:
    """Then the sums are the active time, and the poll that lasts is idle time."""
    state = State(run_started=90.0, idle=4.0, turn=97.0, quick=3)
    main = stats(LoopTotals(), state, now=100.0)["main"]
    assert (main.active, main.idle) == (3.0, 7.0)
    assert (main.step_duration.sum, main.turn_duration.sum) == (3.0, 3.0)


def test_loops_of_one_name_are_added_up() -> None:
    """The living and the gone together; what only a living loop can have is that of the living."""
    totals = LoopTotals()
    totals.retire(State(ran=10.0, idle=6.0, quick=5, lives=None))
    one = State(ran=2.0, idle=1.0, quick=3, lives=Loop(ready=2, tasks=4))
    two = State(ran=3.0, idle=2.0, quick=1, lives=Loop(ready=1, tasks=1))
    other = State("worker", ran=1.0)
    ages = {one: 0.4, two: 0.9, other: 0.0}
    found = stats(totals, one, two, other, stalled=lambda state, now: ages[state])
    main = found["main"]
    assert list(found) == ["main", "worker"]
    assert (main.alive, main.ready, main.tasks, main.stalled) == (2, 3, 5, 0.9)
    assert (main.active, main.idle, main.steps, main.step_duration.sum) == (6.0, 9.0, 9, 6.0)
    assert (found["worker"].alive, found["worker"].active) == (1, 1.0)


@pytest.mark.parametrize("lives", [None, "closed"])
def test_a_loop_that_is_over_is_not_alive(lives: str | None) -> None:
    """Between its end and the moment at which that is noticed it has its sums, and nothing else."""
    loop = Loop(ready=2, tasks=4)
    loop.closed = True
    state = State(ran=2.0, quick=3, lives=loop if lives else None)
    main = stats(LoopTotals(), state, stalled=lambda state, now: 1.0)["main"]
    assert (main.alive, main.ready, main.tasks, main.stalled, main.steps) == (0, 0, 0, 0.0, 3)


def test_a_loop_that_retires_is_counted_once() -> None:
    """Whether it is still among the living or not any more, and however often it is retired."""
    totals, state = LoopTotals(), State(ran=2.0, idle=0.5, quick=3)
    before = stats(totals, state)["main"]
    totals.retire(state)
    totals.retire(state)
    for states in ([state], []):
        after = stats(totals, *states)["main"]
        assert (after.steps, after.active, after.idle) == (before.steps, before.active, before.idle)
        assert after.alive == 0


def test_what_a_loop_lost_is_counted_once() -> None:
    """While it lives and when it is gone, also where it is among the living a moment longer."""
    totals, first, second = LoopTotals(), State(lost=3), State(lost=4)
    assert totals.lost([first, second]) == 7
    totals.retire(first)
    totals.retire(first)
    assert totals.lost([first, second]) == totals.lost([second]) == 7


@pytest.mark.parametrize(
    ("mark", "turn", "active"), [(97.0, 95.0, 3.0), (inf, 96.0, 2.0), (inf, inf, 0.0)], ids=["step", "poll", "no poll"]
)
def test_a_loop_that_runs_when_it_retires_counts_until_it_was_last_seen(
    mark: float, turn: float, active: float
) -> None:
    """Nobody knows whether it went on: its last mark is what is sure."""
    totals = LoopTotals()
    totals.retire(State(run_started=90.0, idle=4.0 if turn < inf else 0.0, mark=mark, turn=turn))
    assert stats(totals, now=1000.0)["main"].active == active


def test_a_thousand_loops_have_a_bounded_number_of_names() -> None:
    """A loop in a thread for each request makes no label for each request, and none of its steps is lost."""
    totals = LoopTotals()
    for number in range(1000):
        totals.retire(State(f"Thread-{number}", quick=1, ran=1.0, lives=None))
        totals.retire(State(quick=1, ran=1.0, lives=None))
    found = stats(totals, *[State(f"Thread-{number}", quick=1) for number in range(2000, 2010)])
    assert len(found) == 65
    assert found["main"].steps == 1000
    assert found["other"].steps == 1000 - 63 + 10
    assert sum(each.active for each in found.values()) == 2000.0


def test_a_name_that_became_other_stays_other() -> None:
    """Which loop retires first must not move the counts of a series to another one."""
    totals = LoopTotals()
    living = [State(f"Thread-{number}", quick=1) for number in range(70)]
    before = stats(totals, *living)
    totals.retire(living[68])
    totals.retire(living[3])
    after = stats(totals, *living)
    assert {name: each.steps for name, each in after.items()} == {name: each.steps for name, each in before.items()}


def test_stalls_are_told_with_their_loop() -> None:
    """By cause, and also of a loop of which nothing else is known yet."""
    recorder = Recorder()
    for each in (stall("main"), stall("main", "wait"), stall("main"), stall("new")):
        recorder.stall(each)
    found = stats(LoopTotals(), State(), recorder=recorder)
    assert {cause: each.count for cause, each in found["main"].stalls.items()} == {"cpu": 2, "wait": 1}
    assert (found["new"].stalls["cpu"].count, found["new"].alive, found["new"].steps) == (1, 0, 0)


def test_no_stall_is_lost_where_loops_and_stalls_come_in_another_order() -> None:
    """A loop that is ``other`` to one table and has a name in the next has its stalls under ``other``."""
    recorder, totals = Recorder(), LoopTotals()
    states = [State(f"Thread-{number}") for number in range(100)]
    for state in reversed(states):
        recorder.stall(stall(state.name))
    found = stats(totals, *states, recorder=recorder)
    assert sum(each.stalls["cpu"].count for each in found.values() if each.stalls) == 100
    assert sum(each.stalls["cpu"].sum for each in found.values() if each.stalls) == pytest.approx(20.0)
    assert set(found) == {f"Thread-{number}" for number in range(64)} | {"other"}


def test_sums_do_not_go_back_where_a_loop_was_read_in_between() -> None:
    """Its fields are written one after the other: a sum that seems to shrink waits until it has caught up."""
    totals, state = LoopTotals(), State(run_started=90.0, idle=4.0, mark=97.0, turn=97.0)
    before = stats(totals, state, now=100.0)["main"]
    state.idle = 6.5  # the poll is counted, and its end is not written yet
    between = stats(totals, state, now=100.0)["main"]
    assert (between.active, between.step_duration.sum) == (before.active, before.step_duration.sum)
    state.idle = 4.0
    after = stats(totals, state, now=103.0)["main"]
    assert (after.active, after.idle) == (9.0, 6.5)


events = st.lists(
    st.tuples(st.sampled_from(["step", "poll", "open", "retire", "look"]), st.integers(0, 5), st.floats(0.0, 3.0)),
    max_size=60,
)


@given(events)
def test_whatever_loops_do_no_count_and_no_sum_goes_back(happened: list[tuple[str, int, float]]) -> None:
    """Loops come, step, wait and go, in any order; each look shows at least what the one before it showed."""
    totals, now = LoopTotals(), 1000.0
    states = {0: State("main", run_started=now, mark=now, turn=now)}
    before: dict[str, tuple[float, ...]] = {}
    for what, which, seconds in happened:
        now += seconds
        state = states.get(which)
        if what == "open":
            states.setdefault(which, State(f"loop {which % 3}", run_started=now, mark=now, turn=now))
        elif state is None:
            continue
        elif what == "retire":
            totals.retire(states.pop(which))
        elif what == "poll":
            state.mark, state.turn = inf, now
        elif what == "step":
            if state.mark == inf:
                state.idle += now - state.turn
                state.turn = state.mark = now
            else:
                state.step_counts[3] += 1
                state.mark = now
        found: dict[str, tuple[float, ...]] = {
            name: (each.active, each.idle, each.steps, each.turns, each.step_duration.sum, each.turn_duration.sum)
            for name, each in stats(totals, *states.values(), now=now).items()
        }
        for name, old in before.items():
            assert all(new >= was for was, new in zip(old, found[name], strict=True))
        assert all(each[4] <= each[0] + 1e-6 and each[5] <= each[4] + 1e-6 for each in found.values())
        before = found


# --- utilization ---


def busy(active: float, idle: float) -> State:
    return State(ran=active + idle, idle=idle)


def test_utilization_is_that_of_the_last_ten_seconds() -> None:
    """What a loop did before does not count: a service that was idle all night is busy now."""
    totals, state = LoopTotals(), busy(0.0, 36_000.0)
    told = [stats(totals, state, now=now)["main"].utilization for now in (0.0,)]
    for now in range(1, 21):
        state.ran += 1.0
        if now <= 10:
            state.idle += 1.0  # ten idle seconds, then ten busy ones
        told.append(stats(totals, state, now=float(now))["main"].utilization)
    assert told[:11] == [0.0] * 11
    assert told[15] == pytest.approx(0.5)
    assert told[20] == pytest.approx(1.0)


def test_the_first_look_tells_of_all_the_time_so_far() -> None:
    """There is nothing yet from which ten seconds could be told."""
    assert stats(LoopTotals(), busy(3.0, 1.0))["main"].utilization == 0.75


def test_rare_looks_tell_of_the_time_since_the_one_before() -> None:
    """A scrape each minute tells of that minute."""
    totals, state = LoopTotals(), busy(0.0, 100.0)
    stats(totals, state, now=0.0)
    state.ran, state.idle = 160.0, 145.0
    assert stats(totals, state, now=60.0)["main"].utilization == pytest.approx(0.25)
    state.ran, state.idle = 220.0, 145.0
    assert stats(totals, state, now=120.0)["main"].utilization == pytest.approx(1.0)


def test_frequent_looks_do_not_shorten_the_window() -> None:
    """A thousand snapshots a second still tell of ten seconds, and keep little."""
    totals, state = LoopTotals(), busy(0.0, 0.0)
    for tick in range(2001):
        state.ran = tick / 100
        state.idle = min(10.0, tick / 100)
        found = stats(totals, state, now=tick / 100)["main"].utilization
        if tick == 1500:
            assert found == pytest.approx(0.5, abs=0.06)
    assert found == pytest.approx(1.0)
    assert sum(len(course._lately) for course in totals._courses.values()) <= 12


def test_time_in_which_no_loop_ran_is_neither_busy_nor_idle() -> None:
    """A loop that runs for a moment now and then is as busy as it was in these moments."""
    totals, state = LoopTotals(), busy(0.0, 0.0)
    stats(totals, state, now=0.0)
    state.ran, state.idle = 1.0, 0.2
    assert stats(totals, state, now=9.0)["main"].utilization == pytest.approx(0.8)


def test_what_is_gone_is_not_busy() -> None:
    """A loop that ended long before the first look has no utilization now."""
    totals = LoopTotals()
    totals.retire(busy(5.0, 0.0))
    assert stats(totals)["main"].utilization == 0.0


# --- all together ---


def test_numbers_that_were_told_stay_as_they_are() -> None:
    """They are frozen, ready for JSON, and what is counted later is not in them."""
    recorder, state = Recorder(), State(quick=1)
    recorder.stall(stall("main"))
    told = stats(LoopTotals(), state, recorder=recorder)["main"]
    kept = json.dumps(told.to_dict(), allow_nan=False)
    state.quick = state.step_counts[0] = state.turn_counts[2] = 50
    recorder.stall(stall("main"))
    recorder.stall(stall("main", "wait"))
    assert json.dumps(told.to_dict(), allow_nan=False) == kept
    with pytest.raises(FrozenInstanceError):
        told.steps = 2  # type: ignore[misc]


def test_loops_may_retire_while_others_read() -> None:
    """Many threads take snapshots while loops come and go: none fails, and no step is lost or counted twice."""
    totals, failures, over = LoopTotals(), [], threading.Event()

    def read() -> None:
        try:
            last = 0
            while not over.is_set():
                now = sum(each.steps for each in stats(totals).values())
                assert last <= now <= 400
                last = now
        except Exception as error:
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for thread in readers:
        thread.start()
    for number in range(400):
        totals.retire(State(f"Thread-{number}", quick=1, ran=1.0, lives=None))
    over.set()
    for thread in readers:
        thread.join()
    assert failures == []
    assert sum(each.steps for each in stats(totals).values()) == 400


@pytest.mark.realtime
def test_the_sum_of_the_steps_is_the_time_that_they_took() -> None:
    """Steps tile the active time: their sum is what they took, and a little for the work of the loop itself."""
    took: list[float] = []

    async def work() -> None:
        for _ in range(40):
            began = time.perf_counter()
            while time.perf_counter() - began < 0.002:
                pass
            took.append(time.perf_counter() - began)
            await asyncio.sleep(0.001)

    with loopwatch.install(reporters=[], prometheus=False) as watch:
        asyncio.run(work())
        (main,) = watch.snapshot().loops
    assert main.steps >= 80
    assert sum(took) <= main.step_duration.sum <= main.active + 1e-6
    assert main.turn_duration.sum == pytest.approx(main.active, abs=0.1)
    assert main.active < 2 * sum(took) + 0.2
    assert main.idle >= 40 * 0.001
