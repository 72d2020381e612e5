"""All that is put into other people's code, as one: in, out, and through a fork in the order that each needs."""

from __future__ import annotations

from functools import partial

from .foreign_loops import ForeignLoops, step_codes
from .jobs.anyio_threads import AnyioHook
from .jobs.executors import ExecutorHook
from .looks.host import GcHook
from .loops.asyncio_loop import AsyncioHook
from .loops.loop_state import Outlets


class Hooks:
    """The hooks of one watch. ``install`` and ``uninstall`` may be called from any thread, and again."""

    def __init__(self, threshold: float, brief: float, outlets: Outlets, exact_uvloop: bool = False) -> None:
        self.loops = AsyncioHook(threshold, outlets)
        self.executors = ExecutorHook(outlets.alarm, outlets.faults, step_codes, brief)
        self.foreign_loops = ForeignLoops(self.loops, self.executors, exact_uvloop)
        self.anyio = AnyioHook(self.executors)
        self.anyio.loops_run = self._loops_run
        self.loops.on_begin = self.anyio.refresh
        self.loops.on_end = partial(self.anyio.refresh, by_the_way=True)
        self.collections = GcHook()

    def install(self) -> None:
        """Put all in place. Raises SelfCheckFailed where one does not take; ``uninstall`` is then for the caller."""
        self.foreign_loops.install()  # before: it is asked of the loops that run already
        self.loops.install()
        self.executors.install()
        self.anyio.install()
        self.collections.install()

    def refresh(self) -> None:
        """Put in place what could not be sooner: its library was imported meanwhile."""
        self.anyio.refresh(by_the_way=True)
        self.foreign_loops.refresh()

    def _loops_run(self) -> bool:
        return any(state.running() for state in list(self.loops.states.values()))

    def uninstall(self) -> None:
        """Give everything back as it was."""
        self.collections.uninstall()
        self.anyio.uninstall()  # before the executors: its pools are none with attributes of their own
        self.executors.uninstall()
        self.foreign_loops.uninstall()
        self.loops.uninstall()

    def after_fork(self) -> None:
        """In the child."""
        self.foreign_loops.after_fork()  # before: it asks which of their states is that of a loop that goes on
        self.loops.after_fork()
        self.executors.after_fork()
        self.collections.after_fork()
        self.anyio.after_fork()
