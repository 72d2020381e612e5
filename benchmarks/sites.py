"""Functions that hold a loop, each at a site of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def make_sites(count: int, seconds: float) -> list[Callable[[], None]]:
    """So many functions that sleep for ``seconds``; each has its own file, module and name."""
    return [_make(number, seconds) for number in range(count)]


def _make(number: int, seconds: float) -> Callable[[], None]:
    source = f"def hold_{number}():\n    sleep({seconds!r})\n"
    names: dict[str, Any] = {"__name__": f"made.up.module_{number}", "sleep": time.sleep}
    exec(compile(source, f"/made/up/module_{number}.py", "exec"), names)
    function: Callable[[], None] = names[f"hold_{number}"]
    return function
