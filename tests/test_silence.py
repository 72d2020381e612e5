"""What must stay silent, on the real thing.

Each test ends with a stall that is meant: it must be the only one told, so that silence is not blindness.
The threshold is above what a busy machine does to a step by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import io
import json
import os
import pdb
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import loopwatch
from loopwatch.model import Stall
from loopwatch.testing import RecordingReporter
from tests.holding import BUSY, starved

pytestmark = pytest.mark.realtime

on_each_loop = pytest.mark.usefixtures("each_loop")
"""For those in which the loop has a part."""

THRESHOLD = 0.2
LONG = 0.5
STOPPED = 4 * LONG
"""Long beside what a busy host may take from a child: what is told of it is told of the greater part."""


@pytest.fixture
def watch(events: RecordingReporter) -> Iterator[loopwatch.Watch]:
    with loopwatch.install(threshold=THRESHOLD, reporters=[events], prometheus=False) as watch:
        yield watch


async def meant() -> None:
    time.sleep(LONG)


def only_what_was_meant(events: RecordingReporter) -> None:
    """Add a stall, and see that nothing else was told before it."""
    watch = loopwatch.current()
    assert watch is not None
    asyncio.run(meant())
    assert watch.flush(10)
    told = [event for event in events.events if not (isinstance(event, Stall) and starved(event))]
    if not told:
        pytest.skip(BUSY)
    assert [(event.event, getattr(event, "coroutine", event.site)) for event in told] == [("stall", "meant")]


@on_each_loop
def test_an_idle_loop_is_silent_and_lets_the_sampler_sleep(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """It waits in its poll, however long, and costs nothing."""

    spent: list[float] = []

    def read_twice() -> None:
        for _ in range(2):
            time.sleep(LONG / 2)
            spent.append(watch.snapshot().sampler_seconds)

    thread = threading.Thread(target=read_twice)
    thread.start()
    asyncio.run(asyncio.sleep(LONG + 0.2))
    thread.join()
    assert spent[0] == spent[1] > 0
    only_what_was_meant(events)


@on_each_loop
def test_a_loop_that_polls_often_does_not_make_the_sampler_look_as_often(
    watch: loopwatch.Watch, events: RecordingReporter
) -> None:
    """It is woken by a poll, and then keeps its own pace: half a threshold."""

    async def main() -> None:
        end = time.perf_counter() + LONG
        while time.perf_counter() < end:
            await asyncio.sleep(0.0005)

    before, began = watch._sampler._ticks, time.perf_counter()
    asyncio.run(main())
    took = time.perf_counter() - began
    assert watch._sampler._ticks - before <= 2 * took / watch._sampler.period
    only_what_was_meant(events)


@on_each_loop
def test_work_in_a_free_pool_is_silent(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """Neither the loop nor a queue waits for it."""

    async def main() -> None:
        await asyncio.to_thread(time.sleep, LONG)

    asyncio.run(main())
    only_what_was_meant(events)


@on_each_loop
def test_work_in_small_pieces_is_silent(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """Five milliseconds at a time: others get their turn in between, whatever it adds up to."""

    async def main() -> None:
        for _ in range(100):
            time.sleep(0.005)
            await asyncio.sleep(0)

    asyncio.run(main())
    only_what_was_meant(events)


@on_each_loop
def test_threads_without_a_loop_are_silent(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """They may block as long as they like, beside a loop or without any."""
    thread = threading.Thread(target=time.sleep, args=(LONG,))
    thread.start()
    asyncio.run(asyncio.sleep(0.01))
    thread.join()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(time.sleep, LONG).result()
    only_what_was_meant(events)


@on_each_loop
def test_what_comes_after_a_loop_is_silent(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """A loop that has ended, or has stopped and may go on, is not held by its thread."""
    asyncio.run(asyncio.sleep(0))
    time.sleep(LONG)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    time.sleep(LONG)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    only_what_was_meant(events)


@on_each_loop
def test_a_loop_that_was_made_and_never_ran_is_silent(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """It has callbacks that wait, but nobody to run them."""
    loop = asyncio.new_event_loop()
    loop.call_soon(int)
    time.sleep(LONG)
    loop.close()
    only_what_was_meant(events)


@on_each_loop
def test_the_watch_itself_is_silent(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """Its numbers may be read on the loop; a reporter that is slow is slow in its own thread."""
    slow: list[Any] = []

    def reporter(event: Any) -> None:
        time.sleep(LONG)
        slow.append(event)

    loopwatch.uninstall()
    with loopwatch.install(threshold=THRESHOLD, reporters=[events, reporter], prometheus=False) as again:

        async def main() -> None:
            for _ in range(50):
                again.snapshot().to_dict()
                await asyncio.sleep(0)
            await meant()
            await asyncio.sleep(LONG)

        asyncio.run(main())
        assert again.flush(10)
        assert len(slow) == len(events.events)
        told = [stall for stall in events.stalls if not starved(stall)]
        assert len(told) <= 1 and all(stall.duration >= LONG for stall in told)


# --- debuggers ---------------------------------------------------------------------------------


class SlowHand:
    """What a person types into a debugger, after some thought."""

    def __init__(self, *commands: str) -> None:
        self._commands = list(commands)

    def readline(self) -> str:
        time.sleep(LONG)
        return self._commands.pop(0)


@on_each_loop
def test_a_stop_in_the_debugger_is_silent(events: RecordingReporter) -> None:
    """The loop is held by a person; not even a stall in progress is told."""
    screen = io.StringIO()

    async def main() -> None:
        debugger = pdb.Pdb(stdin=SlowHand("p 6 * 7\n", "c\n"), stdout=screen, nosigint=True, readrc=False)  # type: ignore[arg-type]
        debugger.prompt = ""
        debugger.set_trace()
        await asyncio.sleep(0)

    with loopwatch.install(threshold=0.1, reporters=[events], prometheus=False) as watch:
        asyncio.run(main())
        assert watch.flush(10)
        assert "42" in screen.getvalue()
        assert [event for event in events.events if isinstance(event, Stall) and event.duration > LONG] == []
        asyncio.run(meant())
        assert watch.flush(10)
        assert "meant" in [stall.coroutine for stall in events.stalls]


# --- a process that stands still ---------------------------------------------------------------

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="stops are known from /proc")

CHILD = """
    import json, sys, time
    import asyncio, {loop}
    import loopwatch

    def told(event):
        print(json.dumps(event.to_dict()), flush=True)

    async def busy(seconds):
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    async def main():
        await asyncio.sleep(0.1)
        print("ready", flush=True)
        await busy({busy})
        await asyncio.sleep(0.05)

    with loopwatch.install(threshold={threshold}, reporters=[told], prometheus=False) as watch:
        loop = {loop}.new_event_loop()
        loop.run_until_complete(main())
        watch.flush(10)
    print("done", flush=True)
    sys.stdin.read()
"""

Step = Callable[[int], None]


def stalls_of_a_child_that_is(
    held: Step, loop: str = "asyncio", let_go: Step = lambda pid: None
) -> list[dict[str, Any]]:
    """What a child process tells that ``held`` holds up while its loop computes."""
    program = textwrap.dedent(CHILD).format(busy=0.3, threshold=THRESHOLD, loop=loop)
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None and child.stdout is not None
    with child.stdin, child.stdout:
        try:
            assert child.stdout.readline() == "ready\n"
            time.sleep(0.15)
            held(child.pid)
            lines = list(iter(child.stdout.readline, "done\n"))
            let_go(child.pid)
        except BaseException:
            child.kill()
            raise
    child.wait(10)
    return [json.loads(line) for line in lines]


def stopped_by_a_signal(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(STOPPED)
    os.kill(pid, signal.SIGCONT)


@LINUX
@on_each_loop
def test_a_process_that_was_stopped_charges_nobody(each_loop: str) -> None:
    """It is told that it stood still; the code that happened to run is not to blame."""
    stalls = stalls_of_a_child_that_is(stopped_by_a_signal, each_loop)
    stopped = max(stalls, key=lambda stall: float(stall["duration"]))
    assert stopped["duration"] >= STOPPED
    assert (stopped["cause"], stopped["culprit"]) == ("suspended", None)
    assert STOPPED - 0.2 <= stopped["evidence"]["suspended_seconds"] <= stopped["duration"]


CONTINUE, DETACH, SEIZE, INTERRUPT = 7, 17, 0x4206, 0x4207  # of include/uapi/linux/ptrace.h
ANY_THREAD = 0x40000000


def ptrace(request: int, thread: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    library.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    library.ptrace.restype = ctypes.c_long
    if library.ptrace(request, thread, None, None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def attach(*threads: int) -> None:
    try:
        for thread in threads:
            ptrace(SEIZE, thread)
    except OSError as error:
        pytest.skip(f"this machine allows no ptrace: {error}")


def stop(*threads: int) -> None:
    for thread in threads:
        ptrace(INTERRUPT, thread)
        os.waitpid(thread, ANY_THREAD)


def threads_of(pid: int) -> list[int]:
    return [int(name) for name in os.listdir(f"/proc/{pid}/task")]


@LINUX
def test_a_process_that_a_debugger_stopped_is_silent() -> None:
    """What gdb does: stop all threads, let a person look, go on and stay attached. The kernel tells of it."""
    held: list[int] = []

    def hold(pid: int) -> None:
        held.extend(threads_of(pid))
        attach(*held)
        stop(*held)
        time.sleep(STOPPED)
        for thread in held:
            ptrace(CONTINUE, thread)

    def let_go(pid: int) -> None:
        for thread in held:
            with contextlib.suppress(ProcessLookupError):
                ptrace(INTERRUPT, thread)
            os.waitpid(thread, ANY_THREAD)  # also one that has ended
            with contextlib.suppress(ProcessLookupError):
                ptrace(DETACH, thread)

    stalls = stalls_of_a_child_that_is(hold, let_go=let_go)
    assert [stall for stall in stalls if stall["duration"] >= STOPPED] == []


@LINUX
def test_a_process_that_is_only_traced_is_told_as_ever() -> None:
    """Being traced is no stop: a stall under strace is a stall."""
    stalls = stalls_of_a_child_that_is(lambda pid: attach(pid))
    longest = max(stalls, key=lambda stall: float(stall["duration"]))
    assert longest["duration"] >= THRESHOLD
    assert longest["coroutine"] == "main"


# --- clocks ------------------------------------------------------------------------------------


def only_the_true_stall(watch: loopwatch.Watch, events: RecordingReporter, began: float) -> None:
    assert watch.flush(10)
    told = [stall for stall in events.stalls if not starved(stall)]
    if not told:
        pytest.skip(BUSY)
    (stall,) = told
    assert LONG - 0.002 <= stall.duration < 2 * LONG
    assert began - 1 <= stall.started_at <= time.time()


@on_each_loop
@pytest.mark.needs("freezegun")
def test_frozen_time_neither_hides_nor_makes_a_stall(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """Our clocks are pinned: under a frozen clock durations and dates are true."""
    from freezegun import freeze_time

    async def main(frozen: Any) -> None:
        await asyncio.sleep(0)
        frozen.tick(3600)
        await asyncio.sleep(0)
        await meant()

    began = time.time()
    with freeze_time("2001-02-03") as frozen:
        asyncio.run(main(frozen))
    only_the_true_stall(watch, events, began)


@pytest.mark.needs("time_machine")
def test_a_time_machine_neither_hides_nor_makes_a_stall(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """Likewise for a tool that replaces the clocks in C."""
    import time_machine

    async def main(traveller: Any) -> None:
        await asyncio.sleep(0)
        traveller.shift(3600)
        await asyncio.sleep(0)
        await meant()

    began = time.time()
    with time_machine.travel(0.0, tick=False) as traveller:
        asyncio.run(main(traveller))
    only_the_true_stall(watch, events, began)
