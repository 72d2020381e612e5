"""Chooses what the sampler sleeps on: in C as the stopwatch is, or in Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from ... import _compat
from ..stopwatch.steps import with_c
from . import _rest_py

if TYPE_CHECKING:
    from . import _rest_c
else:
    _rest_c = with_c(f"{__package__}._rest_c")
IN_C = _rest_c is not None


def make_bell() -> Any:
    """See ``_rest_py.Bell``."""
    return _rest_c.Bell() if IN_C else _rest_py.Bell()


def make_gauge(libuv: Any, most: float, clock: Callable[[], float]) -> Any:
    """See ``_rest_py.Gauge``; None where there is none: who dozes reads our own clock and no other."""
    if clock is not cast(object, _compat.clocks.monotonic):
        return None
    if not IN_C:
        return _rest_py.Gauge(libuv.count_idle, most)
    from ..stopwatch.accelerated import ours_or

    return _rest_c.Gauge(libuv.idle_address, most) if hasattr(_rest_c, "Gauge") and ours_or(clock) is None else None


__all__ = ["IN_C", "make_bell", "make_gauge"]
