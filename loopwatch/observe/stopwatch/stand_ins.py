"""What asyncio's own functions are given where the stopwatch in Python has done a part of their work already.

So what becomes of an error, or of files that are ready, in words, tracebacks and all, is decided by asyncio's own
function, of whatever version. The stopwatch in C has the same of its own: ``replay.c`` and ``answered.c``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class Failed:
    """Stands in a handle whose callback has raised, for its context and its arguments: ``with Failed(handle, error)``.

    ``Handle._run`` takes ``run`` of the context, the callback, for which the error stands, and at last the
    arguments: with these the handle is as it was, and ``run(error)`` raises the error without a frame of its own.
    """

    __slots__ = ("_handle", "_kept", "run")

    def __init__(self, handle: Any, error: BaseException) -> None:
        _leave_out_first(error)
        ended = (each for each in tuple[Any, ...]())
        next(ended, None)
        self.run: Any = ended.throw  # what is thrown into it comes out as it is
        self._handle = handle
        self._kept: Any = handle._context, handle._callback, handle._args
        handle._context, handle._callback, handle._args = self, error, self

    def __iter__(self) -> Iterator[Any]:
        handle, self._handle = self._handle, None
        handle._context, handle._callback, handle._args = self._kept
        return iter(())

    def __enter__(self) -> None:
        pass

    def __exit__(self, *raised: object) -> None:
        if self._handle is not None:  # something else was raised before, as a signal handler can
            iter(self)
        self._kept = self.run = None


def _leave_out_first(error: BaseException) -> None:
    """Of its traceback the frame that handles it, which has called in the place of asyncio's own function."""
    trace = error.__traceback__
    error.__traceback__ = trace and trace.tb_next


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


def answer_in(select: Any, ready: Any, error: BaseException | None = None) -> Any:
    """What the genuine ``select``, a bound method, makes of what its epoll object answered, or raised.

    Of an error the traceback is the one that ``select`` would have given it.
    """
    if error is not None:
        _leave_out_first(error)
    try:
        return select.__func__(_Answered(select.__self__, ready, error), 0)
    except BaseException as raised:
        trace = raised.__traceback__
        if raised is error and trace is not None and (trace := trace.tb_next) is not None and trace.tb_next is not None:
            trace.tb_next = trace.tb_next.tb_next  # without the frame of `poll` above
        raise
