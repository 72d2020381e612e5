"""Programs that hold the loop, each in another way."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from .scenario import HOLD, Scenario

_WAITS = r"time\.sleep|\bwait\b"


def spin(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:  # held: cpu
        pass  # held: cpu


async def nap_in_a_task() -> None:
    time.sleep(HOLD)  # held: sleep


async def compute_in_a_task() -> None:
    spin(HOLD)  # held: cpu


class SlowProtocol(asyncio.Protocol):
    """Holds the loop when data comes, as a parser with a blocking call in it would."""

    def data_received(self, data: bytes) -> None:
        time.sleep(HOLD)  # held: data received


def _pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


async def receive() -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = _pair()
    transport, _ = await loop.create_connection(SlowProtocol, sock=ours)
    theirs.send(b"x")
    await asyncio.sleep(0.1)
    transport.close()
    theirs.close()


def read_slowly(source: socket.socket) -> None:
    source.recv(16)
    time.sleep(HOLD)  # held: reader


async def read() -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = _pair()
    loop.add_reader(ours, read_slowly, ours)
    theirs.send(b"x")
    await asyncio.sleep(0.1)
    loop.remove_reader(ours)
    ours.close()
    theirs.close()


async def let_a_timer_sleep() -> None:
    asyncio.get_running_loop().call_later(0.02, time.sleep, HOLD)  # held: timer
    await asyncio.sleep(0.1)


def nap_and_fail() -> None:
    time.sleep(HOLD)  # held: raising
    raise LookupError("as it is meant to")


async def call_what_raises() -> None:
    asyncio.get_running_loop().call_soon(nap_and_fail)
    await asyncio.sleep(0.1)


def nap_for_another_thread() -> None:
    time.sleep(HOLD)  # held: threadsafe


async def be_called_from_a_thread() -> None:
    loop = asyncio.get_running_loop()
    caller = threading.Thread(target=loop.call_soon_threadsafe, args=(nap_for_another_thread,))
    caller.start()
    await asyncio.sleep(0.1)
    caller.join()


async def nap_eagerly() -> None:
    time.sleep(HOLD)  # held: eager


async def start_eagerly() -> None:
    # Not set as the loop's factory: with some versions uvloop and that one do not go together.
    await asyncio.eager_task_factory(asyncio.get_running_loop(), nap_eagerly())  # type: ignore[attr-defined, unused-ignore]


_numbers: list[int] = []


def find_long_multiplication() -> None:
    """A number whose square takes about as long as the loop is to be held; one call in C that keeps the interpreter."""
    bits, took = 1 << 18, 0.0
    while took < HOLD / 6:  # three times the work for twice the bits
        bits *= 2
        number = (1 << bits) - 3
        started = time.perf_counter()
        number * number
        took = time.perf_counter() - started
    while took < HOLD:
        bits, took = bits * 3 // 2, took * 1.9
    _numbers.append((1 << bits) - 3)


async def multiply() -> None:
    number = _numbers[0]
    number * number  # held: gil


async def wait_for_a_lock() -> None:
    lock, taken = threading.Lock(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            time.sleep(HOLD)

    holder = threading.Thread(target=hold)
    holder.start()
    while not taken.is_set():
        await asyncio.sleep(0.001)
    with lock:  # held: lock
        pass
    holder.join()


async def wait_for_a_result() -> None:
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(time.sleep, HOLD)
        future.result()  # held: result


async def wait_for_a_process() -> None:
    subprocess.run(["sleep", str(HOLD)], check=True)  # held: subprocess


def do_a_little() -> None:
    until = time.perf_counter() + 0.002
    while time.perf_counter() < until:  # held: burst
        pass  # held: burst


async def do_a_little_often() -> None:
    loop = asyncio.get_running_loop()
    for _ in range(200):
        loop.call_soon(do_a_little)
    await asyncio.sleep(0.1)


def compute_part() -> None:
    until = time.perf_counter() + 0.015
    while time.perf_counter() < until:  # held: cumulative
        pass  # held: cumulative


async def compute_in_parts() -> None:
    for _ in range(60):
        compute_part()
        await asyncio.sleep(0.003)


async def nap_in_another_loop() -> None:
    await asyncio.sleep(0.1)
    time.sleep(HOLD)  # held: second loop
    await asyncio.sleep(0.1)


async def run_a_second_loop() -> None:
    other = threading.Thread(target=asyncio.run, args=(nap_in_another_loop(),))
    other.start()
    while other.is_alive():
        await asyncio.sleep(0.02)
    other.join()


async def sleep_on_loop() -> None:
    await asyncio.create_task(nap_in_a_task())


async def compute_on_loop() -> None:
    await asyncio.create_task(compute_in_a_task())


SCENARIOS = (
    Scenario("sleep", "`time.sleep` in a task", "loop", sleep_on_loop, _WAITS),
    Scenario("cpu", "a computation in a task", "loop", compute_on_loop, r"\bcpu"),
    Scenario("data received", "`time.sleep` in a protocol's `data_received`", "loop", receive, _WAITS),
    Scenario("reader", "`time.sleep` in an `add_reader` callback", "loop", read, _WAITS),
    Scenario("timer", "`call_later(0.02, time.sleep, …)`, no Python frame", "loop", let_a_timer_sleep, _WAITS),
    Scenario("raising", "`time.sleep` in a callback that then raises", "loop", call_what_raises, _WAITS),
    Scenario("threadsafe", "`time.sleep` in a callback from another thread", "loop", be_called_from_a_thread, _WAITS),
    Scenario("eager", "`time.sleep` in an eager task", "loop", start_eagerly, _WAITS, since=(3, 12)),
    Scenario(
        "gil", "one call in C that keeps the GIL", "loop", multiply, r"\bcpu|\bgil\b", prepare=find_long_multiplication
    ),
    Scenario("lock", "a `threading.Lock` that another thread holds", "loop", wait_for_a_lock, r"\bwait\b|[Ll]ock\b"),
    Scenario("result", "`concurrent.futures.Future.result()`", "loop", wait_for_a_result, r"\bwait\b|[Ll]ock\b|result"),
    Scenario("subprocess", "`subprocess.run`", "loop", wait_for_a_process, r"\bwait(pid)?\b|subprocess"),
    Scenario("burst", "200 callbacks of 2 ms in one turn", "loop", do_a_little_often, r"\bcpu|many callbacks"),
    Scenario(
        "cumulative", "60 steps of 15 ms, 3 ms apart: never held for long", "loop", compute_in_parts, r"\bcpu|umulative"
    ),
    Scenario("second loop", "`time.sleep` in a second loop, in a thread", "loop", run_a_second_loop, _WAITS),
)
