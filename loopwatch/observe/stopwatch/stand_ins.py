"""What asyncio's own functions are given where the stopwatch in Python has done a part of their work already.

So what becomes of an error, or of files that are ready, in words, tracebacks and all, is decided by asyncio's own
function, of whatever version. The stopwatch in C has the same of its own: ``replay.c`` and ``answered.c``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any


class _Failed:
    """Stands in a handle whose callback has raised, for its context and for its arguments.

    ``Handle._run`` takes ``run`` of the context, the callback, for which the error stands, and at last the
    arguments: with these the handle is as it was, and ``run(error)`` raises the error without a frame of its own.
    """

    __slots__ = ("_error", "_handle", "_kept", "run")

    def __init__(self, handle: Any, error: BaseException) -> None:
        self._handle = handle
        self._error = error
        self._kept = handle._context, handle._callback, handle._args
        self.run = _ended().throw
        handle._context, handle._callback, handle._args = self, error, self

    def __iter__(self) -> Iterator[Any]:
        handle = self._handle
        self._handle = None
        handle._context, handle._callback, handle._args = self._kept
        return iter(())

    def over(self) -> None:
        """Something else may have been raised before, as a signal handler can: then both are heard of."""
        if self._handle is not None:
            iter(self)
            told = (type(self._error), self._error, self._error.__traceback__, None, self._kept)
            sys.unraisablehook(sys.UnraisableHookArgs(told))  # type: ignore[attr-defined]
        self._error = self._kept = None  # type: ignore[assignment]


def _ended() -> Any:
    """A generator that has ended: what is thrown into it is raised as it is."""
    generator = (each for each in ())
    next(generator, None)
    return generator


def raise_in(function: Callable[[Any], None], handle: Any, error: BaseException) -> None:
    """Have ``function``, asyncio's own ``Handle._run``, deal with an error that is being handled by who calls this.

    Raises what that raises.
    """
    trace = error.__traceback__
    error.__traceback__ = trace and trace.tb_next  # without the frame that has called the callback in its place
    failed = _Failed(handle, error)
    try:
        function(handle)
    finally:
        failed.over()
        trace = error = handle = None  # type: ignore[assignment]  # a traceback may keep this frame


class _Answered:
    """Stands for a selector, and for its epoll object, that has been polled: this was ready, or was raised."""

    def __init__(self, selector: Any, ready: Any, error: BaseException | None) -> None:
        self._asked = selector
        self._selector = self
        self._fd_to_key = selector._fd_to_key
        self._ready = ready
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._asked, name)

    def poll(self, *given: Any) -> Any:
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._ready


def answer_in(select: MethodType, ready: Any, error: BaseException | None = None) -> Any:
    """What a selector's genuine ``select`` makes of what its epoll object answered, or raised."""
    return select.__func__(_Answered(select.__self__, ready, error), 0)
