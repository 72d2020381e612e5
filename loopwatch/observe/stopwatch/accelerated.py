"""The stopwatch in C behind the contract of ``_steps_py.py``, which stays in charge of all that is not quick.

Importing this raises ImportError where the C files were not compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from ... import _compat
from ..guard import theirs
from . import _steps_c, _steps_py
from ._steps_py import QUICK, Counting
from .genuine import epoll_types, known_run

_READINGS = 3


class Stopwatch(Counting, _steps_c.Fields):
    """As ``_steps_py.Stopwatch``, with its fields where C finds them."""

    __slots__ = ()


class _Last:
    """Why the last ``make_run`` did not make one that calls the callbacks itself; empty where it did."""

    why_indirect = ""


last = _Last()


def make_run(previous: Callable[[Any], None], adopt: Callable[[Any], Any], clock: Callable[[], float]) -> Any:
    """See ``_steps_py.make_run``. Where ``previous`` is asyncio's own function, what it does is done in C."""

    def settle(state: Any, handle: Any, now: float) -> None:
        try:
            if now - state.mark <= QUICK:  # a stopwatch that became another kind in this step
                state.quick += 1
            else:
                state.slow_step(handle, now)
            state.mark = now
            state.handle = None
        except Exception as error:
            if theirs(error):
                raise
            adopt(handle)

    shape, last.why_indirect = known_run(previous)
    reference = _steps_py.make_run(previous, adopt, clock)
    slots, types = shape or (None, ())
    direct = not last.why_indirect
    return _steps_c.make_run(previous, reference, settle, ours_or(clock), QUICK, slots, types, direct)


def make_select(state: Any, inner: Callable[[Any], Any], alarm: Any, clock: Callable[[], float]) -> Any:
    """See ``_steps_py.make_select``."""
    reference = _steps_py.make_select(state, inner, alarm, clock)
    return _steps_c.make_select(state, inner, reference, alarm, ours_or(clock), QUICK, epoll_types(inner))


def ours_or(clock: Callable[[], float]) -> Callable[[], float] | None:
    """None where C may read the clock without calling it: if it is ours, and both show the same time."""
    if clock is not cast(object, _compat.clocks.monotonic):
        return clock
    for _ in range(_READINGS):
        if not clock() <= _steps_c.monotonic() <= clock():
            return clock
    return None


__all__ = ["Stopwatch", "last", "make_run", "make_select"]
