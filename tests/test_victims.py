"""Who waited for a stall is found among what was ready, due and awaited meanwhile, and nobody else is."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

import loopwatch
from loopwatch import Watch
from loopwatch.testing import RecordingReporter
from tests.differences import Difference, on
from tests.test_spans import HELD, SPAN, FakeTracer

pytestmark = pytest.mark.usefixtures("each_loop")


@pytest.fixture
def watch(events: RecordingReporter) -> Iterator[Watch]:
    """One that times what is given to uvloop also without the accelerator."""
    with loopwatch.install(reporters=[events], prometheus=False, exact_uvloop=True) as watch:
        yield watch


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


def the_victims(watch: Watch, tracer: FakeTracer) -> dict[str, float]:
    """Of the stall that had the most."""
    assert watch.flush(5.0)
    return max((stall.victims for stall in tracer.stalls), key=len)


def test_what_the_step_itself_gave_to_the_loop_has_not_waited(
    watch: Watch, events: RecordingReporter, tracer: FakeTracer
) -> None:
    """Neither a task that it made when it had blocked, nor one whose timer it set then, nor whom it cancelled."""

    async def main() -> None:
        cancelled = asyncio.create_task(within("cancelled before", 0.05))
        await asyncio.sleep(0.01)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        before = asyncio.create_task(ready())
        await asyncio.create_task(hold_and_make())
        await before

    async def hold_and_make() -> None:
        SPAN.set("the culprit")
        time.sleep(HELD)
        SPAN.set("made after")
        made.append(asyncio.create_task(asyncio.sleep(0.01)))

    made: list[asyncio.Task[None]] = []
    asyncio.run(main())
    assert the_victims(watch, tracer).keys() <= {"ready", "the culprit"}


def test_who_waits_for_a_thread_waits_for_the_stall(
    watch: Watch, events: RecordingReporter, tracer: FakeTracer
) -> None:
    """Its result came while the loop was held, by ``call_soon_threadsafe``."""

    async def asking(result: Future[None]) -> None:
        SPAN.set("asks a thread")
        await asyncio.wrap_future(result)

    async def main() -> None:
        with ThreadPoolExecutor(1) as pool:
            asked = asyncio.create_task(asking(pool.submit(time.sleep, HELD / 2)))
            await asyncio.sleep(0.01)
            await hold()
            await asked

    asyncio.run(main())
    assert the_victims(watch, tracer).keys() == {"asks a thread"}


def test_a_timer_is_no_victim_of_itself(watch: Watch, events: RecordingReporter, tracer: FakeTracer) -> None:
    """Its own span may lie within that in which it was set, which did not wait either."""

    def blocking() -> None:
        token = SPAN.set("inner")
        time.sleep(HELD)
        SPAN.reset(token)

    async def main() -> None:
        SPAN.set("outer")
        asyncio.get_running_loop().call_later(0.01, blocking)
        SPAN.set("main")
        await asyncio.sleep(0.02)

    asyncio.run(main())
    assert the_victims(watch, tracer).keys() == {"main"}


class Holding(asyncio.Protocol):
    def data_received(self, data: bytes) -> None:
        time.sleep(HELD)


def test_victims_of_what_the_loop_calls_by_itself(
    each_loop: str, watch: Watch, events: RecordingReporter, tracer: FakeTracer
) -> None:
    """Whose timer was due while a protocol held the loop; uvloop calls it from within its poll."""

    async def main() -> None:
        near, far = socket.socketpair()
        with far:
            transport, _ = await asyncio.get_running_loop().create_connection(Holding, sock=near)
            waiting = asyncio.create_task(within("due", 0.1))
            await asyncio.sleep(0.01)
            far.send(b"x")
            await waiting
            transport.close()

    asyncio.run(main())
    assert watch.flush(5.0)
    told = {name for stall in tracer.stalls for name in stall.victims}
    expected: Any = on(Difference.VICTIMS, each_loop, {"due"}, set())
    assert told == expected


@pytest.mark.needs("uvloop")
@pytest.mark.parametrize("each_loop", ["uvloop"], indirect=True)
def test_what_a_loop_of_the_applications_keeps_is_not_taken_for_uvloops(
    watch: Watch, events: RecordingReporter, tracer: FakeTracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class made from uvloop's may have queues and sets, also of handles."""
    import uvloop

    class Own(uvloop.Loop):
        def __init__(self) -> None:
            self.queue: deque[Any] = deque([1])
            self.timers: set[Any] = set()

        def call_later(self, *args: Any, **named: Any) -> Any:  # type: ignore[override]
            timer = super().call_later(*args, **named)
            self.timers.add(timer)
            self.queue.append(timer)
            return timer

    async def main() -> None:
        await asyncio.create_task(within("was over before", 0.01))
        await story()

    monkeypatch.setattr(asyncio, "new_event_loop", Own)
    monkeypatch.setattr(asyncio.events, "new_event_loop", Own)
    asyncio.run(main())
    assert the_victims(watch, tracer).keys() == {"ready", "due", "got"}
