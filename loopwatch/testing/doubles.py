"""What stands in for the real thing in tests: a reporter that records, a clock that is told the time."""

from __future__ import annotations

import threading

from ..model import Backlog, Event, Offload, Stall


class RecordingReporter:
    """A reporter that keeps every event it is given, in ``events``. Safe to read from any thread."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            self.events.append(event)

    @property
    def stalls(self) -> list[Stall]:
        """The stalls that ended."""
        return [e for e in list(self.events) if isinstance(e, Stall) and not e.in_progress]

    @property
    def backlogs(self) -> list[Backlog]:
        """The backlogs that ended."""
        return [e for e in list(self.events) if isinstance(e, Backlog) and not e.in_progress]

    @property
    def offloads(self) -> list[Offload]:
        return [e for e in list(self.events) if isinstance(e, Offload)]


class FakeClock:
    """A clock that moves only when told to: call it for the time in seconds, ``advance`` it by seconds."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Move the clock on. Raises ValueError for a step back: the clocks it stands for are monotonic."""
        if seconds < 0:
            raise ValueError(f"a monotonic clock cannot go back by {-seconds} s")
        self.now += seconds
