"""A watched program does what it did: order, contexts, errors, tracebacks, warnings."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import sys
import traceback
from asyncio import base_events, events
from typing import Any

import pytest

from loopwatch.observe.loops.class_patches import patches
from loopwatch.observe.stopwatch.steps import IMPLEMENTATION
from loopwatch.testing import FakeClock
from tests.bench import FOREVER, LONG, RUN, ClockedSelector, Watching, new_loop
from tests.stories import STORIES, Story


def lived(function: Story, watched: bool) -> list[Any]:
    told: list[Any] = []
    loop = asyncio.new_event_loop()
    bench = Watching(FakeClock())
    if watched:
        bench.hook.install()
    try:
        function(loop, told)
    finally:
        loop.close()
        bench.hook.uninstall()
    assert list(bench.faults) == []
    return told


@pytest.mark.parametrize("function", STORIES, ids=lambda function: getattr(function, "__name__", None))
def test_a_watched_loop_does_what_it_did(function: Story) -> None:
    """Step by step the same story, with and without us."""
    unwatched = lived(function, watched=False)
    assert unwatched
    assert lived(function, watched=True) == unwatched


def slow_callback_warnings(watched: bool, caplog: pytest.LogCaptureFixture) -> list[str]:
    bench = Watching(FakeClock())
    if watched:
        bench.hook.install()
    caplog.clear()
    with caplog.at_level(logging.WARNING, "asyncio"), new_loop(bench.clock) as loop:
        loop.set_debug(True)
        loop.slow_callback_duration = 0.05
        loop.call_soon(bench.work, 0.06)
        loop.call_soon(bench.work, 0.04)
        loop.call_later(1, bench.work, 0.2)
        loop.call_later(2, loop.stop)
        loop.run_forever()
    bench.hook.uninstall()
    return [re.sub(r"0x\w+", "0x", message) for message in caplog.messages]


def test_debug_mode_warns_of_the_same_callbacks(caplog: pytest.LogCaptureFixture) -> None:
    """asyncio's own slow-callback warnings come as before, word for word."""
    unwatched = slow_callback_warnings(False, caplog)
    assert len(unwatched) == 2
    assert slow_callback_warnings(True, caplog) == unwatched


def stack_in_a_step() -> list[tuple[str, str]]:
    """The functions and files of the frames outside of a callback, innermost first."""
    found: list[tuple[str, str]] = []

    def look() -> None:
        frame = sys._getframe(1)
        while frame.f_code is not stack_in_a_step.__code__:
            found.append((frame.f_code.co_name, frame.f_code.co_filename))
            frame = frame.f_back  # type: ignore[assignment]

    loop = asyncio.new_event_loop()
    loop.call_soon(look)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    return found


def test_few_frames_are_ours(idle: Watching) -> None:
    """A run of a loop has one frame more around it; a step has ours in place of asyncio's own, and in C none at all."""
    unwatched = stack_in_a_step()
    idle.hook.install()
    watched = stack_in_a_step()
    assert unwatched[0] == ("_run", events.__file__)
    of_step = [] if IMPLEMENTATION == "c" else [("_run", make_run_file())]
    assert watched == [*of_step, *unwatched[1:], ("run_forever", patches_file())]


def frames_of_an_end() -> list[tuple[str, str]]:
    """The functions and files that ``SystemExit`` comes through on its way out of a callback, outermost first."""

    def fatal() -> None:
        raise SystemExit(3)

    loop = asyncio.new_event_loop()
    loop.call_soon(fatal)
    with pytest.raises(SystemExit) as caught:
        loop.run_forever()
    loop.close()
    return [(frame.name, frame.filename) for frame in traceback.extract_tb(caught.value.__traceback__)]


def test_an_error_that_leaves_the_loop_has_few_frames_more(idle: Watching) -> None:
    """One, or in Python two: each stands right before the one that it calls."""
    unwatched = frames_of_an_end()
    idle.hook.install()
    doubled = {"run_forever": patches_file()}
    if IMPLEMENTATION == "python":
        doubled["_run"] = make_run_file()
    expected = []
    for frame in unwatched:
        ours = doubled.get(frame[0])
        expected += [(frame[0], ours), frame] if ours else [frame]
    assert len(expected) == len(unwatched) + len(doubled)
    assert frames_of_an_end() == expected


def make_run_file() -> str:
    from loopwatch.observe.stopwatch import _steps_py

    return str(_steps_py.__file__)


def patches_file() -> str:
    return inspect.getfile(type(patches))


def test_the_patched_methods_look_like_themselves(idle: Watching) -> None:
    """Names, signatures and documentation are those of the functions replaced."""
    before = [(f.__name__, f.__qualname__, f.__module__, f.__doc__, inspect.signature(f)) for f in (RUN, FOREVER)]
    idle.hook.install()
    ours = (events.Handle._run, base_events.BaseEventLoop.run_forever)
    assert [(f.__name__, f.__qualname__, f.__module__, f.__doc__, inspect.signature(f)) for f in ours] == before
    assert ours[0] is not RUN


def test_attributes_of_loops_stay_as_fast_as_they_were(idle: Watching) -> None:
    """From the moment that somebody asks for an object's ``__dict__``, the interpreter has to keep one: we never do."""
    asked: list[str] = []

    class Reticent(asyncio.SelectorEventLoop):
        def __getattribute__(self, name: str) -> Any:
            if name == "__dict__":
                asked.append(name)
            return super().__getattribute__(name)

    class Selector(ClockedSelector):
        def __getattribute__(self, name: str) -> Any:
            if name == "__dict__":
                asked.append(name)
            return super().__getattribute__(name)

    idle.hook.install()
    loop: Any = Reticent(Selector())
    loop._selector.clock = idle.clock
    loop.call_soon(idle.work)
    loop.run_until_complete(asyncio.sleep(0))
    idle.hook.uninstall()
    loop.close()
    assert asked == []
    assert idle.told() == [("step", LONG)]
