"""Loops that are not asyncio's: uvloop's by libuv's counters, all others by a heartbeat, if they answer."""

from __future__ import annotations

import threading
from types import CodeType
from typing import TYPE_CHECKING, Any

from .jobs.executors import ExecutorHook
from .loops import asyncio_loop
from .loops.asyncio_loop import AsyncioHook
from .loops.pulse import PulseHook
from .uvloops.uvloop_entry import RUN_CODE, loop_class

if TYPE_CHECKING:
    from .uvloops.lookup_methods import LookupHook
    from .uvloops.uvloop_loop import UvloopHook


def step_codes() -> tuple[CodeType, ...]:
    """The code objects that mark, in a stack, where a step begins, on loops of any make."""
    return (*asyncio_loop.step_codes(), RUN_CODE)


class ForeignLoops:
    """All loops of the process that are not asyncio's, while installed. Their states are with those of ``loops``.

    The pool that those of uvloop have by themselves is with those of ``executors``.
    """

    def __init__(self, loops: AsyncioHook, executors: ExecutorHook, exact_uvloop: bool = False) -> None:
        self._loops = loops
        self._executors = executors
        self._exact_uvloop = exact_uvloop
        self._uvloops: UvloopHook | None = None
        self._lookups: LookupHook | None = None
        self._pulses = PulseHook(loops)
        self._installed = False
        self._making = threading.RLock()  # a signal handler may meet a loop
        """Held while what is needed for uvloop is loaded; never while a loop runs, which is met in its turn."""
        loops.meets_too = self.meet

    def install(self) -> None:
        """Before ``loops`` is installed, which asks for those that run already."""
        self._installed = True
        self._pulses.install()
        self._hook()

    def uninstall(self) -> None:
        self._installed = False
        hook, self._uvloops = self._uvloops, None
        lookups, self._lookups = self._lookups, None
        if hook is not None:
            hook.uninstall()
        if lookups is not None:
            lookups.uninstall()
        self._pulses.uninstall()

    def refresh(self) -> None:
        """See what was imported meanwhile."""
        known, hook = self._uvloops, self._hook()
        if hook is None or hook is not known:  # one that was made just now has looked already
            return
        hook.refresh()
        if self._lookups is not None:
            self._lookups.refresh()

    def after_fork(self) -> None:
        """In the child no loop runs; one that goes on is taken in when it begins again."""
        self._making = threading.RLock()
        if self._uvloops is not None:
            self._uvloops.after_fork()
        if self._lookups is not None:
            self._lookups.after_fork()

    def meet(self, loop: Any) -> bool:
        """A loop runs, or is about to; whether it is sure to be seen."""
        hook = self._hook()
        if hook is not None and hook.meet(loop):
            return True
        self._pulses.meet(loop)
        return False

    def _hook(self) -> UvloopHook | None:
        """That of uvloop's loops, loaded as soon as the application has imported uvloop; None until then."""
        if self._uvloops is None and self._installed and loop_class() is not None:
            from .uvloops.lookup_methods import LookupHook
            from .uvloops.uvloop_loop import UvloopHook

            with self._making:
                lookups = self._lookups = self._lookups or LookupHook(self._executors)
                hook = self._uvloops = self._uvloops or UvloopHook(self._loops, self._exact_uvloop)
            lookups.refresh()
            hook.refresh()
            if not self._installed:  # meanwhile, in another thread
                hook.uninstall()
                lookups.uninstall()
        return self._uvloops
