"""What stands in for the sampler's alarm."""

from __future__ import annotations


class Alarm:
    """Wakes nobody, and counts how often it was to."""

    def __init__(self, asleep: bool = False) -> None:
        self.asleep = asleep
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1
