"""What the sampler sees, what it hands on, and that nothing stops it: a fake clock, and a real thread to look at."""

from __future__ import annotations

import asyncio
import threading
import weakref
from typing import Any

import pytest

from loopwatch import _compat
from loopwatch.facts import Overrun
from loopwatch.observe.loop_state import LoopState
from loopwatch.observe.steps import NEVER
from tests.stage import PACE, THRESHOLD, Stage

# --- when it looks -----------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "samples"), [(0.0, 0), (THRESHOLD / 2 - 0.001, 0), (THRESHOLD / 2, 1), (THRESHOLD, 1)])
def test_a_step_is_looked_at_from_half_the_threshold_on(stage: Stage, age: float, samples: int) -> None:
    """A step that is shorter is never looked at, a stall has been looked at before it is one."""
    stage.begin_step()
    stage.clock.advance(age)
    stage.sampler.tick()
    assert len(stage.end_step().samples) == samples


@pytest.mark.parametrize("thresholds", [1.0, 2.0, 2.5, 5.0, 40.0])
def test_what_lasts_two_thresholds_was_seen_twice_and_more(stage: Stage, thresholds: float) -> None:
    """Whatever the moment at which it began, between two looks."""
    for offset in (0.0, PACE / 3, PACE * 0.999):
        stage.clock.advance(offset)
        stage.sampler.tick()
        stage.begin_turn()
        stage.pass_time(thresholds * THRESHOLD, PACE)
        assert len(stage.end_step().samples) >= (2 if thresholds >= 2 else 1)


def test_a_sample_shows_the_step_and_nothing_around_it(stage: Stage) -> None:
    """From the function that the loop called inward, without asyncio's frames."""
    stage.begin_step()
    stage.pass_time(THRESHOLD)
    told = stage.end_step()
    assert told.samples[-1].frames[0].code is Stage.wait_in_a_step.__code__
    assert [frame.module for frame in told.samples[-1].frames[1:]] == ["threading", "threading"]
    assert told.samples[-1].late == 0.0
    assert (told.loop, told.thread, told.kind) == ("stage", "stage", "step")


def test_samples_come_at_growing_distances(stage: Stage) -> None:
    """A stall of an hour is seen every second at most, and kept in bounded memory."""
    stage.begin_step()
    stage.pass_time(60.0)
    minute = [sample.at for sample in stage.end_step().samples]
    assert 60 <= len(minute) <= 160
    distances = [minute[index + 1] - minute[index] for index in range(len(minute) - 1)]
    assert max(distances) <= 1.0 + 2 * PACE
    stage.begin_turn()
    stage.pass_time(3600.0, every=1.0)
    hour = stage.end_step().samples
    assert 100 <= len(hour) <= 300
    assert hour[-1].at - hour[0].at > 3500


def test_a_turn_of_short_steps_is_looked_at_by_its_own_age(stage: Stage) -> None:
    """No step is old, the turn is."""
    stage.begin_turn()
    began = stage.clock()
    stage.pass_time(4 * THRESHOLD, each=stage.begin_step)
    stage.held.append(stage.fact("turn", began))
    stage.sampler.tick()
    told = stage.overruns[-1]
    assert told.kind == "turn" and len(told.samples) >= 8
    assert told.samples[0].at - began >= THRESHOLD / 2


def test_samples_belong_to_their_step(stage: Stage) -> None:
    """Two steps of one turn that both held the loop share none."""
    stage.begin_turn()
    first = stage.clock()
    stage.pass_time(2 * THRESHOLD)
    stage.held.append(stage.fact("step", first))
    stage.begin_step()
    second = stage.clock()
    stage.pass_time(3 * THRESHOLD)
    stage.held.append(stage.fact("step", second))
    stage.sampler.tick()
    one, two = stage.overruns
    assert one.samples and two.samples
    assert all(sample.at <= second for sample in one.samples)
    assert all(sample.at > second for sample in two.samples)


def test_a_look_at_a_step_that_ended_meanwhile_is_dropped(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the stack and the second glance at the mark another step may have begun."""
    real = _compat.stacks

    def stacks() -> Any:
        stage.state.mark += 0.001
        return real()

    stage.begin_step()
    stage.clock.advance(THRESHOLD)
    monkeypatch.setattr(_compat, "stacks", stacks)
    stage.sampler.tick()
    monkeypatch.undo()
    assert stage.end_step().samples == ()


def test_a_loop_that_stopped_unseen_is_not_held(stage: Stage) -> None:
    """It leaves its last mark behind; nothing tells of it any more."""
    stage.begin_step()
    stage.loop.alive = False
    stage.clock.advance(THRESHOLD)
    assert stage.sampler.stalled(stage.state, stage.clock()) == 0.0
    stage.loop.alive = True
    assert stage.sampler.stalled(stage.state, stage.clock()) == pytest.approx(THRESHOLD)
    stage.poll()
    assert stage.sampler.stalled(stage.state, stage.clock()) == 0.0


def test_what_a_nested_loop_took_is_not_the_steps(stage: Stage) -> None:
    """Its marks are moved by as much: what was seen before belongs to it all the same."""
    stage.begin_turn()
    stage.pass_time(2 * THRESHOLD)
    stage.state.pause(stage.clock())
    stage.pass_time(10 * THRESHOLD)
    stage.state.resume(stage.clock())
    stage.pass_time(PACE)
    told = stage.end_step()
    assert told.duration == pytest.approx(2 * THRESHOLD + PACE)
    assert len(told.samples) >= 6
    assert all(told.started <= sample.at <= told.seen for sample in told.samples)


def test_a_loop_that_stopped_unseen_is_told_of_no_more(stage: Stage) -> None:
    """Its thread may be in the step of another loop by now, which would be taken for its own."""
    stage.begin_step()
    stage.loop.alive = False
    stage.pass_time(30 * THRESHOLD)
    assert stage.overruns == []
    assert stage.sampler._seen[stage.state].last is None


def test_nothing_of_the_application_is_held_while_the_sampler_waits(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it lets go of last would end on its thread: the frames of a step, and all that these hold, and the task."""

    class Task:
        pass

    tasks: list[weakref.ref[Task]] = []
    ended: list[bool] = []

    def current_task(loop: Any) -> Task:
        task = Task()
        tasks.append(weakref.ref(task))
        return task

    def leave_the_step(native: int) -> None:
        stage.close()
        ended.append(stage.local() is None and tasks[-1]() is None)

    monkeypatch.setattr(asyncio, "current_task", current_task)
    monkeypatch.setattr(_compat, "kernel_activity", leave_the_step)
    stage.begin_step()
    stage.clock.advance(THRESHOLD)
    assert stage.local() is not None
    stage.sampler.tick()
    assert ended == [True]


# --- in progress -------------------------------------------------------------------------------


def ages(told: list[Overrun]) -> list[float]:
    return [round(overrun.duration / THRESHOLD, 3) for overrun in told if overrun.ended is None]


def test_a_step_that_goes_on_is_told_at_ten_thresholds_and_at_doublings(stage: Stage) -> None:
    """And at its end, all under one id."""
    stage.begin_step()
    stage.pass_time(100 * THRESHOLD)
    assert ages(stage.overruns) == [10.0, 20.0, 40.0, 80.0]
    stage.end_step()
    assert len({overrun.id for overrun in stage.overruns}) == 1
    assert [overrun.ended is None for overrun in stage.overruns] == [True] * 4 + [False]
    assert all(overrun.samples for overrun in stage.overruns)


def test_a_sampler_that_came_late_tells_once(stage: Stage) -> None:
    """However many doublings it has missed."""
    stage.begin_step()
    stage.pass_time(10 * THRESHOLD)
    stage.pass_time(90 * THRESHOLD, every=90 * THRESHOLD)
    stage.pass_time(50 * THRESHOLD)
    assert ages(stage.overruns) == [10.0, 100.0]


def test_a_look_that_came_late_tells_nothing_yet(stage: Stage) -> None:
    """The interpreter came free, and the step may be over in a moment; if not, the next look tells, late or not."""
    stage.begin_step()
    stage.clock.advance(30 * THRESHOLD)
    stage.sampler.tick(late=29 * THRESHOLD)
    assert ages(stage.overruns) == []
    stage.clock.advance(THRESHOLD)
    stage.sampler.tick(late=THRESHOLD)
    assert ages(stage.overruns) == [31.0]


def test_what_ends_before_ten_thresholds_is_told_once(stage: Stage) -> None:
    """At its end."""
    stage.begin_step()
    stage.pass_time(9.9 * THRESHOLD)
    stage.end_step()
    assert len(stage.overruns) == 1


def test_a_turn_that_goes_on_is_told_likewise(stage: Stage) -> None:
    """As a turn, until it ends as one; a long step in it is a stall of its own."""
    stage.begin_turn()
    began = stage.clock()
    stage.pass_time(25 * THRESHOLD, each=stage.begin_step)
    assert ages(stage.overruns) == [10.0, 20.0]
    stage.held.append(stage.fact("turn", began + 1e-7))  # computed, not read
    stage.sampler.tick()
    assert {(overrun.kind, overrun.id) for overrun in stage.overruns} == {("turn", stage.overruns[0].id)}


def test_a_turn_is_told_of_though_none_of_its_steps_can_be_caught(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy host each look takes longer than one of them; the turn goes on all the same, until it is over."""
    real = _compat.stacks

    def stacks() -> Any:
        stage.state.mark += 0.001
        return real()

    stage.begin_turn()
    stage.pass_time(5 * THRESHOLD, each=stage.begin_step)
    monkeypatch.setattr(_compat, "stacks", stacks)
    stage.pass_time(6 * THRESHOLD, each=stage.begin_step)
    assert ages(stage.overruns) == [10.0]
    assert stage.overruns[0].kind == "turn"

    def stacks_of_the_next_turn() -> Any:
        stage.begin_turn()
        return real()

    monkeypatch.setattr(_compat, "stacks", stacks_of_the_next_turn)
    stage.pass_time(9 * THRESHOLD, every=9 * THRESHOLD, each=stage.begin_step)
    assert len(stage.overruns) == 1


def test_one_long_step_is_no_turn_in_progress(stage: Stage) -> None:
    """The little that came before it in its turn does not make the turn a stall."""
    stage.begin_turn()
    stage.clock.advance(THRESHOLD / 2)
    stage.begin_step()
    stage.pass_time(30 * THRESHOLD)
    assert {overrun.kind for overrun in stage.overruns} == {"step"}


# --- nothing stops it --------------------------------------------------------------------------


def test_a_part_that_fails_is_told_and_the_others_go_on(stage: Stage) -> None:
    """Whatever raises: the explanation of one stall, the draining, a loop that answers with an error."""

    def fails(*args: Any) -> Any:
        raise ValueError("on purpose")

    told: list[Overrun] = []

    def explain(overrun: Overrun) -> None:
        told.append(overrun)
        if len(told) == 1:
            fails()

    stage.sampler.on_overrun = explain
    stage.sampler.drain = fails
    broken = LoopState(stage.loop, THRESHOLD, stage.state.outlets)
    broken.loop = fails  # type: ignore[assignment]
    stage.states = {id(broken): broken, **stage.states}
    stage.held += [stage.fact("step", stage.clock() - 1), stage.fact("step", stage.clock() - 2)]
    stage.sampler.tick()
    assert len(told) == 2
    assert len(stage.looked) == 1
    assert {str(fault) for fault in stage.faults} == {"on purpose"}
    assert len(stage.faults) >= 3
    stage.faults.clear()


def test_the_thread_survives_what_its_looks_raise(stage: Stage) -> None:
    """And ends when it is told to, once."""
    again = threading.Event()

    def drain() -> None:
        stage.drained += 1
        if stage.drained >= 3:
            again.set()
        raise ValueError("on purpose")

    stage.sampler.drain = drain
    stage.pools_busy = True
    stage.sampler.clock = _compat.clocks.monotonic
    stage.state.mark = NEVER
    stage.sampler.start()
    assert stage.sampler.look_now(10) and again.wait(10)
    stage.sampler.stop()
    stage.sampler.stop()
    assert len(stage.faults) >= 3
    stage.faults.clear()
    assert stage.sampler.look_now(1)  # nobody looks any more, and nobody waits for it


def test_a_thread_that_does_not_come_to_look_is_not_waited_for_forever(stage: Stage) -> None:
    """``look_now`` gives up when its time is over."""
    free = threading.Event()
    stage.sampler.drain = lambda: free.wait(30)  # type: ignore[assignment]
    stage.sampler.clock = _compat.clocks.monotonic
    stage.state.mark = NEVER
    stage.sampler.start()
    assert not stage.sampler.look_now(0.05)
    free.set()
    stage.sampler.stop()


# --- bounds ------------------------------------------------------------------------------------


def test_a_loop_that_is_gone_is_forgotten_after_its_last_stall_was_told(stage: Stage) -> None:
    """With what was seen of that stall."""
    stage.begin_step()
    stage.pass_time(2 * THRESHOLD)
    stage.held.append(stage.fact("step", stage.state.mark))
    stage.poll()
    stage.loop.alive, stage.loop.closed = False, True
    stage.sampler.tick()
    assert stage.overruns[-1].samples
    assert stage.retired == [stage.state]
    assert stage.sampler._seen == {}


def test_what_was_seen_is_dropped_when_nobody_asked_for_it(stage: Stage) -> None:
    """Steps that were looked at and ended in time leave nothing behind."""
    for _ in range(50):
        stage.begin_turn()
        stage.clock.advance(0.6 * THRESHOLD)
        stage.sampler.tick()
        stage.poll()
        stage.clock.advance(1.0)
        stage.sampler.tick()
    seen = stage.sampler._seen[stage.state]
    assert len(seen._looks) <= 2
    assert not seen._tales


def test_a_loop_that_is_let_go_of_is_forgotten(stage: Stage) -> None:
    """It need not have ended: the watch may, or another tool may have taken it."""
    stage.begin_step()
    stage.pass_time(THRESHOLD)
    stage.states.clear()
    stage.sampler.tick()
    assert stage.sampler._seen == {}
    assert stage.retired == []


def test_a_fork_leaves_nothing_of_the_parent(stage: Stage) -> None:
    """Its thread does not exist in the child, and what it had seen is not the child's."""
    stage.begin_step()
    stage.pass_time(2 * THRESHOLD)
    stage.held.append(stage.fact("step", stage.state.mark))
    stage.sampler.seconds = 1.0
    stage.sampler.after_fork()
    assert (stage.sampler._seen, len(stage.held), stage.sampler.seconds) == ({}, 0, 0.0)
