"""The timing of calls keeps nothing, after a million of them, however they end; and no byte is used wrongly."""

from __future__ import annotations

import contextlib
import contextvars
import gc
import sys
import textwrap
import time
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loopwatch import _compat
from loopwatch.observe.uvloops import _calls_py
from tests.implementations import NAMES, accelerator, implementation
from tests.programs import run

uvloop = pytest.importorskip("uvloop")

MILLION = 1_000_000
FEWER = 50_000
"""In Python each takes longer, and nothing can be leaked but by what the interpreter itself does."""
BATCH = 1000


def ignore(*given: Any) -> None:
    pass


def fail(*given: Any) -> None:
    raise ValueError(given)


def hand_back(loop: Any, callback: Any) -> Any:
    return callback


class Bench:
    """A real loop of uvloop whose calls are timed by one implementation; one bench has all that is told of."""

    def __init__(self, name: str) -> None:
        implementation(name)  # skips where it cannot be had
        self.module: Any = _calls_py
        if name == "c":
            from loopwatch.observe.uvloops import _calls_c

            self.module = _calls_c
        self.count = MILLION if name == "c" else FEWER
        self.clock = None if name == "c" else time.perf_counter
        self.known: dict[int, Any] = {}
        self.told = self.failed = 0
        base, make = uvloop.Loop, self.module.make_schedule
        methods = {
            each: make(getattr(base, each), self.find, 1, True) for each in ("call_soon", "call_soon_threadsafe")
        }
        methods["call_later"] = make(base.call_later, self.find, 2, False)
        self.kind = type("Loop", (base,), methods)
        self.stand_in = make(hand_back, self.find, 1, True)
        self.loop, self.calls = self.make(bound=3600.0)
        self.odd_loop, self.odd_calls = self.make(bound=-1.0)
        self.argument, self.context = object(), contextvars.copy_context()
        self.given = object()

    def make(self, bound: float) -> tuple[Any, Any]:
        """A loop, whose calls are all quick or all told of."""
        loop = self.kind()
        loop.set_exception_handler(self.failing)
        calls = self.known[id(loop)] = self.module.Calls(loop, self.settle, self.clock, bound, bound)
        return loop, calls

    def find(self, loop: Any) -> Any:
        return self.known.get(id(loop))

    def settle(self, *told: Any) -> None:
        self.told += 1

    def failing(self, *told: Any) -> None:
        self.failed += 1

    def turn(self, loop: Any) -> None:
        loop.call_soon(loop.stop)
        loop.run_forever()

    def close(self) -> None:
        for loop in (self.loop, self.odd_loop):
            loop.close()


def done(bench: Bench) -> None:
    for _ in range(BATCH):
        bench.loop.call_soon(ignore, bench.argument)
    bench.turn(bench.loop)


def raised(bench: Bench) -> None:
    for _ in range(BATCH):
        bench.loop.call_soon(fail, bench.argument)
    bench.turn(bench.loop)


def told(bench: Bench) -> None:
    """Half of them raise, too."""
    for _ in range(BATCH // 2):
        bench.odd_loop.call_soon(ignore, bench.argument)
        bench.odd_loop.call_soon(fail, bench.argument)
    bench.turn(bench.odd_loop)


def cancelled(bench: Bench) -> None:
    for _ in range(BATCH // 2):
        bench.loop.call_soon(ignore, bench.argument).cancel()
        bench.loop.call_later(3600, ignore, bench.argument).cancel()
    bench.turn(bench.loop)


def never_run(bench: Bench) -> None:
    """They are given to a loop that is closed before it has run."""
    loop, _ = bench.make(bound=0.0)
    for _ in range(BATCH):
        loop.call_soon(ignore, bench.argument)
    del bench.known[id(loop)]
    loop.close()


def refused(bench: Bench) -> None:
    for _ in range(BATCH):
        with contextlib.suppress(TypeError):
            bench.loop.call_later("never", ignore, bench.argument)


def nested(bench: Bench) -> None:
    """What is timed calls what is timed, by itself."""
    stand_in, loop = bench.stand_in, bench.loop
    for _ in range(BATCH // 2):
        loop.call_soon(stand_in(loop, ignore), bench.argument)
    bench.turn(loop)


def kept_handles(bench: Bench) -> None:
    """Their handles live until all have run."""
    handles = [bench.loop.call_soon(ignore, bench.argument) for _ in range(BATCH)]
    bench.turn(bench.loop)
    assert not any(handle.cancelled() for handle in handles)


def in_contexts(bench: Bench) -> None:
    for _ in range(BATCH // 2):
        bench.loop.call_soon(ignore, bench.argument, context=bench.context)
        bench.loop.call_soon_threadsafe(ignore, context=contextvars.copy_context())
    bench.turn(bench.loop)


def oddly_given(bench: Bench) -> None:
    """With more arguments than most, and by its name."""
    for _ in range(BATCH // 2):
        bench.loop.call_soon(ignore, *[bench.argument] * 12)
        bench.loop.call_soon(callback=ignore)
    bench.turn(bench.loop)


WAYS: tuple[Callable[[Bench], None], ...] = (
    done,
    raised,
    told,
    cancelled,
    never_run,
    refused,
    nested,
    kept_handles,
    in_contexts,
    oddly_given,
)


@pytest.fixture(params=NAMES)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(request.param)
    yield made
    made.close()


def test_a_million_calls_keep_no_reference(bench: Bench) -> None:
    """Of what takes part in each, the count of references is the same before and after, however they end."""
    stand_in = bench.stand_in(bench.loop, ignore)
    watched = [ignore, fail, bench.argument, bench.context, bench.loop, bench.odd_loop, bench.calls, bench.odd_calls,
               type(stand_in), bench.module, bench.stand_in, None]  # fmt: skip
    for way in WAYS:
        way(bench)
        gc.collect()
        before = [sys.getrefcount(each) for each in watched]
        for _ in range(bench.count // BATCH // len(WAYS)):
            way(bench)
        gc.collect()
        now = [sys.getrefcount(each) for each in watched]
        # A few references come and go with what the interpreter caches; a leak would be one for each call.
        assert [abs(after - first) < 50 for first, after in zip(before, now, strict=True)] == [True] * len(watched), way
    assert (bench.calls.waiting, bench.odd_calls.waiting) == (1, 0)  # the one that stands above
    rounds = bench.count // BATCH // len(WAYS) + 1
    assert (bench.told, bench.failed) == (rounds * (BATCH + 1), rounds * (BATCH + BATCH // 2))
    assert bench.odd_calls.quick == 0 and bench.calls.quick >= 5.5 * rounds * BATCH


def test_a_hundred_thousand_calls_take_no_memory(bench: Bench) -> None:
    """What is allocated after them is what was allocated after a few."""
    for _ in range(2):
        for way in WAYS:
            way(bench)
    gc.collect()
    tracemalloc.start()
    try:
        for way in WAYS:
            way(bench)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(bench.count // 10 // BATCH // len(WAYS)):
            for way in WAYS:
                way(bench)
        gc.collect()
        now, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert now - before < bench.count // 50  # a fifth of a byte for each; the smallest object takes 16


def test_what_is_made_ends_with_its_last_user() -> None:
    """A method and what it found, also where they are part of a cycle."""
    for name in NAMES:
        made = Bench(name)
        made.turn(made.loop)
        made.close()

        class Finding:
            def __call__(self, loop: Any) -> None: ...

        find = Finding()
        schedule = made.module.make_schedule(print, find, 1, True)
        schedule.itself = schedule
        gone = [weakref.ref(each) for each in (made.loop, made.stand_in, schedule, find)]
        del made, schedule, find
        for _ in range(3):  # without the interpreter lock some things take more than one
            gc.collect()
        assert [each() for each in gone] == [None] * len(gone)


def test_the_module_can_be_made_anew() -> None:
    """Multi-phase initialisation: two of it do not disturb each other, and one that is gone leaves nothing."""
    accelerator()
    import importlib.util

    from loopwatch.observe.uvloops import _calls_c

    spec: Any = _calls_c.__spec__
    for _ in range(5):
        other: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(other)
        assert other.Calls is not _calls_c.Calls
        loop = object()
        assert other.Calls(loop, ignore, None, 1.0, 1.0).began == float("inf")
        # What one has made, the other does not know.
        calls = other.Calls(loop, ignore, None, 1.0, 1.0)
        call_soon = _calls_c.make_schedule(hand_back, [calls].__getitem__, 1, True)
        assert call_soon(0, ignore) is ignore
        gone = weakref.ref(other.Calls)
        del other, calls, call_soon
        gc.collect()
        assert gone() is None or not _compat.gil_enabled()  # there the interpreter takes its time with types


TAKEN_APART = """
    import gc, importlib.util, sys

    class Loop: pass

    def load():
        spec = importlib.util.spec_from_file_location("_calls_c", sys.argv[1])
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def make():
        module, loop, box = load(), Loop(), []
        calls = module.Calls(loop, print, None, 1.0, 1.0)
        call_soon = module.make_schedule(lambda loop, callback: callback, lambda loop: calls, 1, True)
        for _ in range(300):
            def callback(): box
            callback.stand_in = call_soon(loop, callback)
            box.append(callback.stand_in)
        box += [box, call_soon, module]

    for _ in range(2):
        make()
        gc.collect()
    print("collected")
"""


def with_argument(program: str) -> str:
    """With the accelerator's file, which is loaded without the package: under valgrind that would take much longer."""
    accelerator()
    from loopwatch.observe.uvloops import _calls_c

    return f"import sys; sys.argv = ['-c', {_calls_c.__file__!r}]\n{textwrap.dedent(program)}"


def test_what_ends_with_its_module_is_not_kept_for_later_use() -> None:
    """The collector may take the module apart before the calls that it knows: those are not put among its own."""
    done = run(with_argument(TAKEN_APART), PYTHONMALLOC="debug")
    assert (done.returncode, done.stdout) == (0, "collected\n"), done.stderr


# --- under valgrind ----------------------------------------------------------------------------

STORY = (
    TAKEN_APART
    + """
    import asyncio, contextvars, os, signal
    import uvloop

    module, known, told = load(), {}, []
    kind = uvloop.Loop
    for name in ("call_soon", "call_soon_threadsafe"):
        setattr(kind, name, module.make_schedule(getattr(kind, name), known.get, 1, True))
    for name in ("call_later", "add_reader", "add_signal_handler"):
        setattr(kind, name, module.make_schedule(getattr(kind, name), known.get, 2, False))

    def make_loop():
        loop = uvloop.Loop()
        known[loop] = module.Calls(loop, lambda *each: told.append(each), None, 0.0001, 0.0005)
        return loop

    def fail(*given):
        raise ValueError

    def cancel():
        handle.cancel()
        raise KeyError

    class Both:
        def __call__(self): pass
        def __await__(self): yield

    async def main():
        global handle
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)
        kept = []
        for number in range(12):
            loop.call_soon(fail, *range(number))
            handle = loop.call_soon(cancel)
            loop.call_later(0.001, int)
            loop.call_later(100, int)
            loop.call_later(100, int).cancel()
            loop.call_soon_threadsafe(int, context=contextvars.copy_context())
            loop.call_soon(callback=Both())
            loop.call_soon(callback=int)
            kept.append(loop.call_soon(int))
            await asyncio.sleep(0)
            await asyncio.create_task(asyncio.sleep(0.002))
        ours, theirs = os.pipe()
        seen = asyncio.Event()
        loop.add_reader(ours, seen.set)
        os.write(theirs, b"x")
        await seen.wait()
        loop.remove_reader(ours)
        seen.clear()
        loop.add_signal_handler(signal.SIGUSR1, seen.set)
        os.kill(os.getpid(), signal.SIGUSR1)
        await seen.wait()
        loop.remove_signal_handler(signal.SIGUSR1)
        os.close(ours), os.close(theirs)

    loop, never = make_loop(), make_loop()
    loop.run_until_complete(main())
    assert known[loop].quick + known[loop].brief + len(told) > 100 and known[loop].running is None
    for _ in range(400):
        never.call_soon(int)
    assert known[never].waiting == 400
    never.close()
    assert known[never].waiting == 0
    known[loop].let_go()
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    known.clear()
    del loop, never
    gc.collect()
"""
)


@pytest.mark.needs(programs=("valgrind",))
def test_valgrind_finds_nothing_in_calls(tmp_path: Path) -> None:
    """No byte is read that was not written, or that is not ours, however a call ends, with its module or without."""
    accelerator()
    if not _compat.gil_enabled():
        pytest.skip("without the interpreter lock it needs an allocator of its own, which valgrind cannot look into")
    from loopwatch.observe.uvloops import _calls_c
    from tests.valgrind import blamed

    assert blamed(tmp_path, with_argument(STORY), _calls_c) == []
