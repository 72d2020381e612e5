"""What the sampler sees, what it hands on, and that nothing stops it: a fake clock, and a real thread to look at."""

from __future__ import annotations

import asyncio
import weakref
from types import SimpleNamespace
from typing import Any

import pytest

from loopwatch import _compat
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


def test_many_short_steps_of_a_turn_are_a_stall_in_progress(stage: Stage) -> None:
    """From the threshold on, without the steps that are stalls of their own."""
    stage.begin_turn()
    stage.clock.advance(THRESHOLD / 2)
    stage.begin_step()
    assert stage.sampler.stalled(stage.state, stage.clock()) == 0.0
    stage.clock.advance(THRESHOLD / 2)
    stage.begin_step()
    assert stage.sampler.stalled(stage.state, stage.clock()) == pytest.approx(THRESHOLD)
    stage.clock.advance(2 * THRESHOLD)
    assert stage.sampler.stalled(stage.state, stage.clock()) == pytest.approx(2 * THRESHOLD)
    stage.state.held_in_turn = 2 * THRESHOLD
    stage.begin_step()
    assert stage.sampler.stalled(stage.state, stage.clock()) == pytest.approx(THRESHOLD)
    stage.poll()
    assert stage.sampler.stalled(stage.state, stage.clock()) == 0.0


def test_what_held_the_interpreter_while_the_kernel_was_asked_is_looked_at_at_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the time of the next look it may be over; the second look is late by as much."""

    def activity(native: int) -> None:
        if len(asked) < 1:
            stage.clock.advance(THRESHOLD)
        asked.append(native)

    asked: list[int] = []
    monkeypatch.setattr(_compat, "kernel_activity", activity)
    stage.begin_step()
    stage.clock.advance(THRESHOLD / 2)
    stage.sampler.tick()
    told = stage.end_step()
    assert [round(seen.late, 1) for seen in told.samples] == [0.0, round(THRESHOLD, 1)]
    assert all(seen.frames for seen in told.samples)


def test_what_was_seen_to_wait_behind_a_step_is_counted(stage: Stage) -> None:
    """Also what others made ready meanwhile; not what was cancelled, nor what came after the last look."""
    stage.begin_step()
    stage.loop._ready.extend(SimpleNamespace(_cancelled=cancelled) for cancelled in (False, True, False))
    stage.pass_time(2 * THRESHOLD)
    stage.loop._ready.append(SimpleNamespace(_cancelled=False))
    assert stage.end_step().delayed == 2


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
