"""The stopwatch in Python: the reference implementation of the contract in ``steps.py``.

This is the hot path. One clock reading ends a step and, at the same time, begins the next one, so
the steps of a turn tile it without a gap: what lies between two steps (the loop taking the next
callback from its queue, the end of the last callback's life) is charged to the later one. A poll
that does not wait (``timeout == 0``) is a part of the loop's activity and needs no reading at all.

Where what is timed is asyncio's own, as ``genuine.py`` finds, what it does most of the time is done here, which costs
less than a call of it. What fails there, or is found ready, is given to asyncio's own, see ``stand_ins.py``.

Of a step or a turn three things may come. One of ``QUICK`` seconds at most is quick, and one that is shorter than
``slow_from`` is brief: either is counted, and that is all. Whatever is slow is told to ``slow_step`` or ``slow_turn``.
A duration that is equal to a bound belongs below it, as Prometheus' ``le`` has it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from ...metrics import STEP_BOUNDS, TURN_BOUNDS
from ..guard import theirs
from .genuine import epoll_types, known_run, look_into_select
from .stand_ins import Failed, answer_in

QUICK = min(STEP_BOUNDS[0], TURN_BOUNDS[0])
NEVER = float("inf")
NOTABLE = 0.0005
"""Steps from this many seconds on are kept by name, to tell who filled a turn."""
_BRIEF = bisect_left(STEP_BOUNDS, NOTABLE)
"""The place of all that is brief among the counts: between ``QUICK`` and ``NOTABLE`` lies no other bound."""


class Counting:
    """What happens where a step or a turn is slow: the part of a stopwatch that all implementations share."""

    __slots__ = ()

    brief: int
    brief_turns: int
    handle: Any
    idle: float
    mark: float
    quick: int
    quick_before: int
    quick_turns: int
    slow_from: float
    step_counts: list[int]
    turn: float
    turn_counts: list[int]

    def __init__(self: Any) -> None:
        self.mark = NEVER
        self.turn = NEVER
        self.handle = None
        self.quick = 0
        self.quick_before = 0
        self.quick_turns = 0
        self.brief = 0
        self.brief_turns = 0
        self.slow_from = QUICK
        self.idle = 0.0
        self.step_counts = [0] * (len(STEP_BOUNDS) + 1)
        self.turn_counts = [0] * (len(TURN_BOUNDS) + 1)

    def slow_step(self, handle: Any, now: float) -> None:
        """A step that was not quick, nor brief, ended at ``now``. Overridden where overruns are judged."""
        self.step_counts[bisect_left(STEP_BOUNDS, now - self.mark)] += 1

    def slow_turn(self, ended: float) -> bool:
        """A turn that was not quick, nor brief, ended. True asks the poll to count what is waiting."""
        self.turn_counts[bisect_left(TURN_BOUNDS, ended - self.turn)] += 1
        return False

    def counted(self, events: Any) -> None:
        """``events`` were ready when a turn ended of which ``slow_turn`` said True."""

    def steps_run(self) -> int:
        """How many steps have ended so far."""
        return self.quick + self.brief + sum(self.step_counts)

    def steps_counted(self) -> list[int]:
        """The same, by ``STEP_BOUNDS``."""
        return _counted(self.step_counts, self.quick, self.brief)

    def turns_counted(self) -> list[int]:
        """How many turns have ended so far, by ``TURN_BOUNDS``."""
        return _counted(self.turn_counts, self.quick_turns, self.brief_turns)


def _counted(slow: list[int], quick: int, brief: int) -> list[int]:
    counts = list(slow)
    counts[0] += quick
    counts[_BRIEF] += brief
    return counts


class Stopwatch(Counting):
    """What one loop's hooks write and the sampler reads; written by the loop's own thread only.

    ``mark``: when the running step began, ``NEVER`` while the loop waits in its poll or does not
    run. ``turn``: when the turn began, or, while it waits, the poll. ``handle``: what runs, None between two steps.
    ``quick`` and ``quick_turns``, ``brief`` and ``brief_turns`` count what is too short to need more, and
    ``quick - quick_before`` is how many steps of the present turn were: each that is brief takes one off
    ``quick_before``, so that those that are quick, which are most, need not be counted twice.

    ``idle`` are the seconds in the poll, less the time of the clock at which a poll that lasts
    began, so negative while it does: one slot, which other threads always find consistent.
    """

    __slots__ = (
        "brief",
        "brief_turns",
        "handle",
        "idle",
        "mark",
        "quick",
        "quick_before",
        "quick_turns",
        "slow_from",
        "step_counts",
        "turn",
        "turn_counts",
    )


def make_run(previous: Callable[[Any], None], adopt: Callable[[Any], Stopwatch], clock: Callable[[], float]) -> Any:
    """A replacement for ``asyncio.Handle._run`` that times ``previous``, whatever that is.

    ``adopt(handle)`` gives the stopwatch of a loop that has none yet; it must not raise.
    The function's ``let_go()`` makes it pass straight through from the next step on, and ``take_up()``
    makes it time again: where another tool's function stands around it, it must stay.
    """
    watching = True
    look_into_select()
    shape, unlike = known_run(previous)
    direct = () if shape is None or unlike else shape.types
    nothing: tuple[()] = ()

    def _run(self: Any) -> None:
        if not watching:
            previous(self)
            self = None
            return
        try:
            state = self._loop._loopwatch
            state.handle = self
        except Exception as error:
            if theirs(error):
                raise
            state = adopt(self)
            state.handle = self
        try:
            if type(self) not in direct:
                previous(self)
            else:
                try:
                    args = self._args
                    if args is nothing:  # as of most, and the next: to unpack them costs as much as all else here
                        self._context.run(self._callback)
                    elif type(args) is tuple and len(args) == 1:
                        self._context.run(self._callback, args[0])
                    else:
                        self._context.run(self._callback, *args)
                except BaseException as error:
                    with Failed(self, error):
                        previous(self)
        finally:
            now = clock()
            try:
                if now - state.mark <= QUICK:
                    state.quick += 1
                elif now - state.mark < state.slow_from:
                    state.brief += 1
                    state.quick_before -= 1
                else:
                    state.slow_step(self, now)
                state.mark = now
                state.handle = None  # so that it ends between the steps, and not within the next one
            except Exception as error:  # no stopwatch of ours: a mock, or a proxy that has an answer to every name
                if theirs(error):
                    raise
                adopt(self)
        self = args = None  # as in what is wrapped: a traceback may keep this frame, and with it the handle, in a cycle

    def let_go() -> None:
        nonlocal watching
        watching = False

    def take_up() -> None:
        nonlocal watching
        watching = True

    _run.let_go = let_go  # type: ignore[attr-defined]
    _run.take_up = take_up  # type: ignore[attr-defined]
    return _run


def make_select(state: Stopwatch, inner: Callable[[Any], Any], alarm: Any, clock: Callable[[], float]) -> Any:
    """A replacement for a selector's ``select`` that bounds the turns and the idle time of ``state``.

    ``alarm.asleep`` is tested after a poll that waited; ``alarm.wake()`` is called when it is true.
    The function's ``let_go()`` makes it write into the void from then on, for when it must stay
    where it is because another tool has put its own around it.
    """

    known = epoll_types(inner) is not None
    selector: Any = getattr(inner, "__self__", None)

    def select(timeout: Any = None) -> Any:
        if timeout == 0:
            entry = state.mark
            if entry - state.turn <= QUICK:
                state.quick_turns += 1
            elif entry - state.turn < state.slow_from:
                state.brief_turns += 1
            elif state.slow_turn(entry):
                state.turn = entry
                state.quick_before = state.quick
                events = inner(timeout)
                state.counted(events)
                return events
            state.turn = entry
            state.quick_before = state.quick
            if not known:
                return inner(timeout)
            try:
                ready = selector._selector.poll(0, len(selector._fd_to_key) or 1)
            except BaseException as error:
                return answer_in(inner, None, error)
            return answer_in(inner, ready) if ready else ready
        state.handle = None  # first: what only it keeps alive ends within the turn, not within the poll
        entry = clock()
        if entry - state.turn <= QUICK:
            state.quick_turns += 1
        elif entry - state.turn < state.slow_from:
            state.brief_turns += 1
        elif state.slow_turn(entry):
            state.turn = state.mark = entry
            state.quick_before = state.quick
            events = inner(0)
            state.counted(events)
            if events:
                return events
        state.turn = entry
        state.idle -= entry
        state.mark = NEVER
        try:
            return inner(timeout)
        finally:
            now = clock()
            state.turn = now
            state.idle += now
            state.quick_before = state.quick
            state.mark = now
            if alarm.asleep:
                alarm.wake()

    def let_go() -> None:
        nonlocal state
        state = Stopwatch()

    select.let_go = let_go  # type: ignore[attr-defined]
    return select
