"""What the hooks see reaches the reporters, the log and the snapshot, and nothing that fails hurts anybody."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import logging
import sys
import threading
import time

import pytest

import loopwatch
from tests.differences import Difference, on
from tests.programs import hold_once

on_each_loop = pytest.mark.usefixtures("each_loop")


@on_each_loop
@pytest.mark.realtime
def test_events_reach_the_reporters_before_flush_returns(events):
    """flush() is a promise: what happened before it has been told after it."""
    with loopwatch.install(threshold=0.1, reporters=[events], prometheus=False) as watch:
        for number in (1, 2, 3):
            asyncio.run(hold_once(0.3))
            assert watch.flush(timeout=10.0)
            assert sum(stall.duration >= 0.3 for stall in events.stalls) == number


@on_each_loop
@pytest.mark.realtime
def test_flush_tells_what_ended_earlier_in_the_same_turn(events, each_loop):
    """A callback that asks right after the one that held the loop is told of it, before the loop polls again."""
    told: list[tuple[bool, list[str]]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(time.sleep, 0.4)
        loop.call_soon(lambda: told.append((watch.flush(10), [stall.site for stall in events.stalls])))
        await asyncio.sleep(0)

    with loopwatch.install(threshold=0.2, reporters=[events], prometheus=False) as watch:
        asyncio.run(main())
    ((flushed, sites),) = told
    assert flushed and len(sites) in on(Difference.TURN, each_loop, (1,), (0, 1))
    assert len(events.stalls) == 1


@on_each_loop
@pytest.mark.realtime
def test_uninstall_tells_what_had_happened(events):
    """Leaving the with block right after a stall loses nothing."""
    with loopwatch.install(threshold=0.1, reporters=[events], prometheus=False):
        asyncio.run(hold_once(0.4))
    assert "hold" in [frame.function for stall in events.stalls for frame in stall.stack]


@on_each_loop
def test_a_reporter_that_raises_is_dropped_and_the_service_goes_on(events, caplog):
    """It is named once in the log; the others still get everything, the application notices nothing."""

    def broken(event: object) -> None:
        raise RuntimeError("no disk")

    with loopwatch.install(threshold=0.05, reporters=[broken, events], prometheus=False) as watch:
        for _ in range(2):
            asyncio.run(hold_once(0.1))
        watch.flush(timeout=10.0)
    assert len(events.stalls) >= 2
    assert [record.levelname for record in caplog.records if "no more events" in record.getMessage()] == ["ERROR"]


@on_each_loop
def test_a_reporter_that_blocks_holds_up_nobody(events):
    """A reporter that never returns costs events, which are counted, and never the application's time."""
    release = threading.Event()
    started = time.perf_counter()
    with loopwatch.install(
        threshold=0.01, reporters=[lambda event: release.wait(60)], prometheus=False, queue_size=1
    ) as watch:
        for _ in range(5):
            asyncio.run(hold_once(0.03))
        assert watch.flush(timeout=0.2) is False
        dropped = watch.snapshot().events_dropped
        release.set()
    assert dropped >= 2
    assert time.perf_counter() - started < 20


@on_each_loop
@pytest.mark.realtime
def test_uninstalling_on_a_loop_does_not_hold_it_for_a_reporter(events):
    """A lifespan ends with the watch: others go on at once, and the event comes when the reporter takes it."""
    release = threading.Event()

    def slow(event):
        release.wait(60)
        events(event)

    async def main() -> float:
        watch = loopwatch.install(threshold=0.1, reporters=[slow], prometheus=False)
        time.sleep(0.3)
        await asyncio.sleep(0)
        began = time.perf_counter()
        watch.uninstall()
        return time.perf_counter() - began

    assert asyncio.run(main()) < 1.2
    release.set()
    for thread in threading.enumerate():
        if thread.name.startswith("loopwatch"):
            thread.join(20)
    assert any(stall.duration >= 0.3 for stall in events.stalls)


def test_a_fault_of_our_own_is_told_once_and_hurts_nobody(events, caplog, monkeypatch):
    """An error inside a hook is logged with its traceback; the job runs as if unwatched."""
    with loopwatch.install(reporters=[events], prometheus=False) as watch:
        monkeypatch.setattr(watch._executors, "_pool", lambda executor, threads: 1 / 0)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            assert [pool.submit(pow, 2, 3).result() for _ in range(3)] == [8, 8, 8]
        watch.flush(timeout=10.0)
    told = [record for record in caplog.records if "a hook failed" in record.getMessage()]
    assert len(told) == 1
    assert told[0].exc_info is not None


def test_what_is_blind_is_said_in_the_log(caplog, monkeypatch):
    """A loop that cannot be seen is told at install, in a warning and in the coverage."""
    monkeypatch.setitem(sys.modules, "uvloop", type(sys)("uvloop"))
    with caplog.at_level(logging.INFO, logger="loopwatch"), loopwatch.install(prometheus=False) as watch:
        coverage = {entry.subject: entry.seen for entry in watch.snapshot().coverage}
    assert coverage["asyncio loops"] == "exact"
    assert coverage["loops of uvloop"] == "blind"
    assert [r.levelname for r in caplog.records if "does not see loops of uvloop" in r.getMessage()] == ["WARNING"]
    assert [r.levelname for r in caplog.records if "watches: asyncio loops: exact" in r.getMessage()] == ["INFO"]


@on_each_loop
def test_the_snapshot_is_json_ready_while_everything_runs(events):
    """A snapshot can be taken at any moment from inside the loop, and goes through json as it is."""

    async def main() -> str:
        await asyncio.to_thread(time.sleep, 0.01)
        return json.dumps(watch.snapshot().to_dict())

    with loopwatch.install(reporters=[events], prometheus=False) as watch:
        found = json.loads(asyncio.run(main()))
    assert found["schema_version"] == 1
    assert [loop["name"] for loop in found["loops"]] == ["main"]
    assert found["executors"][0]["outcomes"] == {"completed": 1}
    assert found["executors"][0]["name"] == "default"


@on_each_loop
@pytest.mark.needs("prometheus_client")
@pytest.mark.realtime
def test_metrics_are_served_while_the_loop_hangs(events):
    """The server has its own thread: a scrape in the middle of a stall shows the stall's age."""
    from urllib.request import urlopen

    texts: list[str] = []

    def scrape(port: int) -> None:
        time.sleep(0.3)
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10.0) as response:
            texts.append(response.read().decode())

    async def main() -> None:
        server = watch.serve_metrics(0)
        scraper = threading.Thread(target=scrape, args=(server.port,))
        scraper.start()
        while not texts:
            time.sleep(0.01)
        scraper.join()

    with loopwatch.install(threshold=0.1, reporters=[events], prometheus=False) as watch:
        asyncio.run(main())
    age = next(line for line in texts[0].splitlines() if line.startswith('loopwatch_stalled_seconds{loop="main"}'))
    assert float(age.split()[-1]) >= 0.2


def test_cancelling_a_future_asks_nothing_of_its_callbacks(events):
    """A done-callback may be bound to any object, also one that does not want to be asked for its class."""

    class Proxy:
        @property  # type: ignore[misc]
        def __class__(self) -> type:
            raise RuntimeError("the proxy is not bound")

        def told(self, future: object) -> None:
            pass

    with loopwatch.install(reporters=[events], prometheus=False) as watch:
        future: concurrent.futures.Future[int] = concurrent.futures.Future()
        future.set_running_or_notify_cancel()
        future.add_done_callback(Proxy().told)
        assert future.cancel() is False
        assert not watch._faults


def test_what_was_lost_on_the_way_is_counted(events):
    """Whichever queue was too short: that of the reporters, of overruns that nobody fetched, or of jobs."""
    with loopwatch.install(reporters=[events], prometheus=False) as watch:
        with contextlib.closing(asyncio.new_event_loop()) as loop:
            loop.run_until_complete(asyncio.sleep(0))
            assert watch.snapshot().events_dropped == 0
            watch._delivery.dropped += 1
            watch._executors.finished.dropped += 2
            (state,) = watch._loops.states.values()
            state.lost += 4
            assert watch.snapshot().events_dropped == 7
        watch.flush(10)  # the loop is closed, and its numbers are kept
        assert not watch._loops.states
        assert watch.snapshot().events_dropped == 7
    assert watch.snapshot().events_dropped == 7
