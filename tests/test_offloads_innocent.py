"""Honest work in pools, end to end: what it is called, and that nobody is accused of it."""

from __future__ import annotations

import asyncio
import hashlib
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.differences import Difference, on
from tests.executing import SOON
from tests.offloading import at_once, fetch_page, offload, slow_database

pytestmark = pytest.mark.realtime

on_each_loop = pytest.mark.usefixtures("each_loop")


def add_up() -> int:
    total = 0
    for number in range(300_000):
        total += number * number % 7
    return total


def digest() -> str:
    return hashlib.sha256(b"x" * 8_000_000).hexdigest()


MEGABYTES = b"x" * 4_000_000


def copy_through_a_file(folder: pathlib.Path) -> int:
    path = folder / threading.current_thread().name
    with open(path, "wb") as file:
        for _ in range(8):
            file.write(MEGABYTES)
    with open(path, "rb") as file:
        size = 0
        while part := file.read(1 << 20):
            size += len(part)
    return size


LOCK = threading.Lock()


def take_turns() -> None:
    with LOCK:
        time.sleep(0.02)


def run_a_program() -> None:
    subprocess.run([sys.executable, "-c", "import time; time.sleep(0.1)"], check=True, stdin=subprocess.DEVNULL)


def read_a_programs_output() -> bytes:
    command = [sys.executable, "-c", "import time; time.sleep(0.1); print(1)"]
    return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True).stdout


def in_a_pool(workers: int, number: int, function: Callable[..., Any], *given: Any) -> None:
    """Run it so often on so many workers, each time awaited by a task of its own."""

    async def ask() -> None:
        await asyncio.get_running_loop().run_in_executor(pool, function, *given)

    with ThreadPoolExecutor(workers) as pool:
        asyncio.run(at_once(number, ask))


def test_python_that_computes_is_a_cpu_offload(watch, events):
    """Eight workers fight for one interpreter: each shows little CPU time, and none waits for anything else."""
    in_a_pool(8, 160, add_up)  # so many threads leave the sampler few looks
    found = offload(watch)
    assert found.verdict == "cpu offload" and "process pool" in found.remedy
    assert found.evidence["cpu_share"] < 0.5
    assert events.offloads == []


def test_c_code_that_computes_is_a_cpu_offload(watch, events):
    """Hashing lets the interpreter go, and the workers share the CPUs."""
    in_a_pool(4, 40, digest)
    assert offload(watch).verdict == "cpu offload"
    assert events.offloads == []


def test_a_c_function_that_computes_is_a_cpu_offload(watch):
    """The target itself is C: no frame of it is ever seen."""
    in_a_pool(2, 40, hashlib.sha256, MEGABYTES * 2)
    assert offload(watch).verdict == "cpu offload"


def test_reading_and_writing_files_is_a_file_offload(watch, events, tmp_path):
    """Many megabytes through files, most of it in memory: no async client would do better."""
    in_a_pool(3, 15, copy_through_a_file, tmp_path)
    found = offload(watch)
    assert (found.verdict, found.evidence["waited_for"]) == ("file I/O offload", "file")
    assert events.offloads == []


def test_a_method_of_a_path_is_a_file_offload(watch, tmp_path):
    """Known by its name, however quick it is."""
    in_a_pool(2, 10, tmp_path.joinpath("file").write_bytes, MEGABYTES)
    found = offload(watch)
    assert found.verdict == "file I/O offload" and found.target.endswith("write_bytes")


def test_jobs_that_wait_for_each_other_are_a_lock_offload(watch, events):
    """One lock in four workers; the one that has it is seen at something else."""
    in_a_pool(4, 20, take_turns)
    found = offload(watch)
    assert (found.verdict, found.evidence["waited_for"]) == ("lock offload", "lock")
    assert events.offloads == []


@pytest.mark.parametrize("function", [run_a_program, read_a_programs_output])
def test_waiting_for_another_process_is_not_accused(watch, events, function):
    """Whether it is waited for, or what it prints."""
    in_a_pool(2, 6, function)
    found = offload(watch)
    assert (found.verdict, found.evidence["waited_for"]) == ("offload", "process")
    assert events.offloads == []


def test_work_that_no_loop_waits_for_is_not_accused(watch, events):
    """A program of threads that fetches in a pool does what pools are for."""
    with slow_database() as database, ThreadPoolExecutor(4) as pool:
        assert set(pool.map(fetch_page, [database] * 20)) == {b"done"}
    found = offload(watch)
    assert found.verdict == "offload" and found.evidence["loop_jobs"] == 0
    assert events.events == []


@on_each_loop
def test_many_short_jobs_keep_an_estimate_of_their_cpu_time(watch):
    """Once they are known to be short the clock is not read around each; what is known stands for all."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(6):
            await asyncio.gather(*(loop.run_in_executor(pool, abs, 1) for _ in range(100)))
            await asyncio.sleep(0.05)

    with ThreadPoolExecutor(1) as pool:
        asyncio.run(main())
        found = offload(watch)
        (lane,) = next(iter(watch._executors.pools)).lanes.values()
    assert lane.quick and found.jobs == 600
    assert found.cpu_seconds is not None and 0 < found.cpu_seconds <= found.run_seconds


@on_each_loop
def test_names_looked_up_by_the_loop_are_not_accused(watch, events, each_loop):
    """A native client has no other way."""

    async def connect() -> None:
        await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80)

    asyncio.run(at_once(20, connect))
    assert watch.flush(SOON)
    found = [(each.executor, each.verdict) for each in watch.snapshot().offloads]
    assert found == [(on(Difference.LOOKUP, each_loop, "default", "libuv"), "offload")]
    assert events.offloads == []


@on_each_loop
def test_little_evidence_decides_nothing(watch, events):
    """One job on a free pool: no verdict, and no event at all."""

    async def nap() -> None:
        await asyncio.to_thread(time.sleep, 0.5)

    asyncio.run(nap())
    found = offload(watch)
    assert (found.verdict, found.jobs, found.remedy) == ("undecided", 1, "")
    time.sleep(0.3)
    assert watch.flush(SOON) and events.events == []


@on_each_loop
def test_a_few_calls_are_judged_but_not_told(watch, events):
    """The snapshot has the verdict; an event is worth a second of waiting."""

    async def nap() -> None:
        await asyncio.to_thread(time.sleep, 0.05)

    asyncio.run(at_once(5, nap))
    assert offload(watch).verdict == "simulated async"
    assert events.offloads == []
