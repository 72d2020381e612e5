"""Sees each name that a loop of uvloop has libuv look up, by methods of ours in ``uvloop.Loop``.

``uvloop.Loop`` finds ``getaddrinfo`` by its name where ``sock_connect`` calls it. The methods that make connections,
servers and endpoints call what is beneath it, a function of C that nothing of ours can stand before: of these it is
seen for which futures they wait.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import CoroutineType, FrameType, FunctionType, MethodType
from typing import Any, NamedTuple

from ... import _compat
from ..guard import theirs
from ..jobs.executors import ExecutorHook
from ..jobs.job import NOWHERE, Lane
from .libuv_pool import LIBUV, NOT_LIBUV, LibuvPool, LookupJob
from .lookups import Find, Waiting, awaited_by_wait, awaited_itself, gathered
from .uvloop_entry import loop_class
from .uvloop_methods import Method

_AT_ONCE = 10_000
"""Lookups that are known while they last."""
_STOPPED = 60.0
"""Seconds after which a lookup of a loop that does not run counts for nothing any more."""
_clock = _compat.clocks.monotonic
_getframe = sys._getframe
_running_loop = asyncio._get_running_loop

_active: LookupHook | None = None


# --- the methods -------------------------------------------------------------------------------


class _Way(NamedTuple):
    """How a method looks up names: how often it waits for them, by its arguments, and how their futures are found."""

    stages: Callable[[Sequence[Any], Mapping[str, Any]], int]
    find: Find
    target: FunctionType


def _always(times: int) -> Callable[[Sequence[Any], Mapping[str, Any]], int]:
    return lambda given, named: times


def _given(at: int, names: Sequence[str]) -> Callable[[Sequence[Any], Mapping[str, Any]], int]:
    """How many of some arguments are given, by position from ``at`` on, or by name."""

    def count(given: Sequence[Any], named: Mapping[str, Any]) -> int:
        by_position = given[at : at + len(names)]
        return sum(value is not None for value in (*by_position, *(named.get(name) for name in names)))

    return count


def _once(count: Callable[[Sequence[Any], Mapping[str, Any]], int]) -> Callable[[Any, Any], int]:
    return lambda given, named: min(1, count(given, named))


def _target(name: str) -> FunctionType:
    """Stands for the one that libuv runs. To ask uvloop's own, a function of C, for its name would take long."""
    function = FunctionType(_target.__code__.replace(co_name=name), {})
    function.__module__, function.__qualname__ = "uvloop.loop", f"Loop.{name}"
    return function


_FOR_NAME, _FOR_ADDRESS = _target("getaddrinfo"), _target("getnameinfo")
_WAYS = {
    "getaddrinfo": _Way(_always(1), awaited_itself, _FOR_NAME),
    "getnameinfo": _Way(_always(2), awaited_itself, _FOR_ADDRESS),
    "create_connection": _Way(_once(_given(1, ("host", "port"))), awaited_by_wait, _FOR_NAME),
    "create_server": _Way(_once(_given(1, ("host", "port"))), gathered, _FOR_NAME),
    "create_datagram_endpoint": _Way(_given(1, ("local_addr", "remote_addr")), awaited_itself, _FOR_NAME),
}


class _Looking:
    """In place of a method of uvloop's that looks up names: shows all that the method shows."""

    def __init__(self, previous: Any, way: _Way) -> None:
        self._previous = previous
        self._way = way

    def __get__(self, loop: Any, kind: Any = None) -> Any:
        return self if loop is None else MethodType(self, loop)

    def __call__(self, loop: Any, /, *given: Any, **named: Any) -> Any:
        coroutine = self._previous(loop, *given, **named)
        hook = _active
        if hook is None or not (stages := self._way.stages(given, named)):
            return coroutine
        return hook.follow(coroutine, self._way, stages, _getframe(1))

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_previous"), name)

    def __repr__(self) -> str:
        return repr(self._previous)


def _method(name: str, way: _Way) -> Method:
    return Method(name, lambda previous: _Looking(previous, way))


_METHODS = tuple(_method(name, way) for name, way in _WAYS.items())


def _may_stand_in(kind: type) -> bool:
    """Whether a coroutine is uvloop's own: what another tool's function gives is not for us to run."""
    return kind is not CoroutineType and all(hasattr(kind, name) for name in ("__next__", "cr_code", "cr_await"))


# --- the pool ----------------------------------------------------------------------------------


class LookupHook:
    """The lookups of all uvloop loops of the process, until ``uninstall()``; ``refresh()`` begins. One at a time.

    Their pool is with those of ``executors``.
    """

    def __init__(self, executors: ExecutorHook) -> None:
        self.executors = executors
        self._pool: LibuvPool | None = None
        self._known: type | None = None
        """The type of uvloop's coroutines."""
        self._patched: Any = None
        self._installed = True
        self._lock = threading.RLock()  # a signal handler may look up a name
        """Held while something is put in place or taken out, and where the pool is met."""

    def refresh(self) -> None:
        """Take uvloop in, if that was not done; and forget what cannot end any more. From any thread."""
        global _active
        kind = loop_class()
        if kind is not None and self._patched is None and self._installed:
            with self._lock:
                if self._patched is None and self._installed:
                    self._patched, _active = kind, self
                    for method in _METHODS:
                        method.put(kind)
                    self.executors.kinds.add(LIBUV)
        if self._pool is not None:
            _forget_lost(self._pool, _clock())

    def uninstall(self) -> None:
        """Put back what is still ours; lookups under way go on."""
        global _active
        self._installed = False
        with self._lock:
            if _active is self:
                _active = None
            patched, self._patched = self._patched, None
            if patched is not None and _active is None:
                for method in _METHODS:
                    method.take_out(patched)
            self._drop_pool()

    def after_fork(self) -> None:
        """In the child libuv makes its threads anew, when it needs them; the parent may have held the lock."""
        self._lock = threading.RLock()
        if self._pool is not None:
            self._pool.clear()
        self._drop_pool()

    def _drop_pool(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.hook = None
            self.executors.pools.discard(pool)

    def follow(self, coroutine: Any, way: _Way, stages: int, caller: FrameType) -> Any:
        """What stands in for the coroutine; itself, rather than an exception."""
        try:
            kind = type(coroutine)
            if kind is not self._known:
                if not _may_stand_in(kind):
                    self.executors.kinds.add(NOT_LIBUV)
                    return coroutine
                self._known = kind
            pool = self._pool or self._meet()
            lane = pool.lane(caller, way.target, NOWHERE if _running_loop() is None else self.executors.until)
            return Waiting(coroutine, stages, way.find, partial(_begin, pool, lane))
        except Exception as error:
            if theirs(error):
                raise
            self.executors.faults.append(error)
            return coroutine

    def begin(self, pool: LibuvPool, lane: Lane, future: Any, submitted: float) -> LookupJob | None:
        """The step that runs has submitted a lookup."""
        if pool is not self._pool or len(pool.running) + len(pool.waiting) >= _AT_ONCE:
            return None
        if pool.hook is None:
            pool.hook = self.executors
            self.executors.pools.add(pool)
        job = LookupJob(pool, None, lane, self.executors.finished)
        job.submitted, job.for_loop = submitted, True
        loop = future._loop
        job.loop = weakref.ref(loop)
        task = asyncio.current_task(loop)
        if task is not None:
            job.task = weakref.ref(task)
        job.promise(future)
        job.enter()
        if self.executors.alarm.asleep:
            self.executors.alarm.wake()
        return job

    def _meet(self) -> LibuvPool:
        with self._lock:
            if self._pool is None:
                self._pool = LibuvPool(self, os.environ)
            return self._pool


def _begin(pool: LibuvPool, lane: Lane, future: Any, submitted: float) -> LookupJob | None:
    """For the watch that there is by now."""
    return None if _active is None else _active.begin(pool, lane, future, submitted)


def _forget_lost(pool: LibuvPool, now: float) -> None:
    """A loop that is closed, or that nobody runs any more, will not tell of an end."""
    for job in [*pool.running, *pool.waiting]:
        loop = job.loop()
        if loop is None or loop.is_closed() or (now - job.submitted > _STOPPED and not loop.is_running()):
            job.over("abandoned")


__all__ = ["LookupHook"]
