"""Where a step begins in a stack, with and without a frame of ``_run``: the loop's own calls are no steps."""

from __future__ import annotations

import asyncio
import selectors
import sys
import threading
from asyncio import base_events, events
from types import FrameType
from typing import Any

import pytest

from loopwatch import _compat
from loopwatch.observe.loops.running_loops import handles_under_way, is_in, running_loops
from loopwatch.observe.stacks import copy_stack
from loopwatch.observe.step_codes import STDLIB, begins_step, code_of_run, runs_handle
from tests.implementations import NAMES, implementation

WITH_THE_LOCK = pytest.mark.skipif(
    not _compat.gil_enabled(), reason="without the interpreter lock no stack of another thread is seen"
)
TURN = base_events.BaseEventLoop._run_once.__code__  # type: ignore[attr-defined]


@pytest.fixture(params=["unwatched", *NAMES])
def codes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, ...]:
    """The codes of steps, while ``Handle._run`` is asyncio's own, or is timed by one of the stopwatches."""
    if request.param == "unwatched":
        return STDLIB
    module = implementation(request.param)
    run = module.make_run(events.Handle._run, lambda handle: module.Stopwatch(), lambda: 0.0)
    monkeypatch.setattr(events.Handle, "_run", run)
    return (*STDLIB, *code_of_run(run))


def names_from(frame: FrameType | None, codes: Any) -> list[str] | None:
    frames, _ = copy_stack(frame, codes)
    return None if frames is None else [each.code.co_name for each in frames]


@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
def test_a_step_begins_with_its_callback(codes: Any, debug: bool) -> None:
    """For callbacks, timers and threadsafe callbacks alike, in both places where a turn runs them."""
    found: list[Any] = []

    def look() -> None:
        found.append(names_from(sys._getframe(), codes))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_debug(debug)
        loop.call_soon(look)
        loop.call_later(0.001, look)
        loop.call_soon_threadsafe(look)
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert found == [["look"]] * 3


def test_the_loop_between_its_steps_is_in_none(codes: Any) -> None:
    """While it polls, takes in events, or asks for the time."""
    found: list[Any] = []

    class Selector(selectors.DefaultSelector):
        def select(self, timeout: float | None = None) -> Any:
            found.append(names_from(sys._getframe(), codes))
            return super().select(timeout)

    class Loop(asyncio.SelectorEventLoop):
        def time(self) -> float:
            found.append(names_from(sys._getframe(), codes))
            return super().time()

        def _process_events(self, event_list: Any) -> None:
            found.append(names_from(sys._getframe(), codes))
            super()._process_events(event_list)  # type: ignore[misc]

    loop = Loop(Selector())
    loop.call_soon(loop.stop)
    del found[:]
    loop.run_forever()
    loop.close()
    assert len(found) >= 3
    assert set(map(str, found)) == {"None"}


@WITH_THE_LOCK
def test_the_handle_of_a_step_is_found(codes: Any) -> None:
    """From the callback itself, and from another thread for as long as the step lasts."""
    loop = asyncio.new_event_loop()
    seen: list[Any] = []
    hold, held = threading.Event(), threading.Event()

    def step() -> None:
        seen.append(handles_under_way(loop, codes))
        held.set()
        hold.wait(10)

    def other() -> None:
        held.wait(10)
        (found,) = (each for each in running_loops(codes) if each.loop is loop)
        seen.append(found)
        seen.append(is_in(found, codes))
        hold.set()
        thread.join(10)
        seen.append(is_in(found, codes))

    handle = loop.call_soon(step)
    loop.call_soon(loop.stop)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    other()
    loop.close()
    under_way, found, during, after = seen
    assert under_way == [handle]
    assert found.handle is handle
    assert (during, after) == (True, False)


@WITH_THE_LOCK
def test_the_step_before_is_not_taken_for_the_next(codes: Any) -> None:
    """In one turn the frame is the same; the handle is not."""
    loop = asyncio.new_event_loop()
    seen: list[Any] = []

    def first() -> None:
        seen.extend(each for each in running_loops(codes) if each.loop is loop)
        seen.append(is_in(seen[0], codes))

    def second() -> None:
        seen.append(is_in(seen[0], codes))
        loop.stop()

    loop.call_soon(first)
    loop.call_soon(second)
    loop.run_forever()
    loop.close()
    assert seen[1:] == [True, False]


def test_a_method_of_that_name_is_no_step(codes: Any) -> None:
    """What an application calls ``_run`` and ``_run_once`` is its own."""

    class Worker:
        def _run(self) -> Any:
            frame: Any = sys._getframe()
            begun = [begins_step(each, codes) for each in (frame, frame.f_back, frame.f_back.f_back)]
            return begun, [runs_handle(each, codes) for each in (frame, frame.f_back)]

        def _run_once(self) -> Any:
            return self._run()

    assert Worker()._run_once() == ([False] * 3, [None, None])
    assert TURN in codes
