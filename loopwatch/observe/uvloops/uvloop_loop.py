"""Watches the loops of uvloop: learns when they run and close, and asks libuv what goes on in them.

Their handles are C, so nothing is put around any callback. ``uvloop.Loop`` is a class of Python, though, and that
of C beneath it finds ``run_forever`` by its name: ours, put there, is told of each run, and its frame in the stack
is the line between what is outside of the loop and what the loop called.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from ..handles import coroutine_of
from ..loops.asyncio_loop import AsyncioHook
from ..loops.loop_runs import Entered
from ..loops.running_loops import native_id, thread_name
from ..stacks import depth_of
from . import uvloop_entry
from .calls import make_schedule
from .libuv import Libuv, Unsuitable, open_libuv
from .uvloop_entry import loop_class, make_run_forever
from .uvloop_methods import Kept, Method
from .uvloop_state import UvloopState

COUNTED = (
    "libuv's counters tell when they are active and how often they turn; what holds them is seen by looking, so a "
    "stall is timed to within one look; single steps and ready callbacks are not counted"
)

TIMED = (
    "callbacks that are given to the loop (tasks, timers, readers and writers, signals) are timed one by one; what it "
    "calls by itself, as protocols, is seen by looking, and timed to within one look, by libuv's counters"
)


class UvloopHook:
    """All uvloop loops of the process, from its making until ``uninstall()``; ``refresh()`` begins.

    Their states are kept with those of ``loops``.
    """

    def __init__(self, loops: AsyncioHook, exact: bool = False) -> None:
        self._loops = loops
        self._exact = exact
        """Whether what is given to the loops is timed."""
        self._libuv: Libuv | None = None
        self._refused: str | None = None
        self._installed = True
        self._opening = threading.RLock()
        self._proof: Any = None
        """The loop of our own with which it is proven that the counters tell the truth."""
        self._patched: Any = None

    # --- in and out ---

    def refresh(self) -> None:
        """Be told of each run from here on, and take in the loops that run already. Cheap when that is done."""
        kind = loop_class()
        if kind is None or self._patched is not None or not self._installed or not self._open(kind):
            return
        for loop in _loops_of(kind):
            if loop.is_running():
                self.meet(loop)

    def uninstall(self) -> None:
        self._installed = False
        for state in list(self._loops.states.values()):
            if type(state) is UvloopState:  # before our close goes: then nobody tells that its counters are gone
                self._loops.dismiss(state)
        self._take_out()

    def _take_out(self) -> None:
        if uvloop_entry.watcher is self:
            uvloop_entry.watcher = None
        patched, self._patched = self._patched, None
        if patched is not None and uvloop_entry.watcher is None:
            for ours in (_RUN, _CLOSE, *_SCHEDULING, _STATE):
                ours.take_out(patched)

    def _open(self, kind: Any) -> bool:
        """Whether such loops can be watched: asks for the proof, once, and puts our methods into their class."""
        with self._opening:
            if self._refused is None and self._libuv is None:
                self._prove(kind)
            if self._libuv is not None and self._patched is None and self._installed:
                self._patched = kind
                uvloop_entry.watcher = self
                _STATE.put(kind)
                _RUN.put(kind)
                _CLOSE.put(kind)
                for method in _SCHEDULING if self._exact else ():
                    method.put(kind)
                self._loops.kinds.seen_in_part(kind, TIMED if self._exact else COUNTED)
                if not self._installed:  # meanwhile, in another thread
                    self._take_out()
        return self._libuv is not None

    def _prove(self, kind: Any) -> None:
        try:
            self._proof = kind()
            self._libuv = open_libuv(self._proof)
        except Unsuitable as reason:
            self._refused = str(reason)
            self._loops.kinds.kind_not_seen(kind, self._refused)
        finally:
            self._proof = None

    def after_fork(self) -> None:
        """In the child, before the states go: a loop whose step has forked goes on there, and is taken in anew.

        Any other is taken in when it begins again.
        """
        self._opening = threading.RLock()
        ident = threading.get_ident()
        for state in list(self._loops.states.values()):
            loop = state.loop() if type(state) is UvloopState and state.ident == ident else None
            try:
                if loop is not None and loop.is_running():
                    loop.call_soon_threadsafe(self._arrive, loop)
            except Exception as error:
                self._loops.outlets.faults.append(error)

    # --- loops come and go ---

    def meet(self, loop: Any) -> bool:
        """A loop runs, or is about to, in whatever thread; whether it is watched here."""
        kind = loop_class()
        if kind is None or not isinstance(loop, kind):
            return False
        if loop is self._proof:
            return True
        if not self._installed or not self._open(kind):
            return False
        state = self._known(loop)
        if state is not None and state.ran < 0:
            return True
        here = asyncio._get_running_loop() is loop
        if here:  # in a step of it
            self._begin(loop, _depth_of_step(loop), told_of_end=False)
        try:
            loop.call_soon_threadsafe(self._arrive, loop)
        except RuntimeError:
            if not loop.is_closed():  # meanwhile, in another thread: then there is nothing to be seen
                raise
        return True

    def _known(self, loop: Any) -> UvloopState | None:
        state = getattr(loop, "_loopwatch", None)
        return state if type(state) is UvloopState and id(state) in self._loops.states else None

    def _arrive(self, loop: Any) -> None:
        """A callback of a loop that did not begin under our eyes: whoever called us is outside of the loop."""
        try:
            if not self._installed:
                return
            caller = sys._getframe().f_back
            state = self._known(loop)
            if state is None or state.ran >= 0:
                self._begin(loop, depth_of(caller), told_of_end=False)
            else:
                state.depth = depth_of(caller)
        except Exception as error:
            self._loops.outlets.faults.append(error)

    def _begin(self, loop: Any, depth: int, told_of_end: bool) -> UvloopState:
        """On the loop's own thread."""
        assert self._libuv is not None
        state = self._known(loop) or self._take_in(loop)
        ident = threading.get_ident()
        native, name = native_id(ident), state.thread
        if ident != state.ident or native != state.native:
            name = thread_name(ident)
        state.depth, state.told_of_end = depth, told_of_end
        state.begin(self._loops.outlets.clock(), ident, name, native)
        if self._loops.outlets.alarm.asleep:
            self._loops.outlets.alarm.wake()
        if not self._installed:  # meanwhile, in another thread
            self._loops.detach(state)
        return state

    def _take_in(self, loop: Any) -> UvloopState:
        """Any number of threads may give the first callback to a loop that does not run yet: it has one state."""
        with self._opening:
            known = self._known(loop)
            if known is not None:
                return known
            assert self._libuv is not None
            state = UvloopState(loop, self._loops.threshold, self._loops.outlets, self._libuv, self._exact)
            self._loops.states[id(state)] = state
            loop._loopwatch = state
            return state

    def calls_of(self, loop: Any) -> Any:
        """What times the callbacks of a loop, None where nothing does. Never raises.

        The first of them may be scheduled before the loop runs.
        """
        try:
            state = self._known(loop)
            if state is None and self._exact and self._installed and not (loop.is_running() or loop.is_closed()):
                state = self._take_in(loop)
            return None if state is None or state.exact is None else state.exact.calls
        except Exception as error:
            self._loops.outlets.faults.append(error)
            return None

    def enter(self, loop: Any, frame: FrameType) -> Entered | None:
        """A loop begins to run; returns what ``leave`` needs. Never raises."""
        try:
            if loop.is_running() or loop.is_closed():  # it will refuse
                return None
            state = self._begin(loop, depth_of(frame), told_of_end=True)
            return self._loops.went_in(state, self._loops.outlets.clock())
        except Exception as error:
            self._loops.outlets.faults.append(error)
            return None

    def leave(self, entered: Entered | None) -> None:
        """It has stopped. Never raises."""
        try:
            if entered is not None:
                now = self._loops.outlets.clock()
                entered.state.end(now)
                self._loops.came_out(entered, now)
                if self._loops.outlets.alarm.asleep and self._loops.outlets.held:
                    self._loops.outlets.alarm.wake()
        except Exception as error:
            self._loops.outlets.faults.append(error)


def _make_close(previous: Any) -> Any:
    def close(self: Any) -> Any:
        state = getattr(self, "_loopwatch", None)
        if type(state) is not UvloopState:
            return previous(self)
        pointer = state.before_close()
        try:
            return previous(self)
        finally:
            if pointer is not None and not self.is_closed():
                state.not_closed(pointer)

    return close


def _calls_of(loop: Any) -> Any:
    watcher = uvloop_entry.watcher
    return None if watcher is None else watcher.calls_of(loop)


def _scheduling(name: str, place: int, waits: bool = False) -> Method:
    return Method(name, lambda previous: make_schedule(previous, _calls_of, place, waits))


_STATE = Kept("_loopwatch")
_RUN = Method("run_forever", make_run_forever)
_CLOSE = Method("close", _make_close)
_SCHEDULING = (
    _scheduling("call_soon", 1, waits=True),
    _scheduling("call_soon_threadsafe", 1, waits=True),
    _scheduling("call_later", 2),  # call_at calls it
    _scheduling("add_reader", 2),
    _scheduling("add_writer", 2),
    _scheduling("add_signal_handler", 2),
)
"""The methods by which callbacks are given to a loop, and which of their arguments these are."""


def _loops_of(kind: Any) -> Iterator[Any]:
    """The loops of a class and of those made from it. An object refers to its class, so the collector finds them."""
    kinds = [kind]
    for known in kinds:
        kinds += [each for each in type.__subclasses__(known) if each not in kinds]
    for found in gc.get_referrers(*kinds):
        if type(found) in kinds:
            yield found


def _depth_of_step(loop: Any) -> int:
    """How many frames lie outside of the step that runs in this thread; 0 where that cannot be told."""
    task = asyncio.current_task(loop) if asyncio._get_running_loop() is loop else None
    outermost = getattr(coroutine_of(task), "cr_frame", None) if task is not None else None
    frame: FrameType | None = sys._getframe()
    while outermost is not None and frame is not None:
        if frame is outermost:
            return depth_of(frame.f_back)
        frame = frame.f_back
    return 0


__all__ = ["UvloopHook"]
