"""What makes the sides of every comparison different: no watch, or a watch with one of the stopwatches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loopwatch import Watch

NO_EXTENSIONS = "LOOPWATCH_NO_EXTENSIONS"
"""The environment variable that keeps a process to the stopwatch in Python."""

_chosen: str | None = None


def stopwatches() -> tuple[str, ...]:
    """The implementations that this installation has, by the names that they give themselves; the default is first."""
    return ("c", "python") if _is_compiled() and not os.environ.get(NO_EXTENSIONS) else ("python",)


def _is_compiled() -> bool:
    # By its file: a process has chosen once it has imported anything of loopwatch.
    found = find_spec("loopwatch")
    if found is None or found.origin is None:
        return False
    folder = Path(found.origin).parent / "observe" / "stopwatch"
    return any((folder / f"_steps_c{suffix}").exists() for suffix in EXTENSION_SUFFIXES)


def choose(stopwatch: str) -> None:
    """Have this process use that stopwatch. Called before loopwatch is imported, in a process of its own."""
    global _chosen
    if stopwatch != stopwatches()[0]:
        os.environ[NO_EXTENSIONS] = "1"
    _chosen = stopwatch


@contextmanager
def watching(watched: bool, **settings: Any) -> Iterator[Watch | None]:
    """Install the watch, or do nothing: a process that never watches does not even import loopwatch.

    Unless ``settings`` name reporters there are none: a busy machine makes stalls, and they are not asked for.
    Raises RuntimeError where loopwatch does not use the stopwatch that was chosen: the table would tell of another.
    """
    if not watched:
        yield None
        return
    import loopwatch
    from loopwatch.observe.stopwatch.steps import IMPLEMENTATION

    if _chosen not in (None, IMPLEMENTATION):
        raise RuntimeError(f"loopwatch uses the stopwatch {IMPLEMENTATION!r}, not {_chosen!r} as it should")
    with loopwatch.install(**{"reporters": [], **settings}) as watch:
        yield watch
