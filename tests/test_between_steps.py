"""Time that passes between two steps is the loop's own: no step is charged with it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator

import pytest

import loopwatch
from loopwatch.testing import RecordingReporter
from tests.holding import BUSY, starved

pytestmark = pytest.mark.realtime


class SlowHandler(logging.Handler):
    """What asyncio's debug mode calls after a slow step, before the next one."""

    def emit(self, record: logging.LogRecord) -> None:
        time.sleep(0.4)


@pytest.fixture
def slow_log() -> Iterator[None]:
    log, handler = logging.getLogger("asyncio"), SlowHandler(logging.WARNING)
    propagates = log.propagate
    log.addHandler(handler)
    log.propagate = False
    yield
    log.removeHandler(handler)
    log.propagate = propagates


def slow() -> None:
    time.sleep(0.3)


def innocent() -> None:
    pass


def test_a_handler_that_the_loop_calls_is_not_charged_to_the_next_step(events: RecordingReporter, slow_log: None):
    """The step before is charged with what it did, the next one with nothing, and the log says where the time was."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = 0.25
        loop.set_debug(True)
        loop.call_soon(slow)
        loop.call_soon(innocent)
        await asyncio.sleep(0.1)

    with loopwatch.install(threshold=0.1, reporters=[events], prometheus=False) as watch:
        asyncio.run(main())
        assert watch.flush(10.0)
    charged = [stall.culprit.function for stall in events.stalls if stall.culprit is not None]
    assert "innocent" not in charged
    assert "slow" in charged
    between = [stall for stall in events.stalls if stall.evidence.get("waited_for") == "loop"]
    longest = max(between, key=lambda stall: stall.duration)
    assert longest.duration >= 0.35
    if starved(longest):
        pytest.skip(BUSY)
    assert longest.cause == "unknown"


class Large:
    """Takes long to end, as a large object graph does."""

    def __init__(self, end: Callable[[], object]) -> None:
        self.end = end

    def __del__(self) -> None:
        self.end()


def hold_interpreter() -> None:
    """Without a look for others, as the end of a large list."""
    began = time.thread_time()
    while time.thread_time() - began < 0.3:
        sum(range(2_000_000))


@pytest.mark.parametrize("end", [lambda: time.sleep(0.4), hold_interpreter], ids=["waits", "computes"])
def test_the_end_of_what_a_callback_was_given_is_not_charged_to_the_next_step(
    events: RecordingReporter, end: Callable[[], object]
) -> None:
    """The loop lets go of it when it takes the next callback from its queue."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.2)
        loop.call_soon(type, Large(end))
        loop.call_soon(innocent)
        await asyncio.sleep(0.1)

    with loopwatch.install(threshold=0.1, reporters=[events], prometheus=False) as watch:
        asyncio.run(main())
        assert watch.flush(10.0)
    assert events.stalls
    longest = max(events.stalls, key=lambda stall: stall.duration)
    assert longest.callback is not None
    assert (longest.callback.rpartition(".")[2], longest.culprit) == ("innocent", None)
    if starved(longest):
        pytest.skip(BUSY)
    assert (longest.cause, longest.evidence["waited_for"]) == ("unknown", "loop")


@pytest.mark.parametrize("make", ["timer", "task"])
def test_what_asyncios_debug_mode_reads_is_no_steps_doing(
    make: str, monkeypatch: pytest.MonkeyPatch, each_loop: str
) -> None:
    """It notes where each handle and task was made, and asks the disk for the source files: that may be busy."""
    reading: list[str | None] = []

    def read_slowly(file: str | None = None) -> None:
        if not reading:
            reading.append(file)
            time.sleep(0.4)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr("linecache.checkcache", read_slowly)
        if make == "timer":
            loop.call_later(0.0, len, "")
        else:
            await loop.create_task(asyncio.sleep(0))

    recorder = RecordingReporter()
    with loopwatch.install(reporters=[recorder], prometheus=False) as watch:
        asyncio.run(main(), debug=True)
        watch.flush()
    assert reading
    stall = max((each for each in recorder.stalls if not each.in_progress), key=lambda each: each.duration)
    assert (stall.cause, stall.culprit, stall.evidence["waited_for"]) == ("unknown", None, "debug")
