"""Real code that holds one of several loops: in threads, after a fork, and inside one another."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

import loopwatch
from loopwatch.testing import RecordingReporter
from tests.holding import HELD, WARM, assert_blocks_is_named, blocks, burn, in_a_callback, longest, watching

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("each_loop")]


@pytest.fixture
def watch(events: RecordingReporter) -> Iterator[loopwatch.Watch]:
    with watching(events) as watch:
        yield watch


def test_a_loop_in_another_thread_is_told_under_its_name(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """Loops are told apart by the thread that they run in, also when that thread ends at once."""

    async def main() -> None:
        blocks()

    thread = threading.Thread(target=asyncio.run, args=(main(),), name="background")
    thread.start()
    thread.join()
    stall = longest(events)
    assert_blocks_is_named(stall, "main")
    assert (stall.loop, stall.thread) == ("background", "background")
    assert stall.evidence["cpu_share"] < 0.3


def test_two_loops_that_are_held_at_once_are_both_told(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """One sampler sees all loops, each with its own cause."""

    async def sleeps() -> None:
        blocks()

    async def computes() -> None:
        burn(HELD / 2)

    threads = [threading.Thread(target=asyncio.run, args=(main(),), name=main.__name__) for main in (sleeps, computes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert watch.flush(10)
    told = {stall.loop: stall for stall in sorted(events.stalls, key=lambda stall: stall.duration)}
    assert_blocks_is_named(told["sleeps"], "sleeps")
    computed = told["computes"]
    assert computed.thread == "computes" and any(frame.function == "burn" for frame in computed.stack)


FORKS = """
    import asyncio, importlib, os, sys, time
    import loopwatch
    from loopwatch.testing import RecordingReporter

    events = RecordingReporter()
    watch = loopwatch.install(threshold=0.1, reporters=[events], prometheus=False)
    loop = importlib.import_module(sys.argv[2]).new_event_loop()

    async def blocks():
        await asyncio.sleep(0.3)  # the sampler falls asleep, and must be woken
        time.sleep(0.4)

    if sys.argv[1] == "after a run":
        loop.run_until_complete(asyncio.sleep(0.3))
    child = os.fork()
    loop.run_until_complete(blocks())
    watch.flush(10)
    stall = max(events.stalls, key=lambda stall: stall.duration)
    told = f"{stall.coroutine} {stall.evidence['samples'] >= 2} {stall.duration > 0.39}\\n"
    if child == 0:
        os.write(1, told.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.write(1, told.encode())
    loop.close()
    watch.uninstall()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.parametrize("when", ["before any run", "after a run"])
def test_a_child_of_a_fork_is_watched_like_its_parent(when: str, each_loop: str) -> None:
    """Servers load the application, install the watch, and fork: also a loop that exists by then goes on watched."""
    program = textwrap.dedent(FORKS)
    command = [sys.executable, "-W", "ignore", "-c", program, when, each_loop]
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert made.stdout.splitlines() == ["blocks True True"] * 2, made.stderr
    assert made.stderr == ""


# --- loops inside loops ------------------------------------------------------------------------


@contextlib.contextmanager
def no_running_loop() -> Iterator[None]:
    """Lets a loop run inside the step of another, as some interactive tools do."""
    outer = asyncio.get_running_loop()
    asyncio.events._set_running_loop(None)
    try:
        yield
    finally:
        asyncio.events._set_running_loop(outer)


def run_inside(coroutine: Coroutine[Any, Any, None]) -> None:
    with no_running_loop():
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(coroutine)
        finally:
            loop.close()


def test_a_step_that_runs_another_loop_is_no_stall(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """The inner loop's time is the inner loop's; a stall afterwards shows that the outer one is still watched."""

    def outer() -> None:
        run_inside(asyncio.sleep(2 * HELD))
        asyncio.get_running_loop().call_soon(blocks)

    in_a_callback(outer)
    assert_blocks_is_named(longest(events))


def test_a_stall_in_a_nested_loop_is_told(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """The innermost loop is the one that is held."""

    async def inner() -> None:
        await asyncio.sleep(WARM)
        blocks()

    def outer() -> None:
        run_inside(inner())

    in_a_callback(outer)
    stall = longest(events)
    assert_blocks_is_named(stall, "inner")
    assert all("outer" not in frame.function for frame in stall.stack)


def test_a_step_that_blocks_before_it_runs_another_loop_is_told(
    watch: loopwatch.Watch, events: RecordingReporter
) -> None:
    """Without the time of the inner loop, and with what was seen before it."""

    def outer() -> None:
        blocks()
        run_inside(asyncio.sleep(HELD))

    in_a_callback(outer)
    stall = longest(events)
    assert_blocks_is_named(stall, "outer")
    assert stall.evidence["samples"] >= 2
