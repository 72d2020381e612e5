"""Real code that really holds a real loop: which step it was, who is named, for how long, and what to do instead."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import loopwatch
from loopwatch.facts import UNKNOWN_CALLBACK
from loopwatch.testing import RecordingReporter
from tests import holding
from tests.differences import Difference, told
from tests.holding import HELD, assert_blocks_is_named, blocks, burn, held_for, line, longest, on_a_free_host, watching

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("each_loop")]


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
    name = told(Difference.NAMES, stall, "time.sleep", UNKNOWN_CALLBACK)
    assert (stall.kind, stall.cause, stall.callback, stall.site) == ("step", "wait", name, name)
    assert (stall.culprit, stall.stack, stall.task) == (None, (), None)
    assert told(Difference.NAMES, stall, "asyncio.sleep", "to_thread") in stall.remedy


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
    assert_blocks_is_named(stall, "_read_ready", seen="Protocol.data_received")
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
    assert_blocks_is_named(longest(events), "fails", seen="<lambda>")


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
    assert_blocks_is_named(stall, "main", seen="inner")
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
