"""A histogram with fixed bounds, written by one thread at a time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from ..model import Exemplar, Histogram


class Counts:
    """Counts values (seconds) by upper bound; the last count is of what lies above every bound."""

    __slots__ = ("bounds", "counts", "exemplars", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.exemplars: list[Exemplar | None] | None = None

    def add(self, value: float) -> None:
        """Count one value: in the first bucket whose bound is at least ``value``."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def keep(self, exemplar: Exemplar) -> None:
        """Remember the latest value of a bucket that belongs to a trace; it is counted by itself."""
        if self.exemplars is None:
            self.exemplars = [None] * len(self.counts)
        self.exemplars[bisect_left(self.bounds, exemplar.value)] = exemplar

    def merge(self, counts: Sequence[int], total: float) -> None:
        """Add counts of the same bounds. Raises :class:`ValueError`, and adds nothing, where their number differs."""
        self.counts = [mine + other for mine, other in zip(self.counts, counts, strict=True)]
        self.sum += total

    def freeze(self) -> Histogram:
        """The immutable form."""
        return Histogram(self.bounds, tuple(self.counts), self.sum, tuple(self.exemplars or ()))
