"""What a loop was held by that waited: for what, in which call, for how long, and who had to wait for it."""

from __future__ import annotations

import asyncio
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import loopwatch
from loopwatch.model import Stall
from loopwatch.testing import RecordingReporter
from tests.differences import Difference, on
from tests.holding import HELD, WARM, held_for, in_a_step, later, line, longest, watching

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("each_loop")]


@pytest.fixture
def watch(events: RecordingReporter) -> Iterator[loopwatch.Watch]:
    with watching(events) as watch:
        yield watch


# --- waits -------------------------------------------------------------------------------------


def wait_for_lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    with later(lock.release):
        lock.acquire()  # held: lock


def wait_for_lock_by_with() -> None:
    lock = threading.Lock()
    lock.acquire()
    with later(lock.release), lock:  # held: with
        pass


def wait_for_future() -> None:
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(time.sleep, HELD)
        future.result()  # held: future


def wait_for_queue() -> None:
    items: queue.SimpleQueue[int] = queue.SimpleQueue()
    with later(lambda: items.put(1)):
        items.get(timeout=10)  # held: queue


def wait_for_thread() -> None:
    thread = threading.Thread(target=time.sleep, args=(HELD,))
    thread.start()
    thread.join()  # held: thread


def wait_for_process() -> None:
    subprocess.run([sys.executable, "-S", "-c", f"import time; time.sleep({HELD})"], check=True)  # held: process


def wait_for_output() -> None:
    program = f"import time; time.sleep({HELD}); print('done')"
    subprocess.run([sys.executable, "-S", "-c", program], check=True, capture_output=True)  # held: output


def wait_for_network() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, later(lambda: theirs.send(b"x")):
        ours.recv(1)  # held: network


def wait_for_file(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with fifo.open("rb+", buffering=0) as file, later(lambda: os.write(file.fileno(), b"x")):
        os.read(file.fileno(), 1)  # held: file


@pytest.mark.parametrize(
    ("block", "mark", "waited_for", "call", "word"),
    [
        (wait_for_lock, "lock", "lock", "acquire", "another thread"),
        (wait_for_lock_by_with, "with", "lock", "__enter__", "another thread"),
        (wait_for_future, "future", "lock", None, "wrap_future"),
        (wait_for_queue, "queue", "lock", "get", "another thread"),
        (wait_for_thread, "thread", "lock", None, "another thread"),
        (wait_for_process, "process", "process", None, "create_subprocess_exec"),
        (wait_for_output, "output", "process", None, "create_subprocess_exec"),
        (wait_for_network, "network", "network", "ours.recv", "async client"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wait_is_told_with_what_was_waited_for(
    watch: loopwatch.Watch,
    events: RecordingReporter,
    block: Callable[[], None],
    mark: str,
    waited_for: str,
    call: str | None,
    word: str,
) -> None:
    """The line that waits, what for, in which call, and what to do instead."""
    in_a_step(block)
    stall = longest(events)
    assert stall.duration >= HELD - 0.05
    assert (stall.cause, stall.evidence["waited_for"]) == ("wait", waited_for)
    assert stall.culprit is not None
    assert (stall.culprit.function, stall.culprit.line) == (block.__name__, line(mark, __file__))
    assert call is None or stall.evidence["call"].endswith(call)
    assert word in stall.remedy
    assert "certain" not in stall.evidence


def test_a_read_of_a_file_that_has_nothing_yet_is_told(
    watch: loopwatch.Watch, events: RecordingReporter, tmp_path: Path
) -> None:
    """A FIFO is a file that can be waited for."""
    in_a_step(lambda: wait_for_file(tmp_path))
    stall = longest(events)
    assert held_for(stall, HELD)
    assert (stall.cause, stall.evidence["waited_for"], stall.evidence["call"]) == ("wait", "file", "os.read")
    assert stall.culprit is not None
    assert (stall.culprit.function, stall.culprit.line) == ("wait_for_file", line("file", __file__))
    assert "to_thread" in stall.remedy


def test_a_deadlock_is_told_while_it_lasts_and_once_more_at_its_end(events: RecordingReporter) -> None:
    """At ten thresholds and at doublings, always under the same id."""
    threshold = 0.02

    def deadlock() -> None:
        lock = threading.Lock()
        lock.acquire()
        with later(lock.release, 1.0):
            lock.acquire()  # held: deadlock

    with watching(events, threshold) as watch:
        in_a_step(deadlock)
        assert watch.flush(10)
    ended = max(events.stalls, key=lambda stall: stall.duration)
    told = [stall for stall in events.events if isinstance(stall, Stall) and stall.id == ended.id]
    assert told[-1] is ended and all(stall.in_progress for stall in told[:-1])
    ages = [stall.duration for stall in told]
    for age, due in zip(ages, (0.2, 0.4, 0.8)):
        assert due <= age < 2 * due
    assert len(ages) == 4
    assert held_for(ended, 1.0)
    for stall in told:
        assert (stall.cause, stall.evidence["waited_for"]) == ("wait", "lock")
        assert stall.culprit is not None and stall.culprit.line == line("deadlock", __file__)
        assert stall.started_at == pytest.approx(ended.started_at, abs=0.01)


# --- who waited --------------------------------------------------------------------------------


def test_what_was_ready_and_had_to_wait_is_counted(
    watch: loopwatch.Watch, events: RecordingReporter, each_loop: str
) -> None:
    """Callbacks, due timers and ready sockets; not what was cancelled and what was not due."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        loop.add_reader(ours, lambda: ours.recv(1))
        await asyncio.sleep(WARM)
        loop.call_soon(time.sleep, HELD)
        for _ in range(5):
            loop.call_soon(int)
        for _ in range(3):
            loop.call_later(0.05, int)
        loop.call_later(0.05, int).cancel()
        loop.call_later(10, int)
        threading.Timer(0.05, theirs.send, (b"x",)).start()
        await asyncio.sleep(0.02)
        loop.remove_reader(ours)
        ours.close()
        theirs.close()

    asyncio.run(main())
    ready = 5
    delayed = ready + 3 + 1 + 1  # the last is the end of the sleep
    assert longest(events).delayed in on(Difference.COUNTS, each_loop, (delayed,), (0, ready))
