"""Puts a ``ThreadJob`` into each call of AnyIO's worker threads: ``anyio.to_thread``, and with it the ``def``
routes of Starlette and FastAPI.

AnyIO is never imported here: its backend is awaited, and ``refresh()`` finds it where that went unnoticed. Since 4.16
a bare ``import anyio`` brings nothing of it but what loads the rest, and that may be done in a running loop.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import _GeneratorContextManager
from functools import partial
from types import FrameType, FunctionType, GeneratorType, MethodType
from typing import Any, NamedTuple

from ..._names import qualified_name
from ..guard import theirs
from .awaited_module import AwaitedModule
from .executors import ExecutorHook
from .job import NOBODY, Lane
from .limiters import LimiterPool, ThreadJob

_BACKEND = "anyio._backends._asyncio"
_CHOOSER = "anyio._core._eventloop"
_LOADERS = (_CHOOSER, "anyio._lazyimport")
"""Modules that load others of AnyIO when they are first needed."""
_ENTRY = "run_sync_in_worker_thread"
_IMPORT = "import_module"
_PUBLIC = "anyio.to_thread"
_FRAMEWORKS = ("fastapi", "starlette")
_NAMES = 16
_TAKES_ANY_KEYWORD = 0x08  # CO_VARKEYWORDS, see the inspect module

_getframe = sys._getframe
_running_loop = asyncio._get_running_loop
_current_task = asyncio.current_task


class _Patch(NamedTuple):
    """One attribute of a class or module that is ours for now."""

    owner: Any
    name: str
    ours: Any
    previous: Any

    def put(self) -> None:
        setattr(self.owner, self.name, self.ours)

    def take_out(self) -> None:
        """Put the previous one back, unless someone has replaced ours since."""
        if vars(self.owner).get(self.name) is self.ours:
            setattr(self.owner, self.name, self.previous)


_active: AnyioHook | None = None


def _patch_entry(backend: Any) -> _Patch:
    """``backend`` is a class, in AnyIO 3 a module."""
    previous = vars(backend)[_ENTRY]
    in_class = isinstance(backend, type)
    position = _limiter_position(previous, int(in_class))

    def run_sync_in_worker_thread(owner: Any, /, *given: Any, **named: Any) -> Any:
        hook = _active
        if hook is not None:
            given = hook.stand_in(owner, given, named, position, _getframe(1))
        return previous.__get__(None, owner)(*given, **named)

    functools.update_wrapper(run_sync_in_worker_thread, getattr(previous, "__func__", previous))
    ours = classmethod(run_sync_in_worker_thread) if in_class else partial(run_sync_in_worker_thread, backend)
    return _Patch(backend, _ENTRY, ours, previous)


def _patch_import(loader: Any) -> _Patch:
    """AnyIO loads its backend in the first call that needs it, and that may be the first job."""
    previous = vars(loader)[_IMPORT]

    def import_module(*given: Any, **named: Any) -> Any:
        module = previous(*given, **named)
        hook = _active
        if hook is not None:
            hook.refresh()
        return module

    return _Patch(loader, _IMPORT, functools.update_wrapper(import_module, previous), previous)


def _limiter_position(entry: Any, bound: int) -> int | None:
    """Where ``entry`` takes its limiter by position; None: by keyword alone. Raises LookupError where it takes none."""
    function = getattr(entry, "__func__", entry)
    for _ in range(8):
        function = getattr(function, "__wrapped__", function)
    code = getattr(function, "__code__", None)
    if code is not None:
        positional = code.co_varnames[: code.co_argcount]
        by_keyword = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
        if "limiter" in positional:
            return int(positional.index("limiter")) - bound
        if "limiter" in by_keyword or code.co_flags & _TAKES_ANY_KEYWORD:
            return None
    raise LookupError(f"AnyIO's {_ENTRY} takes no limiter")


class AnyioHook:
    """AnyIO's worker threads on all asyncio loops of the process, while installed. One at a time.

    Uninstall it before the ``executors`` whose ``pools`` and ``finished`` it shares.
    """

    def __init__(self, executors: ExecutorHook) -> None:
        self.executors = executors
        self.seen = False
        """Whether the hook is in place; it cannot be before the application has imported AnyIO's backend."""
        self.late = False
        """Whether it may have come after the first jobs."""
        self.loops_run: Callable[[], bool] = lambda: False
        """Whether any loop runs now."""
        self._may_miss = False
        """Whether a loop has run that may have loaded all of AnyIO, and begun jobs, since it was last looked for."""
        self._backend: Any = None
        self._awaited = AwaitedModule(_BACKEND, self._arrived)
        self._kept: list[_Patch] = []
        self._pools: dict[int, LimiterPool] = {}
        self._lanes: dict[str, dict[Any, Lane]] = {}
        """By name of a pool: there may be a limiter for each request."""
        self._lock = threading.RLock()  # a signal handler may refresh
        """Held while something is put in place or taken out, and where a limiter is met."""

    def install(self) -> None:
        """Begin to time jobs, as soon as there is an AnyIO."""
        global _active
        _active = self
        self.refresh(by_the_way=True)
        self.late = False  # what ran before is none of ours

    def refresh(self, by_the_way: bool = False) -> None:
        """Take AnyIO in if it has been imported since. Cheap when there is nothing to do; from any thread.

        ``by_the_way``: at no moment that is sure to come before the first job of a loop.
        """
        backend = sys.modules.get(_BACKEND)
        if (backend is not None and backend is self._backend) or _active is not self:
            return
        with self._lock:
            # Another thread may have done it meanwhile, or have taken everything out.
            backend = sys.modules.get(_BACKEND)
            if _active is not self or (backend is not None and backend is self._backend):
                return
            try:
                if backend is None:
                    self._await_backend()
                    self._may_miss = not by_the_way or self.loops_run()
                else:
                    self._take_in(backend, by_the_way)
            except BaseException as error:
                if theirs(error):
                    self._backend = None  # the next refresh does it again
                    raise
                self.executors.faults.append(error)

    def _await_backend(self) -> None:
        if not self._awaited.awaited:
            self._awaited.put()
        for name in _LOADERS:
            loader = sys.modules.get(name)
            if loader is not None and _IMPORT in vars(loader) and not self._awaits_in(loader):
                self._put(_patch_import(loader))

    def _awaits_in(self, loader: Any) -> bool:
        return any(patch.owner is loader for patch in self._kept)

    def _arrived(self) -> None:
        """The backend has just been loaded, and nobody has it yet."""
        if _active is self:
            self.refresh()
            if self.seen:
                self.late = False  # also where the sampler's thread has found it half loaded, which looks late

    def _take_in(self, backend: Any, by_the_way: bool) -> None:
        owner = vars(backend).get("AsyncIOBackend", backend)
        if _ENTRY in vars(owner):  # otherwise it is being imported right now, and the next refresh finds all of it
            self._backend = backend
            missed = self._may_miss or (by_the_way and self.loops_run())
            self.late = missed and not self._awaits_in(sys.modules.get(_CHOOSER))
            self._take_out()
            self._put(_patch_entry(owner))
            self.seen = True

    def _put(self, patch: _Patch) -> None:
        self._kept.append(patch)  # first: a signal handler may raise at any point
        patch.put()

    def _take_out(self) -> None:
        self._awaited.take_out()
        while self._kept:
            self._kept.pop().take_out()

    def uninstall(self) -> None:
        """Put back what is still ours; jobs under way go on."""
        global _active
        if _active is self:
            _active = None
        with self._lock:
            self._take_out()
            self.seen = self.late = self._may_miss = False
            self._backend = None
            for pool in list(self._pools.values()):
                self.executors.pools.discard(pool)
            self._pools.clear()

    def after_fork(self) -> None:
        """In the child nothing has been counted: lanes are made anew. The parent may have held the lock."""
        self._lock = threading.RLock()
        self._lanes.clear()

    def stand_in(
        self, owner: Any, given: tuple[Any, ...], named: dict[str, Any], position: int | None, caller: FrameType
    ) -> tuple[Any, ...]:
        """The arguments with a job in two places (``named`` is changed); as they were, rather than an exception."""
        try:
            function = given[0] if given else named["func"]
            loop = _running_loop()
            # A job: ours stands twice in the chain, because another tool's function stands between.
            if loop is None or not callable(function) or type(function) is ThreadJob:
                return given
            by_position = position is not None and len(given) > position
            limiter = given[position] if position is not None and by_position else named.get("limiter")
            limiter = limiter or owner.current_default_thread_limiter()
            pool = self._pool(owner, limiter, caller)
            lane = pool.lane(caller, asked_for(function), self.executors.until)
            job = ThreadJob(pool, function, lane, self.executors, limiter)
            job.for_loop = True
            task = _current_task(loop)
            if task is not None:
                job.task = weakref.ref(task)
        except Exception as error:
            if theirs(error):
                raise
            self.executors.faults.append(error)
            return given
        if position is not None and by_position:
            given = (*given[:position], job, *given[position + 1 :])
        else:
            named["limiter"] = job
        if given:
            return (job, *given[1:])
        named["func"] = job
        return given

    def _pool(self, owner: Any, limiter: Any, caller: FrameType) -> LimiterPool:
        pool = self._pools.get(id(limiter))
        if pool is not None and pool.executor() is limiter:
            return pool
        default = limiter is owner.current_default_thread_limiter()
        with self._lock:
            pool = LimiterPool(limiter, "anyio" if default else self._name(caller))
            pool.lanes = self._lanes.setdefault(pool.name, pool.lanes)
            key, pools = id(limiter), self._pools
            pool.executor = weakref.ref(limiter, lambda _: pools.pop(key, None))
            if _active is self:  # otherwise it is taken out already, and nobody would forget the pool
                pools[key] = pool
                self.executors.pools.add(pool)
        return pool

    def _name(self, caller: FrameType) -> str:
        """A limiter is called after the place that used it first, so that those of one place share one name."""
        frame: FrameType | None = caller
        while frame is not None and _module(frame) == _PUBLIC:
            frame = frame.f_back
        # A task may be nothing but the call; what is below it then is its loop, which is no place.
        if frame is not None and id(frame.f_code) not in self.executors.until and _package(_module(frame)) != "asyncio":
            module = _module(frame)
            name = f"anyio:{module}.{qualified_name(frame.f_code, module)}"
            if name in self._lanes or len(self._lanes) < _NAMES:
                return name
        return f"anyio:{NOBODY}"


def asked_for(function: Any) -> Any:
    """The application's function inside what a framework has made of it; any other is given back.

    FastAPI hands over a function of its own, bound to that of a route; and of a dependency that is a
    generator, the ``__enter__`` and ``__exit__`` of the context manager that it has made of it: that
    has forgotten the function after the first, but keeps the generator.
    """
    inner = function.func if type(function) is partial else function
    if type(inner) is FunctionType and inner is not function and _package(inner.__module__ or "") in _FRAMEWORKS:
        given = (*function.args, *function.keywords.values())
        return next((each for each in given if callable(each)), function)
    if type(inner) is MethodType and issubclass(type(inner.__self__), _GeneratorContextManager):
        generator = getattr(inner.__self__, "gen", None)
        return generator if type(generator) is GeneratorType else function
    return function


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _package(module: str) -> str:
    return module.partition(".")[0]
