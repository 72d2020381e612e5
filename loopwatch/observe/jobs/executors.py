"""Times every job of every executor: ``submit`` is wrapped at class level, work items are never read.

A thread pool gets a ``Job`` in place of the caller's function. Calling it goes through a property
that notes the start and hands back the function itself, so that no frame of ours stands in the
worker's traceback; the end is noted by the future's first done-callback, in the worker. Process
pools (and interpreter pools) keep the caller's own function, which must pickle: their jobs are
timed from outside.
"""

from __future__ import annotations

import asyncio
import functools
import re
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from types import CodeType
from typing import Any

from ... import _compat
from ..bounded import Finished
from ..guard import theirs
from ..places import Places, caller_of
from .callees import callee_key
from .foreign_executors import ForeignExecutors, has_own_submit, with_own_submit
from .job import NOBODY, NOWHERE, Job, PlainJob, Pool, QuickJob, RemoteJob, StandIn, here, job_of, pool_on
from .job_fields import make_entry

_FINISHED_AT_MOST = 50_000
_DEFAULT = ("asyncio", "uvloop")
"""What the threads of the pool that a loop makes for itself are called."""
_POOLS = 64
_CANCELLERS = 4
"""Frames looked at for who cancels: functions of other tools may stand in between."""
_NUMBERED = re.compile(r"(?<=^ThreadPoolExecutor)-\d+$")
"""What CPython adds to the name of a pool that was given none: a service may make one a request."""
_SUBMIT = "submit"
_OURS = "_loopwatch"
_PROCESSES = "concurrent.futures.process"
_getframe = sys._getframe
_running_loop = asyncio._get_running_loop
_current_task = asyncio.current_task
_weak = weakref.ref
_new: Any = object.__new__
_clock = _compat.clocks.monotonic


def _make_submit(previous: Any, hook: ExecutorHook, threads: bool) -> Any:
    finished, alarm, call = hook.finished, hook.alarm, caller_of(previous)
    plain = call is previous and previous.__module__ == ThreadPoolExecutor.__module__
    alone = plain and not hasattr(previous, "__wrapped__")

    # Written out rather than cut into functions: each call of one would cost a good part of what a job may cost.
    def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        if not hook.installed:
            return call(self, fn, *args, **kwargs)
        job: Any = None
        try:
            try:
                pool = self._loopwatch
                if pool.hook is not hook:
                    pool = hook._pool(self, threads, alone)
            except AttributeError:
                pool = hook._pool(self, threads, alone)
            if (enter := pool.enter) is not None:
                job = given = enter(pool, fn)
            else:
                loop, outer = _running_loop(), None
                if loop is not None:
                    lane = pool.lane(_getframe(1), fn, hook.until)
                else:
                    outer = here.worker.job
                    lane = pool.place(_getframe(1), fn) if outer is None else pool.lane(_getframe(1), fn, NOWHERE)
                if pool.inside:
                    # What PlainJob() does, without the call, and line by line, without a tuple.
                    job = _new(PlainJob)
                    job.pool = pool
                    job.function = fn
                    job.lane = lane
                    job.finished = finished
                    job.abandoned = False
                    job.busy = len(pool.running)
                    job.submitted = _clock()
                else:
                    job = RemoteJob(pool, fn, lane, finished)
                if loop is not None:
                    job.for_loop = True
                    task = _current_task(loop)
                    if task is not None:
                        job.task = _weak(task)
                elif outer is not None:
                    job.inherit(outer)
                if pool.inside:
                    pool.waiting[job] = None
                    given = StandIn(job, fn) if pool.open else job
                else:
                    job.enter()
                    given = fn
        except BaseException as error:
            if job is not None:
                job.forget()
            if theirs(error):
                raise
            hook.faults.append(error)
            return call(self, fn, *args, **kwargs)
        try:
            # Without arguments, as most do: to unpack none would cost as much as all that is done for the job in C.
            future = call(self, given, *args, **kwargs) if args or kwargs else call(self, given)
        except BaseException:
            job.forget()
            raise
        try:
            job.attach(future)
            if alarm.asleep:
                alarm.wake()
        except BaseException as error:
            job.forget()
            if theirs(error):
                raise
            hook.faults.append(error)
        return future

    return functools.update_wrapper(submit, previous)


def _note_abandoned(future: Any) -> None:
    for callback in list(future._done_callbacks):
        job = job_of(callback)
        if job is not None and job.ended is None:
            job.abandoned = True


def _given_up(frame: Any) -> bool:
    """Whether asyncio cancels, for an awaiter that has gone on; who does it by hand may wait for the result yet."""
    for _ in range(_CANCELLERS):
        if frame is None:
            return False
        if frame.f_globals.get("__name__") == "asyncio.futures":
            return True
        frame = frame.f_back
    return False


def _make_cancel(previous: Any, hook: ExecutorHook) -> Any:
    call = caller_of(previous)

    def cancel(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        cancelled = call(self, *args, **kwargs)
        if not cancelled and hook.installed:
            try:
                if _given_up(_getframe(1)):
                    _note_abandoned(self)
            except Exception as error:
                if theirs(error):
                    raise
                hook.faults.append(error)
        return cancelled

    return functools.update_wrapper(cancel, previous)


def _living(workers: Any) -> int:
    """How many of a pool's threads live (a set), or processes (a dictionary): one that was shut down keeps the dead."""
    if isinstance(workers, dict):
        return len(workers)
    return sum(thread.is_alive() for thread in list(workers or ()))


def _kind(executor: Any, threads: bool) -> str:
    interpreters = _compat.InterpreterPoolExecutor
    if not threads:
        return "process"
    return "interpreter" if interpreters is not None and issubclass(type(executor), interpreters) else "thread"


class Pools:
    """The living pools: a weak set that can be read while other threads add to it."""

    def __init__(self) -> None:
        self._refs: dict[int, weakref.ref[Pool]] = {}

    def __iter__(self) -> Iterator[Pool]:
        pools = [ref() for ref in list(self._refs.values())]
        return iter([pool for pool in pools if pool is not None])

    def __len__(self) -> int:
        return len(self._refs)

    def add(self, pool: Pool) -> None:
        key, refs = id(pool), self._refs
        refs[key] = weakref.ref(pool, lambda _: refs.pop(key, None))

    def discard(self, pool: Pool) -> None:
        self._refs.pop(id(pool), None)


class ExecutorHook:
    """All executors of the process, while installed. One at a time."""

    def __init__(
        self,
        alarm: Any,
        faults: deque[BaseException],
        step_codes: Callable[[], tuple[CodeType, ...]],
        brief: float = 0.0,
    ) -> None:
        self.alarm = alarm
        self.faults = faults
        self.step_codes = step_codes
        self.brief = brief
        """Jobs of thread pools that take less than so many seconds may be told of in sums, see ``Lane.take``."""
        self.installed = False
        self.finished = Finished(_FINISHED_AT_MOST)
        self.pools = Pools()
        self.kinds: set[str] = set()
        """Of the pools that were met: ``thread``, ``process``, ``interpreter``."""
        self.foreign = ForeignExecutors(self, self._put, self._take)
        self.until: frozenset[int] = frozenset()
        """Ids of the code objects at which a loop's step begins."""
        self.on_fork: Callable[[], None] = lambda: None
        self._enter: Any = None
        self._places = Places()
        self._lock = threading.RLock()  # a signal handler may submit
        """Held where a pool or a class is met, and to take everything out; never by a submit to a known pool."""

    @property
    def dropped(self) -> int:
        """How many jobs ended and were never counted, since nobody collected them in time."""
        return self.finished.dropped

    def install(self) -> None:
        """Wrap ``submit`` of both executor classes, and ``Future.cancel`` (to see who gave up)."""
        self.until = frozenset(map(id, self.step_codes()))
        self._enter = make_entry(QuickJob, self.finished, self.until, callee_key)
        self.installed = True
        self._put(ThreadPoolExecutor, _SUBMIT, lambda previous: _make_submit(previous, self, True))
        # The process pools are wrapped when the application has imported them: their module is a heavy one.
        self._put(Executor, "__init_subclass__", self._make_init_subclass)
        processes = getattr(sys.modules.get(_PROCESSES), "ProcessPoolExecutor", None)
        if processes is not None:
            self._defined(processes)
        for owner in with_own_submit():
            self._defined(owner)
        self._put(Future, "cancel", lambda previous: _make_cancel(previous, self))

    def _make_init_subclass(self, previous: Any) -> Any:
        """Making a class tells its bases: so we hear of those that come later."""

        def init_subclass(owner: type[Executor], /, **given: Any) -> None:
            if previous is None:
                super(Executor, owner).__init_subclass__(**given)
            else:
                previous.__get__(None, owner)(**given)
            self._defined(owner)

        return classmethod(init_subclass)

    def _defined(self, owner: type[Executor]) -> None:
        try:
            if owner.__module__ == _PROCESSES and owner.__name__ == "ProcessPoolExecutor":
                self._put(owner, _SUBMIT, lambda previous: _make_submit(previous, self, False))
            elif has_own_submit(owner):
                self.foreign.watch(owner)
        except Exception as error:  # a class may be of any make
            if theirs(error):
                raise
            self.faults.append(error)

    def _put(self, owner: type, name: str, make: Callable[[Any], Any]) -> None:
        with self._lock:
            if self.installed:
                self._places.put(owner, name, make)

    def _take(self, owner: type) -> None:
        """Put back the ``submit`` of a class that needs no looking at."""
        with self._lock:
            self._places.take_out(owner, _SUBMIT)

    def uninstall(self) -> None:
        """Put back what is still ours; jobs under way go on. What another tool has wrapped passes all through."""
        self.installed = False
        with self._lock:  # whoever meets a pool at this moment has put it in its place, or will see that it is too late
            self._places.take_all_out()
            for pool in self.pools:
                pool.hook = None  # a future that the application keeps has it: not the whole watch as well
                executor = pool.executor()
                if executor is not None and pool_on(executor) is pool:
                    object.__delattr__(executor, _OURS)

    def ended(self) -> list[Job]:
        """The jobs that ended since the last call, oldest first; the lane of each may tell of more, brief ones."""
        lost = self.finished.dropped
        jobs = self.finished.take()
        if self.finished.dropped > lost:  # and so may be what would have told of a lane
            for pool in self.pools:
                self.finished.dropped += sum(brief[0] for lane in list(pool.lanes.values()) if (brief := lane.take()))
        return jobs

    def _pool(self, executor: Any, threads: bool, alone: bool) -> Pool:
        """The pool of an executor that is seen for the first time, or that has one of an earlier watch.

        ``alone``: no other tool has its function in ``submit``.
        """
        with self._lock:
            known = pool_on(executor)
            if known is not None and known.hook is self:  # another thread was here first
                return known
            pool = self._new_pool(executor, threads)
            pool.open = not alone or type(executor) is not ThreadPoolExecutor  # which may look at its queue
            pool.enter = self._enter if pool.inside and not pool.open else None
            if self.installed:  # otherwise nobody would take it away
                # A subclass may guard its attributes; and vars() would make them slower to read for good.
                object.__setattr__(executor, _OURS, pool)
                self.pools.add(pool)
                self.kinds.add(pool.kind)
            return pool

    def _new_pool(self, executor: Any, threads: bool) -> Pool:
        weak = weakref.ref(executor)
        workers = "_threads" if threads else "_processes"
        pool = Pool(
            executor,
            _kind(executor, threads),
            self.name(str(getattr(executor, "_thread_name_prefix", "") or type(executor).__name__)),
            lambda: float(getattr(weak(), "_max_workers", 0) or 0),
            lambda: _living(getattr(weak(), workers, None)),
        )
        pool.hook, pool.brief = self, self.brief
        return pool

    def name(self, prefix: str) -> str:
        """The prefix of its threads' names; pools beyond a number share one name, so that labels stay few."""
        names = {pool.name for pool in self.pools}
        name = "default" if prefix in _DEFAULT else _NUMBERED.sub("", prefix)
        return name if name in names or len(names) < _POOLS else NOBODY

    def after_fork(self) -> None:
        """In the child no worker of the parent lives on, and nothing has been counted."""
        self._lock = threading.RLock()
        self.finished.clear()
        here.worker.__init__()  # type: ignore[misc]
        for pool in self.pools:
            pool.clear()
        self.on_fork()


def thread_names() -> dict[int, str]:
    """Names of the living threads by ident."""
    return {thread.ident: thread.name for thread in threading.enumerate() if thread.ident is not None}
