"""The clocks of other threads: what they tell, and when and where the files behind them are open."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import loopwatch
from loopwatch import _compat
from loopwatch._compat import ThreadClock
from loopwatch.observe.loops.loop_state import LoopState
from tests.one_thread import PATIENCE, thread
from tests.stage import THRESHOLD, on_stage

FOLDER = Path("/proc/self/fd")
SCHEDSTAT = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
needs_schedstat = pytest.mark.skipif(not SCHEDSTAT.exists(), reason="the kernel does not count")


def everything(clock: ThreadClock) -> tuple[Any, Any, Any]:
    return clock.cpu(), clock.queued(), clock.switches()


def open_files() -> int:
    """How many files of threads are open."""
    found = 0
    for file in FOLDER.iterdir():
        try:
            found += "/task/" in os.readlink(file)
        except OSError:  # that of the folder itself
            continue
    return found


# --- what they tell ----------------------------------------------------------------------------


def work_for(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@needs_schedstat
def test_the_clock_of_a_thread_runs_while_it_works_and_stands_while_it_waits() -> None:
    """In seconds of CPU."""
    worked, go_on = threading.Event(), threading.Event()

    def work() -> None:
        work_for(0.3)
        worked.set()
        go_on.wait(PATIENCE)

    with thread(work, go_on.set) as native:
        clock = ThreadClock(native)
        assert worked.wait(PATIENCE)
        time.sleep(0.05)
        first, queued = clock.cpu(), clock.queued()
        time.sleep(0.1)
        second, queued_then = clock.cpu(), clock.queued()
    assert first is not None and second is not None and queued is not None and queued_then is not None
    assert 0.28 < first < 0.6
    assert second - first < 0.02
    assert queued_then >= queued >= 0
    assert everything(clock) == (None, None, None)  # the thread is gone
    clock.close()


def test_the_clock_of_no_thread_tells_nothing() -> None:
    """Nor that of a thread whose number is not known: the kernel would take it for the caller's own."""
    for native in (2**22 + 1, 0, -1):
        clock = ThreadClock(native)
        assert everything(clock) == (None, None, None)
        clock.close()


@needs_schedstat
def test_a_file_is_opened_when_it_is_asked_for_and_closed_once() -> None:
    """Closing twice closes nothing else; what is asked for afterwards is opened anew."""
    before = open_files()
    clock = ThreadClock(threading.get_native_id())
    assert clock.cpu() is not None
    assert open_files() == before
    assert clock.queued() is not None and clock.switches() is not None
    assert clock.queued() is not None and clock.switches() is not None
    assert open_files() == before + 2
    clock.close()
    clock.close()
    assert open_files() == before
    assert clock.queued() is not None
    clock.close()
    assert open_files() == before


@needs_schedstat
def test_a_clock_that_may_keep_nothing_open_tells_the_same() -> None:
    """It opens its files for each reading."""
    before = open_files()
    clock = ThreadClock(threading.get_native_id(), keep=False)
    assert None not in everything(clock)
    assert open_files() == before


@needs_schedstat
def test_a_thread_that_got_the_number_of_another_is_read_as_itself() -> None:
    """The file that is open is that of the one which is gone."""
    with thread(lambda: None, lambda: None) as gone:
        clock = ThreadClock(threading.get_native_id())
    clock.native = gone
    assert clock.queued() is None
    clock.native = threading.get_native_id()
    go_on = threading.Event()
    with thread(lambda: go_on.wait(PATIENCE), go_on.set) as native:
        clock.native = native
        assert clock.queued() is not None and clock.switches() is not None
    assert clock.queued() is None
    clock.native = threading.get_native_id()
    assert None not in everything(clock)
    clock.close()


@pytest.mark.skipif(not _compat.LINUX, reason="counted for threads on Linux only")
def test_giving_up_the_cpu_is_counted() -> None:
    """Each sleep is one time, as told by the thread itself and from outside."""
    clock = ThreadClock(threading.get_native_id())
    before, seen_before = _compat.voluntary_switches(), clock.switches()
    for _ in range(20):
        time.sleep(0.001)
    after, seen_after = _compat.voluntary_switches(), clock.switches()
    clock.close()
    assert before is not None and after is not None and after - before >= 20
    assert seen_before is not None and seen_after is not None and seen_after - seen_before >= 20


@pytest.mark.skipif(not _compat.LINUX, reason="only Linux tells")
def test_the_waits_of_another_thread_are_counted() -> None:
    """Each gives up the CPU at least once: what tells a wait for the interpreter from one for a lock."""
    waits, done, go = [0], threading.Event(), threading.Event()

    def work() -> None:
        while not done.is_set():
            go.wait(0.001)
            waits[0] += 1

    with thread(work, done.set) as native:
        clock = ThreadClock(native)
        before, counted = clock.switches(), waits[0]
        while waits[0] < counted + 20:
            time.sleep(0.001)
        after = clock.switches()
    assert before is not None and after is not None and after - before >= 20
    assert clock.switches() is None  # it is gone
    clock.close()


# --- who opens what ----------------------------------------------------------------------------


@needs_schedstat
def test_no_file_is_opened_on_the_thread_of_a_loop() -> None:
    """Neither when a loop begins nor when it is held, in the main thread or another: the sampler opens, in its own."""
    script = """
        import asyncio, sys, threading, time
        import loopwatch

        async def main():
            for _ in range(4):
                await asyncio.sleep(0.05)
                time.sleep(0.15)

        opened, watching = [], False

        def audit(event, args):
            if watching and event == "open":
                opened.append((threading.get_ident(), str(args[0])))

        def run(ident):
            idents.append(threading.get_ident())
            asyncio.run(main())
            asyncio.run(asyncio.sleep(0))

        sys.addaudithook(audit)
        asyncio.run(asyncio.sleep(0))  # what asyncio itself opens at first
        stalls, idents = [], []
        watch = loopwatch.install(threshold=0.05, reporters=[stalls.append], prometheus=False)
        watching = True
        thread = threading.Thread(target=run, args=(0,))
        thread.start()
        run(0)
        thread.join()
        watching = False
        watch.flush(20)
        sampler = watch._sampler._thread.ident
        watch.uninstall()
        print(len(stalls), sum(ident == sampler for ident, _ in opened))
        print([entry for entry in opened if entry[0] in idents])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120, check=True
    )
    counts, on_loops = done.stdout.splitlines()
    stalls, by_sampler = map(int, counts.split())
    assert stalls >= 8 and by_sampler > 0
    assert on_loops == "[]"


def sampler_files(stage: Any) -> int:
    return sum(len(seen._thread._files) for seen in stage.sampler._seen.values())


@needs_schedstat
def test_few_files_stay_open_however_many_loops_there_are() -> None:
    """Each loop's thread is read all the same."""
    with on_stage() as stage:
        stage.poll()
        for number in range(200):
            state = LoopState(stage.loop, THRESHOLD, stage.state.outlets)
            state.begin(stage.clock(), 10**6 + number, f"loop {number}", threading.get_native_id())
            state.begin_poll(stage.clock())
            stage.states[id(state)] = state
        before = open_files()
        stage.sampler.tick()
        assert open_files() == before  # a loop that is over by the next look is worth no file
        for state in stage.states.values():
            state.end_poll(stage.clock())
        stage.clock.advance(0.3 * THRESHOLD)
        stage.sampler.tick()
        assert open_files() - before == 2 * 64
        for seen in stage.sampler._seen.values():
            (reading,) = seen._readings
            assert reading.queued is not None and reading.switches is not None
        stage.states.clear()
        stage.sampler.tick()
        assert open_files() == before


@needs_schedstat
def test_the_files_of_a_loop_are_closed_with_it() -> None:
    """When the loop is retired, when the watch is uninstalled, and in the child of a fork."""
    for end in ("retire", "stop", "fork"):
        with on_stage() as stage:
            before = open_files()
            stage.begin_step()
            stage.pass_time(2 * THRESHOLD)
            assert open_files() > before
            if end == "retire":
                stage.loop.alive, stage.loop.closed = False, True
                stage.sampler.tick()
            elif end == "stop":
                stage.sampler.stop()
            else:
                stage.sampler.after_fork()
            assert open_files() == before


@needs_schedstat
def test_a_watch_leaves_no_file_open() -> None:
    """Its own thread's neither."""

    async def main() -> None:
        for _ in range(3):
            await asyncio.sleep(0.06)
            time.sleep(0.12)

    before = open_files()
    for _ in range(3):
        stalls: list[Any] = []
        watch = loopwatch.install(threshold=0.05, reporters=[stalls.append], prometheus=False)
        asyncio.run(main())
        watch.uninstall()
        assert len(stalls) >= 3
    assert open_files() == before
