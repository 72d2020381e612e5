"""Loops of uvloop come, run, stop and close in every order, with and without the watch, and nothing is left of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import loopwatch
from loopwatch.model import Stall
from loopwatch.observe.uvloops.calls import IN_C
from loopwatch.observe.uvloops.uvloop_state import UvloopState
from loopwatch.testing import RecordingReporter
from tests.holding import HELD, THRESHOLD, WARM, line, longest, watching

uvloop = pytest.importorskip("uvloop")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def watch(events: RecordingReporter) -> Iterator[loopwatch.Watch]:
    with watching(events) as watch:
        yield watch
        assert list(watch._faults) == []


def states(watch: loopwatch.Watch) -> list[UvloopState]:
    return [state for state in list(watch._loops.states.values()) if isinstance(state, UvloopState)]


def block() -> None:
    time.sleep(HELD)  # held: block


def sleeps(watch: loopwatch.Watch, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How the sampler goes to sleep from here on."""
    slept: list[str] = []

    def noted(name: str) -> Any:
        real = getattr(watch._alarm, name)

        def sleep(*given: Any) -> Any:
            slept.append(name)
            return real(*given)

        return sleep

    for name in ("doze", "rest"):
        monkeypatch.setattr(watch._alarm, name, noted(name))
    return slept


def until(condition: Any) -> None:
    """Wait, ten seconds at most."""
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


# --- closing -----------------------------------------------------------------------------------


def test_a_closed_loop_is_not_asked_again(watch: loopwatch.Watch) -> None:
    """Its numbers stay; its counters are gone, and nobody touches them."""
    loop = uvloop.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0.1))
    (state,) = states(watch)
    before = state.times(0.0)
    assert before[0] > 0 and before[1] > 0.005
    loop.close()
    assert state._pointer is None
    assert state.times(0.0) == before
    state.refresh()
    state.glance()
    assert not state.holds(state.mark)
    until(lambda: not states(watch))
    assert watch.snapshot().loops[0].active == before[0]


def test_a_loop_that_refuses_to_close_is_still_watched(watch: loopwatch.Watch) -> None:
    """It runs, so it cannot be closed."""

    async def main() -> None:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop().close()
        (state,) = states(watch)
        assert state._pointer is not None

    uvloop.run(main())


def test_a_loop_may_be_closed_while_it_is_looked_at(watch: loopwatch.Watch) -> None:
    """From two threads at once, many times: no look at freed memory."""
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            for state in states(watch):
                state.refresh()
                state.times(0.0)
                state.holds(0.0)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(200):
            loop = uvloop.new_event_loop()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()
    finally:
        stop.set()
        for looker in lookers:
            looker.join()


def test_a_loop_may_go_while_the_sampler_dozes(events: RecordingReporter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed, or just dropped, while it is asked each millisecond whether it waits; many times, three at once."""
    with watching(events, threshold=0.001) as watch:
        dozed = sleeps(watch, monkeypatch)

        def live(closes: bool) -> None:
            for _ in range(40):
                loop = uvloop.new_event_loop()
                loop.run_until_complete(asyncio.sleep(0.02))
                if closes:
                    loop.close()

        threads = [threading.Thread(target=live, args=(closes,)) for closes in (True, True, False)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert "doze" in dozed and list(watch._faults) == []
        gc.collect()


def test_an_idle_loop_lets_the_sampler_be(watch: loopwatch.Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """It dozes while the loop waits: whether that is so is not asked by its own looks, once in a threshold."""
    slept = sleeps(watch, monkeypatch)

    async def main() -> None:
        for _ in range(5):  # on a busy machine a poll may end late, which counts as work
            slept.clear()
            await asyncio.sleep(20 * THRESHOLD)
            if len(slept) < 10:
                break

    uvloop.run(main())
    assert "doze" in slept and len(slept) < 10


def test_a_loop_is_not_kept_alive(watch: loopwatch.Watch) -> None:
    """Once nobody else has it, it is gone."""
    loop = uvloop.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    reference = weakref.ref(loop)
    del loop
    until(lambda: gc.collect() >= 0 and reference() is None)


# --- running -----------------------------------------------------------------------------------


def test_a_loop_that_runs_again_goes_on_counting(watch: loopwatch.Watch) -> None:
    """What it did before is kept, and the time between its runs is in no number."""
    loop = uvloop.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0.05))
    (state,) = states(watch)
    first = state.times(0.0)
    time.sleep(0.1)
    loop.run_until_complete(asyncio.sleep(0.05))
    second = state.times(0.0)
    loop.close()
    assert 0.04 < second[1] - first[1] < 0.1
    assert sum(second) - sum(first) < 0.1 + 0.05


def test_idle_and_active_time_are_all_the_time(watch: loopwatch.Watch) -> None:
    """To the millisecond, as libuv counts it."""

    async def main() -> None:
        began = time.perf_counter()
        await asyncio.sleep(0.1)
        time.sleep(0.05)
        await asyncio.sleep(0.1)
        (stats,) = watch.snapshot().loops
        ran = time.perf_counter() - began
        assert stats.alive == 1 and stats.tasks == 1
        assert stats.idle > 0.1 and stats.active >= 0.05
        assert abs(stats.active + stats.idle - ran) < 0.05

    uvloop.run(main())


def test_turns_are_counted(watch: loopwatch.Watch) -> None:
    """Each one, by libuv; how long each lasted is known where it was looked at."""

    async def main() -> None:
        for _ in range(200):
            await asyncio.sleep(0)

    uvloop.run(main())
    (stats,) = watch.snapshot().loops
    assert 200 <= stats.turns <= 230
    if IN_C:
        assert 200 <= stats.steps <= 230 and 0 < stats.step_duration.sum <= stats.active
    else:
        assert (stats.steps, stats.step_duration.sum) == (0, 0)
    assert stats.turn_duration.sum == stats.active


@pytest.mark.realtime
def test_loops_in_several_threads_are_told_apart(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """The one that is held is named, the others are not."""

    async def main(hold: bool) -> None:
        await asyncio.sleep(WARM)
        if hold:
            block()
        await asyncio.sleep(WARM)

    threads = [
        threading.Thread(target=lambda hold=hold: uvloop.run(main(hold)), name=f"loop {hold}")
        for hold in (True, False, False)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stall = longest(events)
    assert (stall.loop, stall.thread) == ("loop True", "loop True")
    assert stall.culprit is not None and stall.culprit.line == line("block", __file__)


@pytest.mark.realtime
def test_a_stall_is_told_while_it_lasts(events: RecordingReporter) -> None:
    """And once more, under the same id, when it is over."""

    async def main() -> None:
        await asyncio.sleep(WARM)
        block()
        await asyncio.sleep(0.1)

    with watching(events, threshold=HELD / 20):
        uvloop.run(main())
        over = longest(events, busy_too=True)
    told = [stall for stall in events.events if isinstance(stall, Stall) and stall.id == over.id]
    assert [stall.in_progress for stall in told] == [True] * (len(told) - 1) + [False]
    assert len(told) >= 2 and told[0].culprit == over.culprit


@pytest.mark.realtime
def test_the_age_of_a_stall_is_in_the_snapshot(watch: loopwatch.Watch) -> None:
    """Read from another thread, while the loop is held."""
    seen: list[float] = []

    def read() -> None:
        time.sleep(WARM + 0.75 * HELD)
        seen.extend(stats.stalled for stats in watch.snapshot().loops)

    async def main() -> None:
        await asyncio.sleep(WARM)
        block()

    reader = threading.Thread(target=read)
    reader.start()
    uvloop.run(main())
    reader.join()
    assert THRESHOLD <= max(seen) <= 2 * HELD


# --- the watch comes and goes ------------------------------------------------------------------


@pytest.mark.realtime
def test_a_watch_may_be_installed_in_a_running_loop(events: RecordingReporter) -> None:
    """The step that installs it, and all that come after it, are seen."""

    async def main() -> None:
        with watching(events) as watch:
            block()
            await asyncio.sleep(WARM)
            first = longest(events)
            events.events.clear()
            await asyncio.sleep(WARM)
            block()
            await asyncio.sleep(WARM)
            second = longest(events)
            assert list(watch._faults) == []
            assert [each.seen for each in watch.snapshot().coverage if "uvloop" in each.subject] == ["partial"]
        for stall in (first, second):
            assert stall.culprit is not None and stall.culprit.line == line("block", __file__)
            assert abs(stall.duration - HELD) <= stall.evidence.get("within_seconds", 0.0) + 0.05
        assert [frame.function for frame in second.stack][-1:] == ["block"]
        assert all(frame.module != "asyncio.runners" for frame in second.stack)

    uvloop.run(main())


@pytest.mark.realtime
def test_a_loop_that_runs_in_another_thread_is_taken_in(events: RecordingReporter) -> None:
    """It is asked to call us, and does so when it can."""
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="other")
    thread.start()
    try:
        with watching(events) as watch:
            until(lambda: [state.thread for state in states(watch)] == ["other"])
            time.sleep(WARM)
            loop.call_soon_threadsafe(block)
            time.sleep(HELD + WARM)
            stall = longest(events)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    assert stall.loop == "other" and [frame.function for frame in stall.stack] == ["block"]


def test_a_loop_may_be_closed_as_it_is_met(watch: loopwatch.Watch) -> None:
    """It ran as it was found, in another thread: an install there and then does not fail for that. Else it does."""
    loop = uvloop.new_event_loop()
    loop.close()
    assert watch._hooks.foreign_loops.meet(loop)

    class Refusing(uvloop.Loop):  # type: ignore[name-defined, misc]
        def call_soon_threadsafe(self, *given: Any, **named: Any) -> Any:
            raise RuntimeError("not today")

    loop = Refusing()
    with contextlib.closing(loop), pytest.raises(RuntimeError, match="not today"):
        watch._hooks.foreign_loops.meet(loop)


def test_a_loop_goes_on_unwatched(events: RecordingReporter) -> None:
    """Uninstalled in the middle of its run, and installed again."""

    async def main() -> None:
        for _ in range(3):
            with watching(events) as watch:
                await asyncio.sleep(0.02)
                assert len(states(watch)) == 1
            assert not hasattr(asyncio.get_running_loop(), "_loopwatch")
            await asyncio.sleep(0.01)

    uvloop.run(main())


def test_nothing_of_ours_stands_in_a_loop(events: RecordingReporter) -> None:
    """A loop with attributes of its own would be slower at each ``loop.call_soon``."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with watching(events) as watch:
            await asyncio.sleep(0.01)
            assert states(watch) == [loop._loopwatch]  # type: ignore[attr-defined]
            assert vars(loop) == {}
        assert not hasattr(loop, "_loopwatch")

    uvloop.run(main())
    assert "_loopwatch" not in vars(uvloop.Loop)


def test_another_tools_function_stays(events: RecordingReporter) -> None:
    """One that was put around ours still stands when we go, works, and serves the next watch."""
    runs: list[str] = []
    with watching(events):
        ours = uvloop.Loop.run_forever

        def theirs(self: Any) -> Any:
            runs.append("theirs")
            return ours(self)

        theirs.__wrapped__ = ours  # type: ignore[attr-defined]
        uvloop.Loop.run_forever = theirs
    assert uvloop.Loop.run_forever is theirs
    uvloop.run(asyncio.sleep(0))
    with watching(events) as watch:
        uvloop.run(asyncio.sleep(0))
        assert watch.snapshot().loops[0].turns > 0
        uvloop.Loop.run_forever = ours
    assert set(runs) == {"theirs"} and len(runs) >= 2


def test_the_coverage_says_how_it_is_seen(watch: loopwatch.Watch) -> None:
    """In one entry, from the install on."""
    (entry,) = [each for each in watch.snapshot().coverage if "uvloop" in each.subject]
    assert (entry.subject, entry.seen) == ("loops of uvloop.Loop", "partial")
    assert "libuv's counters" in entry.detail


def work() -> None:
    time.sleep(0.15)


@pytest.mark.realtime
def test_the_origin_of_a_job_ends_where_its_step_begins(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """``gather()`` runs ``to_thread()`` as a task of its own: whoever runs the loop has handed nothing over."""

    async def burst() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
        await asyncio.gather(*(asyncio.to_thread(work) for _ in range(6)))

    uvloop.run(burst())
    until(lambda: watch.flush(10) and events.backlogs)
    assert {each.submitters[0].site for each in events.backlogs} == {f"{__name__}.work:{work.__code__.co_firstlineno}"}


IMPORTED_LATER = """
import asyncio, json, time
import loopwatch
from loopwatch.testing import RecordingReporter
events = RecordingReporter()
async def main():
    await asyncio.sleep(0.2)
    time.sleep(0.4)
    await asyncio.sleep(0.2)
with loopwatch.install(threshold=0.1, reporters=[events], prometheus=False) as watch:
    import uvloop
    MAKE
    watch.flush(10)
    loops = watch.snapshot().loops
    faults = list(map(repr, watch._faults))
left = [name for name in ("run_forever", "close") if name in vars(uvloop.Loop)]
stalls = [[each.culprit.line, each.kind] for each in events.stalls]
print(json.dumps([stalls, [each.alive for each in loops], faults, left]))
"""


@pytest.mark.realtime
@pytest.mark.parametrize(
    "make",
    [
        "uvloop.run(main())",
        "uvloop.run(asyncio.sleep(0)); uvloop.run(main())",
        "loop = uvloop.new_event_loop(); loop.run_until_complete(main()); loop.close()",
    ],
)
def test_uvloop_may_be_imported_after_the_install(make: str) -> None:
    """Its first loop is seen from its beginning."""
    code = IMPORTED_LATER.replace("MAKE", make)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    stalls, _, faults, left = json.loads(done.stdout)
    assert ([8, "step"] in stalls, faults, left) == (True, [], []), done.stdout
