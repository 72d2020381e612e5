"""Our functions in asyncio's classes when others come and go around them: never in the way, never twice."""

from __future__ import annotations

import asyncio
import functools
import gc
import weakref
from asyncio import base_events, events
from collections.abc import Iterator
from typing import Any

import pytest

import loopwatch
from loopwatch.observe.loops.class_patches import DISCARD, patches
from loopwatch.testing import FakeClock
from tests.bench import LONG, Watching, new_loop

STDLIB = {"_run": events.Handle._run, "run_forever": base_events.BaseEventLoop.run_forever}
PATCHED = pytest.mark.parametrize(
    ("owner", "name"), [(events.Handle, "_run"), (base_events.BaseEventLoop, "run_forever")], ids=["run", "forever"]
)


@pytest.fixture(autouse=True)
def nothing_of_others() -> Iterator[None]:
    """What earlier tests have left in our memory of the classes is forgotten: it stands nowhere any more."""
    for place in (patches._run, patches._forever):
        place._left.clear()
    yield


class Tool:
    """Another tool that puts its function around what it finds, and puts that back, or only steps aside."""

    def __init__(self, owner: type, name: str) -> None:
        self.owner, self.name = owner, name
        self.calls = 0
        self.inner = vars(owner)[name]
        found = self.inner

        @functools.wraps(found)
        def tool(this: Any) -> Any:
            self.calls += 1
            return self.inner(this)

        setattr(owner, name, tool)
        self.found = found

    def leave(self) -> None:
        setattr(self.owner, self.name, self.found)


def layers(owner: type, name: str) -> int:
    """How many functions stand around asyncio's own."""
    count, function = 0, vars(owner)[name]
    while function is not STDLIB[name]:
        function, count = function.__wrapped__, count + 1
    return count


def told(watching: Watching) -> list[tuple[str, float]]:
    """What is told of a loop that has one long step."""
    watching.held.clear()
    with new_loop(watching.clock) as loop:
        loop.call_soon(watching.work)
        loop.run_until_complete(asyncio.sleep(1))
        assert watching.hook.states or not hasattr(loop, "_loopwatch")
    return watching.told()


class Untouchable:
    """Stands for a loop that nobody may ask for a stopwatch."""

    asked = 0

    def get_debug(self) -> bool:
        return False

    @property
    def _loopwatch(self) -> Any:
        self.asked += 1
        raise AttributeError


@PATCHED
def test_what_a_tool_puts_back_after_us_is_used_or_taken_out(watching: Watching, owner: type, name: str) -> None:
    """They wrap, we go, they go, we come again, and all that once more: one function of ours at most, and none in the
    end."""
    for _ in range(2):
        watching.hook.install()
        tool = Tool(owner, name)
        watching.hook.uninstall()
        assert layers(owner, name) == 2
        tool.leave()
        assert layers(owner, name) == 1
        assert told(watching) == []
        watching.hook.install()
        assert layers(owner, name) == 1
        assert told(watching) == [("step", LONG)]
        watching.hook.uninstall()
        assert vars(owner)[name] is STDLIB[name]


@PATCHED
def test_one_that_a_tool_hid_is_taken_out_when_it_comes_to_light(watching: Watching, owner: type, name: str) -> None:
    """A tool that stopped to call ours, so that another one of ours stands around it, gives the first one back later:
    it is not wrapped once more."""
    for _ in range(2):
        watching.hook.install()
        tool = Tool(owner, name)
        watching.hook.uninstall()
        tool.inner = STDLIB[name]
        watching.hook.install()
        assert vars(owner)[name].__wrapped__.__wrapped__ is tool.found  # ours, the tool's, ours
        assert told(watching) == [("step", LONG)]
        watching.hook.uninstall()
        tool.leave()
        assert layers(owner, name) == 1
        assert told(watching) == []
        watching.hook.install()
        assert layers(owner, name) == 1
        assert told(watching) == [("step", LONG)]
        watching.hook.uninstall()
        assert vars(owner)[name] is STDLIB[name]


def test_after_us_a_step_is_passed_straight_through(watching: Watching) -> None:
    """The function that must stay asks no loop for a stopwatch, and counts nothing."""
    watching.hook.install()
    tool = Tool(events.Handle, "_run")
    watching.hook.uninstall()
    tool.leave()
    loop, ran = Untouchable(), list[int]()
    before = DISCARD.steps_run()
    for number in range(3):
        events.Handle(ran.append, [number], loop)._run()  # type: ignore[arg-type]
    assert ran == [0, 1, 2]
    assert loop.asked == 0
    assert DISCARD.steps_run() == before
    watching.hook.install()
    events.Handle(ran.append, [3], loop)._run()  # type: ignore[arg-type]
    assert loop.asked > 0  # so the others were not asked because nobody watched


def test_a_step_may_take_the_watch_out_and_put_it_in(watching: Watching) -> None:
    """Under another tool's function: the steps before and after are whole, and those in between are not told."""

    def out_and_in() -> None:
        watching.hook.uninstall()
        loop.call_soon(watching.work)
        loop.call_soon(watching.hook.install)
        loop.call_soon(watching.work, 2 * LONG)
        loop.call_later(1, loop.stop)

    watching.hook.install()
    tool = Tool(events.Handle, "_run")
    with new_loop(watching.clock) as loop:
        loop.call_soon(watching.work)
        loop.call_soon(out_and_in)
        loop.run_forever()
        assert watching.told() == [("step", LONG), ("step", 2 * LONG)]
    watching.hook.uninstall()
    tool.leave()


def test_a_tool_that_fails_is_not_ours_to_stumble_over(watching: Watching) -> None:
    """Whether ours is called is found out without raising what the tool raises for a handle that it does not know."""
    watching.hook.install()
    tool = Tool(events.Handle, "_run")
    tool.inner = lambda this: 1 / 0
    assert watching.hook.covered_up
    assert list(watching.hook.blind) == ["asyncio"]
    tool.leave()
    assert not watching.hook.covered_up
    assert not watching.hook.blind


@PATCHED
def test_what_must_stay_keeps_no_watch_alive(owner: type, name: str) -> None:
    """The function is all that is left of a watch."""
    watch = loopwatch.install(reporters=[], prometheus=False)
    tool = Tool(owner, name)
    loopwatch.uninstall()
    tool.leave()
    left = vars(owner)[name]
    gone = weakref.ref(watch)
    hook = weakref.ref(watch._loops)
    del watch, tool
    gc.collect()
    assert (gone(), hook()) == (None, None)
    assert vars(owner)[name] is left is not STDLIB[name]
    loopwatch.install(reporters=[], prometheus=False).uninstall()
    assert vars(owner)[name] is STDLIB[name]


@PATCHED
def test_what_is_remembered_of_hidden_functions_is_bounded(clock: FakeClock, owner: type, name: str) -> None:
    """A tool that hides ours at each install does not make our memory of them grow."""
    before = vars(owner)[name]
    watching = Watching(clock)
    for _ in range(20):
        watching.hook.install()
        setattr(owner, name, lambda this: before(this))
        watching.hook.uninstall()
    setattr(owner, name, before)
    assert len((patches._run if name == "_run" else patches._forever)._left) <= 8
