"""Programs that do nothing wrong. Where the loop is late all the same, no code of theirs is to blame."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from .scenario import Scenario

_LAST = 0.6


async def rest() -> None:
    await asyncio.create_task(asyncio.sleep(_LAST))


async def use_a_thread() -> None:
    await asyncio.gather(*(asyncio.to_thread(time.sleep, _LAST / 2) for _ in range(3)))


async def read_a_small_file() -> None:
    for _ in range(20):
        Path(__file__).read_bytes()
        await asyncio.sleep(0.01)


_heap: list[object] = []


def build_a_heap() -> None:
    """More than the collector can look through within any threshold, and not looked through yet."""
    gc.disable()
    for _ in range(1_500_000):
        _heap.append([None])


async def be_collected() -> None:
    gc.enable()
    for _ in range(100):
        _heap.extend([number] for number in range(50))
        await asyncio.sleep(0.002)


_STOPPER = "import os, signal, sys, time; sys.stdin.readline(); time.sleep(0.1)\n"
_STOPPER += "os.kill({0}, signal.SIGSTOP); time.sleep(0.4); os.kill({0}, signal.SIGCONT)"
_stoppers: list[subprocess.Popen[bytes]] = []


def start_the_stopper() -> None:
    command = [sys.executable, "-S", "-c", _STOPPER.format(os.getpid())]
    _stoppers.append(subprocess.Popen(command, stdin=subprocess.PIPE))
    time.sleep(0.3)


async def be_stopped() -> None:
    (stopper,) = _stoppers
    stopped = asyncio.ensure_future(asyncio.to_thread(stopper.communicate, b"\n"))
    until = time.monotonic() + 0.8
    while time.monotonic() < until:
        await asyncio.sleep(0.005)
    await stopped


_go, _enough = threading.Event(), threading.Event()
_LARGE = bytes(1 << 14)


def _spin_beside() -> None:
    _go.wait()
    while not _enough.is_set():
        pass


def start_threads() -> None:
    for _ in range(16):
        threading.Thread(target=_spin_beside, daemon=True).start()


async def live_beside_busy_threads() -> None:
    """Steps of microseconds, which let go of the GIL for a moment, as reading and hashing do."""
    _go.set()
    try:
        until = time.monotonic() + _LAST
        while time.monotonic() < until:
            hashlib.sha256(_LARGE)
            await asyncio.sleep(0.005)
    finally:
        _enough.set()


SCENARIOS = (
    Scenario("idle", "nothing to do", "innocent", rest),
    Scenario("to_thread", "three jobs for free threads", "innocent", use_a_thread),
    Scenario("small file", "a small file is read, again and again", "innocent", read_a_small_file),
    Scenario("gc", "the garbage collector holds the loop", "innocent", be_collected, r"\bgc\b|garbage", build_a_heap),
    Scenario(
        "sigstop",
        "the process is stopped for 0.4 s",
        "innocent",
        be_stopped,
        r"suspended|stood still",
        start_the_stopper,
    ),
    Scenario(
        "busy threads",
        "16 other threads want the GIL",
        "innocent",
        live_beside_busy_threads,
        r"\bgil\b|interpreter",
        start_threads,
    ),
)
