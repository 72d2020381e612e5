"""Many threads at once give calls and jobs, and read what is known of them: nothing is lost, and nothing counted twice.

With the interpreter lock that is easily so; without it, it is what these tests are for.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

import loopwatch
from loopwatch.observe.stopwatch.steps import NEVER
from tests.chores import double, fail
from tests.implementations import accelerator
from tests.made_timed_calls import Bench

THREADS = 4
EACH = 3000


@pytest.fixture(autouse=True)
def _switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def in_threads(function: Callable[[int], object], beside: Callable[[], object]) -> None:
    """Run a function in several threads at once, and another again and again until they are done."""
    over, errors = threading.Event(), list[BaseException]()
    together = threading.Barrier(THREADS + 1)

    def guarded(work: Callable[[], object]) -> None:
        try:
            together.wait(10)
            work()
        except BaseException as error:
            errors.append(error)

    def look() -> None:
        while not over.is_set():
            beside()

    threads = [threading.Thread(target=guarded, args=[lambda number=n: function(number)]) for n in range(THREADS)]
    looking = threading.Thread(target=guarded, args=[look])
    for thread in (*threads, looking):
        thread.start()
    for thread in threads:
        thread.join(60)
    over.set()
    looking.join(60)
    assert errors == [] and not any(thread.is_alive() for thread in (*threads, looking))


def test_calls_that_many_threads_give_are_each_counted_once() -> None:
    """One thread runs them, others give them, drop them unrun or call them themselves, and one reads."""
    accelerator()
    bench = Bench("c", clock=None)
    given: deque[Any] = deque()
    ran = [0] * (THREADS + 1)
    stopped = threading.Event()
    callbacks = [double, len, "".join]
    errors: list[BaseException] = []

    def run() -> None:
        try:
            while given or not stopped.is_set():
                try:
                    stand_in = given.popleft()
                except IndexError:
                    time.sleep(0)  # those who give may be waiting for this very CPU
                    continue
                try:
                    stand_in(*range(9))
                except TypeError:
                    ran[-1] += 1
        except BaseException as error:
            errors.append(error)

    class Given:
        """Hands out what stands for a callback."""

        def call_soon(self, callback: Any) -> Any:
            return callback

    from loopwatch.observe.uvloops import _calls_c

    stand_in_for = _calls_c.make_schedule(Given.call_soon, bench.find, 1, True)

    def give(number: int) -> None:
        for count in range(EACH):
            stand_in = stand_in_for(bench.loop, callbacks[count % 3])
            given.append(stand_in)
            if count % 3:
                continue
            dropped = stand_in_for(bench.loop, len)
            assert dropped == len
            if count % 2:  # a thread that is not the loop's calls it
                assert dropped(()) == 0

    def look() -> None:
        calls = bench.calls
        seen = calls.running
        assert seen is None or seen in callbacks, seen
        assert calls.began > 0 and calls.waiting >= 0 and calls.behind >= 0 and calls.quick >= 0

    running = threading.Thread(target=run)
    running.start()
    in_threads(give, look)
    stopped.set()
    running.join(60)
    assert (errors, running.is_alive()) == ([], False)
    assert ran[-1] == THREADS * EACH
    assert bench.calls.waiting == 0
    assert (bench.calls.began, bench.calls.running) == (NEVER, None)


def test_letting_go_while_calls_are_given_and_run_is_clean() -> None:
    """As when the watch ends in another thread: what was given runs all the same."""
    accelerator()
    for _ in range(20):
        bench = Bench("c")
        ran: list[int] = []

        def give(number: int, bench: Bench = bench, ran: list[int] = ran) -> None:
            for _ in range(50):
                bench.call_soon(bench.loop, ran.append, number)
            if number == 0:
                bench.calls.let_go()
            elif number == 1:
                bench.loop.run()

        in_threads(give, partial(getattr, bench.calls, "running"))
        bench.loop.run()
        assert sorted(ran) == [number for number in range(THREADS) for _ in range(50)]
        assert bench.calls.waiting == 0


def test_jobs_that_many_threads_submit_are_each_counted_once() -> None:
    """Some fail, some are cancelled, and one thread reads the numbers all the while."""
    accelerator()
    outcomes = {"completed": 0, "failed": 0, "cancelled": 0}
    lock = threading.Lock()
    with loopwatch.install(reporters=[], prometheus=False) as watch, ThreadPoolExecutor(THREADS) as pool:

        def submit(number: int) -> None:
            futures: list[Future[Any]] = []
            mine = dict.fromkeys(outcomes, 0)
            for count in range(EACH // 3):
                futures.append(pool.submit(fail) if count % 3 == 0 else pool.submit(double, 1))
                if count % 3 == 1:
                    futures[-1].cancel()
            for future in futures:
                if future.cancelled():
                    mine["cancelled"] += 1
                else:
                    mine["completed" if future.exception() is None else "failed"] += 1
            with lock:
                for name, count in mine.items():
                    outcomes[name] += count

        in_threads(submit, watch.snapshot)
        assert watch.flush(30.0)
        (stats,) = watch.snapshot().executors
        assert {name: stats.outcomes.get(name, 0) for name in outcomes} == outcomes
        assert sum(outcomes.values()) == THREADS * (EACH // 3)
        assert stats.depth == 0
        assert list(watch._faults) == []
