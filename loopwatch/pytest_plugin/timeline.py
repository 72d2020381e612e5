"""Which part of a run each moment belongs to."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

UNWATCHED = "unwatched"


class Phase(NamedTuple):
    """``category``: ``call``, ``setup``, ``teardown``, ``collection`` or ``between`` tests, or
    ``unwatched``: the call of a test that did not ask to be watched; ``test`` its node id."""

    category: str
    test: str | None = None


BETWEEN = Phase("between")


class Timeline:
    """The phases in the order in which they began, by readings of one monotonic clock.

    Begun in one thread, asked from any.
    """

    def __init__(self) -> None:
        self._begins: list[float] = []
        self._phases: list[Phase] = []

    def begin(self, at: float, phase: Phase) -> None:
        self._phases.append(phase)  # first: whoever asks meanwhile finds one for each beginning
        self._begins.append(at)

    def at(self, moment: float) -> Phase:
        """The phase in which a moment lies; what was before the first is between."""
        index = bisect_right(self._begins, moment) - 1
        return self._phases[index] if index >= 0 else BETWEEN
