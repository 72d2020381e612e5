"""Errors of ours are told from those that only passed through our code."""

from __future__ import annotations

import ctypes
import functools
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from loopwatch.observe.guard import theirs

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs a signal that nobody else sends")


class Timeout(Exception):
    """What an application raises to leave what takes too long."""


def raising(signum: int, frame: Any) -> None:
    raise Timeout


class Handler:
    """A handler of another make, whose arguments have no names."""

    def __call__(self, *_: Any) -> None:
        raise Timeout


@pytest.fixture(params=[raising, Handler(), functools.partial(raising)], ids=["function", "object", "partial"])
def handled(request: pytest.FixtureRequest) -> Iterator[None]:
    before = signal.signal(signal.SIGUSR1, request.param)
    yield
    signal.signal(signal.SIGUSR1, before)


def error_in(body: str, **known: Any) -> BaseException:
    """What comes of a line of code that stands in a module of ours."""
    source = f"def ours():\n  try:\n    {body}\n  except BaseException as error:\n    return error"
    names: dict[str, Any] = {"__name__": "loopwatch.observe.made", **known}
    exec(source, names)
    error: BaseException = names["ours"]()
    assert isinstance(error, BaseException)
    return error


def interrupt() -> None:
    signal.raise_signal(signal.SIGUSR1)


@pytest.mark.usefixtures("handled")
@pytest.mark.parametrize("raise_signal", [functools.partial(signal.raise_signal, signal.SIGUSR1), interrupt])
def test_what_a_signal_handler_raises_is_theirs(raise_signal: Callable[[], None]) -> None:
    """Wherever it comes: in a line of ours, or in a function that we call."""
    error = error_in("raise_signal()", raise_signal=raise_signal)
    assert isinstance(error, Timeout) and theirs(error)


def test_what_another_thread_makes_break_out_is_theirs() -> None:
    """It has no frame of its own: only its class tells that it is none of our errors."""

    def break_out() -> BaseException:
        set_error = ctypes.pythonapi.PyThreadState_SetAsyncExc
        ident = ctypes.c_ulong(threading.get_ident())
        return error_in("[set_error(ident, kind) for _ in [1]]\n    while True: pass",
                        set_error=set_error, ident=ident, kind=ctypes.py_object(Timeout))  # fmt: skip

    error = break_out()
    assert isinstance(error, Timeout) and theirs(error)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), GeneratorExit()])
def test_what_is_no_exception_is_theirs(error: BaseException) -> None:
    """Nothing of ours raises it."""
    assert theirs(error)


class Hostile:
    """An object of the application that answers no question, and has the frame of who asks."""

    def __getattr__(self, name: str) -> Any:
        raise Timeout(name)


@pytest.mark.parametrize("body", ["None.missing", "[][1]", "raise RuntimeError", "hostile.anything", "int('one')"])
def test_what_comes_of_our_own_doing_is_ours(body: str) -> None:
    """Our mistakes, and what an object of the application says to a question that only we ask."""
    assert not theirs(error_in(body, hostile=Hostile()))
