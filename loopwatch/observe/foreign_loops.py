"""Loops that are not asyncio's: uvloop's by libuv's counters, all others by a heartbeat, if they answer."""

from __future__ import annotations

from types import CodeType
from typing import Any

from . import asyncio_loop
from .asyncio_loop import AsyncioHook
from .pulse import PulseHook
from .uvloop_loop import RUN_CODE, UvloopHook


def step_codes() -> tuple[CodeType, ...]:
    """The code objects that mark, in a stack, where a step begins, on loops of any make."""
    return (*asyncio_loop.step_codes(), RUN_CODE)


class ForeignLoops:
    """All loops of the process that are not asyncio's, while installed. Their states are with those of ``loops``."""

    def __init__(self, loops: AsyncioHook, exact_uvloop: bool = False) -> None:
        self._uvloops = UvloopHook(loops, exact_uvloop)
        self._pulses = PulseHook(loops)
        loops.meets_too = self.meet

    def install(self) -> None:
        """Before ``loops`` is installed, which asks for those that run already."""
        self._pulses.install()
        self._uvloops.install()

    def uninstall(self) -> None:
        self._uvloops.uninstall()
        self._pulses.uninstall()

    def refresh(self) -> None:
        """See what was imported meanwhile."""
        self._uvloops.refresh()

    def after_fork(self) -> None:
        """In the child no loop runs; one that goes on is taken in when it begins again."""
        self._uvloops.after_fork()

    def meet(self, loop: Any) -> bool:
        """A loop runs, or is about to; whether it is sure to be seen."""
        if self._uvloops.meet(loop):
            return True
        self._pulses.meet(loop)
        return False
