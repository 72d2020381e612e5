"""Every kind of step is seen, once, under its own name."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from loopwatch.testing import FakeClock
from tests.bench import (
    LONG,
    Watching,
    new_loop,
)

Work = Callable[..., None]
Case = Callable[[Any, Work], Awaitable[None]]
CASES: dict[str, Case] = {}


def case(name: str) -> Callable[[Case], Case]:
    """Register what makes one step of a kind work; ``name`` is in the name of the callback that is told."""

    def register(function: Case) -> Case:
        CASES[f"{function.__name__}:{name}"] = function
        return function

    return register


@case("task")
async def task_step(loop: Any, work: Work) -> None:
    async def task() -> None:
        await asyncio.sleep(0)
        work()
        await asyncio.sleep(0)

    await asyncio.create_task(task())


@case("never_again")
async def step_that_never_awaits(loop: Any, work: Work) -> None:
    async def never_again() -> None:
        work()

    await asyncio.create_task(never_again())


@case("soon")
async def call_soon(loop: Any, work: Work) -> None:
    def soon() -> None:
        work()

    loop.call_soon(soon)
    await asyncio.sleep(0)


@case("later")
async def call_later(loop: Any, work: Work) -> None:
    def later() -> None:
        work()

    loop.call_later(0.01, later)
    await asyncio.sleep(0.02)


@case("then")
async def call_at(loop: Any, work: Work) -> None:
    def then() -> None:
        work()

    loop.call_at(loop.time() + 0.01, then)
    await asyncio.sleep(0.02)


@case("from_thread")
async def call_soon_threadsafe(loop: Any, work: Work) -> None:
    done = loop.create_future()

    def from_thread() -> None:
        work()
        done.set_result(None)

    thread = threading.Thread(target=loop.call_soon_threadsafe, args=(from_thread,))
    thread.start()
    await done
    thread.join()


@case("readable")
async def add_reader(loop: Any, work: Work) -> None:
    ours, theirs = socket.socketpair()
    done = loop.create_future()

    def readable() -> None:
        ours.recv(1)
        work()
        done.set_result(None)

    with ours, theirs:
        theirs.send(b"x")
        loop.add_reader(ours, readable)
        await done
        loop.remove_reader(ours)


@case("writable")
async def add_writer(loop: Any, work: Work) -> None:
    ours, theirs = socket.socketpair()
    done = loop.create_future()

    def writable() -> None:
        if not done.done():
            work()
            done.set_result(None)

    with ours, theirs:
        loop.add_writer(ours, writable)
        await done
        loop.remove_writer(ours)


async def connected(loop: Any, protocol: asyncio.Protocol) -> socket.socket:
    """A transport for one end of a pair of sockets; returns the other end."""
    ours, theirs = socket.socketpair()
    await loop.create_connection(lambda: protocol, sock=ours)
    return theirs


@case("connection_made")
async def protocol_connection_made(loop: Any, work: Work) -> None:
    class Protocol(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            work()

    protocol = Protocol()
    with await connected(loop, protocol):
        protocol.transport.close()
        await asyncio.sleep(0)


@case("read_ready")
async def protocol_data_received(loop: Any, work: Work) -> None:
    done = loop.create_future()

    class Protocol(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            work()

        def connection_lost(self, error: Exception | None) -> None:
            done.set_result(None)

    with await connected(loop, Protocol()) as theirs:
        theirs.send(b"x")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await done


@case("connection_lost")
async def protocol_connection_lost(loop: Any, work: Work) -> None:
    done = loop.create_future()

    class Protocol(asyncio.Protocol):
        def connection_lost(self, error: Exception | None) -> None:
            work()
            done.set_result(None)

    (await connected(loop, Protocol())).close()
    await done


@case("done")
async def future_done_callback(loop: Any, work: Work) -> None:
    def done(future: Any) -> None:
        work()

    future = loop.create_future()
    future.add_done_callback(done)
    future.set_result(None)
    await asyncio.sleep(0)


@case("on_signal")
async def signal_handler(loop: Any, work: Work) -> None:
    done = loop.create_future()

    def on_signal() -> None:
        work()
        done.set_result(None)

    loop.add_signal_handler(signal.SIGUSR1, on_signal)
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        await done
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)


@case("wrong")
async def exception_handler(loop: Any, work: Work) -> None:
    def wrong() -> None:
        raise ValueError

    loop.set_exception_handler(lambda loop, context: work())
    loop.call_soon(wrong)
    await asyncio.sleep(0)
    loop.set_exception_handler(None)


@case("wrong")
async def callback_that_raises(loop: Any, work: Work) -> None:
    def wrong() -> None:
        work()
        raise ValueError

    loop.set_exception_handler(lambda loop, context: None)
    loop.call_soon(wrong)
    await asyncio.sleep(0)
    loop.set_exception_handler(None)


@case("async_generator")
async def async_generator_finaliser(loop: Any, work: Work) -> None:
    async def numbers() -> Any:
        try:
            yield 1
        finally:
            work()

    generator = numbers()
    await anext(generator)
    del generator
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@case("FakeClock")
async def callable_object(loop: Any, work: Work) -> None:
    class Advance(FakeClock):
        def __call__(self) -> Any:
            return work()

    Advance.__qualname__ = "FakeClock"
    loop.call_soon(Advance())
    await asyncio.sleep(0)


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
@pytest.mark.parametrize("name", CASES)
def test_each_kind_of_step_is_timed(watching: Watching, name: str, debug: bool) -> None:
    """One step of 70 ms is one overrun of 70 ms under its own name, and nothing else is one."""
    _, _, callback = name.partition(":")
    with new_loop(watching.clock) as loop:
        loop.set_debug(debug)
        loop.slow_callback_duration = 1000
        loop.run_until_complete(CASES[name](loop, watching.work))
        assert watching.told() == [("step", LONG)]
        (told,) = watching.names()
        assert callback in told
