"""Executors that run jobs by themselves: any class with a ``submit`` of its own, seen from outside.

A class whose ``submit`` hands over to a pool that is watched anyway, as most that stand on
``ThreadPoolExecutor`` do, is recognised by its first job and left alone from then on. The jobs of all
others are timed from submit to the end of their future, and what cannot be timed is known by name.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from types import CodeType
from typing import Any

from ... import _compat
from ..guard import theirs
from ..places import caller_of
from .job import NOBODY, Pool, RemoteJob, here, job_of, pool_on

_CLASSES = 64
_AT_ONCE = 10_000
"""Jobs of one class that are known while they run: a future that never ends would stay for ever."""
_SUBMIT = "submit"
_STDLIB = ("concurrent.futures", "concurrent.futures.thread", "concurrent.futures.process",
           "concurrent.futures.interpreter")  # fmt: skip
_clock = _compat.clocks.monotonic
_getframe = sys._getframe
_running_loop = asyncio._get_running_loop


class OutsideJob(RemoteJob):
    """One function that some executor runs somewhere: whether it waits or runs is not known."""

    def enter(self) -> None:
        """It counts as running from its submit on."""
        self.function = None
        self.started = self.submitted
        if len(self.pool.running) < _AT_ONCE:
            self.pool.running[self] = None

    def _leave(self, now: float) -> bool:
        self.pool.running.pop(self, None)
        return self.ended is None


def with_own_submit() -> Iterator[type[Executor]]:
    """All classes of executors whose ``submit`` is not the standard library's, as far as they are defined."""
    found: list[type[Executor]] = list(type.__subclasses__(Executor))
    seen: set[type[Executor]] = set()
    while found:
        each = found.pop()
        if each not in seen:
            seen.add(each)
            found += type.__subclasses__(each)
            if has_own_submit(each):
                yield each


def has_own_submit(owner: type[Executor]) -> bool:
    """Whether this very class defines it, as a method."""
    submit = vars(owner).get(_SUBMIT)
    if owner.__module__ in _STDLIB or type(submit) in (staticmethod, classmethod):
        return False
    return callable(submit) and hasattr(type(submit), "__get__")


class ForeignExecutors:
    """The classes that run jobs by themselves. ``met`` names those that were used, and says whether their jobs
    can be followed; beyond a number of them none is."""

    def __init__(self, hook: Any, put: Callable[[type, str, Callable[[Any], Any]], Any], take: Callable[[type], None]):
        self.met: dict[str, bool] = {}
        self._said = 0
        self._hook = hook
        self._put = put
        self._take = take
        self._classes: weakref.WeakSet[type] = weakref.WeakSet()

    def news(self) -> bool:
        """Whether more were met since the last call."""
        before, self._said = self._said, len(self.met)
        return self._said > before

    def watch(self, owner: type[Executor]) -> None:
        """Look at the next job that is submitted to ``owner`` itself."""
        if owner in self._classes:
            return
        if len(self._classes) >= _CLASSES:
            self.met.setdefault(NOBODY, False)
            return
        self._classes.add(owner)
        self._put(owner, _SUBMIT, lambda previous: self._make_submit(owner, previous))

    def _make_submit(self, owner: type, previous: Any) -> Any:
        hook, call, named = self._hook, caller_of(previous), _function_name(previous)
        pool: Pool | None = None

        def submit(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            if not hook.installed:
                return call(self, *args, **kwargs)
            submitted = _clock()
            future = call(self, *args, **kwargs)
            try:
                look(self, args[0] if args else kwargs.get(named), future, submitted, _getframe(1))
            except Exception as error:
                if theirs(error):
                    raise
                hook.faults.append(error)
            return future

        def look(executor: Any, function: Any, future: Any, submitted: float, frame: Any) -> None:
            nonlocal pool
            if _is_watched(executor, future, hook):
                if pool is None:
                    self._take(owner)
                return
            if pool is None:
                pool = self._begin(owner, future)
            if _may_follow(future) and callable(function):
                self._follow(pool, function, future, submitted, frame)

        return functools.update_wrapper(submit, previous)

    def _begin(self, owner: type, future: Any) -> Pool:
        self.met[f"{owner.__module__}.{owner.__qualname__}"] = _may_follow(future)
        # One for all executors of the class: not all of them could be given an attribute.
        pool = Pool(owner, "other", self._hook.name(owner.__name__), lambda: 0.0, lambda: 0)
        pool.hook = self._hook
        self._hook.pools.add(pool)
        return pool

    def _follow(self, pool: Pool, function: Any, future: Any, submitted: float, frame: Any) -> None:
        hook, loop = self._hook, _running_loop()
        lane = pool.lane(frame, function, hook.until) if loop is not None else pool.place(frame, function)
        job = OutsideJob(pool, function, lane, hook.finished)
        job.submitted = submitted
        if loop is not None:
            job.for_loop = True
            task = asyncio.current_task(loop)
            if task is not None:
                job.task = weakref.ref(task)
        elif here.worker.job is not None:
            job.inherit(here.worker.job)
        try:
            job.enter()
            # As for any pool, see executors.py: so it also stands on a future that is done, for whoever hands that on.
            job.attach(future)
        except BaseException:
            job.forget()
            raise
        if hook.alarm.asleep:
            hook.alarm.wake()


def _function_name(submit: Any) -> str:
    """What the function is called where it is given by keyword."""
    code = getattr(submit, "__code__", None)
    return code.co_varnames[1] if type(code) is CodeType and code.co_argcount > 1 else "fn"


# Not isinstance(), here and below, which asks objects of the application what they are.


def _may_follow(future: Any) -> bool:
    return issubclass(type(future), Future)


def _is_watched(executor: Any, future: Any, hook: Any) -> bool:
    """Whether a ``submit`` of ours has seen this job already: then it follows the future, or knows the executor."""
    pool = pool_on(executor)
    if pool is not None and pool.hook is hook:
        return True
    callbacks = list(future._done_callbacks) if _may_follow(future) else ()
    return any(job_of(each) is not None for each in callbacks)
