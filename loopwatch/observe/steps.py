"""Chooses the stopwatch. All implementations keep one contract: ``Stopwatch``, ``make_run``, ``make_select``."""

from __future__ import annotations

from ._steps_py import NEVER, NOTABLE, QUICK, Stopwatch, make_run, make_select

IMPLEMENTATION = "python"

__all__ = ["IMPLEMENTATION", "NEVER", "NOTABLE", "QUICK", "Stopwatch", "make_run", "make_select"]
