"""Both stopwatches, for tests of the contract that they share."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from loopwatch.observe.stopwatch import _steps_py
from loopwatch.observe.stopwatch.steps import IMPLEMENTATION, NOT_IN_C
from loopwatch.settings import NO_EXTENSIONS

NAMES = ("python", "c")


def implementation(name: str) -> Any:
    """The module that has ``Stopwatch``, ``make_run`` and ``make_select``; skips the test where it is not to be had."""
    if name == "python":
        return _steps_py
    return accelerator()


def accelerator() -> ModuleType:
    if IMPLEMENTATION != "c":
        # Left out on purpose, or missing: the latter is a failure under CI, see conftest.py.
        pytest.skip(NOT_IN_C if NO_EXTENSIONS in NOT_IN_C else f"missing module: _steps_c: {NOT_IN_C}")
    from loopwatch.observe.stopwatch import accelerated

    return accelerated
