"""For how long the sampler rests between two looks, and that nothing which it must see falls in between."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loopwatch import _compat
from loopwatch.observe.loops.entry_state import EntryState
from loopwatch.observe.stopwatch.steps import NEVER
from tests.stage import PACE, THRESHOLD, Stage, on_stage

ASLEEP = 5.0


@pytest.fixture
def stage(stage: Stage) -> Stage:
    """Its sampler is awake."""
    stage.alarm.asleep = False
    return stage


# --- what must not fall in between -------------------------------------------------------------

Moves = list[tuple[str, float]]
"""What a loop does, in thresholds: ``turn`` is a step after a poll, ``step`` one in the same turn, ``poll`` a wait."""

moves = st.lists(
    st.tuples(st.sampled_from(["turn", "step", "poll"]), st.floats(0.0, 0.45) | st.floats(0.0, 3.0)), max_size=12
)


def live(stage: Stage, moves: Moves) -> list[tuple[float, float]]:
    """Lead the loop's life; beginning and end of each step."""
    steps = []
    stage.begin_turn()
    for what, thresholds in moves:
        if what == "poll":
            stage.poll()
            stage.live(thresholds * THRESHOLD)
            stage.end_poll()
            continue
        stage.begin_turn() if what == "turn" else stage.begin_step()
        began = stage.clock()
        stage.live(thresholds * THRESHOLD)
        steps.append((began, stage.clock()))
        if stage.clock() - began >= THRESHOLD:
            stage.held.append(stage.fact("step", began))
    stage.poll()
    stage.live(3 * THRESHOLD)
    return steps


def seen_in_time(stage: Stage, steps: list[tuple[float, float]]) -> None:
    told = {overrun.started: overrun for overrun in stage.overruns}
    for began, ended in steps:
        if ended - began < THRESHOLD:
            continue
        ages = [(sample.at - began) / THRESHOLD for sample in told[began].samples]
        assert any(0.5 <= age < 1.0 for age in ages), (began, ended)
        assert len(ages) >= 2 or ended - began < 2 * THRESHOLD, (began, ended)


@given(moves, st.floats(0.0, 1.0), st.sampled_from([1.0, 1.5, 2.0, 2.5, 8.0]))
@example([], 0.5, 1.0)
@example([("turn", 0.49)], 0.01, 2.0)
@example([("poll", 2.9)], 0.0, 2.0)
@example([("turn", 2.9), ("turn", 0.001)], 0.0, 1.0)
def test_every_stall_is_seen_before_it_is_one(before: Moves, offset: float, thresholds: float) -> None:
    """Whatever its loop did before, and wherever between two looks it began; and twice if it lasts two thresholds."""
    with on_stage() as stage:
        stage.alarm.asleep = False
        stage.live(offset * THRESHOLD)
        steps = live(stage, [*before, ("turn", thresholds), ("step", thresholds)])
        seen_in_time(stage, steps)


@pytest.mark.parametrize("thousandths", range(0, 1000, 25))
@pytest.mark.parametrize("busy", [False, True], ids=["idle before", "busy before"])
def test_no_offset_of_a_stalls_beginning_hides_it(thousandths: int, busy: bool) -> None:
    """The same for each fortieth of a threshold, after turns of a tenth of one or after a rest."""
    with on_stage() as stage:
        stage.alarm.asleep = False
        before: Moves = [("turn", 0.1)] * 7 if busy else [("poll", 0.3)]
        steps = live(stage, [*before, ("poll", thousandths / 1000), ("turn", 1.0), ("poll", 0.2), ("turn", 2.0)])
        seen_in_time(stage, steps)


def test_a_turn_of_short_steps_is_seen_in_time_too(stage: Stage) -> None:
    """By its own age, however young its steps are."""
    for offset in range(20):
        stage.poll()
        stage.live(0.03 * offset * THRESHOLD)
        stage.end_poll()
        began = stage.clock()
        for _ in range(21):
            stage.begin_step()
            stage.live(0.1 * THRESHOLD)
        stage.held.append(stage.fact("turn", began))
        stage.begin_turn()
        stage.live(THRESHOLD)
        told = stage.overruns[-1]
        ages = [(sample.at - began) / THRESHOLD for sample in told.samples]
        assert told.kind == "turn" and 0.5 <= ages[0] < 1.0 and len(ages) >= 2


@given(moves, st.floats(0.0, 1.0), st.floats(1.0, 5.0))
def test_whatever_holds_the_process_up_for_a_threshold_makes_the_sampler_half_of_it_late(
    before: Moves, offset: float, thresholds: float
) -> None:
    """The interpreter that is not handed on, and a process that stands still, are known by that alone."""
    with on_stage() as stage:
        stage.alarm.asleep = False
        live(stage, before)
        stage.end_poll()
        stage.live(offset * THRESHOLD)
        goes_on = stage.clock() + thresholds * THRESHOLD
        assert goes_on - stage.next_look() >= (thresholds - 0.5) * THRESHOLD - 1e-9


# --- the pace ----------------------------------------------------------------------------------


def gaps(looks: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(looks)]


def test_a_loop_that_is_not_held_is_looked_at_twice_a_threshold(stage: Stage) -> None:
    """However busy it is: all more looks would only cost it time."""
    looks: list[float] = []
    for _ in range(500):
        stage.begin_turn()
        looks += stage.live(0.02 * THRESHOLD)
    assert 19 <= len(looks) <= 22
    assert all(0.4 * THRESHOLD < gap <= THRESHOLD / 2 for gap in gaps(looks))


def test_a_loop_that_is_held_is_looked_at_four_times_a_threshold(stage: Stage) -> None:
    """So that a stall has a profile."""
    stage.begin_turn()
    stage.live(THRESHOLD / 2)
    assert gaps(stage.live(5 * THRESHOLD)) == pytest.approx([PACE] * 19)


@pytest.mark.parametrize("late", [0.0, 0.2, 5.0])
def test_a_look_that_took_long_is_followed_by_a_rest(stage: Stage, late: float) -> None:
    """Others must get on; a little less than planned is rested all the same."""
    stage.begin_turn()
    stage.sampler.tick()
    stage.clock.advance(late * THRESHOLD)
    expected = {0.0: THRESHOLD / 2, 0.2: 0.3 * THRESHOLD, 5.0: PACE / 2}[late]
    assert stage.sampler._plan() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("threshold", "executor_wait", "idle", "held", "pools"),
    [
        (0.05, 0.05, 0.025, 0.0125, 0.0125),
        (1.0, 0.05, 0.025, 0.025, 0.0125),
        (0.05, 1.0, 0.025, 0.0125, 0.025),
        (0.001, 1.0, 0.001, 0.001, 0.001),
        (1e9, 1e9, 0.5, 0.5, 0.25),
    ],
)
def test_the_pace_serves_loops_and_pools(
    threshold: float, executor_wait: float, idle: float, held: float, pools: float
) -> None:
    """While nothing is held, while something is, and while a pool is busy: within reason, whatever is to be noticed."""
    with on_stage(threshold, executor_wait) as stage:
        sampler = stage.sampler
        assert sampler._rest() == pytest.approx(idle)
        sampler._oldest = 0.6 * threshold
        assert sampler._rest() == pytest.approx(held)
        sampler._oldest, sampler._pools_busy = 0.0, True
        assert sampler._rest() == pytest.approx(pools)


def test_a_busy_pool_is_looked_at_more_often_and_only_while_it_is(stage: Stage) -> None:
    """Each quarter of what a job may wait."""
    stage.begin_turn()
    for busy, gap in ((True, PACE), (False, 2 * PACE)):
        stage.pools_busy = busy
        stage.live(4 * PACE)
        for _ in range(20):
            stage.begin_turn()
            stage.live(0.2 * PACE)
        stage.begin_turn()
        assert gaps(stage.live(3.9 * PACE))[0] == pytest.approx(gap)


def test_where_nothing_is_in_a_hurry_pools_and_ended_jobs_wait_a_little(stage: Stage) -> None:
    """A quarter of a second at most; not while a pool is busy, nor at the look after."""
    stage.begin_turn()
    for _ in range(200):
        stage.begin_turn()
        stage.live(0.05)
    assert 30 <= stage.drained == len(stage.looked) <= 41
    assert max(gaps(stage.looked)) <= 0.25 + THRESHOLD / 2
    stage.pools_busy = True
    stage.sampler.tick()
    before = stage.drained
    stage.sampler.tick()
    stage.pools_busy = False
    stage.sampler.tick()
    assert stage.drained == len(stage.looked) == before + 2
    stage.sampler.tick()
    assert stage.drained == before + 2


# --- sleep -------------------------------------------------------------------------------------


def test_the_sampler_sleeps_when_every_loop_waits_and_no_pool_is_busy(stage: Stage) -> None:
    """Only after a while; whatever happens keeps it awake."""
    sampler = stage.sampler
    stage.poll()
    stage.sampler.tick()
    assert (sampler._plan(), stage.alarm.asleep) == (2 * PACE, False)
    stage.clock.advance(2 * PACE)
    assert (sampler._plan(), stage.alarm.asleep) == (ASLEEP, True)
    stage.alarm.asleep = False
    stage.begin_turn()
    assert sampler._plan() < PACE and not stage.alarm.asleep
    stage.poll()
    stage.clock.advance(2 * PACE)
    stage.pools_busy = True
    assert not sampler._calm()
    stage.pools_busy = False
    stage.held.append(stage.fact("step", stage.clock()))
    assert not sampler._calm()
    stage.held.clear()
    assert sampler._calm()


def test_a_loop_that_polls_often_does_not_let_the_sampler_sleep(stage: Stage) -> None:
    """To be woken at each of its polls would cost it more than to be looked at."""
    for _ in range(100):
        stage.poll()
        stage.live(0.4 * THRESHOLD)
        assert not stage.alarm.asleep
        stage.end_poll()
        stage.live(0.01 * THRESHOLD)


def test_a_sampler_that_is_woken_does_not_look_at_once(stage: Stage) -> None:
    """What wakes it has only just begun; but it looks in time, and takes in what was imported meanwhile."""
    stage.poll()
    stage.live(10)
    assert stage.alarm.asleep
    before = stage.drained
    stage.end_poll()
    assert stage.drained == before + 1
    assert stage.live(THRESHOLD) == pytest.approx(
        [stage.clock() - THRESHOLD / 2, stage.clock() - THRESHOLD / 4, stage.clock()]
    )


def test_a_sampler_that_is_woken_looks_before_it_sleeps_again(stage: Stage) -> None:
    """Whoever woke it may have nothing under way any more; something to tell he may have."""
    stage.poll()
    stage.live(10)
    assert stage.alarm.asleep
    stage.end_poll()
    stage.poll()
    stage.clock.advance(THRESHOLD)
    assert stage.sampler._calm()
    assert stage.sampler._plan() < ASLEEP
    stage.sampler.tick()
    assert stage.sampler._plan() == ASLEEP


def test_a_thread_that_sleeps_is_woken_to_look(stage: Stage) -> None:
    """Again and again, where nothing else wakes it."""
    stage.sampler.clock = _compat.clocks.monotonic
    stage.state.turn = stage.state.mark = NEVER
    stage.loop.alive = False
    stage.sampler.start()
    for _ in range(5):
        assert stage.sampler.look_now(10)
        deadline = time.monotonic() + 10
        while not stage.alarm.asleep and time.monotonic() < deadline:
            time.sleep(0.001)
        assert stage.alarm.asleep
    stage.sampler.stop()


def test_someone_who_becomes_busy_as_the_sampler_lies_down_keeps_it_up(stage: Stage) -> None:
    """Between its last look round and the flag by which others know that it must be woken."""
    stage.poll()
    stage.clock.advance(THRESHOLD)
    asked: list[bool] = []

    def busy() -> bool:
        asked.append(stage.alarm.asleep)
        return stage.alarm.asleep

    stage.busy = busy  # type: ignore[method-assign]
    assert stage.sampler._plan() < ASLEEP
    assert (asked, stage.alarm.asleep) == ([False, True], False)


def test_a_loop_whose_polls_cannot_be_seen_keeps_the_sampler_awake(stage: Stage) -> None:
    """Nothing would wake it: between two steps such a loop looks idle."""
    stage.poll()
    EntryState.take_over(stage.state, [])
    stage.clock.advance(10)
    assert stage.state.mark == NEVER
    assert not stage.sampler._calm()
    stage.loop.alive = False
    assert stage.sampler._calm()


def test_a_loop_that_fails_when_asked_does_not_end_the_sampler(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where that is as it lies down: it rests shortly, and the failure is told."""
    stage.poll()
    stage.sampler.tick()
    stage.clock.advance(2 * PACE)

    def fail() -> float:
        raise ReferenceError

    monkeypatch.setattr(stage.sampler, "_sleep", fail)
    assert 0 < stage.sampler._plan() <= PACE
    assert [type(fault) for fault in stage.faults] == [ReferenceError]
    stage.faults.clear()
