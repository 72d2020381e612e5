"""Chooses the stopwatch. All implementations keep one contract: ``Stopwatch``, ``make_run``, ``make_select``.

The one in C is used where it was compiled, unless ``LOOPWATCH_NO_EXTENSIONS`` is set; ``LOOPWATCH_REQUIRE_C``
makes it an ImportError if it cannot be had. Both are read once, when this is imported: classes are built on it.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ...settings import NO_EXTENSIONS, REQUIRE_C, is_on
from ._steps_py import NEVER, NOTABLE, QUICK

IMPLEMENTATION = "python"
NOT_IN_C = ""
"""Why it is not the one in C; empty where it is."""

if TYPE_CHECKING:
    from ._steps_py import Stopwatch, make_run, make_select
else:
    from . import _steps_py as chosen

    if is_on(NO_EXTENSIONS, os.environ):
        NOT_IN_C = f"{NO_EXTENSIONS} is set"
    else:
        try:
            from . import accelerated as chosen
        except ImportError as error:
            NOT_IN_C = f"the accelerator cannot be loaded ({error})"
    if not NOT_IN_C:
        IMPLEMENTATION = "c"
    elif is_on(REQUIRE_C, os.environ):
        raise ImportError(f"{REQUIRE_C} is set, and the stopwatch in C cannot be used: {NOT_IN_C}")
    Stopwatch, make_run, make_select = chosen.Stopwatch, chosen.make_run, chosen.make_select


def with_c(name: str) -> Any:
    """The extension of that full name; None where the stopwatch is not in C, or it was not compiled.

    Raises ImportError for the latter where C is required.
    """
    if IMPLEMENTATION != "c":
        return None
    try:
        return import_module(name)
    except ImportError:
        if is_on(REQUIRE_C, os.environ):
            raise
        return None


def how_timed() -> str:
    """In words, what times the steps, and why it is not the fastest that there is."""
    if IMPLEMENTATION != "c":
        return f"in Python: {NOT_IN_C}"
    from .accelerated import last

    return f"in C, around Handle._run: {last.why_indirect}" if last.why_indirect else "in C"


__all__ = [
    "IMPLEMENTATION",
    "NEVER",
    "NOTABLE",
    "NOT_IN_C",
    "QUICK",
    "Stopwatch",
    "how_timed",
    "make_run",
    "make_select",
    "with_c",
]
