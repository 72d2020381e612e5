"""What is known of a loop that turns in its own way: its steps are timed from their own beginnings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from ..stopwatch.steps import NEVER, Stopwatch
from .loop_clock import TRIES, so_far
from .loop_state import LoopState
from .polls import make_bounded_select, replaced

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
        self._work = 0.0
        self._forget_steps()
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

    def _cut_turn(self, now: float) -> None:
        """A turn is the sum of its steps."""

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


__all__ = ["EntryState"]
