"""``assert_no_blocking()``: for any test framework, around a block of code or a whole function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar, cast

from ..errors import Blocked, NothingMeasured
from ..report.text import render
from .period import Period
from .post import post
from .terms import Judgement, Rule, Terms, judge

_F = TypeVar("_F", bound=Callable[..., Any])


class assert_no_blocking:
    """Raise :class:`loopwatch.Blocked` where a loop is held or a job waits while the code runs.

    A context manager (``with`` or ``async with``) and a decorator, of plain and of coroutine functions;
    inside a running loop or around one, in any thread, also nested. It watches every loop and pool of the process. What
    had begun before is not held against the code, nor what it could not help: a collection of the garbage
    collector, an import, a busy host. An exception of the code's own goes first.

    :param threshold: seconds a loop may be held (0.05).
    :param executor_wait: seconds a job may wait for a worker (0.05).
    :param simulated_async: whether it also counts that an async API hands its work to threads which wait
        (three calls at least).
    :param allow: sites that may block, as ``package.module.function``, with or without their lines and with wild cards.
    :raises SettingsError: a value that a setting cannot have.
    :raises Blocked: at the end, with ``events``.
    :raises NothingMeasured: at the end, where no loop ran a step meanwhile, or not all of them can be seen.
    """

    def __init__(
        self,
        *,
        threshold: float = 0.05,
        executor_wait: float = 0.05,
        simulated_async: bool = True,
        allow: tuple[str, ...] | list[str] = (),
    ) -> None:
        self._terms = Terms(threshold, executor_wait, simulated_async)
        self._rules = [Rule(site, "allow=") for site in allow]
        self._periods: list[Period] = []

    def __enter__(self) -> None:
        period = Period(post, self._terms)
        post.want(period, self._terms)
        period.begin()
        self._periods.append(period)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        period = self._periods.pop()
        try:
            judgement = judge(period.end(), self._terms, self._rules)
        finally:
            post.want(period, None)
        if error is None:
            _raise_if_any(judgement)

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: _F) -> _F:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{function.__qualname__} is a generator function, of which a call runs nothing")
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def watched(*args: Any, **kwargs: Any) -> Any:
                with self._anew():
                    return await function(*args, **kwargs)
        else:

            @functools.wraps(function)
            def watched(*args: Any, **kwargs: Any) -> Any:
                with self._anew():
                    return function(*args, **kwargs)

        return cast(_F, watched)

    def _anew(self) -> assert_no_blocking:
        """For each call one of its own: several may run at a time."""
        fresh = assert_no_blocking.__new__(assert_no_blocking)
        fresh._terms, fresh._rules, fresh._periods = self._terms, self._rules, []
        return fresh


def _raise_if_any(judgement: Judgement) -> None:
    if judgement.verdict == "blocked":
        raise Blocked(judgement.blocked, "\n\n".join(map(render, judgement.blocked)))
    if judgement.verdict == "unmeasured":
        raise NothingMeasured(judgement.reason)
