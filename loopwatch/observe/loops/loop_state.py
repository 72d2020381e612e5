"""What is known of one loop: its clock, and the judgement of its overruns."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from ... import _compat
from ...facts import ContributorFacts, HandleFacts, SpanFacts
from ...metrics import TURN_BOUNDS
from ..guard import theirs
from ..handles import contributor, describe, key_of
from ..stopwatch.steps import NEVER, NOTABLE, QUICK, make_select
from .loop_clock import LoopClock, Reading
from .polls import Tap, due, replaced, turns_plainly
from .spans import Tracing
from .victims import Victims

_NOTED = 64
_REST = "other callbacks"
SAME = 1e-6
"""Two marks this close are one: they were computed, not read, where a nested loop has run meanwhile."""
clocks = _compat.clocks


class Held(NamedTuple):
    """An overrun as the loop's thread wrote it down; the sampler adds what it saw."""

    state: LoopState
    kind: str
    started: float
    ended: float
    handle: HandleFacts
    delayed: int
    steps: int
    turn_seconds: float
    contributors: tuple[ContributorFacts, ...]
    cpu: float | None
    """The thread's CPU clock at the end; None while it lasts."""
    active: float
    """The loop's active seconds before it began."""
    base: Reading | None = None
    """The thread's clocks when the loop began to run."""
    switches: int | None = None
    """How often the thread had given up the CPU by itself, at the end."""
    behind: int = 0
    """Steps that ran after it in its turn: what they run was ready before it. First, how many had run by its end."""
    within: float | None = None
    """By how many seconds the duration may be wrong; None where the loop's thread read the clock itself."""
    span: SpanFacts | None = None
    """What was current in it when it ended, or when it was last looked at."""
    victims: Victims | None = None
    """Who waited for it, where someone traces."""


class Outlets(NamedTuple):
    """Where a loop's facts go: ``held`` for overruns, ``faults`` for errors of our own (both bounded)."""

    alarm: Any
    held: deque[Held]
    faults: deque[BaseException]
    adapt: Callable[[LoopState], bool | None]
    """Called where a loop turns out not to be watched as it must be; true if the step that just ended was timed."""
    clock: Callable[[], float] = clocks.monotonic
    tracing: Tracing = Tracing()
    slowest: Any = None
    """Is told of steps that are not quick and no overruns, where they take longer than its ``least``."""


class Looked(NamedTuple):
    """A look at the step that began at ``mark``: what was current in it, and how many callbacks were ready behind."""

    mark: float
    span: SpanFacts | None
    ready: int


class LoopState(LoopClock):
    """The stopwatch of one loop. Its slow paths, for steps and turns that are not quick, run on the loop's thread."""

    __slots__ = (
        "_before",
        "_lately",
        "_steps",
        "_work",
        "_worked",
        "held_in_turn",
        "looked",
        "lost",
        "noted",
        "outlets",
        "pending",
        "polls_seen",
        "slow_in_turn",
        "tap",
        "threshold",
    )

    victims_of: Callable[..., Victims] = Victims
    """How those are found who waited for a stall of such a loop."""

    def __init__(self, loop: Any, threshold: float, outlets: Outlets) -> None:
        super().__init__(loop)
        self.threshold = threshold
        self.slow_from = min(threshold, NOTABLE)
        self.outlets = outlets
        self.tap: Tap | None = None
        self.polls_seen = False
        self.looked: Looked | None = None
        """What the sampler has last seen of a step that holds the loop, where someone traces."""
        self.pending: deque[Held] = deque()
        self.lost = 0
        """Overruns that made room for others before the sampler came to tell of them."""
        self.noted: dict[Any, list[float]] = {}
        self.held_in_turn = 0.0
        self.slow_in_turn = 0
        # For EntryState, which this may become at any time.
        self._steps: list[list[Any]] = []
        self._lately = NEVER
        self._worked = self._work = self._before = 0.0

    def end(self, now: float) -> None:
        super().end(now)
        if self.pending:
            self.counted(())

    def let_go(self) -> None:
        """Nobody tells any more when the loop is closed: nothing is touched that would be gone then."""

    def after_fork(self) -> None:
        """In the child: what another thread may have held is renewed."""

    def make_select(self, inner: Callable[[Any], Any]) -> Any:
        """The function to put around the ``select`` of the loop's selector."""
        return make_select(self, inner, self.outlets.alarm, self.outlets.clock)

    def cut(self, now: float) -> None:
        """Within a step: what it was until now has ended, and the rest is a step of its own (on the loop's thread)."""
        handle = self.handle
        if handle is None or self.mark == NEVER:
            return
        if now - self.mark <= QUICK:
            self.quick += 1
        else:
            self.slow_step(handle, now)
        self._cut_turn(now)
        self.mark = now
        self.handle = handle
        if self.pending:
            self.counted(())

    def _cut_turn(self, now: float) -> None:
        if now - self.turn <= QUICK:
            self.quick_turns += 1
        else:
            self.slow_turn(now)
        self.turn = now
        self.quick_before = self.quick

    def told_as_steps(self, began: float, now: float) -> float | None:
        """Of the turn that began then: seconds that are told as stalls of single steps; None if that is not known."""
        return self.held_in_turn if self.tells_of_steps else None

    # --- judging overruns, on the loop's thread ---

    def slow_step(self, handle: Any, now: float) -> None:
        """Count a step that was slow; keep it by name; write it down if it held the loop too long."""
        try:
            spent = now - self.mark
            if self._astray() and not self.outlets.adapt(self):
                self.quick += 1  # it ran, but nobody knows for how long
                self.turn = now
                self.quick_before = self.quick
                self._forget_steps()
                return
            super().slow_step(handle, now)
            if spent >= self.threshold:
                self._hold(handle, now, spent)
                return
            self.slow_in_turn += 1
            if spent >= NOTABLE:
                self._note(handle, spent)
        except Exception as error:  # promise 1: never into the application; told by the sampler
            if theirs(error):
                raise
            self.outlets.faults.append(error)

    def _astray(self) -> bool:
        """Whether the loop has another selector or another way to turn than when it was taken in."""
        loop = self.loop()
        return loop is not None and (replaced(self.tap, loop) or not turns_plainly(loop))

    def _note(self, handle: Any, spent: float) -> None:
        slowest = self.outlets.slowest
        if slowest is not None and spent > slowest.least:
            slowest.add(self.mark, spent, describe(handle))
        key = key_of(handle)
        entry = self.noted.get(key)
        if entry is None:
            if len(self.noted) >= _NOTED:
                key = _REST
            entry = self.noted.setdefault(key, [0, 0.0])
        entry[0] += 1
        entry[1] += spent

    def _hold(self, handle: Any, now: float, spent: float) -> None:
        self.held_in_turn += spent
        facts = self._told(describe, handle) or _UNNAMED
        span, victims = self._traced(getattr(handle, "_context", None), now - spent, spent)
        self._write_down("step", now, spent, facts, 1, 0.0, (), span, victims)

    def _traced(
        self, context: Any, began: float, spent: float, behind: int = 0
    ) -> tuple[SpanFacts | None, Victims | None]:
        """The span of a step that held the loop, and who waited for it; neither where nobody traces, or it fails."""
        if self.outlets.tracing.tracer is None:
            return None, None
        return self._told(self._trace, context, began, spent, behind) or (None, None)

    def _trace(self, context: Any, began: float, spent: float, behind: int) -> tuple[SpanFacts | None, Victims | None]:
        """What the sampler has seen in the step was current while it held the loop: at its end it may be another.

        ``behind``: how many were ready when it began, where that is known.
        """
        tracing, looked = self.outlets.tracing, self.looked
        self.looked = None
        seen = looked if looked is not None and abs(looked.mark - began) <= SAME else None
        span = seen.span if seen is not None else None
        span = span or tracing.of_context(context)
        tracer = tracing.tracer
        stall = tracing.guarded(tracer.stall, span, spent) if tracer is not None else None
        if stall is None:
            return span, None
        victims = self.victims_of(tracing, stall, span, self, spent)
        victims.behind(max(behind, seen.ready if seen is not None else 0))
        return span, victims

    def _write_down(
        self, kind: str, ended: float, held: float, facts: HandleFacts, steps: int, busy: float, named: Any,
        span: SpanFacts | None = None, victims: Victims | None = None,
    ) -> None:  # fmt: skip
        cpu, switches = clocks.thread_cpu(), _compat.voluntary_switches()
        timers, before = self._told(due, self.loop()) or 0, self.active(ended) - held
        self.pending.append(
            Held(self, kind, ended - held, ended, facts, timers, steps, busy, named, cpu, before, self.base, switches,
                 self.steps_run(), span=span, victims=victims)
        )  # fmt: skip

    def _told(self, ask: Callable[..., Any], *args: Any) -> Any:
        """What an overrun can do without, where it cannot be had."""
        try:
            return ask(*args)
        except Exception as error:
            if theirs(error):
                raise
            self.outlets.faults.append(error)
            return None

    def slow_turn(self, ended: float) -> bool:
        """Judge a turn that was slow: many short steps may have held the loop together."""
        return self._judge(ended, ended - self.turn, self._astray())

    def _judge(self, ended: float, busy: float, astray: bool = False) -> bool:
        try:
            if not astray and 0.0 <= busy < NEVER:
                self.turn_counts[bisect_left(TURN_BOUNDS, busy)] += 1
                rest = busy - self.held_in_turn
                if rest >= self.threshold:
                    self._hold_turn(ended, busy, rest)
            self._forget_steps()
            return bool(self.pending)
        except Exception as error:
            if theirs(error):
                raise
            self.outlets.faults.append(error)
            return False

    def _forget_steps(self) -> None:
        """The turn they were of is over."""
        self.held_in_turn = 0.0
        self.slow_in_turn = 0
        if self.noted:
            self.noted.clear()

    def _hold_turn(self, ended: float, busy: float, rest: float) -> None:
        """``rest`` is what the steps held that are not stalls of their own: these are in none of its numbers."""
        steps = self.quick - self.quick_before + self.slow_in_turn
        named = sorted(self.noted.items(), key=lambda item: -item[1][1])
        contributors = tuple(contributor(key, int(n), seconds) for key, (n, seconds) in named[:10])
        facts = _MANY if steps > 1 else _NONE
        if steps == 1 and contributors:
            facts = HandleFacts(contributors[0].name, code=contributors[0].code)
        self._write_down("turn", ended, rest, facts, steps, busy, contributors)

    def counted(self, events: Any) -> None:
        """Publish the overruns of the turn, with what waited at the poll."""
        try:
            waiting = len(events) if events and hasattr(events, "__len__") else 0
            held = self.outlets.held
            while (first := taken_from(self.pending)) is not None:
                try:
                    if first.victims is not None:
                        self._told(first.victims.at_poll, waiting > 0)
                finally:
                    if len(held) == held.maxlen != 0:
                        self.lost += 1
                    held.append(add_delayed(first, self.steps_run(), waiting))
            if self.outlets.alarm.asleep:
                self.outlets.alarm.wake()
        except Exception as error:
            if theirs(error):
                raise
            self.outlets.faults.append(error)


def taken_from(pending: deque[Held]) -> Held | None:
    """The first of them, or None. Where a watch ends while its loop polls, two threads take: each one gets another."""
    try:
        return pending.popleft() if pending else None
    except IndexError:
        return None


def add_delayed(held: Held, ran: int, waiting: int) -> Held:
    """The same overrun, with what had to wait: by now ``ran`` steps have run, and ``waiting`` more were ready."""
    behind = ran - held.behind
    return held._replace(delayed=held.delayed + behind + waiting, behind=behind)


_UNNAMED = HandleFacts("unknown callback")
_MANY = HandleFacts("many callbacks")
_NONE = HandleFacts("the loop between its callbacks")


__all__ = ["SAME", "Held", "Looked", "LoopState", "Outlets"]
