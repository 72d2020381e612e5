"""Copies of stacks: from the step inward, bounded, with the module that is being imported."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

import pytest

from loopwatch.observe.stacks import copy_stack


def here() -> FrameType:
    return sys._getframe(1)


def step(function: Callable[[], Any]) -> Any:
    """What stands for asyncio's own frame around a step."""
    return function()


STEP: tuple[CodeType, ...] = (step.__code__,)


def test_a_copy_begins_at_the_innermost_step() -> None:
    """What lies around it is asyncio's, or another loop's."""

    def inner() -> Any:
        return copy_stack(here(), STEP)

    def outer() -> Any:
        return step(inner)

    frames, importing = step(outer)
    assert [frame.code for frame in frames] == [inner.__code__]
    assert frames[0].module == __name__
    assert frames[0].lasti >= 0
    assert importing is None


def test_outside_of_a_step_there_is_nothing_to_copy() -> None:
    """A thread that had left its step when it was looked at; without a step to look for, all of it is copied."""
    assert copy_stack(here(), STEP) == (None, None)
    assert copy_stack(None, STEP) == (None, None)
    everything, _ = copy_stack(here(), ())
    assert everything is not None
    assert everything[-1].code is test_outside_of_a_step_there_is_nothing_to_copy.__code__
    assert copy_stack(None, ()) == ((), None)


def test_a_step_that_is_seen_before_its_first_frame_has_none() -> None:
    """As a callable of C has none at all."""

    def itself() -> Any:
        return copy_stack(here(), (itself.__code__,))

    assert itself() == ((), None)


def descend(depth: int) -> Any:
    return copy_stack(here(), STEP) if depth == 0 else descend(depth - 1)


@pytest.mark.parametrize("depth", [10, 126, 127, 500])
def test_both_ends_of_a_deep_stack_are_kept(depth: int) -> None:
    """The innermost frames tell who is to be charged, the outermost how it came to that."""

    def outermost() -> Any:
        return descend(depth)

    frames, _ = step(outermost)
    assert len(frames) == min(depth + 2, 128)
    assert frames[0].code is outermost.__code__
    assert {frame.code for frame in frames[1:]} == {descend.__code__}
    innermost, caller = frames[-1], frames[-2]
    assert innermost.lasti != caller.lasti  # it copies, the others descend


def test_the_module_that_is_imported_is_named(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outermost one, which is the one that was asked for."""
    (tmp_path / "asked_for.py").write_text("import needed_by_it\n")
    (tmp_path / "needed_by_it.py").write_text("import sys\nsys.modules['seen_by_test'].look()\n")
    seen: list[Any] = []
    witness = type(sys)("seen_by_test")
    witness.look = lambda: seen.append(copy_stack(here(), STEP))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "seen_by_test", witness)
    monkeypatch.syspath_prepend(str(tmp_path))

    def asks() -> None:
        import asked_for  # type: ignore[import-not-found] # noqa: F401

    step(asks)
    for name in ("asked_for", "needed_by_it"):
        monkeypatch.delitem(sys.modules, name)
    ((frames, importing),) = seen
    assert importing == "asked_for"
    assert frames[0].code is asks.__code__


def test_what_loopwatch_stands_in_for_is_not_on_the_stack() -> None:
    """A function of ours between two of the application's: nobody is to be shown, or charged with, that."""
    ours: dict[str, Any] = {"__name__": "loopwatch.observe.jobs.anyio_threads"}
    exec("def import_module(previous):\n    return previous()\n", ours)

    def inner() -> Any:
        return copy_stack(here(), STEP)

    def outer() -> Any:
        return ours["import_module"](inner)

    frames, _ = step(outer)
    assert [frame.code for frame in frames] == [outer.__code__, inner.__code__]
