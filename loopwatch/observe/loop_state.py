"""What is known of one loop: its clock, and the judgement of its overruns."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from .. import _compat
from ..facts import ContributorFacts, HandleFacts
from ..metrics import TURN_BOUNDS
from .handles import contributor, describe, key_of
from .loop_clock import TRIES, LoopClock, Reading, so_far
from .polls import Tap, make_bounded_select, replaced, turns_plainly, waiting
from .steps import NEVER, NOTABLE, Stopwatch, make_select

_NOTED = 64
_REST = "other callbacks"
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


class Outlets(NamedTuple):
    """Where a loop's facts go: ``held`` for overruns, ``faults`` for errors of our own (both bounded)."""

    alarm: Any
    held: deque[Held]
    faults: deque[BaseException]
    adapt: Callable[[LoopState], bool | None]
    """Called where a loop turns out not to be watched as it must be; true if the step that just ended was timed."""
    clock: Callable[[], float] = clocks.monotonic


class LoopState(LoopClock):
    """The stopwatch of one loop. Its slow paths, for steps and turns that are not quick, run on the loop's thread."""

    __slots__ = (
        "_before",
        "_lately",
        "_steps",
        "_work",
        "_worked",
        "held_in_turn",
        "lost",
        "noted",
        "outlets",
        "pending",
        "polls_seen",
        "slow_in_turn",
        "tap",
        "threshold",
    )

    def __init__(self, loop: Any, threshold: float, outlets: Outlets) -> None:
        super().__init__(loop)
        self.threshold = threshold
        self.outlets = outlets
        self.tap: Tap | None = None
        self.polls_seen = False
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

    def make_select(self, inner: Callable[[Any], Any]) -> Any:
        """The function to put around the ``select`` of the loop's selector."""
        return make_select(self, inner, self.outlets.alarm, self.outlets.clock)

    # --- judging overruns, on the loop's thread ---

    def slow_step(self, handle: Any, now: float) -> None:
        """Count a step that was not quick; keep it by name; write it down if it held the loop too long."""
        try:
            spent = now - self.mark
            if self._astray() and not self.outlets.adapt(self):
                self.quick += 1  # it ran, but nobody knows for how long
                self.turn = now
                return
            super().slow_step(handle, now)
            if spent >= self.threshold:
                self._hold(handle, now, spent)
                return
            self.slow_in_turn += 1
            if spent >= NOTABLE:
                self._note(handle, spent)
        except Exception as error:  # promise 1: never into the application; told by the sampler
            self.outlets.faults.append(error)

    def _astray(self) -> bool:
        """Whether the loop has another selector or another way to turn than when it was taken in."""
        loop = self.loop()
        return loop is not None and (replaced(self.tap, loop) or not turns_plainly(loop))

    def _note(self, handle: Any, spent: float) -> None:
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
        self._write_down("step", now, spent, facts, 1, 0.0, ())

    def _write_down(
        self, kind: str, ended: float, held: float, facts: HandleFacts, steps: int, busy: float, named: Any
    ) -> None:
        cpu, switches = clocks.thread_cpu(), _compat.voluntary_switches()
        ready, before = self._told(self.ready_now) or 0, self.active(ended) - held
        self.pending.append(
            Held(self, kind, ended - held, ended, facts, ready, steps, busy, named, cpu, before, self.base, switches)
        )

    def _told(self, ask: Callable[..., Any], *args: Any) -> Any:
        """What an overrun can do without, where it cannot be had."""
        try:
            return ask(*args)
        except Exception as error:
            self.outlets.faults.append(error)
            return None

    def ready_now(self) -> int:
        """Callbacks and due timers that wait; exact on the loop's thread."""
        return waiting(self.loop())

    def slow_turn(self, ended: float) -> bool:
        """Judge a turn that was not quick: many short steps may have held the loop together."""
        return self._judge(ended, ended - self.turn, self._astray())

    def _judge(self, ended: float, busy: float, astray: bool = False) -> bool:
        try:
            if not astray and 0.0 <= busy < NEVER:
                self.turn_counts[bisect_left(TURN_BOUNDS, busy)] += 1
                rest = busy - self.held_in_turn
                if rest >= self.threshold:
                    self._hold_turn(ended, busy, rest)
            self.held_in_turn = 0.0
            self.slow_in_turn = 0
            if self.noted:
                self.noted.clear()
            return bool(self.pending)
        except Exception as error:
            self.outlets.faults.append(error)
            return False

    def _hold_turn(self, ended: float, busy: float, rest: float) -> None:
        """``rest`` is what the steps held that are not stalls of their own: these are in none of its numbers."""
        steps = self.quick - self.quick_before + self.slow_in_turn
        named = sorted(self.noted.items(), key=lambda item: -item[1][1])
        contributors = tuple(contributor(key, int(n), seconds) for key, (n, seconds) in named[:10])
        facts = _MANY if steps else _NONE
        if steps == 1 and contributors:
            facts = HandleFacts(contributors[0].name, code=contributors[0].code)
        self._write_down("turn", ended, rest, facts, steps, busy, contributors)

    def counted(self, events: Any) -> None:
        """Publish the overruns of the turn, with what waited at the poll."""
        try:
            waiting = len(events) if events and hasattr(events, "__len__") else 0
            held = self.outlets.held
            while self.pending:
                if len(held) == held.maxlen != 0:
                    self.lost += 1
                held.append(add_delayed(self.pending.popleft(), waiting))
            if self.outlets.alarm.asleep:
                self.outlets.alarm.wake()
        except Exception as error:
            self.outlets.faults.append(error)


_MARK = cast(Any, Stopwatch).mark


class EntryState(LoopState):
    """For a loop that turns in its own way, or whose poll cannot be seen: a step is timed from its own beginning.

    Such a loop may rest between steps, stop and go on without the watch being told, or be entered
    again from within a step (as nest_asyncio makes it): ``_steps`` are those begun and not ended,
    each with the seconds it ran so far, innermost last. A turn is the sum of its steps.
    No such state is made: a ``LoopState`` becomes one.
    """

    __slots__ = ()

    @staticmethod
    def take_over(state: LoopState, running: list[Any]) -> None:
        """Turn a state into one of this kind; ``running`` are the handles of the steps under way."""
        now = state.outlets.clock()
        worked = state.active(now)
        mark = state.mark
        state.__class__ = EntryState
        state._worked = worked
        state._work = state._before = 0.0
        state._lately = now
        state._steps = [[handle, 0.0] for handle in running]
        if running and mark != NEVER:
            state._worked -= now

    # --- what the hooks write ---

    @property
    def handle(self) -> Any:
        try:
            return self._steps[-1][0]
        except IndexError:
            return None

    @handle.setter
    def handle(self, handle: Any) -> None:
        if handle is None:
            return
        now = self.outlets.clock()
        self._set_aside(now)
        self._steps.append([handle, 0.0])
        self._take_up(now)

    @property
    def mark(self) -> float:
        mark: float = _MARK.__get__(self)
        return mark

    @mark.setter
    def mark(self, ended: float) -> None:
        self._set_aside(ended)
        if self._steps:
            self._steps.pop()
        self._take_up(ended)
        if not self.polls_seen and not self._steps:
            self._forget_turn()

    def _forget_turn(self) -> None:
        """Where no poll is seen nobody knows which steps make a turn: each step stands for itself."""
        self._work = self.held_in_turn = 0.0
        self.slow_in_turn = 0
        if self.noted:
            self.noted.clear()
        if self.pending:
            self.counted(())

    @property
    def turn(self) -> float:
        """When the turn would have begun had its steps run without a pause."""
        mark = self.mark
        return mark if mark == NEVER else mark - self._before

    @turn.setter
    def turn(self, turn: float) -> None:
        pass

    def _set_aside(self, now: float) -> None:
        """The step that runs, if one does, stands still."""
        if self._worked < 0:
            now = max(now, self._lately)
            spent = now - self._lately
            _MARK.__set__(self, NEVER)
            self._worked += now
            self._work += spent
            self._steps[-1][1] += spent
        self._lately = now

    def _take_up(self, now: float) -> None:
        """The innermost step that was begun, if there is one, goes on."""
        self._lately = now
        if self._steps:
            so_far = self._steps[-1][1]
            self._worked -= now
            self._before = self._work - so_far
            _MARK.__set__(self, now - so_far)
        else:
            _MARK.__set__(self, NEVER)

    # --- its life ---

    def make_select(self, inner: Callable[[Any], Any]) -> Any:
        return make_bounded_select(self, inner, self.outlets.alarm, self.outlets.clock)

    def begin_turn(self, now: float) -> None:
        self._set_aside(now)
        self._steps.clear()
        self._take_up(now)
        self.quick_before = self.quick

    def end_turn(self, now: float) -> None:
        self._set_aside(now)
        self._steps.clear()
        if self._work:
            self._end_work(now)

    def _end_work(self, now: float) -> bool:
        work, self._work = self._work, 0.0
        pending = self._judge(now, work)
        self.quick_before = self.quick
        return pending

    def begin_poll(self, now: float) -> bool:
        self._set_aside(now)
        pending = self._end_work(now)
        self.idle -= now
        return pending

    def end_poll(self, now: float) -> None:
        self.idle += now
        self._take_up(now)

    def pause(self, now: float) -> None:
        self._set_aside(now)
        self._aside -= now
        self._paused = now

    def resume(self, now: float) -> None:
        self._aside += now
        self._take_up(now)

    # --- its numbers ---

    def age(self, now: float) -> float:
        mark = self.mark
        return self._work if mark == NEVER else max(0.0, now - mark + self._before)

    @property
    def away(self) -> float:
        aside = self._aside
        return aside if aside >= 0 else aside + self._paused

    def times(self, now: float) -> tuple[float, float]:
        for _ in range(TRIES):
            worked, idle, ran, aside, lately = self._worked, self.idle, self.ran, self._aside, self._lately
            if (worked, idle) == (self._worked, self.idle):
                break
        now = max(now, lately) if now != NEVER and self.running() else lately
        active = so_far(worked, now)
        if self.polls_seen:
            return active, so_far(idle, now)
        return active, max(0.0, so_far(ran, now) - active - so_far(aside, now))

    def last_seen(self) -> float:
        return self._lately

    def _astray(self) -> bool:
        loop = self.loop()
        return loop is not None and replaced(self.tap, loop)


def add_delayed(held: Held, waiting: int) -> Held:
    """The same overrun, with ``waiting`` more that had to wait."""
    return held._replace(delayed=held.delayed + waiting)


_UNNAMED = HandleFacts("unknown callback")
_MANY = HandleFacts("many callbacks")
_NONE = HandleFacts("the loop between its callbacks")


__all__ = ["EntryState", "Held", "LoopState", "Outlets"]
