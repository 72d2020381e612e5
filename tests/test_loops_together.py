"""Loops in threads, inside one another, one after another, and many of them."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tests.bench import (
    LONG,
    PATIENCE,
    REFUSING,
    ClockedSelector,
    Watching,
    about,
    clocked,
    in_thread,
    new_loop,
    open_files,
    wait_until,
)

# --- threads and nested loops ------------------------------------------------------------------


def test_loops_of_other_threads_are_seen(watching: Watching) -> None:
    """Under the names of their threads."""

    def run() -> None:
        with new_loop(watching.clock) as loop:
            loop.call_soon(watching.work)
            loop.run_until_complete(asyncio.sleep(0))

    in_thread(run, "worker-3")
    assert watching.told() == [("step", LONG)]
    assert [held.state.name for held in watching.held] == ["worker-3"]


def test_a_thread_unknown_to_python_is_left_unknown(watching: Watching) -> None:
    """Asking for the current thread would make an object for it that stays."""
    _thread = pytest.importorskip("_thread")
    done = threading.Event()

    def run() -> None:
        with new_loop(watching.clock) as loop:
            loop.run_until_complete(asyncio.sleep(0))
        done.set()

    before = threading.enumerate()
    _thread.start_new_thread(run, ())
    assert done.wait(PATIENCE)
    assert threading.enumerate() == before


def test_a_loop_may_move_to_another_thread(watching: Watching) -> None:
    """It goes by the name of the thread in which it runs now."""
    with new_loop(watching.clock) as loop:
        loop.run_until_complete(asyncio.sleep(1))
        in_thread(lambda: loop.run_until_complete(asyncio.sleep(1)), "mover")
        state = watching.state(loop)
        assert (state.name, state.ident != threading.get_ident()) == ("mover", True)
        assert state.times(watching.clock())[1] == about(2)


def run_inside(loop: Any, coroutine: Any) -> None:
    """Run a second loop inside a step, as those do who know how to get around asyncio's check."""
    outer = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        loop.run_until_complete(coroutine)
    finally:
        asyncio._set_running_loop(outer)


def test_a_step_that_runs_another_loop_is_no_stall(watching: Watching) -> None:
    """What happens in the inner loop is the inner loop's: its stalls are told, once, and its rest is nobody's stall."""

    async def inner() -> None:
        await asyncio.sleep(5)
        watching.work()
        await asyncio.sleep(5)

    def outer() -> None:  # no task, since a task may not run inside another's step
        watching.work(0.02)
        with new_loop(watching.clock) as second:
            run_inside(second, inner())
            times.append(watching.state(second).times(watching.clock()))
        watching.work(0.02)
        loop.call_later(1, loop.stop)

    times: list[tuple[float, float]] = []
    with new_loop(watching.clock) as loop:
        loop.call_later(1, outer)
        loop.run_forever()
        times.append(watching.state(loop).times(watching.clock()))
    assert watching.told() == [("step", LONG)]
    assert watching.names() == ["inner"]
    assert times == [(about(LONG), about(10)), (about(0.04), about(2))]


@REFUSING
def test_a_loop_that_may_not_run_changes_nothing(watching: Watching) -> None:
    """To run a loop that runs, or another inside it, or a closed one, is refused, and the step is timed as one."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with new_loop(watching.clock) as other:
            for forbidden in (loop, other):
                with pytest.raises(RuntimeError):
                    forbidden.run_forever()
        with pytest.raises(RuntimeError):
            other.run_forever()
        with pytest.raises(RuntimeError):
            in_thread(lambda: raised(loop.run_forever))()
        watching.work()
        await asyncio.sleep(1)

    with new_loop(watching.clock) as loop:
        loop.run_until_complete(main())
        assert watching.told() == [("step", LONG)]
        state = watching.state(loop)
        assert (state.ident, state.times(watching.clock())) == (
            threading.get_ident(),
            (about(LONG), about(1)),
        )


def raised(function: Callable[[], Any]) -> Callable[[], Any]:
    """A function that raises again, in another thread, what this one raises here."""
    try:
        function()
    except Exception as error:
        caught = error

        def again() -> None:
            raise caught

        return again
    return lambda: None


# --- many of them ------------------------------------------------------------------------------


def test_loops_that_are_gone_are_let_go(watching: Watching) -> None:
    """Nothing of ours keeps a loop, closed or left open, or what it ran last, alive."""

    class Result:
        pass

    def run() -> tuple[Any, Any]:
        result = Result()

        async def main() -> Result:
            await asyncio.sleep(0)
            return result

        loop = clocked(asyncio.SelectorEventLoop(ClockedSelector()), watching.clock)
        loop.run_until_complete(main())
        loop.close()
        return weakref.ref(loop), weakref.ref(result)

    loop, result = run()
    assert result() is None
    gc.collect()
    assert loop() is None


def test_a_loop_left_open_by_a_thread_that_ended(watching: Watching) -> None:
    """It neither runs nor nests: a later thread, of the same ident even, starts anew."""
    left = clocked(asyncio.SelectorEventLoop(ClockedSelector()), watching.clock)
    in_thread(lambda: left.run_until_complete(asyncio.sleep(1)), "gone")
    watching.work(100)

    def run() -> Any:
        with new_loop(watching.clock) as loop:
            loop.run_until_complete(asyncio.sleep(2))
            return watching.state(loop).times(watching.clock())

    assert in_thread(run, "later") == (0, about(2))
    assert watching.state(left).times(watching.clock()) == (0, about(1))
    assert watching.state(left).away == 0
    left.close()


def test_the_loops_of_a_thread_share_one_clock(watching: Watching) -> None:
    """The number of open files grows with threads, not with loops, and is what it was when all are gone."""
    before = open_files()
    loops = [clocked(asyncio.SelectorEventLoop(ClockedSelector()), watching.clock) for _ in range(20)]
    unwatched = open_files()
    for loop in loops:
        loop.run_until_complete(asyncio.sleep(0))
    assert open_files() <= unwatched + 2
    for loop in loops:
        state = watching.state(loop)
        loop.close()
        watching.hook.retire(state)
        watching.hook.retire(state)
    assert open_files() == before
    assert not watching.hook.states


def test_a_thousand_loops_are_not_all_kept() -> None:
    """Closed loops are found and let go while others are opened; their numbers stay."""
    import loopwatch

    most = 0
    with loopwatch.install(reporters=[], prometheus=False) as watch:
        before = open_files()
        for _ in range(1000):
            asyncio.run(asyncio.sleep(0))
            most = max(most, len(watch._loops.states))
        assert watch.flush(PATIENCE)
        wait_until(lambda: not watch._loops.states)
        assert most < 500
        assert open_files() <= before + 4
        (stats,) = watch.snapshot().loops
        assert stats.steps >= 3000
