"""Times the callbacks that are given to a loop of uvloop: the reference for ``timed_calls/``.

uvloop's handles are C and call what they were given. So a method by which callbacks are scheduled is replaced by one
that hands on a ``_Call`` in place of the callback: it reads the clock before and after, and in all else answers as
the callback would. Of this implementation a frame stands in the traceback of what a callback raises, and in where a
handle says, in debug mode, that it was created.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._steps_py import NEVER


class Calls:
    """What is known of the timed calls of one loop; written by its thread, read by any.

    ``began`` and ``running``: when the call that runs now began, ``NEVER`` where none does, and what is called;
    ``seconds``: what all have taken; ``quick``: how many took ``bound`` seconds at most; all others are told to
    ``settle(callback, began, ended)``.
    ``waiting``: callbacks that are ready and have not run; ``behind``: how many they were when ``running`` began.
    """

    __slots__ = ("began", "behind", "bound", "clock", "quick", "running", "seconds", "settle", "waiting", "watching")

    def __init__(
        self, loop: Any, settle: Callable[[Any, float, float], None], clock: Callable[[], float], bound: float
    ) -> None:
        self.watching = True
        self.began = NEVER
        self.running: Any = None
        self.seconds = 0.0
        self.quick = self.waiting = self.behind = 0
        self.settle = settle
        self.clock = clock
        self.bound = bound

    def let_go(self) -> None:
        """Time nothing more."""
        self.watching = False


class _Call:
    """Stands for a callback, and times it."""

    __slots__ = ("_loopwatch_callback", "_loopwatch_calls", "_loopwatch_waits")

    def __init__(self, callback: Any, calls: Calls, waits: bool) -> None:
        self._loopwatch_callback = callback
        self._loopwatch_calls = calls
        self._loopwatch_waits = waits
        calls.waiting += waits

    def __call__(self, *args: Any) -> Any:
        callback, calls = self._loopwatch_callback, self._loopwatch_calls
        self._wait_no_more()
        if not calls.watching or calls.began != NEVER:
            return callback(*args)
        calls.behind, calls.running = calls.waiting, callback
        calls.began = began = calls.clock()
        try:
            return callback(*args)
        finally:
            ended = calls.clock()
            calls.seconds += ended - began
            if ended - began <= calls.bound:
                calls.quick += 1
            elif calls.watching:
                calls.settle(callback, began, ended)
            calls.began, calls.running = NEVER, None

    def __del__(self) -> None:
        self._wait_no_more()

    def _wait_no_more(self) -> None:
        if self._loopwatch_waits:
            self._loopwatch_waits = False
            self._loopwatch_calls.waiting -= 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loopwatch_callback, name)

    def __repr__(self) -> str:
        return repr(self._loopwatch_callback)

    def __str__(self) -> str:
        return str(self._loopwatch_callback)

    def __eq__(self, other: object) -> bool:
        return bool(self._loopwatch_callback == (other._loopwatch_callback if type(other) is _Call else other))

    def __hash__(self) -> int:
        return hash(self._loopwatch_callback)


def make_schedule(previous: Any, find: Callable[[Any], Any], place: int, waits: bool) -> Any:
    """A method in place of ``previous``: ``place`` is where the callback stands, the loop being the first argument.

    ``find`` gives the ``Calls`` of a loop, or None; ``waits``: whether the callback is ready to run at once.
    """

    def schedule(*args: Any, **named: Any) -> Any:
        calls = find(args[0]) if len(args) > place and callable(args[place]) else None
        if calls is None or not calls.watching:
            return previous(*args, **named)
        return previous(*args[:place], _Call(args[place], calls, waits), *args[place + 1 :], **named)

    return schedule


__all__ = ["Calls", "make_schedule"]
