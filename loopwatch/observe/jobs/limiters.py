"""One job of AnyIO's worker threads, and the pool that a capacity limiter makes of them.

A ``ThreadJob`` is handed to AnyIO in two places: in place of the function, so that the worker notes start
and end, and in place of the limiter, so that waiting for a token is seen. None of it leaves a frame of
ours in a traceback, but for a task that is cancelled in that wait.
"""

from __future__ import annotations

import asyncio
import functools
import weakref
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any, NoReturn, TypeVar

from ... import _compat
from ..guard import theirs
from .executors import ExecutorHook
from .job import Lane, PlainJob, Pool

_clock = _compat.clocks.monotonic
_Method = TypeVar("_Method", bound=Callable[..., Any])


def _quietly(method: _Method) -> _Method:
    """An error of ours in a job's method is noted, and the application's call goes on; theirs are let through."""

    @functools.wraps(method)
    def guarded(self: ThreadJob, *given: Any) -> Any:
        try:
            return method(self, *given)
        except Exception as error:
            if theirs(error):
                raise
            self.executors.faults.append(error)
            return None

    return guarded  # type: ignore[return-value]


class LimiterPool(Pool):
    """What is known of one capacity limiter.

    ``running`` holds the jobs whose function runs, ``heirs`` those that get the token of a function that
    has returned, as soon as the loop comes to it. ``holding`` jobs have a token; what else is borrowed, the
    application holds itself.
    """

    __slots__ = ("heirs", "holding")

    waits_only_when_full = True

    def __init__(self, limiter: Any, name: str) -> None:
        weak, me = weakref.ref(limiter), weakref.ref(self)
        super().__init__(
            limiter,
            "thread",
            name,
            lambda: float(getattr(weak(), "total_tokens", 0.0)),
            lambda: me()._workers(),  # type: ignore[union-attr]
        )
        self.heirs: dict[ThreadJob, None] = {}
        self.holding: dict[ThreadJob, None] = {}

    def full(self) -> bool:
        """Whether every token is taken, also those that the application holds itself; there may be none at all."""
        limiter = self.executor()
        return limiter is not None and limiter.available_tokens <= 0

    def busy(self) -> int:
        """Tokens that the application holds itself, and functions that run, also those that nobody waits for."""
        return len(self.running) + self.taken()

    def taken(self) -> int:
        """How many tokens the application holds itself."""
        return max(0, self._borrowed() - len(self.holding))

    def _workers(self) -> int:
        return max(self._borrowed(), self.busy())

    def _borrowed(self) -> int:
        return int(getattr(self.executor(), "borrowed_tokens", 0))

    def pass_on(self, now: float) -> None:
        """A function has returned: the first in line waits no longer for a worker, but for the loop to hand on a token.

        Nothing is said, and the whole wait counts, where the limiter was lowered or others wait for it directly.
        """
        limiter = self.executor()
        if limiter is None:
            return
        try:
            heir: Any = next(iter(self.waiting), None)
        except RuntimeError:  # the loop's thread has changed it meanwhile
            return
        tokens = limiter.statistics()
        lowered = tokens.borrowed_tokens > tokens.total_tokens
        if heir is None or lowered or tokens.tasks_waiting > len(self.waiting) + len(self.heirs):
            return
        heir.granted = now
        self.heirs[heir] = None
        if self.waiting.pop(heir, 0) is not None:  # it has its token already, or has given up
            self.heirs.pop(heir, None)

    def clear(self) -> None:
        """Forget every job, and what was counted."""
        super().clear()
        self.heirs.clear()
        self.holding.clear()


class _Run(partial[Any]):
    """The function, to be called by a worker. Only that call holds it, so that it dies in the worker when the
    function has returned or raised: an end that costs no frame (CPython counts references)."""

    __slots__ = ("job",)
    job: ThreadJob

    def __del__(self) -> None:
        self.job.returned()


class _Call:
    """``ThreadJob.__call__``: notes the start, then gives what is to be called in its place."""

    def __get__(self, job: ThreadJob | None, owner: type) -> Any:
        if job is None:
            return self
        function, job.function = job.function, None
        try:
            run = _Run(function)
            run.job = job
            job.begin()
        except Exception as error:
            if theirs(error):
                raise
            job.executors.faults.append(error)
            return function
        return run


class ThreadJob(PlainJob):
    """One function handed to AnyIO's worker threads; stands in for it, and for the limiter whose token it needs.

    Begun and returned from in the worker, all else happens on the loop's thread.
    """

    pool: LimiterPool
    granted: float | None = None
    """When the function whose token it gets had returned."""

    __call__ = _Call()

    def __init__(self, pool: LimiterPool, function: Any, lane: Lane, executors: ExecutorHook, limiter: Any) -> None:
        super().__init__(pool, function, lane, executors.finished)
        self.executors = executors
        self.limiter = limiter
        self._open = [None]

    # --- on the loop ---

    async def __aenter__(self) -> Any:
        try:
            self._queue()
            entered = await self.limiter.__aenter__()
        except BaseException as error:
            self._leave(type(error))
            raise
        try:
            self._admitted()
        except BaseException as interrupted:
            await self._give_back(interrupted)
        return entered

    def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> Any:
        try:
            self._leave(kind)
        except BaseException as interrupted:
            return self._give_back(interrupted)
        return self.limiter.__aexit__(kind, error, trace)

    async def _give_back(self, interrupted: BaseException) -> NoReturn:
        """A signal handler has raised in our code: the token goes back all the same."""
        self.forget()
        await self.limiter.__aexit__(type(interrupted), interrupted, interrupted.__traceback__)
        raise interrupted

    @_quietly
    def _queue(self) -> None:
        """The job needs a token from now on. What it needed the loop for until then is no wait for a worker."""
        self.submitted = _clock()
        if self.limiter.available_tokens <= 0:
            self.pool.waiting[self] = None
            self.busy = inf  # all tokens are taken, whoever holds them
        alarm = self.executors.alarm
        if alarm.asleep:
            alarm.wake()

    @_quietly
    def _admitted(self) -> None:
        """It has its token. A loop that was late to say so is no wait for a worker either."""
        pool = self.pool
        pool.holding[self] = None
        in_line = pool.waiting.pop(self, 0) is None
        pool.heirs.pop(self, None)
        if not in_line:
            self.submitted += _clock() - (self.granted or self.submitted)

    @_quietly
    def _leave(self, kind: type[BaseException] | None) -> None:
        """The awaiting task goes on, with the result or without."""
        cancelled = kind is not None and issubclass(kind, (asyncio.CancelledError, GeneratorExit))
        outcome = "completed" if kind is None else "cancelled" if cancelled else "failed"
        self.pool.holding.pop(self, None)
        if self.started is None:
            self.pool.heirs.pop(self, None)
            self.end()
            function = self.function
            self.settle(outcome)
            self.function = function  # the worker that looks at this moment for whether it may still run calls it
            return
        if cancelled and self.ended is None:
            self.abandoned = True
            outcome = "completed"
        self.outcome = outcome
        if self._is_second():
            self.settle(outcome)

    # --- in the worker ---

    @_quietly
    def returned(self) -> None:
        """The function has returned or raised."""
        if self.started is None:
            return
        self.end()
        self.pool.running.pop(self, None)
        if self._is_second():
            self.settle(self.outcome)
        elif self.pool.waiting:
            self.pool.pass_on(self.ended or 0.0)

    def forget(self) -> None:
        """It counts no more; whoever still runs it or waits for it need not know."""
        pool = self.pool
        for jobs in (pool.waiting, pool.running, pool.heirs, pool.holding):
            jobs.pop(self, None)

    def _is_second(self) -> bool:
        """Worker and awaiter come here once each; the second, whichever it is, settles the job."""
        try:
            self._open.pop()
        except IndexError:
            return True
        return False

    def __getattr__(self, name: str) -> Any:
        # Who looks at what was handed over finds the attributes of what it stands for.
        function = object.__getattribute__(self, "function")
        return getattr(function if hasattr(function, name) else object.__getattribute__(self, "limiter"), name)
