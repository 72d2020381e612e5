"""What a signal handler of the application raises goes on into the application, wherever it finds the loop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from loopwatch import _compat
from loopwatch.observe.stopwatch.steps import QUICK
from loopwatch.testing import FakeClock
from tests.bench import LONG, Watching, new_loop
from tests.implementations import NAMES, implementation
from tests.state_bench import bench

SIGNAL = signal.SIGALRM


class GivenUp(TimeoutError):
    """What applications raise where something takes too long."""


@pytest.fixture
def interrupt() -> Iterator[Callable[..., Any]]:
    """A function in which the signal arrives."""

    def give_up(number: int, frame: Any) -> None:
        raise GivenUp

    before = signal.signal(SIGNAL, give_up)
    yield lambda *args: signal.raise_signal(SIGNAL)
    signal.signal(SIGNAL, before)


@pytest.mark.parametrize("entry", [False, True], ids=["plain", "entry"])
@pytest.mark.parametrize("where", ["thread_cpu", "describe", "counted"])
def test_a_signal_while_an_overrun_is_judged_is_heard(
    monkeypatch: pytest.MonkeyPatch, interrupt: Callable[..., Any], where: str, entry: bool
) -> None:
    """In the step or at the poll that ends the turn; it is no fault of the watch."""
    b = bench(entry)
    if where == "thread_cpu":
        monkeypatch.setattr(_compat.clocks, "thread_cpu", interrupt)
    elif where == "describe":
        monkeypatch.setattr("loopwatch.observe.loops.loop_state.describe", interrupt)
    else:
        monkeypatch.setattr("loopwatch.observe.loops.loop_state.add_delayed", interrupt)
    with pytest.raises(GivenUp):
        b.run(0.3)
        b.wait(1.0)
    assert not b.faults


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("slow", [False, True], ids=["before", "after"])
def test_a_signal_in_the_stopwatch_is_heard(interrupt: Callable[..., Any], name: str, slow: bool) -> None:
    """Where it asks for the loop's stopwatch, and where it has ended a step that was not quick."""
    chosen = implementation(name)
    clock, adopted, ran = FakeClock(), [], []

    class Interrupted(chosen.Stopwatch):  # type: ignore[misc, name-defined]
        def slow_step(self, handle: Any, now: float) -> None:
            interrupt()

    class Loop:
        def __getattr__(self, name: str) -> Any:
            return interrupt()

    class Handle:
        _loop: Any = Loop()

    state = Interrupted()
    state.mark = clock()
    if slow:
        Handle._loop = type("Watched", (), {"_loopwatch": state})()

    def previous(handle: Any) -> None:
        ran.append(handle)
        clock.advance(2 * QUICK)

    run = chosen.make_run(previous, lambda handle: adopted.append(handle) or state, clock)  # type: ignore[func-returns-value]
    if name == "c" and not slow:
        pytest.skip("the accelerator runs no bytecode there in which a signal could arrive")
    with pytest.raises(GivenUp):
        run(Handle())
    assert (adopted, len(ran)) == ([], int(slow))


@pytest.mark.parametrize("moment", ["enter", "leave", "meet", "adopt"])
def test_a_signal_while_a_loop_comes_or_goes_is_heard(
    monkeypatch: pytest.MonkeyPatch, watching: Watching, interrupt: Callable[..., Any], moment: str
) -> None:
    """It leaves ``run_until_complete`` as it would without a watch."""
    hook = watching.hook
    with new_loop(watching.clock) as loop:
        if moment == "adopt":
            handle = asyncio.Handle(int, (), loop)
            monkeypatch.setattr(hook, "_attach", interrupt)
        elif moment == "enter":
            monkeypatch.setattr(hook, "_begin", interrupt)
        elif moment == "leave":
            monkeypatch.setattr("loopwatch.observe.loops.loop_state.LoopState.end", interrupt)
        else:
            monkeypatch.setattr(hook.kinds, "meet", interrupt)
        coroutine = asyncio.sleep(0)
        with pytest.raises(GivenUp):
            if moment == "adopt":
                handle._run()
            else:
                loop.run_until_complete(coroutine)
        coroutine.close()
        monkeypatch.undo()
        if loop.is_running():  # since 3.12 a signal right there leaves asyncio so, watched or not
            loop._run_forever_cleanup()
    assert list(watching.faults) == []


def test_the_watch_goes_on_after_a_signal(monkeypatch: pytest.MonkeyPatch, watching: Watching, interrupt: Any) -> None:
    """The next steps are timed as ever."""
    with new_loop(watching.clock) as loop:
        monkeypatch.setattr(_compat.clocks, "thread_cpu", interrupt)
        loop.call_soon(watching.work, LONG)
        with pytest.raises(GivenUp):
            loop.run_forever()
        monkeypatch.undo()
        loop.call_soon(watching.work, 2 * LONG)
        loop.run_until_complete(asyncio.sleep(0.1))
    assert ("step", 2 * LONG) in watching.told()
