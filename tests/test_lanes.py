"""Jobs with one origin share a lane: which are alike, and what a job really runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any

from loopwatch.observe.jobs.callees import callee_of
from loopwatch.observe.jobs.job import NOWHERE, Pool

# --- lanes ---


def caller(pool: Pool, function: Any, until: frozenset[int] = NOWHERE) -> Any:
    return pool.lane(sys._getframe(), function, until)


def test_equal_jobs_share_a_lane(setting):
    """The same line and the same target are one lane, also for bound methods, partials and builtins made anew."""

    class Client:
        def get(self, key: int) -> None: ...

    makers: tuple[Callable[[], Any], ...] = (
        lambda: Client().get,
        lambda: partial(Client().get, 1),
        lambda: partial(copy_context().run, Client().get, 1),
        lambda: {}.get,
        lambda: time.sleep,
    )
    for make in makers:
        lanes = {id(caller(setting.pool, make())) for _ in range(3)}
        assert len(lanes) == 1, make


def test_another_line_another_target_and_another_caller_are_other_lanes(setting):
    """What a site is made of tells lanes apart: also who called the function that submits."""
    here_and_there = [caller(setting.pool, max), caller(setting.pool, max)]
    lanes = [*here_and_there, caller(setting.pool, min), (lambda: caller(setting.pool, max))()]
    assert len({id(lane) for lane in lanes}) == 4


def nested(depth: int, inner: Callable[[], Any]) -> Any:
    return inner() if depth == 0 else nested(depth - 1, inner)


def test_the_caller_behind_a_deep_library_is_found(setting):
    """On a loop the walk goes far enough for a stack of thirty frames between the application and the pool."""
    until = frozenset({id(test_the_caller_behind_a_deep_library_is_found.__code__)})

    def asks() -> Any:
        return nested(30, lambda: caller(setting.pool, max, until))

    def asks_too() -> Any:
        return nested(30, lambda: caller(setting.pool, max, until))

    lanes = [asks(), asks_too()]
    names = [[frame.code.co_name for frame in lane.origin.frames] for lane in lanes]
    assert names[0][-1] == "asks" and names[1][-1] == "asks_too"


def test_the_walk_ends_at_the_loops_step(setting):
    """What is further out is the loop, and whoever runs it."""

    def step() -> Any:
        return caller(setting.pool, max, frozenset({id(step.__code__)}))

    assert [frame.code.co_name for frame in step().origin.frames] == ["caller"]


def test_a_job_that_no_loop_waits_for_has_the_place_that_submitted_it(setting):
    """One frame is all that is looked at, whoever called it; it is kept apart from the lanes of loops."""

    def place() -> Any:
        return setting.pool.place(sys._getframe(), max)

    lanes = [place(), nested(5, place)]
    assert lanes[0] is lanes[1]
    assert [frame.code.co_name for frame in lanes[0].origin.frames] == ["place"]


def test_lanes_are_bounded_and_those_that_are_needed_come_back(setting):
    """A thousand places are no more than 256 lanes at a time; a lane that went counts on where it was."""
    places = [function_named(f"place_{number}") for number in range(1000)]
    for place in places:
        place(setting.pool)
    assert len(setting.pool.lanes) == 256
    lane = places[0](setting.pool)
    assert lane.origin.frames[0].code.co_name == "place_0"
    assert len(setting.pool.lanes) == 256


def function_named(name: str) -> Any:
    made: dict[str, Any] = {"sys": sys, "NOWHERE": NOWHERE}
    exec(f"def {name}(pool): return pool.lane(sys._getframe(), max, NOWHERE)", made)
    return made[name]


def test_a_pools_memory_is_forgotten_whole(setting):
    """After a fork nothing waits, nothing runs, and nothing was counted."""
    job, _ = setting.submit()
    job.lane.counts = object()
    running, _ = setting.submit()
    running.begin()
    setting.pool.clear()
    assert (dict(setting.pool.waiting), dict(setting.pool.running), job.lane.counts) == ({}, {}, None)


# --- what a job really runs ---


class asgiref_like:
    def thread_handler(self, loop: Any, exc_info: Any, task_context: Any, func: Any, *args: Any) -> Any: ...


def target(callback: Any = None) -> None: ...


def test_what_a_job_runs_is_found_inside_what_carries_it():
    """Partials, methods, asyncio.to_thread, map() of processes and asgiref hand over the function inside theirs."""
    import concurrent.futures.process as process

    class Client:
        def get(self) -> None: ...

    carried = partial(target)
    chunk = process._process_chunk
    assert callee_of(target) is target
    assert callee_of(Client().get) is Client.get
    assert callee_of(partial(partial(target, 1), 2)) is target
    assert callee_of(partial(copy_context().run, target)) is target
    assert callee_of(partial(copy_context().run, partial(target, max))) is target
    assert callee_of(partial(chunk, target)) is target
    assert callee_of(partial(asgiref_like().thread_handler, None, (None, None, None), [], min, carried)) is target


def test_an_argument_that_can_be_called_is_not_what_runs():
    """to_thread(f, callback) runs f."""
    assert callee_of(partial(copy_context().run, target, max)) is target
    assert callee_of(partial(target, max)) is target


def test_looking_for_the_target_runs_no_code_of_the_application():
    """Partials and callables may have attributes that do something when they are read."""

    class Trap(partial):
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(f"asked for {name}")

    class Callable_:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"asked for {name}")

        def __call__(self) -> None: ...

    trap, instance = Trap(target), Callable_()
    assert callee_of(trap) is target
    assert callee_of(partial(instance)) is instance
