"""Queues of a watch that keep the newest of what nobody has collected yet, and know how many they have lost."""

from __future__ import annotations

from collections import deque
from typing import Any


class Finished(deque[Any]):
    """Jobs that have ended, oldest first.

    ``put()`` from any thread; the end of a job, which is the hot path, does by hand what it does.
    ``take()`` from one thread at a time.
    """

    __slots__ = ("_apart", "_taken", "added", "dropped")

    def __init__(self, most: int) -> None:
        super().__init__(maxlen=most)
        self.added = 0
        """How many there ever were. Threads that add at the very same moment may count as one."""
        self.dropped = 0
        """How many were lost since nobody has collected them in time."""
        self._taken = 0
        self._apart = 0

    def put(self, job: Any) -> None:
        self.append(job)
        self.added += 1

    def take(self) -> list[Any]:
        """Those that have ended since the last call, oldest first."""
        found = [self.popleft() for _ in range(len(self))]
        self._taken += len(found)
        apart = self.added - self._taken - len(self)
        if len(found) == self.maxlen:  # otherwise none can have been lost, and only the count has slipped
            self.dropped += max(0, apart - self._apart)
        self._apart = apart
        return found

    def clear(self) -> None:
        """Forget them: they are not lost."""
        super().clear()
        self._taken, self._apart = self.added, 0


class Faults(deque[BaseException]):
    """Errors of our own that nobody has told yet."""

    def __init__(self, most: int) -> None:
        super().__init__(maxlen=most)
        self.dropped = 0
        """How many were lost since the last ``clear()``."""

    def append(self, error: BaseException, /) -> None:
        if len(self) == self.maxlen:
            self.dropped += 1
        super().append(error)

    def clear(self) -> None:
        super().clear()
        self.dropped = 0
