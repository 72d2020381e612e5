"""What stands for asyncio's own ``Handle._run`` is that function to the last bit, or it is called as what it is."""

from __future__ import annotations

import asyncio
import functools
from asyncio import events
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

import pytest

import loopwatch
from loopwatch import _compat
from loopwatch.observe.stopwatch import genuine
from loopwatch.observe.stopwatch.genuine import NotGenuine, assert_genuine, handle_shape
from tests.implementations import accelerator

RUN: Any = events.Handle._run


def with_code(**changed: Any) -> Any:
    """A function of asyncio's module whose code is another one."""
    code: CodeType = RUN.__code__.replace(**changed)
    return FunctionType(code, RUN.__globals__, "_run")


def test_asyncios_own_is_genuine() -> None:
    """On every version of Python that we know."""
    assert_genuine(RUN)


def test_the_slots_are_those_of_handle() -> None:
    """And timers keep them; the types begin with ``Handle``."""
    shape = handle_shape()
    assert [slot.__name__ for slot in shape.slots] == ["_loop", "_context", "_callback", "_args"]
    assert all(slot.__objclass__ is events.Handle for slot in shape.slots)
    assert shape.types[:2] == (events.Handle, events.TimerHandle)


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    yield
    genuine._original.cache_clear()


@functools.wraps(RUN)
def _wrapped(self: Any) -> None:
    RUN(self)


class _Callable:
    __code__ = RUN.__code__

    def __call__(self, handle: Any) -> None:
        RUN(handle)


STRANGERS: dict[str, Any] = {
    "wrapped": _wrapped,
    "another callable": _Callable(),
    "builtin": print,
    "other globals": FunctionType(RUN.__code__, {**RUN.__globals__}),
    "with defaults": FunctionType(RUN.__code__, RUN.__globals__, "_run", (None,)),
    "other constants": with_code(co_consts=tuple("Oops " if each == "Exception in callback " else each
                                                 for each in RUN.__code__.co_consts)),
    "other names": with_code(co_names=tuple("_callback2" if each == "_callback" else each
                                            for each in RUN.__code__.co_names)),
    "other bytecode": with_code(co_code=RUN.__code__.co_code[:-2] + RUN.__code__.co_code[:2]),
}  # fmt: skip


@pytest.mark.parametrize("stranger", STRANGERS)
def test_anything_else_is_not(stranger: str) -> None:
    """Also what looks like it: other globals, defaults, constants, names, instructions."""
    with pytest.raises(NotGenuine):
        assert_genuine(STRANGERS[stranger])


def test_an_unknown_version_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where everything looks the same."""
    monkeypatch.setattr(_compat, "KNOWN_HANDLES", False)
    with pytest.raises(NotGenuine, match="this version of Python"):
        assert_genuine(RUN)


def test_without_the_original_nothing_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loader that has nothing to compare with, or that fails."""

    class Loader:
        answer: Any = None

        def get_code(self, name: str) -> Any:
            if self.answer is OSError:
                raise OSError
            return self.answer

    loader = Loader()
    monkeypatch.setattr(events.__spec__, "loader", loader)
    for loader.answer in (None, OSError, with_code().__code__):
        genuine._original.cache_clear()
        with pytest.raises(NotGenuine, match="cannot be read"):
            assert_genuine(RUN)


def test_a_changed_standard_library_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file itself has another ``_run``, what it does tells: more or less than ours, or in another order."""
    source = """
class Handle:
    def _run(self):
        {before}
        try:
            self._context.run(self._callback, *self._args)
        except Exception:
            pass
        {after}
"""

    def found_with(before: str = "pass", after: str = "pass") -> Any:
        module = compile(source.format(before=before, after=after), "events.py", "exec")
        (handle,) = (each for each in module.co_consts if type(each) is CodeType)
        (code,) = (each for each in handle.co_consts if type(each) is CodeType)
        monkeypatch.setattr(genuine, "_original", lambda *given: code)
        return FunctionType(code, RUN.__globals__, "_run")

    assert_genuine(found_with())
    for changed in ({"before": "self._loop"}, {"after": "self._done = True"}, {"after": "self._source_traceback"},
                    {"after": "return 1"}, {"before": "raise ValueError"}):  # fmt: skip
        with pytest.raises(NotGenuine, match="does not do"):
            assert_genuine(found_with(**changed))


def test_another_tools_function_is_called_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch that comes second times what the first tool does, in C as well, and the coverage names the reason."""
    accelerator()
    calls: list[Any] = []

    @functools.wraps(RUN)
    def tool(self: Any) -> None:
        calls.append(self)
        RUN(self)

    monkeypatch.setattr(events.Handle, "_run", tool)
    with loopwatch.install(reporters=[], prometheus=False) as watch:
        del calls[:]
        asyncio.run(asyncio.sleep(0))
        now = watch.snapshot()
        assert len(calls) >= now.loops[0].steps > 0
        assert "timed in C, around Handle._run: another tool stands in Handle._run" in str(now.coverage[0])
    monkeypatch.undo()
    with loopwatch.install(reporters=[], prometheus=False) as watch:
        assert str(watch.snapshot().coverage[0]) == "asyncio loops: exact (every step and every turn, timed in C)"
