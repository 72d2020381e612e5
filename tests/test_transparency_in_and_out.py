"""The hook of loops put in and taken out, in any state: no trace of us is left."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
import weakref
from asyncio import base_events, events
from typing import Any

import pytest

import loopwatch
from tests.bench import FOREVER, LONG, PATIENCE, RUN, Watching, in_thread, new_loop, wait_until

# --- in and out ---


def test_nothing_is_left_on_loops_and_selectors(idle: Watching) -> None:
    """Neither on those that are open nor on those that run."""
    left: list[Any] = []

    async def main(loop: Any) -> None:
        await asyncio.sleep(0)
        idle.hook.uninstall()
        left.extend((vars(loop).get("_loopwatch"), vars(loop._selector).get("select")))

    idle.hook.install()
    with new_loop(idle.clock) as resting, new_loop(idle.clock) as loop:
        resting.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(main(loop))
        assert left == [None, None]
        assert "_loopwatch" not in vars(resting)
        assert "select" not in vars(resting._selector)
        assert not idle.hook.states


def test_install_and_uninstall_in_a_running_loop(idle: Watching) -> None:
    """Again and again, in one step or in several: the watched stretches are measured, the others are not."""

    async def main() -> None:
        for _ in range(3):
            idle.hook.install()
            idle.work(2 * LONG)
            await asyncio.sleep(1)
            idle.work(LONG)
            idle.hook.uninstall()
            assert (events.Handle._run, base_events.BaseEventLoop.run_forever) == (RUN, FOREVER)
            idle.work(10)
            await asyncio.sleep(1)
        idle.hook.install()
        idle.hook.uninstall()
        idle.hook.install()
        idle.work(3 * LONG)

    with new_loop(idle.clock) as loop:
        loop.run_until_complete(main())
        loop.run_until_complete(asyncio.sleep(0))
    assert idle.told() == [("step", 2 * LONG), ("step", LONG)] * 3 + [("step", round(3 * LONG, 6))]


def test_a_step_that_uninstalls_is_judged_there_and_then(idle: Watching) -> None:
    """What was held up to that moment is told: nothing comes after it."""

    async def step() -> None:
        idle.work()
        idle.hook.uninstall()

    async def turn() -> None:
        for _ in range(100):
            asyncio.get_running_loop().call_soon(idle.work, 0.001)
        asyncio.get_running_loop().call_soon(idle.hook.uninstall)
        await asyncio.sleep(1)

    for main in (step, turn):
        idle.hook.install()
        with new_loop(idle.clock) as loop:
            loop.run_until_complete(main())
    assert idle.told() == [("step", LONG), ("turn", 0.1)]


def test_a_loop_that_ended_unseen_is_not_judged_at_the_uninstall(idle: Watching) -> None:
    """The run in which the watch was installed ends without a word; what comes after is none of its steps."""

    async def main() -> None:
        idle.hook.install()
        await asyncio.sleep(1)

    with new_loop(idle.clock) as loop:
        loop.run_until_complete(main())
        idle.work(50)
        idle.hook.uninstall()
    assert idle.told() == []


def test_uninstall_while_another_thread_is_in_its_poll(idle: Watching) -> None:
    """The poll goes on and returns as ever, to a loop that is not watched any more."""
    idle.hook.install()
    loop = asyncio.SelectorEventLoop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    wait_until(lambda: hasattr(loop, "_loopwatch"))
    idle.hook.uninstall()
    assert not hasattr(loop, "_loopwatch")
    assert "select" not in vars(loop._selector)  # type: ignore[attr-defined]
    asked = threading.Event()
    loop.call_soon_threadsafe(asked.set)
    assert asked.wait(PATIENCE)
    assert not hasattr(loop, "_loopwatch")
    loop.call_soon_threadsafe(loop.stop)
    thread.join(PATIENCE)
    loop.close()


def test_uninstall_while_another_thread_is_in_a_step(idle: Watching) -> None:
    """Likewise for a step, and for the run: they end as if they had never been watched."""
    inside, go_on = threading.Event(), threading.Event()

    def step() -> None:
        inside.set()
        assert go_on.wait(PATIENCE)

    def run() -> bool:
        with new_loop(idle.clock) as loop:
            loop.call_soon(step)
            loop.run_until_complete(asyncio.sleep(0))
            return hasattr(loop, "_loopwatch")

    def uninstall() -> None:
        assert inside.wait(PATIENCE)
        idle.work()
        idle.hook.uninstall()
        go_on.set()

    idle.hook.install()
    thread = threading.Thread(target=uninstall)
    thread.start()
    assert in_thread(run) is False
    thread.join(PATIENCE)
    assert idle.told() == []
    assert not idle.hook.states


def test_a_loop_that_begins_during_the_uninstall_is_let_go(idle: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is told of a loop just when the watch ends puts nothing in place that stays."""
    idle.hook.install()
    place = idle.hook._place

    def uninstall_first(*args: Any) -> None:
        place(*args)
        states = dict(idle.hook.states)
        idle.hook.states.clear()  # as if uninstall had looked a moment earlier
        idle.hook.uninstall()
        idle.hook.states.update(states)

    monkeypatch.setattr(idle.hook, "_place", uninstall_first)
    with new_loop(idle.clock) as loop:
        loop.run_until_complete(asyncio.sleep(0))
        assert not hasattr(loop, "_loopwatch")
        assert "select" not in vars(loop._selector)


def test_install_and_uninstall_are_idempotent() -> None:
    """The same watch twice, and nothing left after the first uninstall."""
    watch = loopwatch.install(reporters=[], prometheus=False)
    ours = events.Handle._run
    assert loopwatch.install(reporters=[], prometheus=False) is watch
    assert events.Handle._run is ours
    for _ in range(2):
        watch.uninstall()
        assert events.Handle._run is RUN


# --- the rest of the world ---


def test_a_closed_loop_is_freed_at_once(idle: Watching) -> None:
    """Without waiting for the garbage collector, as it would be without us."""

    def run() -> Any:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        return weakref.ref(loop)

    gc.collect()
    gc.disable()
    try:
        unwatched = run()() is None
        idle.hook.install()
        assert (run()() is None) == unwatched
    finally:
        gc.enable()


def test_ctrl_c_reaches_the_program(idle: Watching) -> None:
    """In a step as in a poll."""
    idle.hook.install()

    def interrupt() -> None:
        signal.raise_signal(signal.SIGINT)

    for delay in (0, 0.05):
        loop = asyncio.new_event_loop()
        timer = threading.Timer(0.05, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
        if delay:
            timer.start()
        else:
            loop.call_soon(interrupt)
        with pytest.raises(KeyboardInterrupt):
            loop.run_forever()
        if delay:
            timer.join()
        loop.close()
