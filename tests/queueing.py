"""Parts of the tests of queues before real pools: work and who asks for it, and what was told of its waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from loopwatch.model import Backlog
from loopwatch.testing import RecordingReporter
from loopwatch.watch import Watch
from tests.chores import lookup, slow_report, work
from tests.executing import SOON


def settled(watch: Watch) -> None:
    """Let every episode come to its end, and every event arrive."""
    time.sleep(6 * watch.settings.executor_wait)
    assert watch.flush(SOON)


def backlogs(events: RecordingReporter) -> list[Backlog]:
    """All of them, also those told while they lasted."""
    return [event for event in events.events if isinstance(event, Backlog)]


def the_backlog(events: RecordingReporter) -> Backlog:
    """The only one that there was, as told at its end."""
    (backlog,) = events.backlogs
    assert {each.id for each in backlogs(events)} == {backlog.id}
    return backlog


async def ask_for_work(pool: Any, seconds: float) -> None:
    await asyncio.get_running_loop().run_in_executor(pool, work, seconds)


async def ask_for_report(pool: Any, seconds: float) -> None:
    await asyncio.get_running_loop().run_in_executor(pool, slow_report, seconds)


async def ask_for_lookup(pool: Any) -> None:
    await asyncio.get_running_loop().run_in_executor(pool, lookup)


def site(function: Callable[..., object]) -> str:
    """The site of the only line of a function."""
    return f"{function.__module__}.{function.__qualname__}:{function.__code__.co_firstlineno + 1}"
