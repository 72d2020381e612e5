"""Real code that really holds a real loop: which step it was, who is named, for how long, and what to do instead."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

import loopwatch
from loopwatch.model import Stall
from loopwatch.testing import RecordingReporter
from tests import holding
from tests.holding import HELD, WARM, burn, held_for, in_a_callback, line, longest, on_a_free_host, watching

pytestmark = pytest.mark.realtime


@pytest.fixture
def watch(events: RecordingReporter) -> Iterator[loopwatch.Watch]:
    with watching(events) as watch:
        yield watch


# --- which step it was -------------------------------------------------------------------------


def test_a_sleep_in_a_task_is_told_in_full(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """The coroutine, its task, the line, the cause with its evidence, the remedy, and who waited."""

    async def handler() -> None:
        time.sleep(HELD)  # held: sleep in a task

    async def main() -> None:
        for _ in range(3):
            asyncio.get_running_loop().call_soon(int)
        await asyncio.create_task(handler(), name="req-8")

    before = time.time()
    asyncio.run(main())
    stall = longest(events)
    assert (stall.kind, stall.cause, stall.loop, stall.in_progress) == ("step", "wait", "main", False)
    assert held_for(stall, HELD)
    assert before <= stall.started_at <= time.time() - HELD + 0.01
    assert stall.culprit is not None
    assert stall.culprit.file == __file__
    assert stall.culprit.line == line("sleep in a task", __file__)
    assert stall.culprit.function.endswith("handler")
    assert stall.site.endswith(f"handler:{stall.culprit.line}")
    assert stall.stack == (stall.culprit,)
    assert stall.task == "req-8"
    assert stall.coroutine is not None and stall.coroutine.endswith("handler")
    assert stall.callback == stall.coroutine
    assert stall.thread == threading.main_thread().name
    assert stall.evidence["waited_for"] == "sleep"
    assert stall.evidence["call"] == "time.sleep"
    assert stall.evidence["samples"] >= 2
    assert stall.evidence["cpu_share"] < 0.3
    assert "certain" not in stall.evidence
    assert "asyncio.sleep" in stall.remedy
    assert stall.profile[0].stack == stall.stack and stall.profile[0].share > 0.9


def test_a_computation_is_told_as_cpu_at_the_line_that_computes(
    watch: loopwatch.Watch, events: RecordingReporter
) -> None:
    """The innermost own frame is charged, and the way to it is kept."""

    async def outer() -> None:
        await inner()  # held: outer

    async def inner() -> None:
        burn(HELD)

    stall = on_a_free_host(events, lambda: asyncio.run(outer()))
    assert (stall.kind, stall.cause) == ("step", "cpu")
    assert stall.evidence["cpu_seconds"] == pytest.approx(HELD, abs=0.05)
    assert stall.culprit is not None and stall.culprit.function == "burn"
    assert abs(stall.culprit.line - line("burn", holding.__file__)) <= 1  # the head of the loop is a line of its own
    assert [frame.function.rpartition(".")[2] for frame in stall.stack] == ["outer", "inner", "burn"]
    assert stall.stack[0].line == line("outer", __file__)
    assert "process pool" in stall.remedy


@pytest.mark.parametrize("how", ["call_soon", "call_later", "call_at", "call_soon_threadsafe", "partial"])
def test_a_callable_of_c_is_told_by_the_name_of_the_callback(
    watch: loopwatch.Watch, events: RecordingReporter, how: str
) -> None:
    """Scheduled directly it has no frame: nobody is charged, and the callback is reported."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        if how == "call_later":
            loop.call_later(0.02, time.sleep, HELD)
        elif how == "call_at":
            loop.call_at(loop.time() + 0.02, time.sleep, HELD)
        elif how == "partial":
            loop.call_soon(functools.partial(time.sleep, HELD))
        else:
            getattr(loop, how)(time.sleep, HELD)
        await asyncio.sleep(0.05)

    asyncio.run(main())
    stall = longest(events)
    assert held_for(stall, HELD)
    assert (stall.kind, stall.cause, stall.callback) == ("step", "wait", "time.sleep")
    assert (stall.culprit, stall.stack, stall.task) == (None, (), None)
    assert stall.site == "time.sleep"
    assert "asyncio.sleep" in stall.remedy


def blocks(seconds: float = HELD) -> None:
    time.sleep(seconds)  # held: callback


def assert_blocks_is_named(stall: Stall, callback: str = "blocks") -> None:
    assert held_for(stall, HELD)
    assert (stall.kind, stall.cause) == ("step", "wait")
    assert stall.culprit is not None
    assert (stall.culprit.function, stall.culprit.line) == ("blocks", line("callback", __file__))
    assert stall.callback is not None and stall.callback.endswith(callback)


def test_a_callback_from_another_thread_is_named(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """``call_soon_threadsafe`` wakes the loop, which then runs the callback as a step of its own."""

    async def main() -> None:
        threading.Thread(target=asyncio.get_running_loop().call_soon_threadsafe, args=(blocks,)).start()
        await asyncio.sleep(0.1)

    asyncio.run(main())
    assert_blocks_is_named(longest(events))


@pytest.mark.parametrize("side", ["reader", "writer"])
def test_a_callback_of_a_file_descriptor_is_named(watch: loopwatch.Watch, events: RecordingReporter, side: str) -> None:
    """``add_reader`` and ``add_writer``: run by the loop when the poll says so."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()

        def ready() -> None:
            getattr(loop, f"remove_{side}")(ours)
            blocks()

        getattr(loop, f"add_{side}")(ours, ready)
        theirs.send(b"x")
        await asyncio.sleep(0.1)
        ours.close()
        theirs.close()

    asyncio.run(main())
    assert_blocks_is_named(longest(events), "ready")


def test_a_protocol_is_named_below_the_transport(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """``data_received`` is called by asyncio's transport: its own line is charged, not asyncio's."""

    class Protocol(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            blocks()

    async def main() -> None:
        ours, theirs = socket.socketpair()
        transport, _ = await asyncio.get_running_loop().create_connection(Protocol, sock=ours)
        theirs.send(b"x")
        await asyncio.sleep(0.1)
        transport.close()
        theirs.close()

    asyncio.run(main())
    stall = longest(events)
    assert_blocks_is_named(stall, "_read_ready")
    assert any(frame.function.endswith("Protocol.data_received") for frame in stall.stack)


def test_a_signal_handler_is_named(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """``add_signal_handler`` runs its callback as a step."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, blocks)
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.sleep(0.1)
        loop.remove_signal_handler(signal.SIGUSR1)

    asyncio.run(main())
    assert_blocks_is_named(longest(events))


def test_a_done_callback_is_named(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """A future's callbacks are steps of their own."""

    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda done: blocks())
        future.set_result(None)
        await asyncio.sleep(0.05)

    asyncio.run(main())
    assert_blocks_is_named(longest(events), "<lambda>")


def test_an_exception_handler_is_named(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """The loop's exception handler runs within the step that raised, and is what holds the loop."""

    def fails() -> None:
        raise ValueError("on purpose")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: blocks())
        loop.call_soon(fails)
        await asyncio.sleep(0.05)

    asyncio.run(main())
    assert_blocks_is_named(longest(events), "fails")


def test_a_callback_that_raises_is_named(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """An exception ends the step like a return."""

    def fails() -> None:
        blocks()
        raise ValueError("on purpose")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)
        loop.call_soon(fails)
        await asyncio.sleep(0.05)

    asyncio.run(main())
    assert_blocks_is_named(longest(events), "fails")


def test_the_finaliser_of_an_async_generator_is_named(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """A generator that was dropped is closed by the loop, in a task that nobody started."""

    async def numbers() -> Any:
        try:
            yield 1
        finally:
            blocks()

    async def main() -> None:
        async for _ in numbers():
            break
        await asyncio.sleep(0.05)

    asyncio.run(main())
    stall = longest(events)
    assert held_for(stall, HELD)
    assert stall.culprit is not None and stall.culprit.function == "blocks"
    assert any(frame.function.endswith("numbers") for frame in stall.stack)


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="eager tasks came with Python 3.12")
def test_an_eager_task_is_named_in_place_of_the_task_that_started_it(
    watch: loopwatch.Watch, events: RecordingReporter
) -> None:
    """An eager task runs at once, inside the step of another task: the inner one is told."""

    async def inner() -> None:
        blocks()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.Task(inner(), loop=loop, name="eager", eager_start=True)  # type: ignore[call-arg]

    asyncio.run(main())
    stall = longest(events)
    assert_blocks_is_named(stall, "main")
    assert stall.task == "eager"
    assert stall.coroutine is not None and stall.coroutine.endswith("inner")


def test_a_step_after_which_the_loop_stops_is_told(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """Nothing comes after it, neither a step nor a poll."""
    loop = asyncio.new_event_loop()
    loop.call_soon(loop.stop)
    loop.call_soon(blocks)
    loop.run_forever()
    loop.close()
    assert_blocks_is_named(longest(events))


def test_a_step_that_ends_the_program_is_told(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """``SystemExit`` leaves the loop by way of the step."""

    def leaves() -> None:
        blocks()
        raise SystemExit

    loop = asyncio.new_event_loop()
    loop.call_soon(leaves)
    with pytest.raises(SystemExit):
        loop.run_forever()
    loop.close()
    assert_blocks_is_named(longest(events), "leaves")


def test_the_step_that_installs_is_measured_from_the_install_on(events: RecordingReporter) -> None:
    """What it did before is not known; what it does after counts."""

    async def main() -> None:
        time.sleep(HELD)
        watching(events)
        blocks()

    asyncio.run(main())
    stall = longest(events)
    assert_blocks_is_named(stall, "main")
    loopwatch.uninstall()


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
    import asyncio, os, sys, time
    import loopwatch
    from loopwatch.testing import RecordingReporter

    events = RecordingReporter()
    watch = loopwatch.install(threshold=0.1, reporters=[events], prometheus=False)
    loop = asyncio.new_event_loop()

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
def test_a_child_of_a_fork_is_watched_like_its_parent(when: str) -> None:
    """Servers load the application, install the watch, and fork: also a loop that exists by then goes on watched."""
    program = textwrap.dedent(FORKS)
    made = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, when], capture_output=True, text=True, timeout=60, check=True
    )
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
