"""What of uvloop's loops must be known before there is one: whether it is imported, and the code they will run in.

The rest, with ``ctypes`` and all that asks libuv, is loaded when a process has imported uvloop: most never do.
"""

from __future__ import annotations

import sys
from types import CodeType
from typing import Any

watcher: Any = None
"""The hook that is installed, if one is: our methods serve whichever watch there is."""


def loop_class() -> Any:
    """The class of uvloop's loops, if uvloop is imported."""
    return getattr(sys.modules.get("uvloop"), "Loop", None)


def make_run_forever(previous: Any) -> Any:
    """A ``run_forever`` that tells the hook when the loop enters ``previous`` and when it leaves it."""

    def run_forever(self: Any) -> Any:
        hook = watcher
        if hook is None:
            return previous(self)
        state = hook.enter(self, sys._getframe())
        try:
            return previous(self)
        finally:
            hook.leave(state)

    return run_forever


RUN_CODE: CodeType = next(each for each in make_run_forever.__code__.co_consts if type(each) is CodeType)
"""The code of ours that a loop runs in: what the loop calls lies within it."""
