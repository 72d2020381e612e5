"""Watches asyncio's own loops: takes in those that run already, and those that begin; lets go of those that end."""

from __future__ import annotations

import contextlib
import threading
from asyncio import base_events
from collections import deque
from collections.abc import Callable
from types import CodeType
from typing import Any

from ...errors import SelfCheckFailed
from ..guard import theirs
from ..stopwatch.steps import QUICK, Stopwatch
from .class_patches import DISCARD, patches
from .entry_state import EntryState
from .loop_kinds import OWN_STEPS, LoopKinds
from .loop_runs import Arrival, Entered
from .loop_state import LoopState, Outlets
from .polls import Tap, replaced, selector_of, turns_plainly
from .running_loops import Found, handles_under_way, is_in, native_id, running_loops, thread_name

_CLEARLY = 1.5
"""At so many thresholds a stall is one also without what its thread has waited for a busy host."""
_CROWD = 64
"""So many loops, and the sampler is woken to look for those that are closed."""


def step_codes() -> tuple[CodeType, ...]:
    """The code objects that mark, in a stack, where a step begins."""
    return patches.step_codes()


class AsyncioHook:
    """All asyncio loops of the process, while installed. One at a time."""

    def __init__(self, threshold: float, outlets: Outlets) -> None:
        self.threshold = threshold
        self.outlets = outlets._replace(adapt=self.adapt)
        self.states: dict[int, LoopState] = {}
        self.kinds = LoopKinds(outlets.clock)
        self.blind, self.partly = self.kinds.blind, self.kinds.partly
        self.on_retired: Callable[[LoopState], None] = lambda state: None
        self.meets_too: Callable[[Any], bool] = lambda loop: False
        """Asked of loops that are not asyncio's: whether another watches it."""
        self.on_begin: Callable[[], None] = lambda: None
        """Called in the thread of a loop, of any make, that is about to run. Cheap; raises nothing of its own."""
        self.on_end: Callable[[], None] = lambda: None
        """The same of one that has stopped."""
        self._running: dict[int, LoopState] = {}
        self._arrivals: dict[int, Arrival] = {}

    # --- in and out ---

    def install(self) -> None:
        """Replace, prove, and take in the loops that run already. Raises SelfCheckFailed, leaving nothing behind."""
        try:
            patches.put(self, self.outlets.clock)
            self.kinds.await_those_of(patches.told_by)
            if not patches.run_ticks():
                raise SelfCheckFailed("asyncio.Handle._run", "one callback was run, and was not timed once")
            if not patches.forever_ticks():
                raise SelfCheckFailed("BaseEventLoop.run_forever", "one loop was run, and that was not noticed")
            for found in running_loops(step_codes()):
                self._take_in(found)
        except BaseException:
            self.uninstall()
            raise

    def uninstall(self) -> None:
        """Put everything back as it was; loops go on unwatched."""
        patches.take_out()
        for state in list(self.states.values()):
            self.dismiss(state)
        self._arrivals.clear()
        self._running.clear()

    def dismiss(self, state: LoopState) -> None:
        """Watch one loop no longer: what runs now, in this thread, is over for us."""
        if state.ident == threading.get_ident() and state.running():
            will_end = state.handle is not None and all(each.state is not state for each in self._arrivals.values())
            self._end_step(state)
            state.quick -= will_end  # its real end, which is still to come, counts it once more
            state.end_turn(self.outlets.clock())
        if state.pending:
            state.counted(())
        self.detach(state)

    def hand_over(self) -> None:
        """Publish what has ended in the turn that is under way in this thread, without waiting for its poll."""
        here = threading.get_ident()
        for state in list(self.states.values()):
            if state.ident == here and state.pending:
                state.counted(())

    def cut(self) -> None:
        """Of a step that is under way in this thread: count what it was so far, and the rest as another step."""
        here = threading.get_ident()
        for state in list(self.states.values()):
            if state.ident == here and state.running():
                state.cut(self.outlets.clock())

    def forget_unseen(self) -> None:
        """From here on ``blind`` tells of the loops that run from here on."""
        self.kinds.begin_anew(found.loop for found in running_loops(step_codes()))

    def restless(self, since: float) -> bool:
        """Whether a turn that began before ``since`` goes on in another thread, and is no stall beyond doubt yet."""
        here, now, most = threading.get_ident(), self.outlets.clock(), _CLEARLY * self.threshold
        return any(
            state.pending or 0.0 < now - since <= state.age(now) < most
            for state in list(self.states.values())
            if state.ident != here and state.running()
        )

    @property
    def covered_up(self) -> bool:
        """Whether another tool has put its function around ours; where ours is not called at all, ``blind`` says so."""
        outermost = patches.outermost
        self.kinds.all_are_seen(outermost or patches.still_ticks())
        return not outermost

    # --- loops come and go ---

    def enter(self, loop: Any) -> Entered | None:
        """A loop begins to run in this thread; returns what ``leave`` needs. Never raises."""
        try:
            if loop.is_running() or loop.is_closed():  # it will refuse, or is entered again by its own leave
                return None
            ident = threading.get_ident()
            state, now = self._state_of(loop), self.outlets.clock()
            self._begin(state, now, ident)
            entered = self.went_in(state, now)
            self._still_wanted(state)
            return entered
        except Exception as error:
            if theirs(error):
                raise
            self.outlets.faults.append(error)
            return None

    def leave(self, entered: Entered | None) -> None:
        """The loop that ``enter`` saw has stopped. Never raises."""
        if entered is None:
            return
        try:
            now = self.outlets.clock()
            entered.state.end(now)
            self.came_out(entered, now)
            if len(self.states) > _CROWD:
                self.outlets.alarm.wake()
        except Exception as error:
            if theirs(error):
                raise
            self.outlets.faults.append(error)

    def went_in(self, state: LoopState, now: float) -> Entered:
        """A loop, of whatever make, runs in this thread from here on: one in whose step that is, is not held by it."""
        self.on_begin()
        ident = threading.get_ident()
        outer = self._running.get(ident)
        if outer is not None and not outer.running():  # it ended, and nobody was told
            if outer is not state:
                outer.end(outer.last_seen())
            outer = None
        self._running[ident] = state
        if outer is not None:
            outer.pause(now)
        return Entered(state, outer)

    def came_out(self, entered: Entered, now: float) -> None:
        """It has stopped, and the one around it goes on."""
        ident, outer = threading.get_ident(), entered.outer
        if outer is None:
            self._running.pop(ident, None)
        else:
            self._running[ident] = outer
            outer.resume(now)
        self.on_end()

    def meet(self, loop: Any) -> None:
        """A loop of any make begins to run in this thread. Never raises."""
        try:
            self.on_begin()
            if isinstance(loop, base_events.BaseEventLoop) or not self.meets_too(loop):
                self.kinds.meet(loop)
        except Exception as error:
            if theirs(error):
                raise
            self.outlets.faults.append(error)

    def adopt(self, handle: Any) -> Stopwatch:
        """The first step of a loop that did not begin under our eyes. Never raises."""
        try:
            loop = handle._loop
            if type(loop) in self.kinds.refused:
                return DISCARD
            arrival = self._arrivals.pop(id(loop), None)
            if arrival is not None and arrival.state.loop() is loop:
                return self._arrive(arrival, loop)
            state = self._make(loop)
            if state is None:
                return DISCARD
            self._attach(loop, state)
            self._begin(state, self.outlets.clock(), threading.get_ident())
            self._still_wanted(state)
            return state
        except Exception as error:
            if theirs(error):
                raise
            self.outlets.faults.append(error)
            return DISCARD

    def _state_of(self, loop: Any) -> LoopState:
        """The state of a loop that is about to begin: the one it has, or a new one."""
        arrival = self._arrivals.pop(id(loop), None)
        state = getattr(loop, "_loopwatch", None)
        if arrival is not None and arrival.state.loop() is loop:  # it ended without another step or poll
            state = arrival.state
            self._untap(state)
            self._attach(loop, state)
        elif state is None or id(state) not in self.states:
            state = LoopState(loop, self.threshold, self.outlets)
            self._attach(loop, state)
        known: LoopState = state
        if type(known) is LoopState and self.kinds.has_own_way(loop):
            EntryState.take_over(known, [])
        return known

    def _make(self, loop: Any) -> LoopState | None:
        """A state for a loop that runs; None for what cannot be watched."""
        if not self.kinds.ticks(loop):
            return None
        state = LoopState(loop, self.threshold, self.outlets)
        if self.kinds.has_own_way(loop, runs=True):
            EntryState.take_over(state, [])
        return state

    def _attach(self, loop: Any, state: LoopState) -> None:
        loop._loopwatch = state
        self.states[id(state)] = state

    def _begin(self, state: LoopState, now: float, ident: int) -> None:
        self._tap(state)
        self._place(state, now, ident)
        if self.outlets.alarm.asleep:
            self.outlets.alarm.wake()

    def _place(self, state: LoopState, now: float, ident: int) -> None:
        """The loop runs in the thread given."""
        native, name = native_id(ident), state.thread
        if ident != state.ident or native != state.native:
            name = thread_name(ident)
            now = self.outlets.clock()  # other threads may have run meanwhile: that is our doing
        state.begin(now, ident, name, native)

    def _still_wanted(self, state: LoopState) -> None:
        """The watch may have been uninstalled, in another thread, while a state was put in place."""
        if patches.watcher is not self:
            self.detach(state)

    def detach(self, state: LoopState) -> None:
        """Take our hooks off one loop (it closed, or the watch ends)."""
        state.let_go()  # first: without ``_loopwatch`` nobody tells us that it is closed
        self.states.pop(id(state), None)
        loop = state.loop()
        if loop is not None and getattr(loop, "_loopwatch", None) is state:
            with contextlib.suppress(AttributeError):  # another thread was faster
                del loop._loopwatch
        self._untap(state)
        state.outlets = state.outlets._replace(held=deque(maxlen=0))  # a step or run under way has no more to tell

    def retire(self, state: LoopState) -> None:
        """A loop is closed or gone: keep its numbers, forget the rest (on the sampler's thread)."""
        self.detach(state)
        self.on_retired(state)

    def _tap(self, state: LoopState) -> None:
        """Bound the turns of a loop at its poll; again when the loop has a new selector."""
        selector = selector_of(state.loop())
        if state.tap is not None:
            if selector is not None and state.tap.in_place(selector):
                return
            self._untap(state)
        state.polls_seen = selector is not None
        if selector is not None:
            state.tap = tap = Tap(selector, state.make_select)
            tap.put()

    def _untap(self, state: LoopState) -> None:
        tap, state.tap = state.tap, None
        if tap is not None:
            tap.take_out()

    def adapt(self, state: LoopState) -> bool:
        """A loop has another selector, or another way to turn, than before. Whether the step that ended was timed."""
        loop = state.loop()
        timed = not replaced(state.tap, loop)
        if type(state) is LoopState and not turns_plainly(loop):
            handles = handles_under_way(loop, step_codes())
            timed = timed and len(handles) <= 1
            self._untap(state)
            self.kinds.has_own_way(loop)
            EntryState.take_over(state, handles)
        self._tap(state)
        self._still_wanted(state)
        return timed

    # --- loops that run already ---

    def _take_in(self, found: Found) -> None:
        loop = found.loop
        if not isinstance(loop, base_events.BaseEventLoop) and found.handle is None:
            if not self.meets_too(loop):
                self.kinds.not_seen(loop, OWN_STEPS)
            return
        state = self._make(loop)
        if state is None or hasattr(loop, "_loopwatch"):
            return
        self._place(state, self.outlets.clock(), found.ident)
        self._running.setdefault(found.ident, state)
        selector = selector_of(loop)
        if selector is None:  # nothing will tell when the step ends
            self._attach(loop, state)
            return
        if found.frame is not None:
            state.handle = found.handle
        else:
            state.begin_poll(self.outlets.clock())
        state.polls_seen = True
        arrival = Arrival(state, found.frame is not None)
        state.tap = tap = Tap(selector, lambda inner: self._first_select(loop, inner))
        self.states[id(state)] = state
        self._arrivals[id(loop)] = arrival
        tap.put()
        if hasattr(loop, "_loopwatch"):  # it has begun a step meanwhile, in its own thread
            if self._arrivals.pop(id(loop), None) is arrival:
                self.detach(state)
        elif found.frame is not None:
            arrival.sure = found.ident == threading.get_ident() or is_in(found, step_codes())

    def _first_select(self, loop: Any, inner: Callable[[Any], Any]) -> Any:
        """What ends the step that was running at install, if no other step does."""

        def select(timeout: Any = None) -> Any:
            arrival = self._arrivals.pop(id(loop), None)
            if arrival is None:
                return inner(timeout)
            arrival.sure = True  # no poll was under way: it would have begun here
            return self._arrive(arrival, loop).make_select(inner)(timeout)

        return select

    def _arrive(self, arrival: Arrival, loop: Any) -> LoopState:
        """The step that was running, or the poll, is over."""
        state = arrival.state
        self._untap(state)
        if not arrival.in_step:
            state.end_poll(self.outlets.clock())
        elif arrival.sure:
            self._end_step(state)
        else:
            state.begin_turn(self.outlets.clock())
        self._attach(loop, state)
        self._tap(state)
        self._still_wanted(state)
        return state

    def _end_step(self, state: LoopState) -> None:
        now, handle = self.outlets.clock(), state.handle
        if handle is None:
            return
        if now - state.mark <= QUICK:
            state.quick += 1
        else:
            state.slow_step(handle, now)
        state.mark = now
        state.handle = None

    # --- forks ---

    def after_fork(self) -> None:
        """In the child of a fork no loop runs (asyncio says so, too); one that goes on is taken in like a new one."""
        for state in list(self.states.values()):
            state.after_fork()
            self.detach(state)
        self._running.clear()
        self._arrivals.clear()
