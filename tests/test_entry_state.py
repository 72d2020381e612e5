"""Loops that turn in their own way, or whose poll cannot be seen: each step is timed from its own beginning."""

from __future__ import annotations

import pytest

from loopwatch.observe.loops.entry_state import EntryState
from loopwatch.observe.stopwatch.steps import NEVER
from tests.bench import about
from tests.state_bench import bench

pytestmark = pytest.mark.usefixtures("plain_loops")


@pytest.mark.parametrize("tapped", [True, False], ids=["poll seen", "poll unseen"])
def test_rest_between_steps_is_nobodys(tapped: bool) -> None:
    """A loop that is driven by another may rest at any time: neither the next step nor the turn is charged with it."""
    b = bench(entry=True, tapped=tapped)
    for _ in range(4):
        b.run(0.01)
        b.clock.advance(3)
        assert (b.state.mark, b.state.turn, b.state.handle) == (NEVER, NEVER, None)
    if tapped:
        b.wait(1.0)
    b.end()
    assert not b.held


@pytest.mark.parametrize("tapped", [True, False], ids=["poll seen", "poll unseen"])
def test_where_no_poll_is_seen_each_step_stands_for_itself(tapped: bool) -> None:
    """Nobody knows which steps make a turn there: many short ones are no stall, and none of them is old."""
    b = bench(entry=True, tapped=tapped)
    for _ in range(20):
        b.run(0.01)
        b.clock.advance(3)
    assert b.state.age(b.clock()) == about(0.2 if tapped else 0.0)
    seen = []

    def step() -> None:
        b.clock.advance(0.01)
        seen.append((b.state.mark - b.state.turn, b.state.age(b.clock())))

    b.run(step)
    assert seen == [(about(0.2), about(0.21)) if tapped else (0.0, about(0.01))]
    b.end()
    assert [held.kind for held in b.held] == (["turn"] if tapped else [])
    assert sum(b.state.turn_counts) == tapped
    assert not b.state.noted and b.state.slow_in_turn == 0


def test_an_overrun_is_told_at_once_where_no_poll_is_seen() -> None:
    """Nothing else would tell it."""
    b = bench(entry=True, tapped=False)
    b.run(0.3)
    assert [(h.kind, h.ended - h.started) for h in b.held] == [("step", about(0.3))]


def test_a_loop_can_be_entered_again_from_a_step() -> None:
    """What runs inside a step is timed by itself; the outer step is charged with its own time alone."""
    b = bench(entry=True)
    seen = []

    def inner() -> None:
        seen.append((b.state.handle._callback, b.state.mark))
        b.clock.advance(0.07)

    def outer() -> None:
        b.clock.advance(0.03)
        b.wait(10)
        b.run(inner)
        b.run(0.01)
        b.wait(10)
        assert b.state.handle._callback is outer
        b.clock.advance(0.03)

    b.run(outer)
    b.wait(1)
    assert seen == [(inner, about(1010.03))]
    assert [(h.handle.callback.rpartition(".")[2], h.ended - h.started) for h in b.held] == [
        ("inner", about(0.07)),
        ("outer", about(0.06)),
    ]
    assert b.times() == (about(0.14), about(21))
    assert b.state.mark == NEVER


def test_a_step_that_raises_out_of_an_inner_run_is_over() -> None:
    """Whatever ends a step ends it: the outer one goes on as itself."""
    b = bench(entry=True)

    def inner() -> None:
        b.clock.advance(0.06)
        raise KeyboardInterrupt

    def outer() -> None:
        with pytest.raises(KeyboardInterrupt):
            b.run(inner)
        assert b.state.handle._callback is outer

    b.run(outer)
    assert b.state.handle is None
    b.wait(1)
    assert [h.handle.callback.rpartition(".")[2] for h in b.held] == ["inner"]


def test_a_state_can_change_its_kind_in_the_middle_of_a_step() -> None:
    """Its numbers stay what they were, and the step goes on."""
    b = bench()
    b.run(0.3)
    b.wait(2.0)

    def step() -> None:
        b.clock.advance(0.1)
        EntryState.take_over(b.state, [b.state.handle])
        b.clock.advance(0.2)

    b.run(step)
    assert type(b.state) is EntryState
    assert b.times() == (about(0.6), about(2.0))
    assert b.state.quick + sum(b.state.step_counts) == 2
    b.clock.advance(9)
    b.run(0.01)
    assert b.times()[0] == about(0.61)
