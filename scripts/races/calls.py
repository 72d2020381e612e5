"""What is given to a loop of uvloop, by threads that give, run, drop and let go; and on uvloop itself, where it is."""

from __future__ import annotations

import contextlib
import importlib.util
import time
from collections import deque
from typing import Any

from together import require, run_together

from loopwatch.observe.uvloops import _calls_c


class Loop:
    """Keeps what it is given, as uvloop does; others may run it."""

    def __init__(self) -> None:
        self.given: deque[Any] = deque()

    def call_soon(self, callback: Any, *args: Any) -> Any:
        self.given.append((callback, args))
        return callback

    def find(self, _loop: Any) -> Any:
        return self.calls

    def begin(self) -> None:
        self.calls = _calls_c.Calls(self, lambda *_: None, None, 0.0001, 0.0005)


loop = Loop()
loop.begin()
call_soon: Any = _calls_c.make_schedule(Loop.call_soon, loop.find, 1, True)


def give() -> None:
    for _ in range(100):
        hash(call_soon(loop, len, ()))
        call_soon(loop, time.sleep, 0.0)
    if len(loop.given) > 5000:
        time.sleep(0.01)


def run() -> None:
    with contextlib.suppress(IndexError):
        for _ in range(500):
            callback, args = loop.given.popleft()
            callback(*args)


def drop() -> None:
    for _ in range(20):
        with contextlib.suppress(IndexError):
            loop.given.popleft()
    time.sleep(0.001)


def look() -> None:
    calls = loop.calls
    _ = calls.running, calls.began, calls.quick, calls.waiting, calls.behind, calls.seconds


def let_go() -> None:
    time.sleep(0.05)
    loop.calls.let_go()
    loop.begin()


def on_uvloop() -> tuple[Any, ...]:
    """A loop in each of two threads, with what is given by others, while the watch comes and goes."""
    import asyncio

    import uvloop

    import loopwatch

    present: set[Any] = set()

    async def work() -> None:
        here = asyncio.get_running_loop()
        present.add(here)
        try:
            for _ in range(20):
                for _ in range(20):
                    here.call_soon(len, ())
                await asyncio.gather(*[asyncio.sleep(0.0005) for _ in range(5)])
                await asyncio.to_thread(here.call_soon_threadsafe, len, ())
        finally:
            present.discard(here)

    def run_loop() -> None:
        uvloop.run(work())

    def give_from_elsewhere() -> None:
        for each in present.copy():
            with contextlib.suppress(RuntimeError):  # it is closed meanwhile
                each.call_soon_threadsafe(len, ())
        time.sleep(0.001)

    def watch() -> None:
        with loopwatch.install(reporters=[], prometheus=False, threshold=0.02) as watch:
            until = time.monotonic() + 1.0
            while time.monotonic() < until:
                watch.snapshot()
                time.sleep(0.005)

    return run_loop, run_loop, give_from_elsewhere, watch


require("loopwatch.observe.uvloops._calls_c")
real = on_uvloop() if importlib.util.find_spec("uvloop") is not None else ()
require("loopwatch.observe.uvloops._calls_c")
run_together(give, give, run, drop, look, let_go, *real)
