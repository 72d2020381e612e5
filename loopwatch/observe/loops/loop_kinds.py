"""How each kind of loop is seen, in words: judged when a loop of that kind is met."""

from __future__ import annotations

import asyncio
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable, Container, Iterable
from typing import Any
from weakref import WeakSet

from .polls import begins_seen, selector_of, turns_plainly

_MOST = 32
_GRACE = 1.0
"""Seconds in which a loop may show that its steps are asyncio's, before the log says that it is not seen."""

ASYNCIO = "asyncio"
"""Stands for all loops of asyncio, where none of their steps is seen."""

TORN_OUT = "another tool has put its own Handle._run in place of loopwatch's, which is called no more"
OWN_STEPS = "it runs its callbacks by code of its own, not by asyncio's"
NO_POLL = "where they wait cannot be seen: each step is timed, turns are not, and all time between steps counts as idle"
OWN_TURNS = (
    "they turn by code that is not asyncio's, as with nest_asyncio: each step is timed, a turn is the sum of its "
    "steps, and a step that runs others in it may be told without its lines"
)
AWAITED = "none of them has run yet: one that does is asked for a heartbeat"
_OTHER_MAKES = ("rloop", "winloop")
"""Packages of loops that are met when they run, and not by their class."""
OWN_RUN = "they are run by code that is not asyncio's: each step is timed, and all time between steps counts as idle"


class LoopKinds:
    """What is not seen exactly: ``blind`` and ``partly``, by the name of the type, with the reason. From any thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.blind: dict[str, str] = {}
        self.partly: dict[str, str] = {}
        self.refused: set[type] = set()
        """Types whose loops cannot carry a stopwatch."""
        self._clock = clock
        self._ticking: WeakSet[type] = WeakSet()
        self._heard: WeakSet[type] = WeakSet()
        self._unsaid: dict[str, float] = {}

    def await_those_of(self, packages: Container[str]) -> None:
        """Whatever loop of these packages runs will be met."""
        self.partly.update((name, AWAITED) for name in _OTHER_MAKES if name in packages)

    def _met(self, name: str) -> None:
        package = name.partition(".")[0]
        if self.partly.get(package) == AWAITED:
            del self.partly[package]

    def meet(self, loop: Any) -> None:
        """A loop of any make begins to run: one that is not asyncio's is not seen, until one of its steps is."""
        kind = type(loop)
        if issubclass(kind, BaseEventLoop) or not issubclass(kind, asyncio.AbstractEventLoop):
            return
        if kind not in self._ticking and kind not in self._heard:
            self.not_seen(loop, OWN_STEPS)

    def not_seen(self, loop: Any, reason: str) -> None:
        """Nothing of such loops is seen."""
        self.kind_not_seen(type(loop), reason)

    def kind_not_seen(self, kind: type, reason: str) -> None:
        """Nothing of the loops of a type is seen."""
        name = _named(kind)
        self._met(name)
        if name not in self.blind and len(self.blind) < _MOST:
            self.blind[name] = reason
            self._unsaid[name] = self._clock()

    def ticks(self, loop: Any) -> bool:
        """A step of such a loop is seen, for the first time; false if all the same it cannot be timed."""
        kind = type(loop)
        reason = None
        if not issubclass(kind, asyncio.AbstractEventLoop):
            reason = "it is no asyncio.AbstractEventLoop"
        elif not (kind.__dictoffset__ and kind.__weakrefoffset__):
            reason = "its loops can carry no attribute"
        if reason is not None:
            if len(self.refused) >= _MOST:
                self.refused.clear()
            self.refused.add(kind)
            self.not_seen(loop, reason)
            return False
        if not issubclass(kind, BaseEventLoop):
            self._ticking.add(kind)
            name = _name(loop)
            self.blind.pop(name, None)
            self._unsaid.pop(name, None)
        return True

    def has_own_way(self, loop: Any, runs: bool = False) -> bool:
        """Whether the turns of a loop, which may run already, cannot be timed as those of asyncio's own are."""
        if selector_of(loop) is None:
            reason = NO_POLL
        elif not turns_plainly(loop):
            reason = OWN_TURNS
        elif runs and not begins_seen(loop):
            reason = OWN_RUN
        else:
            return False
        name = _name(loop)
        if len(self.partly) < _MOST:
            self.partly.setdefault(name, reason)
        return True

    def seen_in_part(self, kind: type, reason: str) -> None:
        """Loops of the type are seen, but not exactly."""
        if len(self.partly) < _MOST:
            self.partly.setdefault(_named(kind), reason)

    def heard(self, kind: type, reason: str) -> None:
        """Of loops that were not seen something is heard."""
        name = _named(kind)
        self._met(name)
        self.blind.pop(name, None)
        self._unsaid.pop(name, None)
        self._heard.add(kind)
        self.seen_in_part(kind, reason)

    def all_are_seen(self, yes: bool) -> None:
        """Whether the steps of asyncio's own loops are still seen."""
        if yes:
            self.blind.pop(ASYNCIO, None)
        else:
            self.blind[ASYNCIO] = TORN_OUT

    def begin_anew(self, running: Iterable[Any]) -> None:
        """Forget what was not seen so far, but for the loops that run now."""
        self.blind.clear()
        self._unsaid.clear()
        for loop in running:
            if not hasattr(loop, "_loopwatch"):
                self.meet(loop)

    def news(self, at_once: bool = False) -> bool:
        """Whether it is time to say that more is not seen."""
        since = self._clock() - (0.0 if at_once else _GRACE)
        due = [name for name, at in list(self._unsaid.items()) if at <= since]
        for name in due:
            self._unsaid.pop(name, None)
        return bool(due)


def _name(loop: Any) -> str:
    return _named(type(loop))


def _named(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
