"""What stands in for a coroutine of uvloop's that waits for names to be looked up, and how it is seen for which.

A ``Waiting`` is handed out in place of uvloop's own coroutine: as lazy, as cancellable, and of the same looks. Its
methods are properties that hand back the coroutine's own, or what calls it from C between two notes of ours, so that
no frame of ours stands in a traceback.
"""

from __future__ import annotations

import asyncio
import gc
from asyncio import futures, tasks
from collections.abc import Callable, Iterable
from types import CoroutineType
from typing import Any

from ... import _compat
from ..guard import theirs
from ..jobs.job import faults as _faults
from .libuv_pool import LookupJob

_clock = _compat.clocks.monotonic
_FUTURES = (asyncio.Future, futures._PyFuture)  # type: ignore[attr-defined]
_GATHERED: Any = tasks._GatheringFuture  # type: ignore[attr-defined]
_WAIT = asyncio.wait.__code__

_NOTHING: Any = object()

Find = Callable[[Any, Any], Iterable[Any]]
"""Gives the futures of the lookups that a coroutine waits for, from the coroutine and what it has yielded."""


# --- which futures are those of lookups --------------------------------------------------------


def awaited_itself(coroutine: Any, awaited: Any) -> Iterable[Any]:
    """Those of a coroutine that awaits the future of each lookup."""
    return (awaited,)


def awaited_by_wait(coroutine: Any, awaited: Any) -> Iterable[Any]:
    """Those of one that awaits ``asyncio.wait(fs)`` for them."""
    for each in (coroutine.cr_await, *gc.get_referents(coroutine.cr_await)):
        if type(each) is CoroutineType and each.cr_code is _WAIT and each.cr_frame is not None:
            return tuple(each.cr_frame.f_locals["fs"])
    return ()


def gathered(coroutine: Any, awaited: Any) -> Iterable[Any]:
    """Those of one that awaits ``asyncio.gather()`` of them."""
    return tuple(awaited._children) if type(awaited) is _GATHERED else ()


# --- the stand-in ------------------------------------------------------------------------------


class Waiting:
    """Awaitable once, as uvloop's own coroutine is, which it runs.

    ``stages``: how often the coroutine waits for lookups, before all else. Their futures are what ``find`` finds;
    ``begin(future, submitted)`` makes a job of each.
    """

    __slots__ = ("__name__", "__qualname__", "__weakref__", "_begin", "_coroutine", "_find", "_jobs", "_stages",
                 "cr_code")  # fmt: skip

    def __init__(
        self, coroutine: Any, stages: int, find: Find, begin: Callable[[Any, float], LookupJob | None]
    ) -> None:
        self._coroutine = coroutine
        self._stages = stages
        self._find = find
        self._begin: Any = begin
        self._jobs: list[LookupJob] = []
        # What is asked for without running any code of an object's own, see handles.py.
        self.__name__, self.__qualname__ = coroutine.__name__, coroutine.__qualname__
        self.cr_code = coroutine.cr_code

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_coroutine"), name)

    def __repr__(self) -> str:
        return repr(self._coroutine)

    def __await__(self) -> Any:
        return self

    __iter__ = __await__

    @property
    def __next__(self) -> Callable[[], Any]:
        # Made anew each time: kept, it would be a cycle, and the coroutine would outlive its last user.
        return map(self._stopped, iter(self._goes_on, _NOTHING), self._coroutine.__await__()).__next__

    @property
    def send(self) -> Callable[[Any], Any]:
        return self._send if self._stages > 0 or self._jobs else self._coroutine.send

    @property
    def throw(self) -> Callable[..., Any]:
        self._give_up()
        return self._coroutine.throw  # type: ignore[no-any-return]

    @property
    def close(self) -> Callable[[], Any]:
        self._give_up()
        return self._coroutine.close  # type: ignore[no-any-return]

    def _send(self, value: Any) -> Any:
        return self.__next__() if value is None else self._coroutine.send(value)

    def _goes_on(self) -> float:
        """The coroutine is about to run to where it waits next."""
        self._came_back()
        return _clock() if self._stages > 0 else 0.0

    def _stopped(self, submitted: float, awaited: Any) -> Any:
        """It waits for something."""
        if self._stages > 0:
            self._stages -= 1
            try:
                self._wait_for(awaited, submitted)
            except Exception as error:
                if theirs(error):
                    raise
                _faults.append(error)
        return awaited

    def _wait_for(self, awaited: Any, submitted: float) -> None:
        for future in self._find(self._coroutine, awaited):
            if issubclass(type(future), _FUTURES) and (job := self._begin(future, submitted)) is not None:
                self._jobs.append(job)

    def _give_up(self) -> None:
        """There will be no more lookups."""
        self._stages, self._begin = 0, None
        self._came_back()

    def _came_back(self) -> None:
        if self._jobs:
            jobs, self._jobs = self._jobs, []
            try:
                for job in jobs:
                    job.came_back()
            except Exception as error:
                if theirs(error):
                    raise
                _faults.append(error)


__all__ = ["Find", "Waiting", "awaited_by_wait", "awaited_itself", "gathered"]
