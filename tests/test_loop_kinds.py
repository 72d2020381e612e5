"""A loop of another make is named as soon as it runs, and told once, unless its steps are seen all the same."""

from __future__ import annotations

import asyncio
import logging
import sys
from asyncio import events
from collections import deque
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import loopwatch
from loopwatch.observe.loops.asyncio_loop import AsyncioHook
from loopwatch.observe.loops.loop_kinds import AWAITED, OWN_STEPS
from tests.bench import LONG, Watching


class OwnHandles(asyncio.AbstractEventLoop):
    """A loop as a user may write one: it shares nothing with asyncio's."""

    def __init__(self) -> None:
        self.queue: deque[Any] = deque()

    def get_debug(self) -> bool:
        return False

    def is_closed(self) -> bool:
        return False

    def is_running(self) -> bool:
        return asyncio._get_running_loop() is self

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        self.queue.append((callback, args))

    def run_forever(self) -> None:
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            while self.queue:
                self.run_one()
        finally:
            asyncio._set_running_loop(before)

    def run_one(self) -> None:
        callback, args = self.queue.popleft()
        callback(*args)


class TheirHandles(OwnHandles):
    """One that has its own rounds, and asyncio's handles."""

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        self.queue.append(asyncio.Handle(callback, args, self, context))

    def run_one(self) -> None:
        self.queue.popleft()._run()


@pytest.fixture
def hook(watching: Watching) -> AsyncioHook:
    return watching.hook


def kinds(hook: AsyncioHook) -> tuple[list[str], list[str]]:
    """The last parts of the names of the kinds that are blind, and partial."""
    return [name.rpartition(".")[2] for name in hook.blind], [name.rpartition(".")[2] for name in hook.partly]


def run(loop: Any, *callbacks: Any) -> None:
    for callback in callbacks:
        loop.call_soon(callback)
    loop.run_forever()


def test_a_loop_of_the_users_own_is_named_when_it_begins(hook: AsyncioHook) -> None:
    """After install, and whichever way it runs: whoever makes a loop must tell asyncio that it runs."""
    ran: list[int] = []
    run(OwnHandles(), lambda: ran.append(1))  # type: ignore[abstract]
    assert ran == [1]
    assert kinds(hook) == (["OwnHandles"], [])


def test_both_names_under_which_a_loop_is_announced_are_seen(hook: AsyncioHook) -> None:
    """``asyncio._set_running_loop`` and that of ``asyncio.events``; the loop is set as ever."""
    for module in (asyncio, events):
        hook.blind.clear()
        loop = OwnHandles()  # type: ignore[abstract]
        module._set_running_loop(loop)
        assert asyncio._get_running_loop() is loop
        module._set_running_loop(None)
        assert asyncio._get_running_loop() is None
        assert kinds(hook) == (["OwnHandles"], [])


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of loops that has imported asyncio's function by its name, before there is a watch."""
    module = ModuleType("rloop.loop")
    module._set_running_loop = events._set_running_loop  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rloop.loop", module)
    return module


def test_a_module_that_has_taken_the_function_for_itself_tells_us_too(module: Any, idle: Watching) -> None:
    """As most loops of other makes do; afterwards it has what it had, and the next watch hears of it again."""
    before = module._set_running_loop
    for _ in range(2):
        idle.hook.install()
        module._set_running_loop(OwnHandles())  # type: ignore[abstract]
        module._set_running_loop(None)
        assert kinds(idle.hook)[0] == ["OwnHandles"]
        idle.hook.uninstall()
        idle.hook.blind.clear()
        assert module._set_running_loop is before


def test_a_make_of_loops_that_has_not_run_yet_is_spoken_of(module: Any, idle: Watching) -> None:
    """Neither as blind nor for longer than that."""
    idle.hook.install()
    assert idle.hook.partly == {"rloop": AWAITED}
    kind = type("Loop", (OwnHandles,), {"__module__": "rloop.loop"})
    run(kind())
    assert (idle.hook.blind, idle.hook.partly) == ({"rloop.loop.Loop": OWN_STEPS}, {})


def test_a_loop_with_asyncios_handles_is_seen_in_part(watching: Watching, hook: AsyncioHook) -> None:
    """Its first step takes it from the one list to the other, for all loops of its kind."""
    for _ in range(2):
        run(TheirHandles(), watching.work)  # type: ignore[abstract]
        assert kinds(hook) == ([], ["TheirHandles"])
    assert watching.told() == [("step", LONG)] * 2
    assert not hook.kinds.news(at_once=True)


def test_asyncios_own_loops_and_their_subclasses_are_not_named(hook: AsyncioHook) -> None:
    """They are seen."""

    class Shop(asyncio.SelectorEventLoop):
        pass

    for kind in (asyncio.SelectorEventLoop, Shop):
        loop = kind()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    assert kinds(hook) == ([], [])


def test_what_is_no_loop_is_not_named(hook: AsyncioHook) -> None:
    """Tests set all kinds of stand-ins."""
    asyncio._set_running_loop(object())  # type: ignore[arg-type]
    asyncio._set_running_loop(None)
    assert kinds(hook) == ([], [])


def test_kinds_are_bounded(hook: AsyncioHook) -> None:
    """A program that makes classes of loops does not make the lists grow."""
    for number in range(100):
        run(type(f"Own{number}", (OwnHandles,), {})())
        run(type(f"Their{number}", (TheirHandles,), {})(), int)
    assert len(hook.blind) <= 32
    assert len(hook.partly) <= 32


def test_a_loop_has_a_moment_to_show_its_steps(watching: Watching, hook: AsyncioHook) -> None:
    """What would be said is not said at once, and then only once."""
    run(OwnHandles())  # type: ignore[abstract]
    assert not hook.kinds.news()
    watching.clock.advance(2)
    assert hook.kinds.news()
    run(OwnHandles())  # type: ignore[abstract]
    watching.clock.advance(2)
    assert not hook.kinds.news(at_once=True)


def test_nobody_is_told_of_a_loop_after_us(watching: Watching, hook: AsyncioHook) -> None:
    """Whoever has kept our function calls through it, and the next watch hears of it."""
    kept = events._set_running_loop
    hook.uninstall()
    assert events._set_running_loop is not kept
    for expected in ([], ["OwnHandles"]):
        kept(OwnHandles())  # type: ignore[abstract]
        assert type(asyncio._get_running_loop()) is OwnHandles
        kept(None)
        assert kinds(hook)[0] == expected
        hook.install()


# --- in the log and in the coverage -------------------------------------------------------------


@pytest.fixture
def watch() -> Iterator[loopwatch.Watch]:
    with loopwatch.install(reporters=[], prometheus=False) as watch:
        yield watch


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "does not see" in record.getMessage()]


def test_a_loop_that_is_not_seen_is_said_once(caplog: pytest.LogCaptureFixture, watch: loopwatch.Watch) -> None:
    """In one warning, however often it runs, and in one entry of the coverage."""
    for _ in range(3):
        run(OwnHandles(), int)  # type: ignore[abstract]
        assert watch.flush(10)
    (warning,) = warnings(caplog)
    assert f"loops of {__name__}.OwnHandles" in warning
    (entry,) = [each for each in watch.snapshot().coverage if "OwnHandles" in each.subject]
    assert entry.seen == "blind"


@pytest.mark.realtime
def test_it_is_said_without_being_asked(caplog: pytest.LogCaptureFixture) -> None:
    """At the latest when the watch is uninstalled."""
    with caplog.at_level(logging.INFO, logger="loopwatch"), loopwatch.install(reporters=[], prometheus=False):
        run(OwnHandles(), int)  # type: ignore[abstract]
    assert len(warnings(caplog)) == 1


def test_a_loop_that_is_seen_in_part_is_no_warning(caplog: pytest.LogCaptureFixture, watch: loopwatch.Watch) -> None:
    """It is in the coverage, with what is not exact."""
    run(TheirHandles(), int)  # type: ignore[abstract]
    assert watch.flush(10)
    assert warnings(caplog) == []
    name = f"loops of {__name__}.TheirHandles"
    (entry,) = [each for each in watch.snapshot().coverage if each.subject == name]
    assert (entry.seen, entry.detail.partition(":")[0]) == ("partial", "where they wait cannot be seen")
