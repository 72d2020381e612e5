"""What is done to code is not charged to it: collections, an interpreter that others hold, a host without a CPU."""

from __future__ import annotations

import asyncio
import ctypes
import functools
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

import loopwatch
from loopwatch.model import Stall
from loopwatch.testing import RecordingReporter
from tests.differences import Difference, told
from tests.holding import BUSY, HELD, in_a_callback, in_a_step, line, longest, on_a_free_host, starved, watching

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("each_loop")]

HAS_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()


@pytest.fixture
def watch(events: RecordingReporter) -> Iterator[loopwatch.Watch]:
    with watching(events) as watch:
        yield watch


# --- the collector -----------------------------------------------------------------------------


@pytest.fixture
def collector_off() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


OBJECTS = 3_000_000
ENOUGH = 0.05


def test_a_collection_that_comes_by_itself_charges_nobody(collector_off: None, events: RecordingReporter) -> None:
    """It runs in the code that happened to make one object too many."""

    def allocate() -> None:
        gc.enable()
        kept: list[list[int]] = [[] for _ in range(20_000)]  # held: allocation
        gc.disable()
        assert kept

    with watching(events, ENOUGH / 2):
        heap = [[index] for index in range(OBJECTS)]
        in_a_step(allocate)
        stall = longest(events)
        del heap
    assert stall.duration >= ENOUGH
    assert (stall.cause, stall.culprit, stall.site) == ("gc", None, "(gc)")
    assert stall.evidence["gc_seconds"] >= 0.5 * stall.duration
    assert "gc.freeze()" in stall.remedy


def test_a_collection_that_code_asks_for_is_charged_to_it(collector_off: None, events: RecordingReporter) -> None:
    """The line that calls ``gc.collect()``, for certain: the collector itself tells who called it."""

    def tidy_up() -> None:
        gc.collect()  # held: gc.collect

    with watching(events, ENOUGH / 2):
        heap = [[index] for index in range(OBJECTS)]
        in_a_step(tidy_up)
        stall = longest(events)
        del heap
    assert (stall.cause, stall.evidence["call"]) == ("gc", "gc.collect")
    assert stall.culprit is not None and stall.culprit.line == line("gc.collect", __file__)
    assert "certain" not in stall.evidence
    assert "gc.collect()" in stall.remedy


# --- the interpreter ---------------------------------------------------------------------------


def assert_charged_with_doubt_if_at_all(stall: Stall, function: str) -> None:
    """Nobody could look: who it was is known where the step is, and its line nowhere."""
    charged = stall.culprit and stall.culprit.function.rpartition(".")[2]
    doubtful: tuple[str | None, bool | None] = (function, False)
    expected = told(Difference.UNSEEN, stall, [doubtful], [doubtful, (None, None)])
    assert (charged, stall.evidence.get("certain")) in expected


@functools.cache
def a_number_that_takes(seconds: float) -> int:
    """A number whose square takes about so long; a product holds the interpreter to its end."""
    digits, number = 100_000, 0
    spent = 0.0
    while spent < seconds:
        number = 10**digits + 1
        began = time.thread_time()
        number * number
        spent = time.thread_time() - began
        digits = digits * 3 // 2
    return number


@pytest.mark.skipif(not HAS_GIL, reason="there is no interpreter lock to hold")
def test_a_product_that_holds_the_interpreter_is_told_with_doubt(
    watch: loopwatch.Watch, events: RecordingReporter
) -> None:
    """No thread can look meanwhile: the function is right, its line is not presented as a fact."""
    number = a_number_that_takes(0.3)

    def multiply() -> None:
        product = number * number  # held: product
        int(product > 0)

    stall = on_a_free_host(events, lambda: in_a_callback(multiply))
    assert stall.duration >= 0.2
    assert stall.cause == "cpu", stall.evidence
    assert stall.culprit is not None and stall.culprit.function.endswith("multiply")
    assert stall.evidence["certain"] is False
    assert stall.evidence["late_samples"] >= 1


@pytest.mark.skipif(not HAS_GIL, reason="there is no interpreter lock to hold")
def test_a_product_right_after_the_loop_awoke_is_told_with_doubt(
    watch: loopwatch.Watch, events: RecordingReporter
) -> None:
    """The sampler slept, was woken, and could not go on: that it came late is known all the same."""
    number = a_number_that_takes(0.3)

    async def main() -> None:
        await asyncio.sleep(0.5)  # long enough for the sampler to fall asleep
        product = number * number
        int(product > 0)
        await asyncio.sleep(0.01)

    stall = on_a_free_host(events, lambda: asyncio.run(main()))
    assert (stall.cause, stall.evidence["certain"]) == ("cpu", False)


@pytest.mark.skipif(not HAS_GIL, reason="there is no interpreter lock to hold")
def test_a_product_at_the_end_of_a_step_is_charged_to_its_function(
    watch: loopwatch.Watch, events: RecordingReporter
) -> None:
    """Even where the step was over before anything could be seen of it."""
    number = a_number_that_takes(0.3)
    results: list[int] = []

    def multiply() -> None:
        results[:] = [number * number]

    stall = on_a_free_host(events, lambda: in_a_callback(multiply))
    assert stall.cause == "cpu" and stall.duration >= 0.2
    assert_charged_with_doubt_if_at_all(stall, "multiply")


@pytest.mark.skipif(not HAS_GIL, reason="there is no interpreter lock to hold")
def test_a_library_that_sleeps_with_the_interpreter_is_a_wait(
    watch: loopwatch.Watch, events: RecordingReporter
) -> None:
    """It used no CPU, and nobody else held the interpreter: the thread itself was blocked."""
    library = ctypes.PyDLL(None)

    def call() -> None:
        library.usleep(int(HELD * 1e6))

    stall = on_a_free_host(events, lambda: in_a_callback(call))
    assert (stall.cause, stall.evidence.get("waited_for")) == ("wait", "other"), stall.evidence
    assert_charged_with_doubt_if_at_all(stall, "call")


@pytest.mark.skipif(not HAS_GIL, reason="there is no interpreter lock to hold")
def test_code_that_others_keep_from_the_interpreter_is_not_charged(
    watch: loopwatch.Watch, events: RecordingReporter
) -> None:
    """Threads that compute take it away; the little that the step does is not to blame."""
    stop = threading.Event()

    def hog() -> None:
        while not stop.is_set():
            sum(range(100))

    def innocent() -> None:
        end = time.thread_time() + 0.03
        names = {index: index for index in range(100)}
        while time.thread_time() < end:
            for index in range(100):
                names.get(index)

    hogs = [threading.Thread(target=hog) for _ in range(6)]
    for thread in hogs:
        thread.start()
    try:
        for _ in range(4):
            in_a_step(innocent)
        assert watch.flush(10)
    finally:
        stop.set()
        for thread in hogs:
            thread.join()
    assert [(stall.cause, stall.culprit) for stall in events.stalls] == [("unknown", None)] * len(events.stalls)
    lacked = [stall for stall in events.stalls if stall.evidence.get("waited_for") == "interpreter"]
    if not lacked and any(map(starved, events.stalls)):
        pytest.skip(BUSY)
    assert lacked and "other threads" in lacked[0].remedy


@pytest.mark.skipif(not HAS_GIL, reason="there is no interpreter lock to hold")
def test_code_that_waits_for_the_end_of_another_threads_product_is_not_charged(
    watch: loopwatch.Watch, events: RecordingReporter
) -> None:
    """One operation of another thread holds the interpreter: not even the call it was seen in waits for a lock."""
    number = a_number_that_takes(0.15)
    stop = threading.Event()
    computed: list[float] = []

    def multiply() -> None:
        while not stop.is_set():
            number * number

    def innocent() -> None:
        """Until a product has kept it waiting: the other thread asks for the interpreter when it gets a CPU."""
        names = {1: 2}
        began, used = time.monotonic(), time.thread_time()
        while time.monotonic() - began < (mine := time.thread_time() - used) + 0.12 and mine < 0.5:
            names.get(1)
        computed.append(mine)

    thread = threading.Thread(target=multiply)
    thread.start()
    try:
        in_a_step(innocent)
        assert watch.flush(10)
    finally:
        stop.set()
        thread.join()
    if computed[0] > 0.05:
        pytest.skip(BUSY)
    assert events.stalls
    assert [(stall.cause, stall.culprit) for stall in events.stalls] == [("unknown", None)] * len(events.stalls)


# --- the host ----------------------------------------------------------------------------------


def test_code_that_the_host_gives_no_cpu_is_not_charged(events: RecordingReporter) -> None:
    """Other processes spin: what the step lacks is a CPU."""
    spin_forever = "while True: pass"

    def innocent() -> None:
        end = time.thread_time() + 0.03
        while time.thread_time() < end:
            sum(range(100))

    spinners = [subprocess.Popen([sys.executable, "-S", "-c", spin_forever]) for _ in range(4 * (os.cpu_count() or 1))]
    try:
        time.sleep(0.3)
        with watching(events, 0.05) as watch:
            for _ in range(10):
                in_a_step(innocent)
            assert watch.flush(10)
    finally:
        for process in spinners:
            process.kill()
            process.wait()
    lacked = [stall for stall in events.stalls if stall.evidence.get("queued_seconds", 0) >= 0.5 * stall.duration]
    assert lacked, "the host found a CPU for us all the time"
    for stall in lacked:
        assert (stall.cause, stall.culprit) == ("unknown", None)
        assert stall.evidence["waited_for"] == "cpu"
        assert "the host" in stall.remedy
