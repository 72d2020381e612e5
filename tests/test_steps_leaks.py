"""The stopwatch keeps nothing: no reference, no memory, after a million steps, and no byte is used wrongly."""

from __future__ import annotations

import gc
import sys
import textwrap
import threading
import tracemalloc
import weakref
from asyncio import events
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loopwatch import _compat
from loopwatch.observe.stopwatch.steps import NOTABLE, QUICK
from loopwatch.testing import FakeClock
from tests.implementations import NAMES, implementation

MILLION = 1_000_000


class Loop:
    """As much of a loop as a handle asks for."""

    _loopwatch: Any
    failed = 0

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.failed += 1


class Alarm:
    asleep = True

    def wake(self) -> None:
        pass


class Bench:
    """A stopwatch of one make on a loop, with a run and a select that use it."""

    def __init__(self, name: str) -> None:
        module = implementation(name)
        self.clock = FakeClock(0.0)
        self.loop = Loop()
        self.state = self.loop._loopwatch = module.Stopwatch()
        self.state.mark = self.state.turn = 0.0
        self.run = module.make_run(events.Handle._run, self.adopt, self.clock)
        self.answer: list[Any] = []
        self.select = module.make_select(self.state, self.poll, Alarm(), self.clock)

    def adopt(self, handle: Any) -> Any:
        return self.state

    def poll(self, timeout: Any) -> Any:
        return self.answer

    def handle(self, callback: Any, *given: Any) -> Any:
        return events.Handle(callback, given, self.loop)  # type: ignore[arg-type]


@pytest.fixture(params=NAMES)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(request.param)
    gc.collect()
    gc.disable()
    yield made
    gc.enable()


def fail(*given: Any) -> None:
    raise ValueError(given)


def test_a_million_steps_and_polls_keep_no_reference(bench: Bench) -> None:
    """Of what takes part in each, the count of references is the same before and after."""
    run, select = bench.run, bench.select
    argument, timeout = object(), 7.25
    handle = bench.handle(len, ())
    failing = bench.handle(fail, argument)
    context = handle._context
    watched = [
        argument,
        timeout,
        handle,
        failing,
        context,
        None,
        bench.state,
        bench.loop,
        bench.answer,
        len,
        run,
        select,
    ]
    for _ in range(10):
        run(handle), run(failing), select(timeout), select(0)
    bench.state.handle = None
    gc.collect()
    before = [sys.getrefcount(each) for each in watched]
    for _ in range(MILLION // 10):
        for _ in range(10):
            run(handle)
        select(timeout)
    for number in range(2000):
        bench.clock.advance(0.01 * (number % 2))
        run(failing)
        select(0)
    bench.state.handle = None
    gc.collect()
    now = [sys.getrefcount(each) for each in watched]
    assert bench.loop.failed == 2010
    # A few references come and go with what the interpreter caches; a leak would be one for each step.
    assert [abs(after - first) < 50 for first, after in zip(before, now, strict=True)] == [True] * len(watched)


def test_a_million_steps_take_no_memory(bench: Bench) -> None:
    """What is allocated after them is what was allocated after a few."""
    run, handle = bench.run, bench.handle(len, ())
    for _ in range(1000):
        run(handle)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(MILLION // 10):
            run(handle)
            bench.select(None)
        now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert now - before < 4096
    assert most - before < 65536


def test_what_is_made_ends_with_its_last_user(bench: Bench) -> None:
    """A run and a select, and what they hold, end at once, or by the collector where they hold themselves."""

    class Adopting:
        def __call__(self, handle: Any) -> Any:
            return None

    module = sys.modules[type(bench.state).__module__]
    for cyclic in (False, True):
        adopting = Adopting()
        run = module.make_run(print, adopting, bench.clock)
        select = module.make_select(bench.state, print, adopting, bench.clock)
        if cyclic:
            run.itself, select.itself = run, select
        gone = [weakref.ref(each) for each in (run, select, adopting)]
        del run, select, adopting
        gc.collect()
        assert [each() for each in gone] == [None] * 3


def test_a_stopwatch_in_a_cycle_is_collected(bench: Bench) -> None:
    """It is seen by the collector with all that it holds."""

    class Own(type(bench.state)):  # type: ignore[misc]
        pass

    state = Own()
    state.handle, state.step_counts = state, [state]
    gone = weakref.ref(state)
    del state
    gc.collect()
    assert gone() is None


def test_the_module_can_be_made_anew() -> None:
    """Multi-phase initialisation: two of it do not disturb each other, and one that is gone leaves nothing."""
    implementation("c")
    from loopwatch.observe.stopwatch import _steps_c

    spec: Any = _steps_c.__spec__
    import importlib.util

    for _ in range(5):
        other: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(other)
        assert other.Fields is not _steps_c.Fields
        assert other.Fields().mark == float("inf")
        gone = weakref.ref(other.Fields)
        del other
        gc.collect()
        assert gone() is None or not _compat.gil_enabled()  # there the interpreter takes its time with types


# --- with other threads ------------------------------------------------------------------------


def test_other_threads_may_read_and_let_go_at_any_time(bench: Bench) -> None:
    """While one thread runs steps and polls, others read every field, and turn the watching off and on: what they
    read was written once, and no step is lost or counted twice."""
    gc.enable()
    state, run, select = bench.state, bench.run, bench.select
    handles = [bench.handle(len, ()), bench.handle(int, "7")]
    over, wrong = threading.Event(), list[Any]()
    allowed = (None, *handles)

    def read() -> None:
        before = 0
        while not over.is_set():
            seen = (state.mark, state.turn, state.idle, state.handle, state.quick)
            if seen[3] not in allowed or seen[4] < before or seen[0] not in (0.0, float("inf")):
                wrong.append(seen)
            before = seen[4]

    def switch() -> None:
        while not over.is_set():
            run.let_go()
            run.take_up()

    def count(steps: int) -> int:
        before: int = state.quick
        for number in range(steps):
            run(handles[number % 2])
            select(None if number % 10 else 0)
        after: int = state.quick
        return after - before

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    counted = count(20_000)
    threads.append(threading.Thread(target=switch))
    threads[-1].start()
    at_most = count(20_000)
    over.set()
    for thread in threads:
        thread.join(10)
    assert wrong == []
    assert counted == 20_000
    assert 0 <= at_most <= 20_000


def test_no_count_that_other_threads_read_goes_back(bench: Bench) -> None:
    """While one thread runs steps and polls that are quick, brief and slow, each bucket that others read only grows."""
    state, over, wrong = bench.state, threading.Event(), list[Any]()
    state.slow_from = NOTABLE
    lasting = [0.0, 2 * QUICK, 0.0, 3 * QUICK, NOTABLE]
    handles = [bench.handle(bench.clock.advance, seconds) for seconds in lasting]

    def read() -> None:
        before = [state.steps_counted(), state.turns_counted()]
        while not over.is_set():
            seen = [state.steps_counted(), state.turns_counted()]
            if any(new < old for news, olds in zip(seen, before, strict=True) for new, old in zip(news, olds)):
                wrong.append((before, seen))
            before = seen

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    rounds = 2000
    for number in range(rounds):
        for handle in handles:
            bench.run(handle)
            bench.select(number % 2)
    over.set()
    for thread in threads:
        thread.join(10)
    assert wrong == []
    for counts in (state.steps_counted(), state.turns_counted()):
        assert (counts[0], counts[1] + counts[2], sum(counts[3:])) == (2 * rounds, 3 * rounds, 0)


# --- under valgrind ----------------------------------------------------------------------------

STORY = """
    import asyncio, gc, sys
    import loopwatch
    from loopwatch.observe.stopwatch.steps import IMPLEMENTATION
    assert IMPLEMENTATION == "c"

    def fail():
        raise ValueError

    def cancel():
        handle.cancel()
        raise KeyError

    async def main():
        global handle
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)
        for _ in range(20):
            loop.call_soon(fail)
            handle = loop.call_soon(cancel)
            loop.call_later(0.001, int)
            loop.call_soon_threadsafe(int)
            await asyncio.sleep(0)
            await asyncio.create_task(asyncio.sleep(0.002))
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x")
        assert await reader.read(1) == b"x"
        writer.close()

    async def echo(reader, writer):
        writer.write(await reader.read(1))
        writer.close()

    async def serve():
        global server
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            await main()

    for _ in range(2):
        with loopwatch.install(reporters=[], prometheus=False):
            asyncio.run(serve())
    gc.collect()
"""


@pytest.mark.needs(programs=("valgrind",))
def test_valgrind_finds_nothing_in_it(tmp_path: Path) -> None:
    """No byte is read that was not written, or that is not ours: in a run of all paths, of the stopwatch's own code."""
    implementation("c")
    if not _compat.gil_enabled():
        pytest.skip("without the interpreter lock it needs an allocator of its own, which valgrind cannot look into")
    from loopwatch.observe.stopwatch import _steps_c
    from tests.valgrind import blamed

    assert blamed(tmp_path, textwrap.dedent(STORY), _steps_c) == []
