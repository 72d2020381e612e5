"""What holds a loop of uvloop is found, named and timed: real loops, blocked in each way that uvloop has."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

import loopwatch
from loopwatch.observe.uvloops.calls import IN_C
from loopwatch.testing import RecordingReporter
from tests.holding import HELD, WARM, line, longest, watching

uvloop = pytest.importorskip("uvloop")
pytestmark = pytest.mark.realtime


@pytest.fixture
def watch(events: RecordingReporter) -> Iterator[loopwatch.Watch]:
    with watching(events) as watch:
        yield watch


def block() -> None:
    time.sleep(HELD)  # held: block


METHODS = ("connection_made", "data_received", "eof_received", "connection_lost")


class Blocking(asyncio.Protocol):
    """A protocol that blocks in one of its methods."""

    def __init__(self, where: str, over: asyncio.Event) -> None:
        self.where = where
        self.over = over

    def told(self, name: str) -> None:
        if name == self.where:
            block()
            self.over.set()

    def connection_made(self, transport: Any) -> None:
        self.told("connection_made")

    def data_received(self, data: bytes) -> None:
        self.told("data_received")

    def eof_received(self) -> bool:
        self.told("eof_received")
        return False

    def connection_lost(self, error: Any) -> None:
        self.told("connection_lost")


async def in_a_protocol(where: str) -> None:
    over, loop = asyncio.Event(), asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    transport, _ = await loop.create_connection(lambda: Blocking(where, over), sock=ours)
    await asyncio.sleep(WARM)
    with theirs:
        theirs.send(b"x")
        if where in ("eof_received", "connection_lost"):
            theirs.close()
        if where == "connection_made":
            return
        await over.wait()
    transport.close()


async def in_a_reader() -> None:
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    ours, theirs = socket.socketpair()

    def readable() -> None:
        loop.remove_reader(ours)
        block()
        over.set()

    with ours, theirs:
        loop.add_reader(ours, readable)
        theirs.send(b"x")
        await over.wait()


async def in_a_signal_handler() -> None:
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    def handler() -> None:
        block()
        over.set()

    loop.add_signal_handler(signal.SIGUSR1, handler)
    os.kill(os.getpid(), signal.SIGUSR1)
    await over.wait()
    loop.remove_signal_handler(signal.SIGUSR1)


async def in_a_subprocess_callback() -> None:
    over = asyncio.Event()

    class Exits(asyncio.SubprocessProtocol):
        def process_exited(self) -> None:
            block()
            over.set()

    loop = asyncio.get_running_loop()
    transport, _ = await loop.subprocess_exec(Exits, sys.executable, "-c", "", stdout=None, stderr=None)
    await over.wait()
    transport.close()


async def in_a_callback(schedule: Callable[[Any, Any], Any]) -> None:
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    def callback() -> None:
        block()
        over.set()

    schedule(loop, callback)
    await over.wait()


async def in_a_task() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        block()

    await asyncio.create_task(work(), name="the task")


WAYS: dict[str, Callable[[], Any]] = {
    "task": in_a_task,
    "call_soon": lambda: in_a_callback(lambda loop, callback: loop.call_soon(callback)),
    "call_later": lambda: in_a_callback(lambda loop, callback: loop.call_later(0.01, callback)),
    "threadsafe": lambda: in_a_callback(lambda loop, callback: loop.call_soon_threadsafe(callback)),
    "reader": in_a_reader,
    "signal": in_a_signal_handler,
    "subprocess": in_a_subprocess_callback,
    **{name: partial(in_a_protocol, name) for name in METHODS},
}


GIVEN = ("task", "call_soon", "call_later", "threadsafe", "reader", "signal", "subprocess")
"""The ways in which the loop is given the callback, which is timed then."""


@pytest.mark.parametrize("way", WAYS)
def test_a_block_is_found_wherever_it_happens(way: str, watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """With its line, its duration and its cause; where it was not timed exactly, it says by how much it may be off."""

    async def main() -> None:
        await asyncio.sleep(WARM)
        await WAYS[way]()
        await asyncio.sleep(0.05)

    uvloop.run(main())
    stall = longest(events)
    assert stall.culprit is not None and stall.culprit.line == line("block", __file__)
    assert stall.evidence.get("exact", True) is (IN_C and way in GIVEN)
    assert abs(stall.duration - HELD) <= stall.evidence.get("within_seconds", 0.0) + 0.01
    assert (stall.kind, stall.cause, stall.evidence["call"]) == ("step", "wait", "time.sleep")
    assert stall.loop == "main"
    assert stall.task == ("the task" if way == "task" else stall.task)
