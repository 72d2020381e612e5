"""What goes on is told meanwhile, nothing stops the sampler, and what is over is forgotten: a fake clock, a thread."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from loopwatch import _compat
from loopwatch.facts import Overrun
from loopwatch.observe.loops.loop_state import LoopState
from loopwatch.observe.stopwatch.steps import NEVER
from tests.stage import THRESHOLD, Stage

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
