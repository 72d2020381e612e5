"""Chooses what times the callbacks that are given to a loop of uvloop: in C as the stopwatch is, or in Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..stopwatch.steps import QUICK, with_c
from . import _calls_py
from ._calls_py import make_schedule as _make_schedule

if TYPE_CHECKING:
    from . import _calls_c
else:
    _calls_c = with_c(f"{__package__}._calls_c")
IN_C = _calls_c is not None
CALL: type = _calls_c.Call if IN_C else _calls_py.Call
"""What stands for a callback."""


def make_calls(
    loop: Any, settle: Callable[[Any, float, float], None], clock: Callable[[], float], slow_from: float
) -> Any:
    """See ``_calls_py.Calls``."""
    if not IN_C:
        return _calls_py.Calls(loop, settle, clock, QUICK, slow_from)
    from ..stopwatch.accelerated import ours_or

    return _calls_c.Calls(loop, settle, ours_or(clock), QUICK, slow_from)


def make_schedule(previous: Any, find: Callable[[Any], Any], place: int, waits: bool) -> Any:
    """See ``_calls_py.make_schedule``."""
    if not IN_C:
        return _make_schedule(previous, find, place, waits)
    return _calls_c.make_schedule(previous, find, place, waits)


__all__ = ["CALL", "IN_C", "make_calls", "make_schedule"]
