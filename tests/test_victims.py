"""Who waited for a stall is found among what was ready, due and awaited meanwhile, and nobody else is."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest

from loopwatch import Watch
from loopwatch.testing import RecordingReporter
from tests.test_spans import HELD, SPAN, FakeTracer


@pytest.fixture
def tracer(watch: Watch) -> Iterator[FakeTracer]:
    tracer = FakeTracer()
    watch._tracing.tracer = tracer
    yield tracer
    assert not watch._faults


async def within(name: str, seconds: float) -> None:
    SPAN.set(name)
    await asyncio.sleep(seconds)


async def ready() -> None:
    SPAN.set("ready")
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def reading(name: str, end: socket.socket) -> None:
    SPAN.set(name)
    await asyncio.get_running_loop().sock_recv(end, 1)


async def hold(*, meanwhile: socket.socket | None = None) -> None:
    SPAN.set("the culprit")
    await asyncio.sleep(0)
    if meanwhile is not None:
        meanwhile.send(b"x")
    time.sleep(HELD)


async def story() -> None:
    (near, far), (idle, other) = socket.socketpair(), socket.socketpair()
    near.setblocking(False)
    idle.setblocking(False)
    with near, far, idle, other:
        tasks = [within("due", 0.05), within("not due", 2 * HELD), reading("got", near), reading("got nothing", idle)]
        waiting = [asyncio.create_task(task) for task in tasks]
        await asyncio.sleep(0.01)
        await asyncio.gather(asyncio.create_task(hold(meanwhile=far)), asyncio.create_task(ready()))
        await asyncio.create_task(within("came later", 0.01))
        other.send(b"x")
        await asyncio.gather(*waiting)


def test_victims_are_those_that_could_have_run(watch: Watch, events: RecordingReporter, tracer: FakeTracer) -> None:
    """What was ready behind it, whose timer was due, and whose socket had something; with how long that was."""
    asyncio.run(story())
    assert watch.flush(5.0)
    victims = max((stall.victims for stall in tracer.stalls), key=len)
    assert set(victims) == {"ready", "due", "got"}
    assert HELD <= victims["ready"] < HELD + 5
    assert 0 < victims["due"] <= victims["ready"]


def test_no_more_are_told_than_there_is_time_for(watch: Watch, events: RecordingReporter, tracer: FakeTracer) -> None:
    """Of thousands that wait a bounded number is looked at."""

    async def main() -> None:
        waiting = [asyncio.create_task(within(f"request {number}", 0.05)) for number in range(2000)]
        await asyncio.sleep(0.02)
        time.sleep(HELD)
        await asyncio.gather(*waiting)

    asyncio.run(main())
    watch.flush(5.0)
    assert 0 < max(len(stall.victims) for stall in tracer.stalls) <= 33
    assert tracer.asked < 1000


def test_a_loop_that_ends_at_once_has_no_victims(watch: Watch, events: RecordingReporter, tracer: FakeTracer) -> None:
    """Nothing of ours is left to run in a loop that has stopped, or stops it from closing."""
    asyncio.run(hold())
    asyncio.run(hold())
    watch.flush(5.0)
    assert [stall.victims for stall in tracer.stalls] == [{}, {}]
