"""The steps of one uvloop loop that are timed exactly: those whose callbacks were given to it to be scheduled.

All else that it calls, such as the methods of a protocol, is in libuv's counters alone. What is told of a step is
taken off the stretch in which it ran, so that no stall is told twice.
"""

from __future__ import annotations

import weakref
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ...facts import ContributorFacts, HandleFacts
from ...metrics import STEP_BOUNDS
from ..guard import theirs
from ..handles import contributor, describe, key_of
from ..stopwatch.steps import NEVER, NOTABLE
from .calls import make_calls

_REMEMBERED = 256


class _Scheduled:
    """As much of a handle as is asked for its name."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Any) -> None:
        self._callback = callback


class Noted(NamedTuple):
    """A step that was neither quick nor brief, and by what key it goes."""

    began: float
    ended: float
    key: Any


class UvloopSteps:
    """``settle`` on the loop's thread, all else from any.

    ``hold(facts, began, ended, delayed)`` is told of a step that held the loop for ``threshold`` seconds, within its
    context.
    """

    def __init__(
        self,
        loop: Any,
        threshold: float,
        clock: Callable[[], float],
        counts: list[int],
        hold: Callable[[HandleFacts, float, float, int], None],
        fault: Callable[[BaseException], None],
    ) -> None:
        self.calls = make_calls(loop, self.settle, clock, min(threshold, NOTABLE))
        self._threshold = threshold
        self._counts = counts
        self._hold = hold
        self._fault = fault
        self._told: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)
        self._noted: deque[Noted] = deque(maxlen=_REMEMBERED)
        self._lent = NEVER
        """When the step began that ran another loop, or was cut: what is its own is not known here."""
        self._loop = weakref.ref(loop, _letting_go(self.calls))

    def let_go(self) -> None:
        """Time nothing more."""
        self.calls.let_go()

    def lend(self) -> None:
        """Leave the step that runs to libuv's counters: another loop begins to run inside it, or it is cut."""
        self._lent = self.calls.began

    def settle(self, callback: Any, began: float, ended: float) -> None:
        """A step that was neither quick nor brief has ended."""
        try:
            spent = ended - began
            self._counts[bisect_left(STEP_BOUNDS, spent)] += 1
            if began == self._lent:
                return
            if spent >= self._threshold:
                self._told.append((began, ended))
                self._hold(describe(_Scheduled(callback)), began, ended, self.calls.behind)
            elif spent >= NOTABLE:
                self._noted.append(Noted(began, ended, key_of(_Scheduled(callback))))
        except Exception as error:  # promise 1: never into the application; told by the sampler
            if theirs(error):
                raise
            self._fault(error)

    # --- for the sampler ---

    def began(self) -> float:
        """When the step that runs began; ``NEVER`` where none is timed."""
        began: float = self.calls.began
        return NEVER if began == self._lent else began

    def described(self) -> HandleFacts | None:
        """What runs."""
        running = self.calls.running
        return None if running is None else describe(_Scheduled(running))

    def told_in(self, began: float, ended: float) -> float:
        """The seconds of a stretch that were told as stalls of single steps."""
        return sum(
            min(until, ended) - max(since, began)
            for since, until in list(self._told)
            if since < ended and until > began
        )

    def filled_by(self, began: float, ended: float) -> tuple[tuple[ContributorFacts, ...], bool]:
        """What filled a stretch, by name; and whether short steps took most of it, less what was told.

        Of a stretch of more steps than are remembered the end has to tell.
        """
        remembered = list(self._noted)
        noted = [each for each in remembered if each.ended > began and each.began < ended]
        if len(remembered) == _REMEMBERED:
            began = max(began, remembered[0].began)
        short = sum(each.ended - each.began for each in noted)
        return _by_name(noted), 2 * short >= ended - began - self.told_in(began, ended)


def _by_name(noted: Sequence[Noted]) -> tuple[ContributorFacts, ...]:
    sums: dict[Any, list[float]] = {}
    for each in noted:
        entry = sums.setdefault(each.key, [0, 0.0])
        entry[0] += 1
        entry[1] += each.ended - each.began
    most = sorted(sums.items(), key=lambda item: -item[1][1])
    return tuple(contributor(key, int(steps), seconds) for key, (steps, seconds) in most[:10])


def _letting_go(calls: Any) -> Callable[[Any], None]:
    """For when the loop is gone: another may get its address."""
    return lambda _: calls.let_go()


__all__ = ["UvloopSteps"]
