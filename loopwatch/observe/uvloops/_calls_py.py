"""Times the callbacks that are given to a loop of uvloop: the reference for ``_calls_c``.

uvloop's handles are C and call what they were given. So a method by which callbacks are scheduled is replaced by one
that hands on a ``Call`` in place of the callback: it reads the clock before and after, and in all else answers as
the callback would. Of this implementation a frame stands in the traceback of what a callback raises, and in where a
handle says, in debug mode, that it was created.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..guard import theirs
from ..stopwatch._steps_py import NEVER

_UNKNOWN = float("nan")


class Calls:
    """What is known of the timed calls of one loop; written by its thread, read by any.

    ``began`` and ``running``: when the call that runs now began, ``NEVER`` where none does, and what is called;
    ``seconds``: what all have taken; ``quick``: how many took ``bound`` seconds at most; ``brief``: how many others
    took less than ``slow_from``; the rest is told to ``settle(callback, began, ended)``.
    ``waiting``: callbacks that are ready and have not run; ``behind``: how many they were when ``running`` began.
    """

    __slots__ = (
        "began",
        "behind",
        "bound",
        "brief",
        "clock",
        "quick",
        "running",
        "seconds",
        "settle",
        "slow_from",
        "waiting",
        "watching",
    )

    def __init__(
        self,
        loop: Any,
        settle: Callable[[Any, float, float], None],
        clock: Callable[[], float],
        bound: float,
        slow_from: float,
    ) -> None:
        self.watching = True
        self.began = NEVER
        self.running: Any = None
        self.seconds = 0.0
        self.quick = self.brief = self.waiting = self.behind = 0
        self.settle = settle
        self.clock = clock
        self.bound = bound
        self.slow_from = slow_from

    def let_go(self) -> None:
        """Time nothing more."""
        self.watching = False

    def now(self) -> float:
        """NaN where the clock fails: then the call is counted as quick, and took no time."""
        try:
            return self.clock()
        except Exception as error:
            if theirs(error):
                raise
            return _UNKNOWN


class Call:
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
        calls.began = began = calls.now()
        try:
            return callback(*args)
        finally:
            ended = calls.now()
            spent = ended - began
            if spent == spent:
                calls.seconds += spent
            if not spent > calls.bound:
                calls.quick += 1
            elif spent < calls.slow_from:
                calls.brief += 1
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
        return bool(self._loopwatch_callback == (other._loopwatch_callback if type(other) is Call else other))

    def __hash__(self) -> int:
        return hash(self._loopwatch_callback)


CALLBACK = "callback"
"""How the argument is called that is called."""


def _may_be_timed(callback: Any) -> bool:
    """An awaitable is handed on as it is: asyncio refuses a coroutine and keeps its type, and ours is one for all."""
    return callable(callback) and not hasattr(type(callback), "__await__")


def make_schedule(previous: Any, find: Callable[[Any], Any], place: int, waits: bool) -> Any:
    """A method in place of ``previous``: ``place`` is where the callback stands, the loop being the first argument.

    ``find`` gives the ``Calls`` of a loop, or None; ``waits``: whether the callback is ready to run at once.
    """

    def schedule(*args: Any, **named: Any) -> Any:
        given = args[place] if len(args) > place else named.get(CALLBACK)
        calls = find(args[0]) if args and _may_be_timed(given) else None
        if calls is None or not calls.watching:
            return previous(*args, **named)
        call = Call(given, calls, waits)
        if len(args) > place:
            return previous(*args[:place], call, *args[place + 1 :], **named)
        return previous(*args, **{**named, CALLBACK: call})

    return schedule


__all__ = ["Call", "Calls", "make_schedule"]
