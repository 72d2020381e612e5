"""What the sampler sleeps on: it is woken, and in C it sleeps on by itself as long as the loops it asks wait."""

from __future__ import annotations

import ctypes
import gc
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loopwatch import _compat
from loopwatch.observe.resting import _rest_py, rests
from tests.implementations import NAMES, accelerator, implementation

FOREVER = 1e9
PATIENCE = 10.0


def bell_of(name: str) -> Any:
    implementation(name)  # skips where it cannot be had
    if name == "python":
        return _rest_py.Bell()
    from loopwatch.observe.resting import _rest_c

    return _rest_c.Bell()


@pytest.fixture(params=NAMES)
def bell(request: pytest.FixtureRequest) -> Any:
    return bell_of(request.param)


def in_thread(sleep: Callable[[], Any], wake: Callable[[], Any]) -> Any:
    """What it returns, once it has been woken after a while."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(sleep()))
    thread.start()
    time.sleep(0.02)
    assert thread.is_alive()
    wake()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    return found[0]


def test_who_sleeps_is_woken(bell: Any) -> None:
    """By another thread, long before his time."""
    assert in_thread(lambda: bell.rest(6 * PATIENCE), bell.ring) is True


def test_what_has_rung_is_heard_once(bell: Any) -> None:
    """However often, and also where nobody slept."""
    bell.ring()
    bell.ring()
    assert (bell.rest(PATIENCE), bell.rest(0.001), bell.rest(0)) == (True, False, False)
    bell.ring()
    assert bell.rest(0) is True


def test_a_sleep_lasts_as_long_as_it_is_to(bell: Any) -> None:
    """Where nobody wakes."""
    began = time.perf_counter()
    assert bell.rest(0.05) is False
    assert time.perf_counter() - began >= 0.05


def test_a_time_that_is_none_is_refused() -> None:
    """Nothing else could end such a sleep; nor is anything asked that is no gauge."""
    bell = bell_of("c")
    for seconds in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="sleeps"):
            bell.rest(seconds)
    with pytest.raises(TypeError):
        bell.rest("long")
    with pytest.raises(TypeError):
        bell.doze(0.1, FOREVER, FOREVER, [])
    with pytest.raises(TypeError):
        bell.doze(0.1, FOREVER, FOREVER, (None,))


# --- dozing ------------------------------------------------------------------------------------


class Owner:
    """Stands for a loop."""


class Counter:
    """A counter that stands still: for C a number that is written in memory, in nanoseconds."""

    def __init__(self, name: str, most: float) -> None:
        self.owner: Any = Owner()
        self._text = ctypes.create_string_buffer(b"7000000000")
        read: Any = ctypes.CDLL(None).atoll
        read.restype, read.argtypes = ctypes.c_longlong, (ctypes.c_size_t,)
        self.gauge: Any = _rest_py.Gauge(read, most)
        if name == "c":
            from loopwatch.observe.resting import _rest_c

            self.gauge = _rest_c.Gauge(ctypes.cast(read, ctypes.c_void_p).value or 0, most)
        self.set()

    def set(self, *is_closed: Any) -> None:
        self.gauge.set(self.owner, ctypes.addressof(self._text), time.perf_counter(), 7.0, *is_closed)


class Bench:
    def __init__(self, name: str) -> None:
        self.bell = bell_of(name)
        self.name = name

    def counter(self, most: float = 60.0) -> Counter:
        return Counter(self.name, most)


@pytest.fixture(params=NAMES)
def bench(request: pytest.FixtureRequest) -> Bench:
    if sys.platform == "win32":
        pytest.skip("there is no uvloop on this platform")
    return Bench(request.param)


def test_a_doze_lasts_while_the_loops_wait_on(bench: Bench) -> None:
    """It takes many sleeps, and tells of the moment before the last one."""
    bell, steady, working = bench.bell, bench.counter(), bench.counter(0.2)
    began = time.perf_counter()
    heard, planned, at, switches, worked = bell.doze(0.01, FOREVER, FOREVER, (steady.gauge, working.gauge))
    ended = time.perf_counter()
    assert not heard
    assert began + 0.19 <= planned <= ended
    assert began <= at <= planned and 0.0 < worked <= time.process_time()
    if switches is not None:
        *_, now, _ = bell.doze(0.0, FOREVER, 0.0, ())
        assert 0 < now - switches < 4


def test_a_doze_ends_in_time_and_where_a_sleep_took_too_long(bench: Bench) -> None:
    """The last by what the caller calls long."""
    bell, steady = bench.bell, bench.counter()
    began = time.perf_counter()
    assert bell.doze(0.01, began + 0.1, FOREVER, (steady.gauge,))[0] is False
    assert time.perf_counter() >= began + 0.1
    steady = bench.counter()
    assert bell.doze(0.01, FOREVER, 0.0, (steady.gauge,))[0] is False


def test_a_doze_that_asks_nobody_lasts_until_then(bench: Bench) -> None:
    """There is nothing else that could end it, but the bell."""
    began = time.perf_counter()
    assert bench.bell.doze(0.01, began + 0.05, FOREVER, ())[0] is False
    assert time.perf_counter() - began >= 0.05


def test_who_dozes_is_woken(bench: Bench) -> None:
    """By the bell, or as the loop is taken away."""
    bell, steady = bench.bell, bench.counter()
    assert in_thread(lambda: bell.doze(0.01, FOREVER, FOREVER, (steady.gauge,)), bell.ring)[0] is True
    steady = bench.counter()
    woken = in_thread(lambda: bell.doze(0.001, FOREVER, FOREVER, (steady.gauge,)), steady.gauge.take_back)
    assert woken[0] is False


def test_a_loop_is_held_while_it_is_asked_and_no_longer(bench: Bench) -> None:
    """So that what is read is there."""
    bell, steady = bench.bell, bench.counter()
    there = weakref.ref(steady.owner)
    steady.owner = None

    def look() -> None:
        gc.collect()
        assert there() is not None
        bell.ring()

    in_thread(lambda: bell.doze(0.001, FOREVER, FOREVER, (steady.gauge,)), look)
    gc.collect()
    assert there() is None
    other = bench.counter()
    there = weakref.ref(other.owner)
    other.owner = None
    other.gauge.take_back()
    assert there() is None


def test_a_loop_whose_close_is_not_told_is_asked_before_each_reading(bench: Bench) -> None:
    """What was closed is not read, and what else is asked there may take the gauge back."""
    answers = iter([False, False, True])
    told, untold = bench.counter(), bench.counter()
    untold.set(lambda: next(answers))
    assert bench.bell.doze(0.001, FOREVER, FOREVER, (told.gauge, untold.gauge))[0] is False
    assert next(answers, None) is None
    untold = bench.counter()
    untold.set(lambda: untold.gauge.take_back() or False)
    assert bench.bell.doze(0.001, FOREVER, FOREVER, (untold.gauge,))[0] is False


def test_what_has_to_be_asked_is_not_read_without(bench: Bench) -> None:
    """Also where that is told to one who dozes already, without the interpreter."""
    counter = bench.counter()
    asked: list[bool] = []

    def is_closed() -> bool:
        asked.append(True)
        return True

    def tell() -> None:
        counter.set(is_closed)

    heard, *_ = in_thread(lambda: bench.bell.doze(0.001, FOREVER, FOREVER, (counter.gauge,)), tell)
    assert heard is False
    assert len(asked) <= 1  # it may have gone without asking: then the next look asks


def test_the_interpreter_is_waited_for_as_long_as_a_sleep_may_be_late(bench: Bench) -> None:
    """Also where a loop has to be asked: who dozed judges that, by a moment before the sleep after which it was."""

    def slow() -> bool:
        time.sleep(0.05)
        return False

    untold = bench.counter()
    untold.set(slow)
    began = time.perf_counter()
    heard, planned, at, _, _ = bench.bell.doze(0.001, began + PATIENCE, 0.05, (untold.gauge,))
    assert not heard and at <= planned <= time.perf_counter() - 0.05


def test_what_a_loop_is_asked_by_is_held_no_longer_than_the_loop(bench: Bench) -> None:
    """Also where the gauge is a part of it."""
    counter = bench.counter()
    there = weakref.ref(counter.owner)
    counter.owner.is_closed = lambda owner=counter.owner, gauge=counter.gauge: False
    counter.set(counter.owner.is_closed)
    del counter
    gc.collect()
    assert there() is None


def test_a_gauge_that_is_forgotten_takes_its_loop_along(bench: Bench) -> None:
    """Also where the loop has it."""
    counter = bench.counter()
    there = weakref.ref(counter.owner)
    counter.owner.gauge = counter.gauge
    del counter
    gc.collect()
    assert there() is None


def test_another_clock_than_ours_is_not_read() -> None:
    """A state that has one is looked at as often as one that cannot be told to wait on."""
    assert rests.make_gauge(None, 0.1, lambda: 0.0) is None


STORY = """
    import asyncio, sys, threading, time
    import uvloop
    from loopwatch._compat import clocks
    from loopwatch.observe.resting import rests
    from loopwatch.observe.uvloops.libuv import Libuv

    assert rests.IN_C
    libuv, bell, stop = Libuv(sys.modules["uvloop.loop"]), rests.make_bell(), threading.Event()
    gauges = [rests.make_gauge(libuv, 1e9, clocks.monotonic) for _ in range(2)]

    def doze():
        while not stop.is_set():
            bell.doze(0.0001, 1e9, 1e9, tuple(gauges))

    sleeper = threading.Thread(target=doze)
    sleeper.start()
    for number in range(25):
        loop = uvloop.new_event_loop()
        pointer = libuv.pointer_of(loop)
        libuv.configure(pointer)
        for gauge in gauges:
            gauge.set(loop, pointer, 0.0, 0.0)
        time.sleep(0.002)
        loop.run_until_complete(asyncio.sleep(0))
        for gauge in gauges:
            gauge.take_back()
        loop.close()
        del loop
    for number in range(25):  # nobody tells of the end of these
        loop = uvloop.new_event_loop()
        pointer = libuv.pointer_of(loop)
        libuv.configure(pointer)
        for gauge in gauges:
            gauge.set(loop, pointer, 0.0, 0.0, loop.is_closed)
        time.sleep(0.002)
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        time.sleep(0.001)
        del loop
    stop.set()
    bell.ring()
    sleeper.join()
"""


@pytest.mark.needs("uvloop", programs=("valgrind",))
def test_valgrind_finds_nothing_in_what_is_asked_in_c(tmp_path: Path) -> None:
    """No counter is read of a loop that is closed and freed, and nothing is left over."""
    accelerator()
    if not _compat.gil_enabled():
        pytest.skip("without the interpreter lock it needs an allocator of its own, which valgrind cannot look into")
    from loopwatch.observe.resting import _rest_c
    from tests.valgrind import blamed

    assert blamed(tmp_path, textwrap.dedent(STORY), _rest_c) == []
