"""Two sides of one thing, measured in turn so that a busy machine disturbs both alike."""

from __future__ import annotations

import gc
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .watching import watching

_Side = TypeVar("_Side")

TimeFunction = Callable[[int], float]
"""Does something so many times and returns the seconds that took, without making ready and clearing away."""

_MOST_LOOPS = 1 << 24


@dataclass(frozen=True)
class Pair:
    """The same figure of both sides, taken one right after the other."""

    unwatched: float
    watched: float

    @property
    def ratio(self) -> float:
        return self.watched / self.unwatched


@dataclass(frozen=True)
class Spread:
    """The median of some values, their middle half, and how far the true median may be from it (about 95 % sure)."""

    median: float
    low: float
    high: float
    error: float = 0.0

    def __str__(self) -> str:
        return f"{self.low:.3f} to {self.high:.3f}, median ±{self.error:.3f}"


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles; of a single value, itself."""
    if len(values) < 2:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high, _error(sorted(values)))


def _error(ordered: Sequence[float]) -> float:
    """Half of the interval between the values that have the median between them 19 times out of 20."""
    count = len(ordered)
    reach = 0.98 * math.sqrt(count)
    first, last = max(0, math.floor((count - 1) / 2 - reach)), min(count - 1, math.ceil((count - 1) / 2 + reach))
    return (ordered[last] - ordered[first]) / 2


def in_turn(sides: Sequence[_Side], number: int) -> Sequence[_Side]:
    """The order of the sides in round ``number``: A B, B A, A B ..., so that none is always the first."""
    return sides if number % 2 == 0 else sides[::-1]


def loops_for(time_function: TimeFunction, seconds: float) -> int:
    """How often the thing must be done to take at least ``seconds``: a power of two."""
    loops = 1
    while time_function(loops) < seconds and loops < _MOST_LOOPS:
        loops *= 2
    return loops


def interleave(time_function: TimeFunction, loops: int, rounds: int) -> list[Pair]:
    """So many rounds of both sides, in seconds for one."""
    return [_round(time_function, loops, number) for number in range(rounds)]


def _round(time_function: TimeFunction, loops: int, number: int) -> Pair:
    seconds = {}
    for watched in in_turn((False, True), number):
        with watching(watched):
            # Replacing a method makes the interpreter forget what it had specialised: let it learn again.
            time_function(loops // 8 + 1)
            gc.collect()
            seconds[watched] = time_function(loops) / loops
    return Pair(seconds[False], seconds[True])
