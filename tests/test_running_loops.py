"""Loops that ran before the watch was there: the step or the poll they are in is measured from the install on."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from loopwatch import _compat
from loopwatch.observe.loops.loop_state import LoopState
from loopwatch.observe.stopwatch.steps import NEVER
from loopwatch.testing import FakeClock
from tests.bench import (
    LONG,
    PATIENCE,
    ClockedSelector,
    Watching,
    about,
    clocked,
    new_loop,
    wait_until,
)


def test_the_step_that_installs_is_timed(idle: Watching) -> None:
    """From the install on; the steps after it from their beginning."""

    async def main() -> None:
        idle.work(100)
        idle.hook.install()
        idle.work()
        await asyncio.sleep(1)
        idle.work(2 * LONG)
        await asyncio.sleep(0)

    with new_loop(idle.clock) as loop:
        loop.run_until_complete(asyncio.ensure_future(main(), loop=loop))
        assert idle.told() == [("step", LONG), ("step", 2 * LONG)]
        assert idle.names() == ["main", "main"]
        assert idle.state(loop).times(idle.clock()) == (about(3 * LONG), about(1))
        assert type(idle.state(loop)) is LoopState


def test_the_step_that_installs_is_timed_where_no_other_thread_can_be_seen(
    idle: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As without the interpreter's lock: a thread's own stack is always its own."""
    monkeypatch.setattr(_compat, "stacks", dict)

    async def main() -> None:
        idle.hook.install()
        idle.work()
        await asyncio.sleep(1)

    with new_loop(idle.clock) as loop:
        loop.run_until_complete(main())
    assert idle.told() == [("step", LONG)]


def test_the_step_that_installs_is_seen_while_it_lasts(idle: Watching) -> None:
    """Its stopwatch runs from the install on, for the sampler to see."""
    seen: list[Any] = []

    async def main() -> None:
        idle.hook.install()
        began = idle.clock()
        idle.work()
        seen.extend((state.mark - began, state.handle is not None) for state in idle.hook.states.values())

    with new_loop(idle.clock) as loop:
        loop.run_until_complete(main())
    assert seen == [(0, True)]


@pytest.mark.parametrize(("then", "active", "asleep"), [("step", 0.08, 3), ("wait", 0.04, 13), ("stop", 0, 3)])
def test_the_step_that_installs_ends_with_what_comes_next(
    idle: Watching, then: str, active: float, asleep: float
) -> None:
    """Another step or a poll. Where neither comes before the loop stops, nobody can say when it ended."""

    def install() -> None:
        idle.hook.install()
        idle.work(0.04)
        if then == "step":
            loop.call_soon(idle.work, 0.04)
            loop.call_soon(loop.stop)
        elif then == "wait":
            loop.call_later(10, loop.stop)
        else:
            loop.stop()

    with new_loop(idle.clock) as loop:
        loop.call_soon(install)
        loop.run_forever()
        idle.work(100)
        loop.run_until_complete(asyncio.sleep(3))
        assert idle.told() == []
        assert idle.state(loop).times(idle.clock()) == (about(active), about(asleep))


class Elsewhere:
    """A loop in a thread of its own, brought into a step or a poll and kept there."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.loop = clocked(asyncio.SelectorEventLoop(ClockedSelector()), clock)
        self.thread = threading.Thread(target=self.run, name="elsewhere")
        self.inside, self.go_on = threading.Event(), threading.Event()
        self.told: list[Any] = []

    def run(self) -> None:
        self.loop.run_forever()

    def block(self) -> None:
        self.inside.set()
        assert self.go_on.wait(PATIENCE)

    def __enter__(self) -> Elsewhere:
        self.thread.start()
        self.call(int)
        return self

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call something in a step of the loop, and wait until that has ended."""
        answered = threading.Event()
        answers: list[Any] = []

        def step() -> None:
            try:
                answers.append(function(*args))
            finally:
                answered.set()

        self.loop.call_soon_threadsafe(step)
        assert answered.wait(PATIENCE)
        return answers[0]

    def hold(self) -> None:
        """Bring the loop into a step, and keep it there."""
        self.loop.call_soon_threadsafe(self.block)
        assert self.inside.wait(PATIENCE)

    def __exit__(self, *error: Any) -> None:
        self.go_on.set()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        self.loop.close()


def poll_of(loop: Any) -> bool:
    """Whether the loop's thread is in its selector."""
    frame = sys._current_frames().get(loop._thread_id)
    while frame is not None:
        if frame.f_code.co_name == "select":
            return True
        frame = frame.f_back
    return False


def test_a_step_of_another_thread_is_timed_from_the_install_on(idle: Watching) -> None:
    """Though it began before."""
    with Elsewhere(idle.clock) as other:
        other.hold()
        idle.work(100)
        idle.hook.install()
        idle.work()
        other.go_on.set()
        other.call(int)
        other.call(int)
        assert idle.told() == [("step", LONG)]
        assert idle.names() == ["block"]
        (state,) = idle.hook.states.values()
        assert state.name == "elsewhere"


def test_a_poll_of_another_thread_is_idle_from_the_install_on(idle: Watching) -> None:
    """And no step is charged with it."""
    with Elsewhere(idle.clock) as other:
        wait_until(lambda: poll_of(other.loop))
        idle.work(100)
        idle.hook.install()
        idle.work(5)
        (state,) = idle.hook.states.values()
        assert state.times(idle.clock()) == (0, about(5))
        assert (state.mark, state.turn) == (NEVER, idle.clock() - 5)
        other.call(int)
        other.call(idle.work, 0.02)
        assert state.times(idle.clock()) == (about(0.02), about(5))
        assert idle.told() == []
        assert idle.state(other.loop) is state


@pytest.mark.parametrize("enabled", [True, False])
def test_no_collection_sets_in_while_stacks_are_walked(
    idle: Watching, monkeypatch: pytest.MonkeyPatch, enabled: bool
) -> None:
    """One that let other threads run could free the very frames; afterwards the collector is as it was."""
    seen: list[bool] = []
    stacks = _compat.stacks

    def look() -> Any:
        seen.append(gc.isenabled())
        return stacks()

    monkeypatch.setattr(_compat, "_COLLECTS_AMID_FRAMES", True)  # as on Python 3.11
    monkeypatch.setattr(_compat, "stacks", look)
    if not enabled:
        gc.disable()
    try:
        with Elsewhere(idle.clock) as other:
            other.hold()
            idle.hook.install()
            assert gc.isenabled() is enabled
    finally:
        gc.enable()
    assert len(seen) == 2
    assert not any(seen)


def test_loops_that_are_taken_in_can_run_again(idle: Watching) -> None:
    """The run in which the watch was installed ends untold; that is noticed, and the next is one of its own."""

    async def main() -> None:
        idle.hook.install()
        await asyncio.sleep(1)

    with new_loop(idle.clock) as loop:
        loop.run_until_complete(main())
        idle.work(50)
        assert sum(idle.state(loop).times(idle.clock())) == about(1)
        with new_loop(idle.clock) as other:  # not an inner one
            other.run_until_complete(asyncio.sleep(2))
        loop.run_until_complete(asyncio.sleep(3))
        assert idle.state(loop).times(idle.clock()) == (0, about(4))
        assert idle.state(loop).away == 0
    assert idle.told() == []


def test_a_loop_can_be_stopped_and_run_again(watching: Watching) -> None:
    """``run_forever`` again and again, in steps of nothing: the gaps belong to nobody."""
    with new_loop(watching.clock) as loop:
        for _ in range(10):
            loop.call_soon(watching.work, 0.01)
            loop.call_soon(loop.stop)
            loop.run_forever()
            watching.work(1)
        assert watching.told() == []
        assert watching.state(loop).times(watching.clock()) == (about(0.1), 0)
        assert watching.steps(loop) == 20


def test_a_loop_closed_in_its_own_step_is_refused_as_ever(watching: Watching) -> None:
    """And timed as ever."""

    async def main() -> None:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop().close()
        watching.work()

    with new_loop(watching.clock) as loop:
        loop.run_until_complete(main())
    assert watching.told() == [("step", LONG)]


def test_a_loop_that_closes_itself_in_a_step_is_done(watching: Watching) -> None:
    """Where a loop allows that, whatever is retired of it in the middle of the step, nothing goes wrong."""

    class Closing(asyncio.SelectorEventLoop):
        def is_running(self) -> bool:
            return False

    def step() -> None:
        loop.stop()
        state = watching.state(loop)
        loop.close()
        watching.hook.retire(state)
        watching.work()

    loop = clocked(Closing(ClockedSelector()), watching.clock)
    loop.call_soon(step)
    with suppress(Exception):
        loop.run_forever()
    assert not hasattr(loop, "_loopwatch")
