"""The heartbeat: for a loop of which nothing else can be seen, how long it takes to run a callback from outside.

A beat that is not answered means that the loop is held, at least since the beat was sent. A beat wakes the loop, so
none is sent to one that waits: when a beat was answered, the loop's thread has not been on a CPU since for longer than
the way back takes, and its stack shows nothing that the loop has called, it is in its poll still. Where the CPU time of
a thread cannot be had, a beat is sent at every look.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from ... import _compat
from ..guard import theirs
from ..stacks import copy_within, depth_of
from ..stopwatch.steps import NEVER
from .asyncio_loop import AsyncioHook
from .loop_state import Held, LoopState, Outlets
from .running_loops import thread_name
from .seen_steps import UNSEEN

HEARTBEAT = (
    "a heartbeat tells when they are held: a callback is sent to each after it has worked, twice a threshold as long "
    "as it does; a stall is timed from the beat that it kept waiting; steps, turns and idle time are not known"
)
_WAY_BACK = 0.0001
"""CPU seconds that a thread may take from a beat to its poll. With more it may have begun something."""
_POLLS = "selectors"
"""The module in which a loop of Python waits. One that does so elsewhere, in Python, is taken to be at work."""


class PulseState(LoopState):
    """The state of a loop with a heartbeat. ``refresh`` and ``glance`` on the sampler's thread, the rest on its own."""

    __slots__ = ("_answered", "_at_beat", "_certain", "_clock", "_seen_at", "_sent", "_worked_until", "depth")

    tells_of_steps = wakes_sampler = False

    def __init__(self, loop: Any, threshold: float, outlets: Outlets) -> None:
        super().__init__(loop, threshold, outlets)
        self.depth = 0
        self.polls_seen = True
        self._clock = _compat.ThreadClock(0)
        self._sent = self._answered = 0
        self._seen_at = outlets.clock()
        """The last moment at which it was known not to be held."""
        self._at_beat: float | None = None
        """The thread's CPU time when it answered the last beat."""
        self._worked_until: float | None = None
        """The thread's CPU time at the last look, None where there was none since the last beat."""
        self._certain = False
        """Whether it has waited since it answered the last beat."""

    def take_place(self, depth: int) -> None:
        """It runs here, in the calling thread."""
        ident, native = threading.get_ident(), _compat.native_thread_id()
        self.depth = depth
        self._clock = _compat.ThreadClock(native, keep=False)
        self._sent = self._answered
        self.begin(self.outlets.clock(), ident, thread_name(ident), native)
        self.base = None  # it is of use only where it is known how long the loop was active since
        self._at_beat = self._worked_until = None
        self.mark, self.turn = NEVER, self.outlets.clock()

    def refresh(self) -> None:
        self.glance()

    def glance(self) -> None:
        now = self.outlets.clock()
        if not self.running():
            if self.ran < 0:
                self.end(now)
            return
        if self._sent != self._answered:
            return
        cpu = self._clock.cpu()
        if cpu is None or self._at_beat is None:
            self._certain = False
        elif self._worked_until is None:
            self._certain = cpu - self._at_beat <= _WAY_BACK and not self._in_a_step()
        else:
            self._certain = self._certain and cpu == self._worked_until
        self._worked_until = cpu
        if self._certain:
            self._seen_at = now
            self.turn = now
            return
        self._send(now)

    def _in_a_step(self) -> bool:
        """Whether the loop has called something since its beat, though it took no time of the CPU to begin that."""
        with _compat.uncollected():
            frames, _ = copy_within(_compat.stacks().get(self.ident), self.depth or 0)
        return frames is not None and len(frames) > 0 and frames[-1].module != _POLLS

    def _send(self, now: float) -> None:
        loop = self.loop()
        if loop is None:
            return
        self._sent += 1
        self.turn = self.mark = now
        try:
            loop.call_soon_threadsafe(self._beat, now, max(0.0, now - self._seen_at))
        except Exception as error:
            self._sent, self.mark = self._answered, NEVER  # a beat that was not sent does not show that it is held
            if not isinstance(error, RuntimeError):  # that means that it was closed meanwhile
                self.outlets.faults.append(error)

    def _beat(self, sent: float, within: float) -> None:
        """The loop has got round to it. Never raises."""
        try:
            now = self.outlets.clock()
            if self.mark == sent:
                self.mark, self.turn = NEVER, now
                if now - sent >= self.threshold:
                    self._late(sent, now, within)
            self._seen_at, self._answered = now, self._sent
            self._at_beat, self._worked_until = _compat.clocks.thread_cpu(), None
        except Exception as error:
            self.outlets.faults.append(error)

    def _late(self, sent: float, now: float, within: float) -> None:
        if len(self.outlets.held) == self.outlets.held.maxlen != 0:
            self.lost += 1
        cpu = _compat.clocks.thread_cpu()
        held = Held(self, "step", sent, now, UNSEEN, 0, 1, now - sent, (), cpu, 0.0, None, None, within=within)
        self.outlets.held.append(held)
        if self.outlets.alarm.asleep:
            self.outlets.alarm.wake()

    # --- its life and numbers ---

    def running(self) -> bool:
        """A loop that fails when it is asked counts as one that does not run: nothing can be seen of it."""
        return self._asked(super().running)

    def is_gone(self) -> bool:
        return self._asked(super().is_gone)

    @staticmethod
    def _asked(question: Callable[[], bool]) -> bool:
        try:
            return question()
        except Exception as error:  # it is code of the application's
            if theirs(error):
                raise
            return False

    def end_turn(self, now: float) -> None:
        self.mark = NEVER

    def cut(self, now: float) -> None:
        """Of its steps nothing is known."""

    def at_rest(self, since: float) -> bool:
        return self.mark == NEVER and self._certain

    def age(self, now: float) -> float:
        mark = self.mark
        return 0.0 if mark == NEVER else max(0.0, now - mark)

    @property
    def away(self) -> float:
        return 0.0

    def times(self, now: float) -> tuple[float, float]:
        """Not known."""
        return 0.0, 0.0

    def _astray(self) -> bool:
        return False


class PulseHook:
    """Gives a heartbeat to the loops that answer one, and of which nothing else is seen."""

    def __init__(self, loops: AsyncioHook) -> None:
        self._loops = loops
        self._installed = False
        self._known: dict[int, PulseState] = {}

    def install(self) -> None:
        self._installed = True

    def uninstall(self) -> None:
        self._installed = False
        self._known.clear()

    def meet(self, loop: Any) -> None:
        """A loop runs, or is about to: ask it to call us. Until it does, it is not seen."""
        if not self._installed:
            return
        try:
            loop.call_soon_threadsafe(self._arrive, loop)
        except Exception:  # it cannot, or will not: it stays unseen, which is said
            return

    def _arrive(self, loop: Any) -> None:
        """A callback of the loop, which answers for the first time in this run. Never raises."""
        try:
            if not self._installed or hasattr(loop, "_loopwatch"):  # its steps are seen after all
                return
            if not _tells(loop):
                return
            state = self._known.get(id(loop))
            if state is None or state.loop() is not loop:
                state = PulseState(loop, self._loops.threshold, self._loops.outlets)
                self._forget()
                self._known[id(loop)] = state
            state.take_place(depth_of(sys._getframe().f_back))
            self._loops.states[id(state)] = state
            self._loops.kinds.heard(type(loop), HEARTBEAT)
            if self._loops.outlets.alarm.asleep:
                self._loops.outlets.alarm.wake()
        except Exception as error:
            self._loops.outlets.faults.append(error)

    def _forget(self) -> None:
        """Loops that are gone."""
        for key, state in list(self._known.items()):
            if state.is_gone():
                self._known.pop(key, None)


def _tells(loop: Any) -> bool:
    """Whether it tells that it runs and that it is closed, as a loop should."""
    try:
        return bool(loop.is_running()) and not loop.is_closed()
    except Exception:  # it is code of the application's
        return False


__all__ = ["PulseHook"]
