"""Handles, tasks and callables for the tests of what is read from them."""

from __future__ import annotations

import asyncio
from asyncio import tasks
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from loopwatch.facts import HandleFacts
from loopwatch.observe.handles import (
    describe,
)

TASKS = [asyncio.Task, tasks._PyTask]  # type: ignore[attr-defined]
BOTH = pytest.mark.parametrize("kind", TASKS, ids=["C", "Python"])


class Recording(asyncio.SelectorEventLoop):
    """Describes each handle as it is scheduled, before it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[asyncio.Handle, HandleFacts]] = []

    def call_soon(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        handle = super().call_soon(*args, **kwargs)
        if hasattr(self, "seen"):  # not while it is made
            self.seen.append((handle, describe(handle)))
        return handle

    def facts_of(self, callback: str) -> list[HandleFacts]:
        return [facts for _, facts in self.seen if facts.callback == callback]


def run(main: Callable[[], Coroutine[Any, Any, Any]], kind: type) -> Recording:
    """Runs ``main`` in a loop whose tasks are of ``kind``."""
    with_loop = Recording()
    with_loop.set_task_factory(lambda loop, coro, **kwargs: kind(coro, loop=loop, **kwargs))
    try:
        with_loop.run_until_complete(main())
    finally:
        with_loop.close()
    return with_loop


def handle_of(callback: Any, *args: Any) -> asyncio.Handle:
    loop = asyncio.new_event_loop()
    try:
        return loop.call_soon(callback, *args)
    finally:
        loop.close()


async def order(*awaited: Any) -> str:
    for each in awaited:
        await each
    return "done"


def refuse(*_: Any) -> Any:
    raise AssertionError("code of the application was run")


def hostile(name: str = "Hostile", *bases: type, **more: Any) -> Any:
    """A class whose instances fail whatever they are asked."""
    names = ("__getattr__", "__repr__", "__str__", "__eq__", "__bool__", "__len__", "__format__", "__instancecheck__")
    body = dict.fromkeys(names, refuse) | {"__class__": property(refuse), "__hash__": object.__hash__}
    return type(name, bases, body | more)
