"""What is told of a step, and that the times of a loop add up."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import sys
from typing import Any

import pytest

from loopwatch.errors import SelfCheckFailed
from loopwatch.observe.stopwatch.steps import NEVER
from tests.bench import (
    LONG,
    ClockedSelector,
    Watching,
    about,
    clocked,
    new_loop,
)


def test_a_c_function_is_a_step_too(watching: Watching) -> None:
    """There is no Python frame in it, so its own name is all there is to tell."""
    with new_loop(watching.clock) as loop:
        # exec() is a C function that calls back into the clock
        loop.call_soon(exec, "advance(0.07)", {"advance": watching.clock.advance})
        loop.call_soon(loop.stop)
        loop.run_forever()
    assert watching.told() == [("step", LONG)]
    assert watching.names() == ["exec"]


def test_a_partial_is_named_for_its_function(watching: Watching) -> None:
    """However deep."""
    with new_loop(watching.clock) as loop:
        loop.call_soon(functools.partial(functools.partial(watching.work), LONG))
        loop.call_soon(loop.stop)
        loop.run_forever()
    assert watching.names() == ["work"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in 3.12")
def test_an_eager_task_is_a_part_of_the_step_that_makes_it(watching: Watching) -> None:
    """It runs at once, inside; what it does after its first wait are steps of its own."""

    async def eager() -> None:
        watching.work()
        await asyncio.sleep(0)
        watching.work(2 * LONG)

    async def outer() -> None:
        await asyncio.create_task(eager(), name="inner")

    with new_loop(watching.clock) as loop:
        loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        loop.run_until_complete(outer())
    assert watching.told() == [("step", LONG), ("step", 2 * LONG)]
    assert [held.handle.task for held in watching.held][1] == "inner"


def test_a_task_is_told_by_its_name(watching: Watching) -> None:
    """And by that of its coroutine, and the loop by that of its thread."""

    async def checkout() -> None:
        watching.work()

    async def main() -> None:
        await asyncio.create_task(checkout(), name="req-8")

    with new_loop(watching.clock) as loop:
        loop.run_until_complete(main())
    (held,) = watching.held
    assert held.handle.task == "req-8"
    assert held.handle.coroutine is not None
    assert held.handle.coroutine.endswith("checkout")
    assert held.state.name == "main"


def test_a_cancelled_handle_is_no_step(watching: Watching) -> None:
    """It does not run, so there is nothing to count."""
    with new_loop(watching.clock) as loop:
        for _ in range(5):
            loop.call_soon(watching.work).cancel()
        loop.call_soon_threadsafe(watching.work).cancel()
        loop.call_later(0, watching.work).cancel()
        loop.call_soon(loop.stop)
        loop.run_forever()
        assert watching.told() == []
        assert watching.steps(loop) <= 2  # stop(), and the self-pipe's reader


def test_a_handle_cancelled_while_it_runs_is_timed(watching: Watching) -> None:
    """Its callback is gone when it ends: what it was cannot be told, that it was can."""
    with new_loop(watching.clock) as loop:

        def cancels_itself() -> None:
            watching.work()
            handle.cancel()

        handle = loop.call_soon(cancels_itself)
        loop.call_soon(loop.stop)
        loop.run_forever()
    assert watching.told() == [("step", LONG)]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_a_callback_that_ends_the_loop_is_timed(watching: Watching, error: BaseException) -> None:
    """The loop ends then and there; its overrun is told all the same, and it can run again."""

    def fatal() -> None:
        watching.work()
        raise error

    with new_loop(watching.clock) as loop:
        loop.call_soon(fatal)
        with pytest.raises(type(error)):
            loop.run_forever()
        assert watching.told() == [("step", LONG)]
        assert watching.state(loop).mark == NEVER
        watching.work(10)
        loop.run_until_complete(asyncio.sleep(1))
        assert watching.told() == [("step", LONG)]
        assert watching.state(loop).times(watching.clock()) == (about(LONG), about(1))


def test_200_callbacks_of_one_turn_are_one_stall(watching: Watching) -> None:
    """Neither 200 nor none: a turn, with its number of steps and who took how much of it."""

    def small() -> None:
        watching.work(0.002)

    async def main() -> None:
        await asyncio.sleep(0.1)
        for _ in range(200):
            asyncio.get_running_loop().call_soon(small)
        await asyncio.sleep(0.1)

    with new_loop(watching.clock) as loop:
        loop.run_until_complete(main())
    (held,) = watching.held
    assert (held.kind, round(held.ended - held.started, 6)) == ("turn", 0.4)
    assert held.steps in (200, 201)
    assert [(c.name.rpartition(".")[2], c.steps, round(c.seconds, 6)) for c in held.contributors] == [
        ("small", 200, 0.4)
    ]


def test_short_chunks_with_sleeps_are_silent(watching: Watching) -> None:
    """The cure for a long step is not taken for the disease."""

    async def main() -> None:
        for _ in range(100):
            watching.work(0.005)
            await asyncio.sleep(0)

    with new_loop(watching.clock) as loop:
        loop.run_until_complete(main())
    assert watching.told() == []


def test_what_waits_behind_a_step_is_counted(watching: Watching) -> None:
    """Callbacks that were ready before, timers that come due, and events that arrive meanwhile.

    Not what was cancelled, and not what the step itself makes ready as it ends.
    """
    ours, theirs = socket.socketpair()

    def work() -> None:
        watching.work()
        for _ in range(7):
            asyncio.get_running_loop().call_soon(int)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(ours, loop.remove_reader, ours)
        loop.call_later(0.03, int)
        loop.call_later(0.04, int).cancel()
        loop.call_later(9, int)
        loop.call_soon(work)
        for _ in range(3):
            loop.call_soon(int)
        loop.call_soon(int).cancel()
        theirs.send(b"x")
        await asyncio.sleep(0.1)

    with ours, theirs, new_loop(watching.clock) as loop:
        loop.run_until_complete(main())
    assert [held.delayed for held in watching.held] == [5]


# --- times -------------------------------------------------------------------------------------


def test_active_and_idle_make_up_the_time_of_a_run(watching: Watching) -> None:
    """To the microsecond, over several runs of one loop; the time between them is nobody's."""

    async def main() -> None:
        for _ in range(3):
            watching.work(0.02)
            await asyncio.sleep(0.5)

    with new_loop(watching.clock) as loop:
        for runs in (1, 2):
            loop.run_until_complete(main())
            watching.work(100)
            assert watching.state(loop).times(watching.clock()) == (
                about(0.06 * runs),
                about(1.5 * runs),
            )
    assert watching.told() == []


def test_each_step_and_turn_is_counted_once(watching: Watching) -> None:
    """As many steps as callbacks ran, as many turns as the loop polled."""
    polls = []

    class Counting(ClockedSelector):
        def select(self, timeout: float | None = None) -> Any:
            polls.append(timeout)
            return super().select(timeout)

    async def main() -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        await asyncio.sleep(1)

    loop = clocked(asyncio.SelectorEventLoop(Counting()), watching.clock)
    loop.run_until_complete(main())
    state = watching.state(loop)
    # main()'s twelve steps, the timer of its last sleep, and the callback that stops the loop
    assert watching.steps(loop) == 12 + 1 + 1
    assert abs(sum(state.turns_counted()) - len(polls)) <= 1
    loop.close()


# --- the hook itself ---------------------------------------------------------------------------


def test_install_proves_itself(idle: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ours is not called, install refuses and leaves nothing behind."""
    run = asyncio.Handle._run

    def make_deaf(previous: Any, adopt: Any, clock: Any) -> Any:
        made: Any = lambda self: run(self)  # noqa: E731
        made.let_go = made.take_up = lambda: None
        return made

    monkeypatch.setattr("loopwatch.observe.loops.class_patches.make_run", make_deaf)
    with pytest.raises(SelfCheckFailed, match=r"Handle\._run"):
        idle.hook.install()
    assert asyncio.Handle._run is run
    assert not idle.hook.states


def test_the_sampler_is_woken_by_a_loop_that_begins(watching: Watching) -> None:
    """And by a crowd of loops, which it looks through for those that are closed."""
    watching.alarm.asleep = True
    with new_loop(watching.clock) as loop:
        loop.run_until_complete(asyncio.sleep(0))
        assert watching.alarm.woken >= 1
    watching.alarm.asleep = False
    watching.alarm.woken = 0
    for _ in range(70):
        with new_loop(watching.clock) as loop:
            loop.run_until_complete(asyncio.sleep(0))
    assert watching.alarm.woken >= 1


def test_a_fault_of_ours_is_kept_and_the_loop_runs(idle: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in the hook, the application does not notice."""
    idle.hook.install()

    def fail(*args: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(idle.hook, "_place", fail)
    with new_loop(idle.clock) as loop:
        assert loop.run_until_complete(asyncio.sleep(0, "result")) == "result"
    assert {type(fault) for fault in idle.faults} == {ZeroDivisionError}
    idle.faults.clear()


@pytest.mark.parametrize("lasts", [0.0, LONG], ids=["quick", "slow"])
def test_a_step_that_takes_the_watch_out_is_counted_once(watching: Watching, lasts: float) -> None:
    """Not once for us, and once more when it really ends."""

    def leave() -> None:
        watching.clock.advance(lasts)
        watching.hook.uninstall()

    with new_loop(watching.clock) as loop:
        loop.call_soon(loop.stop)
        loop.run_forever()
        state = loop._loopwatch
        before = state.steps_run()
        loop.call_soon(leave)
        loop.call_soon(loop.stop)  # a step that nobody counts any more
        loop.run_forever()
    assert state.steps_run() - before == 1
    assert watching.told() == [("step", LONG)] * (lasts == LONG)


@pytest.mark.parametrize("lasts", [0.0, LONG], ids=["quick", "slow"])
def test_a_step_that_puts_the_watch_in_and_takes_it_out_is_counted_once(idle: Watching, lasts: float) -> None:
    """Its real end is not ours to see."""
    states: list[Any] = []

    def both() -> None:
        idle.hook.install()
        idle.clock.advance(lasts)
        states.extend(idle.hook.states.values())
        idle.hook.uninstall()

    with new_loop(idle.clock) as loop:
        loop.call_soon(both)
        loop.call_soon(loop.stop)
        loop.run_forever()
    assert [state.steps_run() for state in states] == [1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_no_loop_is_watched_in_the_child_of_a_fork(watching: Watching) -> None:
    """There none runs; one that is made there is watched as ever."""

    def child() -> None:
        watching.hook.after_fork()
        assert not watching.hook.states
        assert not hasattr(loop, "_loopwatch")
        asyncio._set_running_loop(None)
        with new_loop(watching.clock) as own:
            own.call_soon(watching.work)
            own.run_until_complete(asyncio.sleep(0))
        assert watching.told() == [("step", LONG)]

    async def main() -> None:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                child()
                os.write(writing, b"well")
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading, "rb") as file:
            told.append(file.read())
        os.waitpid(pid, 0)

    told: list[bytes] = []
    with new_loop(watching.clock) as loop:
        loop.run_until_complete(main())
        assert told == [b"well"]
        assert hasattr(loop, "_loopwatch")
