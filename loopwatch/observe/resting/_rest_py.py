"""What the sampler sleeps on, and what tells it of a loop that wakes nobody: the reference for ``_rest_c``.

In C all of this goes on without the interpreter; here each sleep ends with a wait for it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from ... import _compat

clocks = _compat.clocks
_GOOD_FOR = 0.25


class Gauge:
    """Tells of one loop whether it waits on, by libuv's counter of its idle time, which is memory of the loop's.

    So it holds the loop from when it is ``set`` until it is taken back: that is done after each doze, when the run of
    the loop ends, and before it is closed. ``most``: of so many seconds that the loop has not waited nothing is made.
    Where nobody may tell of that, its ``is_closed`` is given too, and asked each time.
    """

    __slots__ = ("_count", "_lock", "_most", "_shown")

    def __init__(self, count: Callable[[int], int], most: float) -> None:
        self._count = count
        self._most = most
        self._shown: tuple[Any, int, float, float, Callable[[], bool] | None] | None = None
        # What the collector ends in this very thread may want to close a loop.
        self._lock = threading.RLock()

    def set(self, loop: Any, address: int, at: float, idle: float, is_closed: Callable[[], bool] | None = None) -> None:
        """From here on libuv's loop at ``address`` may be asked: by ``at`` it had waited for ``idle`` seconds."""
        with self._lock:
            self._shown = loop, address, at, idle, is_closed

    def take_back(self) -> None:
        """When this returns nobody asks any more."""
        with self._lock:
            self._shown = None

    def waits_on(self, now: float) -> bool:
        with self._lock:
            if (shown := self._shown) is None:
                return False
            _, address, at, idle, is_closed = shown
            if is_closed is not None and is_closed():
                return False
            return abs(now - at - (self._count(address) * 1e-9 - idle)) <= self._most


class Bell:
    """``ring`` may be called from any thread; one thread sleeps."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        """Wake who sleeps, or who is next to do so."""
        with contextlib.suppress(RuntimeError):  # it has rung already, and was not heard yet
            self._lock.release()

    def rest(self, seconds: float) -> bool:
        """Sleep for so long; whether it has rung, which ends that."""
        return self._lock.acquire(timeout=seconds)

    def doze(
        self, seconds: float, until: float, late: float, gauges: tuple[Any, ...]
    ) -> tuple[bool, float, float, int | None, float]:
        """Sleep as ``rest`` does, again and again, as long as all loops wait on. Takes the gauges back in the end.

        Until it rings, a loop does not wait on, the clock shows ``until``, or a sleep took ``late`` seconds too long.
        Returns whether it has rung; when the last sleep was to end; and of a moment that was a quarter of a second
        before that sleep at most: the time, how often the thread had gone to sleep (until that very sleep; None where
        that is not known), and the CPU time of the process.
        """
        acquire, clock, switched = self._lock.acquire, clocks.monotonic, _compat.voluntary_switches
        asked = [gauge.waits_on for gauge in gauges]
        now = at = clock()
        worked = clocks.process_cpu()
        while True:
            switches, planned = switched(), now + seconds
            heard = acquire(True, seconds)
            now = clock()
            if heard or now - planned >= late or now >= until or False in [waits_on(now) for waits_on in asked]:
                break
            if now - at >= _GOOD_FOR:
                at, worked = now, clocks.process_cpu()
        for gauge in gauges:
            gauge.take_back()
        return heard, planned, at, switches, worked


__all__ = ["Bell", "Gauge"]
