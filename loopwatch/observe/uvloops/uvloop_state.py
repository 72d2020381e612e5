"""What is known of one uvloop loop: by libuv's counters, read by the sampler, with nothing put around any callback.

A *stretch* is the time between two polls that wait or not, what is called a turn elsewhere. From two looks at the
counters follow the seconds in which the loop was active between them, and how many polls it began:

- none, and it waits: it has done nothing;
- none, and it is active: either it was so before, or it woke from that very poll, and the moment follows exactly;
- one, and it waits: the stretch that went on at the first look has ended, and the moment follows exactly;
- more: where within the active seconds a stretch began or ended is not known. What is more than the loop's usual
  turns take is given to the long one, and ``within`` keeps how far off that may be: never more than those seconds.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from contextvars import copy_context
from typing import Any

from ... import _compat
from ...facts import ContributorFacts, HandleFacts
from ...metrics import TURN_BOUNDS
from ..loops.loop_clock import so_far
from ..loops.loop_state import Held, Outlets
from ..loops.seen_steps import MANY, UNSEEN
from ..stopwatch.steps import NEVER
from .counted_loop import TOGETHER, CountedLoop
from .libuv import Count, Libuv, rest_of
from .uvloop_steps import UvloopSteps
from .uvloop_victims import UvloopVictims

_LEAST_USUAL = 0.0001
_LEARN = 0.1
_LITTLE = 0.002
"""A loop that worked no longer than this many seconds since the last look is as good as idle."""


class UvloopState(CountedLoop):
    """The state of a loop of uvloop. ``refresh`` on the sampler's thread; ``begin``, ``end``, ``close`` on the loop's.

    ``mark`` and ``turn`` are when the present stretch began, as far as that is known; ``depth`` is how many frames
    of its thread's stack lie outside of the loop.
    """

    __slots__ = (
        "_behind",
        "_earlier",
        "_usual",
        "depth",
        "exact",
        "within",
    )

    tells_of_steps = wakes_sampler = False
    victims_of = UvloopVictims

    def __init__(self, loop: Any, threshold: float, outlets: Outlets, libuv: Libuv, exact: bool = False) -> None:
        self.exact: UvloopSteps | None = None
        super().__init__(loop, threshold, outlets, libuv)
        if exact:
            fault = outlets.faults.append
            self.exact = UvloopSteps(loop, threshold, outlets.clock, self.step_counts, self._hold_exactly, fault)
        self.depth = 0
        self.within = 0.0
        self._behind = -self._last.idle
        """What to add to libuv's idle time: it forgets a part of it where a signal interrupts a poll."""
        self._usual = _LEAST_USUAL
        self._earlier = 0.0
        """The loop's active seconds before the present stretch."""

    # --- its life ---

    def begin(self, now: float, ident: int, thread: str, native: int) -> None:
        with self._gate:
            count = self._read()
            if count is not None:
                self._behind = self.idle - count.idle  # what it waits outside of its runs does not count
                self._last = count._replace(polling=False)
                now = count.at
            self.within, self._earlier = 0.0, max(0.0, self.ran - self.idle - self._aside)
            super().begin(now, ident, thread, native)

    def end_turn(self, now: float) -> None:
        with self._gate:
            count = self._read_running()
            if count is not None:
                self._advance(count._replace(polling=False))
            if self.mark != NEVER:
                self._end_stretch(now, self.within)
            self.mark, self.turn = NEVER, now

    def pause(self, now: float) -> None:
        with self._gate:
            self.glance()
            if self.exact is not None:
                self.exact.lend()
            super().pause(now)

    def resume(self, now: float) -> None:
        with self._gate:
            before = self.away
            super().resume(now)
            self._last = self._last._replace(at=self._last.at + self.away - before)

    def let_go(self) -> None:
        """Nobody will tell when the loop is closed: its counters are not touched any more."""
        with self._gate:
            if self.exact is not None:
                self.exact.let_go()
            super().let_go()

    def after_fork(self) -> None:
        super().after_fork()
        if self.exact is not None:
            self.exact.let_go()

    def cut(self, now: float) -> None:
        with self._gate:
            if self.exact is not None:
                self.exact.lend()
            count = self._read() if self.ran < 0 else None
            if count is not None:
                self._advance(count._replace(polling=False))
                if self.mark != NEVER:
                    self._end_stretch(count.at, self.within)
                self._begin_stretch(count.at, 0.0)

    # --- looking ---

    def refresh(self) -> None:
        """See what has happened since the last look, and write down what held the loop too long and is over."""
        self._worked = 0.0
        if not self.told_of_end and not self.running():
            with self._gate:
                self._end_unsaid()
        self.glance()

    def glance(self) -> None:
        if self.mark == NEVER and self._waits_still():
            return
        with self._gate:
            count = self._read_running()
            if count is not None:
                self._advance(count)

    def holds(self, mark: float) -> bool:
        """Whether the stretch, or the step that is timed, that began at ``mark`` still goes on."""
        if mark != NEVER and self.times_exactly(mark):
            return True
        with self._gate:
            count, last = self._read_running(), self._last
            same = count is not None and not count.polling and count.turns == last.turns and count.idle == last.idle
            return same and self.mark == mark

    def marks(self) -> tuple[float, float]:
        began = NEVER if self.exact is None else self.exact.began()
        mark, turn = self.mark, self.turn
        return (mark, turn) if began == NEVER else (began, began if mark == NEVER else min(turn, began))

    def times_exactly(self, mark: float) -> bool:
        return self.exact is not None and self.exact.began() == mark

    def told_as_steps(self, began: float, now: float) -> float | None:
        return None if self.exact is None or self.exact.began() == NEVER else self.exact.told_in(began, now)

    def seconds_timed(self) -> float:
        return 0.0 if self.exact is None else float(self.exact.calls.seconds)

    @property
    def quick(self) -> int:
        """Steps that were timed, and quick."""
        return 0 if self.exact is None else int(self.exact.calls.quick)

    @quick.setter
    def quick(self, steps: int) -> None:
        """Counted elsewhere."""

    @property
    def brief(self) -> int:
        """Steps that were timed, and brief."""
        return 0 if self.exact is None else int(self.exact.calls.brief)

    @brief.setter
    def brief(self, steps: int) -> None:
        """Counted elsewhere."""

    def at_rest(self, since: float) -> bool:
        """Whether it waits and has done next to nothing since the last look, however often it turned."""
        return self.mark == NEVER and self._worked <= _LITTLE

    def _waits_still(self) -> bool:
        """Whether it is in the same poll as before: asked most often, so by as few calls as will do."""
        with self._gate:
            last, (_held, pointer) = self._last, self._open()
            if pointer is None or self.ran >= 0 or not last.polling or self._libuv.turns(pointer) != last.turns:
                return False
            at, idle = self.outlets.clock(), self._libuv.idle(pointer)
            if abs(at - last.at - (idle - last.idle)) > TOGETHER:
                return False
            self.idle = idle + self._behind
            self._last = Count(at, idle, last.turns, True)
            return True

    def _advance(self, now: Count) -> None:
        last, self._last = self._last, now
        passed, polls = now.at - last.at, now.turns - last.turns
        worked = passed - (now.idle - last.idle)
        waited = self.mark == NEVER
        most = 0.0 if waited and now.polling and polls == 0 else max(0.0, passed)
        forgotten = worked - most
        if forgotten > 0:
            self._behind += forgotten
            worked = most
        self.idle = now.idle + self._behind
        self._worked += max(0.0, worked)
        if polls == 0:
            if waited and not now.polling:
                self._begin_stretch(now.at - max(0.0, worked), 0.0)
            return
        self._polled(last, now, max(0.0, worked), forgotten <= TOGETHER)

    def _polled(self, last: Count, now: Count, worked: float, sure: bool) -> None:
        """Polls have begun since the last look: one stretch has ended, and others have come and, but for one, gone."""
        left, others = worked, now.turns - last.turns + (0 if now.polling else 1)
        long = False
        if self.mark != NEVER:
            others -= 1
            long = last.at - self.mark >= self.threshold / 4
            usual = min(self._usual, worked / (others + 1))
            mine = rest_of(worked, others, self._usual) if long or not others else usual
            self._end_stretch(last.at + mine, self.within + (max(mine, worked - mine) if others else 0.0))
            left -= mine
        if now.polling:
            if sure and others and left / others >= self.threshold:  # one of them, though nobody saw it
                longest = rest_of(left, others - 1, self._usual)
                self._stall(now.at - longest, now.at, self._active(now) - longest, left - left / others)
            self._count(others, left)
            self.mark, self.turn = NEVER, now.at
            return
        mine = left / others if long else rest_of(left, others - 1, self._usual)
        self._count(others - 1, left - mine)
        exact = worked == left and others == 1
        self._begin_stretch(now.at - mine, 0.0 if exact else max(mine, worked - mine))

    def _begin_stretch(self, since: float, within: float) -> None:
        self.within = within
        self._earlier = self._active(self._last) - (self._last.at - since)
        self.turn = self.mark = since

    def _end_stretch(self, ended: float, within: float) -> None:
        spent = max(0.0, ended - self.mark)
        self.turn_counts[bisect_left(TURN_BOUNDS, spent)] += 1
        if spent >= self.threshold:
            self._stall(self.mark, ended, self._earlier, within)
        else:
            self._learn(spent)

    def _count(self, turns: int, seconds: float) -> None:
        """Turns that nobody saw: each is taken to be as long as the others."""
        if turns > 0:
            self.turn_counts[bisect_left(TURN_BOUNDS, seconds / turns)] += turns
            self._learn(seconds / turns)

    def _learn(self, spent: float) -> None:
        self._usual += _LEARN * (min(spent, 2 * self._usual + _LEAST_USUAL) - self._usual)

    def _hold_exactly(self, facts: HandleFacts, began: float, ended: float, delayed: int) -> None:
        """A step that is timed has held the loop: on its thread, within the context of the step."""
        span, victims = self._traced(copy_context(), began, ended - began, delayed)
        active = self.times(ended)[0] - (ended - began)
        cpu, switches = _compat.clocks.thread_cpu(), _compat.voluntary_switches()
        self._put(
            Held(
                self, "step", began, ended, facts, delayed, 1, 0.0, (), cpu, max(0.0, active), self.base, switches,
                delayed, span=span, victims=victims,
            )
        )  # fmt: skip
        if self.outlets.alarm.asleep:
            self.outlets.alarm.wake()

    def _stall(self, began: float, ended: float, active: float, within: float) -> None:
        kind, facts, steps = "step", UNSEEN, 1
        named: tuple[ContributorFacts, ...] = ()
        whole = ended - began
        if self.exact is not None:
            told = self.exact.told_in(began, ended)
            if whole - told < self.threshold:
                return
            named, many = self.exact.filled_by(began, ended)
            if told:  # the rest lies before, between and behind
                kind, began, active = "turn", began + told, active + told
            if many:
                kind, facts, steps = "turn", MANY, sum(each.steps for each in named)
        cpu = switches = None
        if threading.get_ident() == self.ident:  # as its run ends; the thread may be gone when this is told
            cpu, switches = _compat.clocks.thread_cpu(), _compat.voluntary_switches()
        held = Held(
            self, kind, began, ended, facts, 0, steps, whole, named, cpu, active, self.base, switches, within=within
        )
        self._put(held)

    def _put(self, held: Held) -> None:
        if len(self.outlets.held) == self.outlets.held.maxlen != 0:
            self.lost += 1
        self.outlets.held.append(held)

    def _active(self, count: Count) -> float:
        return max(0.0, so_far(self.ran, count.at) - self.idle - so_far(self._aside, count.at))

    # --- its numbers ---

    def times(self, now: float) -> tuple[float, float]:
        with self._gate:
            count, mark = self._read_running(), self.mark
            if count is None:
                return self._active(self._last), self.idle
            idle = max(self.idle, count.idle + self._behind)
            active = max(0.0, so_far(self.ran, count.at) - idle - self._aside)
        if mark <= now < count.at:  # of the present stretch, its beginning may be asked for
            active = max(0.0, active - (count.at - now))
        return active, idle

    def last_seen(self) -> float:
        return self._last.at

    def _astray(self) -> bool:
        return False
