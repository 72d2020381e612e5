"""A loop of which nothing else can be seen has a heartbeat: what holds it is found, and it is not kept awake."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

import loopwatch
from loopwatch.observe.loops.loop_state import Outlets
from loopwatch.observe.loops.pulse import PulseState
from loopwatch.observe.stopwatch.steps import NEVER
from loopwatch.testing import FakeClock, RecordingReporter
from tests.holding import HELD, WARM, line, longest, watching
from tests.made_alarm import Alarm


class Own(asyncio.AbstractEventLoop):
    """A loop that shares nothing with asyncio's: callbacks in a queue, run one by one."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.ran = 0

    def get_debug(self) -> bool:
        return False

    def is_closed(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self.ran > 0

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        self.queue.put((callback, args))

    def stop(self) -> None:
        self.queue.put((None, ()))

    def run_forever(self) -> None:
        asyncio._set_running_loop(self)
        self.ran = 1
        try:
            while (item := self.queue.get())[0] is not None:
                self.ran += 1
                item[0](*item[1])
        finally:
            self.ran = 0
            asyncio._set_running_loop(None)


class Mute(Own):
    """One that cannot be called from other threads."""

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        raise NotImplementedError


class Failing(Own):
    """One that can no longer be asked, as a proxy of a loop that is gone."""

    broken = False

    def is_running(self) -> bool:
        if self.broken:
            raise ReferenceError("weakly-referenced object no longer exists")
        return super().is_running()

    def is_closed(self) -> bool:
        if self.broken:
            raise ReferenceError("weakly-referenced object no longer exists")
        return super().is_closed()


class Refusing(Own):
    """One that fails when it is called, for a reason of its own, or because it is closed."""

    reason: type[Exception] = OSError

    def is_running(self) -> bool:
        return True

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        raise self.reason("no more")


def block() -> None:
    time.sleep(HELD)  # held: block


@pytest.fixture
def watch(events: RecordingReporter) -> Iterator[loopwatch.Watch]:
    with watching(events) as watch:
        yield watch
        assert list(watch._faults) == []


@pytest.fixture
def loop(watch: loopwatch.Watch) -> Iterator[Own]:
    """One that runs in a thread of its own."""
    loop = Own()  # type: ignore[abstract]
    thread = threading.Thread(target=loop.run_forever, name="own")
    thread.start()
    time.sleep(WARM)
    yield loop
    loop.stop()
    thread.join()


def seen(watch: loopwatch.Watch, kind: str) -> list[str]:
    return [each.seen for each in watch.snapshot().coverage if kind in each.subject]


@pytest.mark.realtime
def test_what_holds_such_a_loop_is_found(loop: Own, watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """With its line and its cause; timed from the beat that it kept waiting, and the event says so."""
    loop.queue.put((block, ()))
    time.sleep(HELD + WARM)
    stall = longest(events)
    assert stall.culprit is not None and stall.culprit.line == line("block", __file__)
    assert (stall.loop, stall.cause, stall.evidence["call"]) == ("own", "wait", "time.sleep")
    assert stall.evidence["exact"] is False
    assert HELD - stall.evidence["within_seconds"] - 0.01 <= stall.duration <= HELD + 0.1
    assert [frame.function for frame in stall.stack] == ["block"]


@pytest.mark.realtime
def test_a_loop_that_waits_is_not_woken(loop: Own, watch: loopwatch.Watch) -> None:
    """After it has settled no beat is sent."""
    (state,) = [each for each in watch._loops.states.values() if isinstance(each, PulseState)]
    end = time.monotonic() + 10
    quiet = False
    while not quiet and time.monotonic() < end:  # the machine may have stalled in between
        before = loop.ran
        time.sleep(0.5)
        quiet = loop.ran == before
    assert quiet and state._certain


@pytest.mark.realtime
def test_what_begins_right_after_a_beat_is_found(
    loop: Own, watch: loopwatch.Watch, events: RecordingReporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread has hardly been on a CPU since the beat, and is not in its poll: its stack shows that."""
    (state,) = [each for each in watch._loops.states.values() if isinstance(each, PulseState)]
    beat = state._beat

    def answer(sent: float, within: float) -> None:
        beat(sent, within)
        if loop.queue.qsize() == 0 and not events.stalls and not begun:
            begun.append(sent)
            loop.queue.put((block, ()))

    begun: list[float] = []
    monkeypatch.setattr(PulseState, "_beat", lambda self, *given: answer(*given))
    loop.queue.put((int, ()))
    loop.queue.put((sum, (range(100_000),)))  # some work, so that a beat is sent
    time.sleep(HELD + 2 * WARM)
    assert begun and longest(events).culprit is not None


@pytest.mark.realtime
def test_the_coverage_says_that_it_is_a_heartbeat(loop: Own, watch: loopwatch.Watch) -> None:
    """It is seen in part, and it is no warning."""
    assert seen(watch, "Own") == ["partial"]
    (entry,) = [each for each in watch.snapshot().coverage if "Own" in each.subject]
    assert entry.detail.startswith("a heartbeat")


def test_a_loop_that_cannot_be_called_is_not_seen(watch: loopwatch.Watch) -> None:
    """And that is said."""
    loop = Mute()  # type: ignore[abstract]
    loop.stop()
    loop.run_forever()
    assert seen(watch, "Mute") == ["blind"]


@pytest.mark.realtime
def test_a_loop_that_cannot_be_asked_harms_nobody(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """It counts as one that does not run: the sampler goes on looking at the others, and a snapshot can be taken."""
    loop = Failing()  # type: ignore[abstract]
    thread = threading.Thread(target=loop.run_forever, name="failing")
    thread.start()
    try:
        end = time.monotonic() + 10
        while not (states := list(watch._loops.states.values())) and time.monotonic() < end:
            time.sleep(0.01)
        (state,) = states
        time.sleep(WARM)  # the sampler sleeps by now, and glances
        loop.broken = True
        time.sleep(2 * WARM)
        assert not state.running() and not state.is_gone()
        assert [stats.stalled for stats in watch.snapshot().loops] == [0.0]

        async def main() -> None:
            await asyncio.sleep(WARM)
            block()

        asyncio.run(main())
        assert longest(events).loop == "main"
    finally:
        loop.broken = False
        loop.stop()
        thread.join()


@pytest.mark.parametrize("reason", [OSError, RuntimeError])
def test_a_beat_that_could_not_be_sent_shows_no_stall(reason: type[Exception]) -> None:
    """Whatever the loop raises; the next look tries again. That it is closed is no fault of ours."""
    loop, clock, faults = Refusing(), FakeClock(), deque[BaseException]()  # type: ignore[abstract]
    loop.reason = reason
    state = PulseState(loop, 0.1, Outlets(Alarm(), deque(), faults, lambda state: None, clock))
    state.take_place(0)
    for _ in range(2):
        state.glance()
        clock.advance(1.0)
        assert (state.mark, state.age(clock())) == (NEVER, 0.0)
    assert [type(fault) for fault in faults] == ([] if reason is RuntimeError else [OSError, OSError])
