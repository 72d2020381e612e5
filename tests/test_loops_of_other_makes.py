"""Loops and selectors that are not quite asyncio's are timed as well as can be, and never wrongly."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from loopwatch.observe.loops.entry_state import EntryState
from loopwatch.observe.loops.loop_state import LoopState
from loopwatch.testing import FakeClock
from tests.bench import (
    LONG,
    ClockedSelector,
    Watching,
    about,
    clocked,
    new_loop,
)

ROOT = Path(__file__).resolve().parent.parent


# --- loops that are not quite asyncio's --------------------------------------------------------


class OwnRounds(asyncio.SelectorEventLoop):
    """A loop with its own ``_run_once``, which takes its time between steps."""

    pause = 3.0

    def _run_once(self) -> None:
        super()._run_once()  # type: ignore[misc]
        self._selector.clock.advance(self.pause)  # type: ignore[attr-defined]


class OwnForever(asyncio.SelectorEventLoop):
    """A loop that is driven by another one, as those of user interfaces are: nothing tells when it runs."""

    pause = 3.0

    def run_forever(self) -> None:
        self._check_running()  # type: ignore[attr-defined]
        self._thread_id = threading.get_ident()
        asyncio._set_running_loop(self)
        try:
            while not self._stopping:  # type: ignore[has-type]
                self._run_once()  # type: ignore[attr-defined]
                self._selector.clock.advance(self.pause)  # type: ignore[attr-defined]
        finally:
            self._stopping = False
            self._thread_id = None  # type: ignore[assignment]
            asyncio._set_running_loop(None)


class PassingOn(asyncio.SelectorEventLoop):
    """A loop that adds something to both and leaves the rest to asyncio."""

    def run_forever(self) -> None:
        super().run_forever()


@pytest.mark.parametrize("kind", [OwnRounds, OwnForever, PassingOn], ids=lambda kind: kind.__name__)
def test_loops_of_other_makes_are_timed(watching: Watching, kind: type) -> None:
    """Steps by their own time; what such a loop does elsewhere is neither a stall nor charged to a step."""

    async def main() -> None:
        await asyncio.sleep(0)
        watching.work()
        await asyncio.sleep(0)
        watching.work(0.02)
        await asyncio.sleep(10)

    with new_loop(watching.clock, kind) as loop:
        for runs in (1, 2):
            loop.run_until_complete(main())
            assert watching.told() == [("step", LONG)] * runs
            active, idle = watching.state(loop).times(watching.clock())
            assert active == about((LONG + 0.02) * runs)
            assert idle == about(10 * runs, give=6.1 * runs)  # it does other things while a timer runs
            watching.work(50)


def test_a_loop_is_timed_by_the_faster_way_where_it_can_be(watching: Watching) -> None:
    """Only what turns in its own way needs two readings of the clock a step."""
    for kind, expected in ((asyncio.SelectorEventLoop, LoopState), (PassingOn, LoopState), (OwnRounds, EntryState)):
        with new_loop(watching.clock, kind) as loop:
            loop.run_until_complete(asyncio.sleep(0))
            assert type(watching.state(loop)) is expected


class Reentrant(asyncio.SelectorEventLoop):
    """A loop that may be entered again from its own steps, as nest_asyncio makes it."""

    def _run_once(self) -> None:
        super()._run_once()  # type: ignore[misc]

    def run_until_complete(self, future: Any) -> Any:
        if not self.is_running():
            return super().run_until_complete(future)
        task = asyncio.ensure_future(future, loop=self)
        outer = asyncio.current_task()
        leave, enter = asyncio.tasks._leave_task, asyncio.tasks._enter_task
        leave(self, outer)  # type: ignore[arg-type]
        try:
            while not task.done():
                self._run_once()
        finally:
            enter(self, outer)  # type: ignore[arg-type]
        return task.result()


def test_a_loop_entered_again_from_a_step(watching: Watching) -> None:
    """The outer step is charged with its own time, before and after; what runs inside are steps of their own."""

    async def inner() -> None:
        await asyncio.sleep(5)
        watching.work(2 * LONG)

    async def outer() -> None:
        watching.work(0.04)
        asyncio.get_running_loop().run_until_complete(inner())
        watching.work(0.04)
        await asyncio.sleep(1)

    with new_loop(watching.clock, Reentrant) as loop:
        loop.run_until_complete(outer())
        assert sorted(zip(watching.told(), watching.names())) == [(("step", 0.08), "outer"), (("step", 0.14), "inner")]
        assert watching.state(loop).times(watching.clock()) == (about(0.22), about(6))


def test_a_loop_that_becomes_reentrant_in_a_step(watching: Watching) -> None:
    """As when nest_asyncio is applied in a running program: from the first step on, no step is charged with others."""

    async def inner() -> None:
        watching.work(0.02)
        await asyncio.sleep(5)

    async def outer() -> None:
        loop = asyncio.get_running_loop()
        loop.__class__ = Reentrant
        watching.work(0.04)
        loop.run_until_complete(inner())
        watching.work(0.04)
        await asyncio.sleep(0)
        watching.work()
        await asyncio.sleep(1)

    with new_loop(watching.clock) as loop:
        loop.run_until_complete(outer())
        assert type(watching.state(loop)) is EntryState
    assert watching.told()[-1] == ("step", LONG)
    assert max(seconds for _, seconds in watching.told()) < 0.1


NESTED = """
import asyncio, json, sys
import nest_asyncio
from loopwatch.testing import FakeClock
from tests.bench import Watching, new_loop

async def inner(seconds):
    await asyncio.sleep(5)
    bench.work(seconds)

def outer():
    bench.work(0.04)
    loop.run_until_complete(inner(0.06))
    loop.run_until_complete(inner(0.07))
    bench.work(0.04)

async def main():
    if sys.argv[1] == "later":
        nest_asyncio.apply(loop)
        bench.work(0.001)  # it takes its time
    await asyncio.sleep(1)
    outer()
    await asyncio.sleep(1)
    bench.work(0.09)
    await asyncio.sleep(0)

bench = Watching(FakeClock())
with new_loop(bench.clock) as loop:
    if sys.argv[1] == "before":
        nest_asyncio.apply(loop)
    bench.hook.install()
    loop.run_until_complete(main())
    times = bench.state(loop).times(bench.clock())
    bench.hook.uninstall()
print(json.dumps([bench.told(), bench.names(), times, list(map(repr, bench.faults)), bench.hook.partly]))
"""


@pytest.mark.needs("nest_asyncio")
@pytest.mark.parametrize("when", ["before", "later"])
def test_a_program_with_nest_asyncio(when: str) -> None:
    """Applied before the loop runs or in one of its steps: each step is charged with its own time and no other's."""
    # In a process of its own: nest_asyncio changes asyncio for good.
    command = [sys.executable, "-c", NESTED, when]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    told, names, times, faults, partly = json.loads(done.stdout)
    assert told == [["step", 0.06], ["step", 0.07], ["step", 0.08], ["step", 0.09]]
    assert names == ["inner", "inner", "main", "main"]
    assert times == [about(0.30, give=0.002), about(12)]
    assert faults == []
    assert ["nest_asyncio" in reason for reason in partly.values()] == [True]


class Foreign(asyncio.AbstractEventLoop):
    """A loop that shares nothing with asyncio's but its handles."""

    def __init__(self) -> None:
        self.queue: deque[asyncio.Handle] = deque()
        self.running = False

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self.running

    def is_closed(self) -> bool:
        return False

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:  # type: ignore[override]
        self.queue.append(asyncio.Handle(callback, args, self, context))
        return self.queue[-1]

    def run(self) -> None:
        self.running = True
        while self.queue:
            self.queue.popleft()._run()
        self.running = False


def test_a_foreign_loop_with_asyncios_handles_is_timed(watching: Watching) -> None:
    """Its steps at least: what it does between them is taken as idle time."""
    loop = Foreign()  # type: ignore[abstract]
    loop.call_soon(watching.work)
    loop.call_soon(watching.work, 0.01)
    loop.run()
    assert watching.told() == [("step", LONG)]
    assert watching.state(loop).times(watching.clock()) == (about(LONG + 0.01), 0)
    assert not watching.hook.blind


class Slotted:
    """Nothing of it can be changed from outside."""

    __slots__ = ("queue",)
    get_debug = Foreign.get_debug
    call_soon = Foreign.call_soon

    def __init__(self) -> None:
        self.queue: deque[asyncio.Handle] = deque()


def test_what_cannot_be_watched_is_named_and_left_alone(watching: Watching) -> None:
    """Nothing is silent: a loop that can carry no stopwatch runs as ever, and is said not to be seen."""
    loop: Any = Slotted()
    ran: list[int] = []
    for number in range(3):
        loop.call_soon(ran.append, number)
    while loop.queue:
        loop.queue.popleft()._run()
    assert ran == [0, 1, 2]
    assert [name.rpartition(".")[2] for name in watching.hook.blind] == ["Slotted"]
    assert not watching.hook.states


def test_a_slotted_subclass_of_asyncios_loop_is_watched(watching: Watching) -> None:
    """Its base has room enough."""

    class Tight(asyncio.SelectorEventLoop):
        __slots__ = ("own",)

    with new_loop(watching.clock, Tight) as loop:
        loop.call_soon(watching.work)
        loop.run_until_complete(asyncio.sleep(0))
    assert watching.told() == [("step", LONG)]


def test_many_kinds_of_unwatchable_loops_are_not_all_kept(watching: Watching) -> None:
    """What is said to be unseen is bounded."""
    for number in range(100):
        kind = type(f"Loop{number}", (Slotted,), {"__slots__": ()})
        loop = kind()
        loop.call_soon(int)
        loop.queue.popleft()._run()
    assert len(watching.hook.blind) <= 32
    assert len(watching.hook.kinds.refused) <= 32


# --- selectors ---------------------------------------------------------------------------------


class Closed:
    """A selector into which nothing can be put."""

    __slots__ = ("clock", "inner")

    def __init__(self) -> None:
        self.inner = ClockedSelector()

    def select(self, timeout: float | None = None) -> Any:
        self.inner.clock = self.clock
        return self.inner.select(timeout)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def test_a_selector_of_another_make_is_watched(watching: Watching) -> None:
    """Any object with a ``select`` will do."""

    class Wrapping(Closed):
        pass

    loop = clocked(asyncio.SelectorEventLoop(Wrapping()), watching.clock)  # type: ignore[arg-type]
    loop.run_until_complete(asyncio.sleep(2))
    assert watching.state(loop).times(watching.clock())[1] == about(2)
    assert type(watching.state(loop)) is LoopState
    loop.close()


def test_a_selector_that_cannot_be_wrapped_does_no_harm(watching: Watching) -> None:
    """Then steps are timed one by one."""
    loop = clocked(asyncio.SelectorEventLoop(Closed()), watching.clock)  # type: ignore[arg-type]
    loop.run_until_complete(asyncio.sleep(2))
    loop.call_soon(watching.work)
    loop.run_until_complete(asyncio.sleep(0))
    assert watching.told() == [("step", LONG)]
    assert watching.state(loop).times(watching.clock()) == (about(LONG), about(2))
    loop.close()


def test_a_selector_may_be_replaced_between_runs(watching: Watching) -> None:
    """The new one is watched, the old one is as it was."""
    with new_loop(watching.clock) as loop:
        loop.run_until_complete(asyncio.sleep(1))
        before, after = loop._selector, move_to_new_selector(loop, watching.clock)
        loop.run_until_complete(asyncio.sleep(1))
        assert watching.state(loop).times(watching.clock())[1] == about(2)
        assert "select" not in vars(before)
        before.close()
        watching.hook.uninstall()
        assert "select" not in vars(after)


def test_a_selector_may_be_replaced_in_a_step(watching: Watching) -> None:
    """A poll that nobody saw is no stall; from the next step on all is seen again."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        before = loop._selector  # type: ignore[attr-defined]
        move_to_new_selector(loop, watching.clock)
        before.close()
        await asyncio.sleep(5)
        await asyncio.sleep(5)
        watching.work()
        await asyncio.sleep(0)

    with new_loop(watching.clock) as loop:
        loop.run_until_complete(main())
        assert watching.told() == [("step", LONG)]
        assert watching.state(loop).idle == about(5)


def move_to_new_selector(loop: Any, clock: FakeClock) -> Any:
    selector = ClockedSelector()
    for key in list(loop._selector.get_map().values()):
        selector.register(key.fileobj, key.events, key.data)
    selector.clock = clock
    loop._selector = selector
    return selector
