"""The sampler's sleep: how it is woken, and whether it came late because it had to wait for the interpreter."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from ... import _compat
from ..resting.rests import make_bell
from .host import Span

clocks = _compat.clocks
NOTABLE = 0.02
"""Seconds of lateness below which nothing is asked: a switch of threads takes some milliseconds anyway."""

SHORTEST, _LONGEST = 0.001, 0.25
_SHORTEST_SWITCH = 0.001
_NOTE_EVERY = 0.25
_RETRY = 1.0
"""Seconds until the threads are started again, where none could be had."""


def paced(bound: float) -> float:
    """How often to look for what is to be noticed: a quarter of it, within reason."""
    return min(_LONGEST, max(SHORTEST, bound / 4))


class Alarm:
    """Wakes the sampler. ``asleep`` is tested by the hooks; ``wake`` may be called from any thread and never raises."""

    def __init__(self) -> None:
        self.asleep = True
        self.start: Callable[[], None] | None = None
        self.on_fault: Callable[[BaseException], None] = lambda error: None
        self._woken: float | None = None
        self._retry_at = 0.0
        self._bell = make_bell()

    def wake(self) -> None:
        self.asleep = False
        start = self.start
        if start is not None:  # the first wake of this process starts the threads (fork-safe)
            now = clocks.monotonic()
            if now < self._retry_at:
                return
            self.start = None
            try:
                start()
            except Exception as error:  # no thread can be had: the application goes on without us, for now
                self.start, self.asleep, self._retry_at = start, True, now + _RETRY
                self.on_fault(error)
        if self._woken is None:
            self._woken = clocks.monotonic()
        self._bell.ring()

    def rest(self, seconds: float) -> float | None:
        """Sleep until woken, at most ``seconds``. Returns when it was woken; None where it came to by itself."""
        self._bell.rest(seconds)
        woken, self._woken = self._woken, None
        return woken

    def doze(self, seconds: float, until: float, gauges: tuple[Any, ...]) -> tuple[float | None, float, Moment]:
        """Sleep so, again and again, as long as the ``gauges`` tell that nothing goes on, and until then at most.

        Returns also when the last sleep was to end, and a moment before it. See ``_rest_py.Bell``.
        """
        _, planned, *before = self._bell.doze(seconds, until, NOTABLE, gauges)
        woken, self._woken = self._woken, None
        return woken, planned, Moment(*before)

    def after_fork(self) -> None:
        """In the child: the hooks keep this very alarm, and nobody sleeps on it."""
        self._bell = make_bell()
        self._woken = None
        self.asleep = True


class Moment(NamedTuple):
    """The time, how often the sampler's thread has gone to sleep so far, and the CPU time of the whole process."""

    at: float
    asked: int | None
    worked: float


def _moment() -> Moment:
    return Moment(clocks.monotonic(), _compat.voluntary_switches(), clocks.process_cpu())


class Lateness:
    """Tells for how long the interpreter kept the sampler waiting.

    Of the three reasons why it may come late only that one makes what is seen then doubtful, since
    others went on meanwhile. The others are that the host gave its CPUs to others, and that the whole
    process stood still, which is kept in ``standstills``. For the sampler's own thread only.
    """

    def __init__(self, standstills: deque[Span]) -> None:
        self.standstills = standstills
        self._clock = _compat.ThreadClock(_compat.native_thread_id())
        self._queued: float | None = None
        self._noted_at = float("-inf")
        self._before = _moment()
        self._due = self.until = self._before.at
        """``until``: up to here it is known for what the sampler waited. What comes next begins here, without a gap."""
        self.woken = False
        """Whether the last rest was ended by the alarm."""
        self.note(self._due)

    def note(self, now: float) -> None:
        """Remember, now and then, for how long the thread has been ready without getting a CPU."""
        if now - self._noted_at >= _NOTE_EVERY:
            self._noted_at = now
            self._queued = self._clock.queued()

    def rest(self, alarm: Alarm, seconds: float, quiet: Any = None) -> float:
        """Sleep until the alarm, at most ``seconds``; how long the interpreter kept the sampler waiting afterwards.

        Where ``quiet``, a ``Quiet``, knows what tells that nothing goes on, that sleep is repeated for as long.
        """
        gap = clocks.monotonic() - self.until
        kept = self.since(self.until, gap) if gap >= NOTABLE else 0.0
        gauges = () if quiet is None else quiet.gauges()
        if gauges:
            woken, planned, self._before = alarm.doze(seconds, quiet.until(), gauges)
        else:
            self._before = _moment()
            planned = self._before.at + seconds
            woken = alarm.rest(seconds)
        self.woken = woken is not None
        self._due = planned if woken is None else min(planned, woken)
        return kept + self.since(self._due, max(0.0, clocks.monotonic() - self._due))

    def since(self, began: float, waited: float) -> float:
        """Of the ``waited`` seconds in which the sampler did not get on since then, those due to the interpreter."""
        self.until = began + waited
        if waited < NOTABLE:
            return waited
        before, now = self._before, _moment()
        self.until = now.at  # what follows reads a file, and may have to wait for the interpreter in its turn
        queued, self._queued = self._queued, self._clock.queued()
        self._noted_at = now.at
        if before.asked is None or now.asked is None or queued is None or self._queued is None:
            return waited
        # Who waits for the interpreter wakes at every switch interval to ask for it. One wake is that from the rest.
        if now.asked - before.asked - 1 >= waited / max(sys.getswitchinterval(), _SHORTEST_SWITCH) / 4:
            return waited
        if self._queued - queued >= waited / 2:
            return 0.0  # ready, and no CPU to be had
        if now.worked - before.worked - (self._due - before.at) >= waited / 4:
            return waited  # others went on, so whatever it was, it was no standstill
        self.standstills.append(Span(began, now.at))
        return 0.0

    def close(self) -> None:
        self._clock.close()
