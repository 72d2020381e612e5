"""Other tools that patch what we patch: theirs is kept, whoever came first."""

from __future__ import annotations

import asyncio
from asyncio import base_events, events
from functools import partial
from typing import Any

import pytest

from loopwatch.observe.loops.polls import Tap
from tests.bench import FOREVER, LONG, RUN, Watching, about, new_loop


class Tracer:
    """Another tool that puts its own function around one of asyncio's."""

    def __init__(self, owner: type, name: str) -> None:
        self.owner, self.name = owner, name
        self.before: Any = None
        self.calls = 0

    def install(self) -> Tracer:
        self.before = vars(self.owner)[self.name]

        def traced(this: Any) -> Any:
            self.calls += 1
            return self.before(this)

        self.function: Any = traced
        setattr(self.owner, self.name, traced)
        return self

    def uninstall(self) -> None:
        setattr(self.owner, self.name, self.before)


class BindingTracer(Tracer):
    """One whose function learns by being bound for which object it is called, as those made with wrapt do."""

    def install(self) -> Tracer:
        super().install()
        self.function = _Wrapper(self)
        setattr(self.owner, self.name, self.function)
        return self


class _Wrapper:
    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.__wrapped__ = tracer.before

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else partial(self._call, instance)

    def __call__(self, *args: Any) -> Any:
        return self._call(None, *args)

    def _call(self, instance: Any, *args: Any) -> Any:
        self.tracer.calls += 1
        assert isinstance(instance, self.tracer.owner)
        return self.__wrapped__.__get__(instance, type(instance))(*args)


TRACERS = pytest.mark.parametrize("kind", [Tracer, BindingTracer], ids=["plain", "binding"])
PATCHED = pytest.mark.parametrize(
    ("owner", "name"), [(events.Handle, "_run"), (base_events.BaseEventLoop, "run_forever")], ids=["run", "forever"]
)


def one_long_step(idle: Watching) -> list[tuple[str, float]]:
    """What is told of a loop with one long step."""
    idle.held.clear()
    with new_loop(idle.clock) as loop:
        loop.call_soon(idle.work)
        loop.run_until_complete(asyncio.sleep(1))
        if hasattr(loop, "_loopwatch"):
            state = idle.state(loop)
            assert sum(state.step_counts) == 1
            assert sum(state.times(idle.clock())) == pytest.approx(1 + LONG)
    return idle.told()


@TRACERS
@PATCHED
def test_a_tool_that_came_before_us_is_kept(idle: Watching, kind: type[Tracer], owner: type, name: str) -> None:
    """Its function runs under ours, is given what it would be given without us, and stands alone when we go."""
    tracer = kind(owner, name).install()
    idle.hook.install()
    assert not idle.hook.covered_up
    calls = tracer.calls
    assert one_long_step(idle) == [("step", LONG)]
    assert tracer.calls > calls
    idle.hook.uninstall()
    assert vars(owner)[name] is tracer.function
    tracer.uninstall()


@TRACERS
@PATCHED
def test_a_tool_that_came_after_us_is_not_torn_out(idle: Watching, kind: type[Tracer], owner: type, name: str) -> None:
    """Its function stays around ours, which passes everything through, serves again, and goes when it can."""
    idle.hook.install()
    ours = vars(owner)[name]
    tracer = kind(owner, name).install()
    assert idle.hook.covered_up is (name == "_run")
    assert one_long_step(idle) == [("step", LONG)]
    idle.hook.uninstall()
    assert vars(owner)[name] is tracer.function
    assert one_long_step(idle) == []
    for _ in range(3):
        idle.hook.install()
        assert vars(owner)[name] is tracer.function  # no second layer of ours around it
        assert one_long_step(idle) == [("step", LONG)]
        idle.hook.uninstall()
    tracer.uninstall()
    assert vars(owner)[name] is ours
    assert one_long_step(idle) == []
    idle.hook.install()
    assert vars(owner)[name] is ours
    idle.hook.uninstall()
    assert vars(owner)[name] in (RUN, FOREVER)


@PATCHED
def test_a_tool_that_went_before_us_in_the_wrong_order(idle: Watching, owner: type, name: str) -> None:
    """It came before us and restored what it had found, ours with it: the next install puts ours in place again."""
    tracer = Tracer(owner, name).install()
    idle.hook.install()
    tracer.uninstall()
    idle.hook.uninstall()
    assert vars(owner)[name] in (RUN, FOREVER)
    idle.hook.install()
    assert one_long_step(idle) == [("step", LONG)]
    idle.hook.uninstall()
    assert vars(owner)[name] in (RUN, FOREVER)


def test_a_watch_that_was_torn_out_says_so(idle: Watching) -> None:
    """Nothing is silent: what reports no stalls because it is not called any more is named."""
    idle.hook.install()
    ours = events.Handle._run
    assert (idle.hook.covered_up, idle.hook.blind) == (False, {})
    events.Handle._run = RUN  # type: ignore[method-assign]
    assert idle.hook.covered_up
    assert len(idle.hook.blind) == 1
    events.Handle._run = ours  # type: ignore[method-assign]
    assert (idle.hook.covered_up, idle.hook.blind) == (False, {})


def test_a_tool_that_came_after_us_is_called_once_to_prove_that_we_are(idle: Watching) -> None:
    """However often it is asked whether all is seen: what it counts are not the application's callbacks."""
    idle.hook.install()
    tracer = Tracer(events.Handle, "_run").install()
    assert [idle.hook.covered_up for _ in range(5)] == [True] * 5
    assert tracer.calls == 1
    other = Tracer(events.Handle, "_run").install()
    assert idle.hook.covered_up
    assert (other.calls, idle.hook.blind) == (1, {})
    other.uninstall()
    tracer.uninstall()


def test_a_patched_select_is_kept_and_put_back(idle: Watching) -> None:
    """Another tool's function in the selector itself runs under ours, and is there again when we go."""
    polls: list[Any] = []
    with new_loop(idle.clock) as loop:
        select = loop._selector.select

        def theirs(timeout: Any) -> Any:
            polls.append(timeout)
            return select(timeout)

        loop._selector.select = theirs
        idle.hook.install()
        loop.run_until_complete(asyncio.sleep(2))
        assert polls
        assert idle.state(loop).times(idle.clock())[1] == pytest.approx(2)
        idle.hook.uninstall()
        assert loop._selector.select is theirs


def test_a_select_patched_after_us_is_not_counted_twice(idle: Watching) -> None:
    """Theirs is kept, ours goes around it; the one beneath counts no more, and none is torn out."""
    with new_loop(idle.clock) as loop:
        idle.hook.install()
        loop.run_until_complete(asyncio.sleep(1))
        ours = loop._selector.select

        def theirs(timeout: Any) -> Any:
            return ours(timeout)

        loop._selector.select = theirs
        for seconds in (2, 3):
            loop.run_until_complete(asyncio.sleep(1))
            assert idle.state(loop).times(idle.clock())[1] == pytest.approx(seconds)
        idle.hook.uninstall()
        assert loop._selector.select is theirs
        loop.run_until_complete(asyncio.sleep(1))


def test_selects_taken_out_in_the_wrong_order(idle: Watching) -> None:
    """What could not go because another of ours stood around it goes with that."""
    with new_loop(idle.clock) as loop:
        one, two, three = (Tap(loop._selector, lambda inner: lambda timeout: inner(timeout)) for _ in range(3))
        for tap in (one, two, three):
            tap.put()
        for tap in (two, one, three):
            tap.take_out()
            tap.take_out()
        assert "select" not in vars(loop._selector)


def test_a_select_put_in_place_after_it_was_taken_out(idle: Watching) -> None:
    """The thread that installs may be slower than the one whose loop it is: then nothing stays."""
    with new_loop(idle.clock) as loop:
        late, own = (Tap(loop._selector, lambda inner: lambda timeout: inner(timeout)) for _ in range(2))
        late.take_out()
        own.put()
        late.put()
        assert own.in_place(loop._selector)
        own.take_out()
        assert "select" not in vars(loop._selector)


def test_a_select_patched_in_the_step_that_installs(idle: Watching) -> None:
    """What we had put there for that step alone stays beneath theirs, and does nothing."""

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        idle.hook.install()
        ours = loop._selector.select
        loop._selector.select = lambda timeout: ours(timeout)
        idle.work()
        await asyncio.sleep(1)
        await asyncio.sleep(1)

    with new_loop(idle.clock) as loop:
        loop.run_until_complete(main())
        assert idle.told() == [("step", LONG)]
        assert idle.state(loop).times(idle.clock()) == (about(LONG), about(2))
