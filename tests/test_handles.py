"""What a loop called has a name, and no code of the application is run to find it."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
import types
from collections.abc import Coroutine, Generator
from typing import Any

import pytest

from loopwatch.facts import WITHIN, HandleFacts
from loopwatch.observe.handles import (
    code_of,
    coroutine_of,
    describe,
    is_done,
    key_of,
    plain_function,
    task_name,
    task_of,
)
from tests.callables import BOTH, TASKS, handle_of, hostile, order, refuse, run

HERE = __name__


# --- tasks -------------------------------------------------------------------------------------


@BOTH
def test_steps_and_wakeups_of_a_task_are_told_as_the_task(kind: type) -> None:
    """Both go by the coroutine, with the task's name, the code and the module."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        task = kind(order(asyncio.sleep(0), future), loop=loop, name="req-8")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        future.set_result(None)
        await task

    found = run(main, kind).facts_of("order")
    # The first step, the step after the sleep, and the wake-up by the future.
    assert len(found) == 3
    assert set(found) == {HandleFacts("order", "req-8", "order", order.__code__, order.__module__)}


@BOTH
@pytest.mark.parametrize("tells", [True, False], ids=["handle", "no handle"])
def test_who_left_a_task_behind_is_asked_of_the_stretch_in_its_context(kind: type, tells: bool) -> None:
    """Of the task's own, also where the handle tells of no context, as uvloop's do; outside of one nobody is asked."""
    loop, asked = asyncio.new_event_loop(), []

    class Stretch:
        def left(self, task: Any) -> str:
            asked.append(task)
            return "before"

    def facts(task: Any) -> HandleFacts:
        (handle,) = (each for each in loop._ready if task_of(each._callback) is task)  # type: ignore[attr-defined]
        return describe(handle if tells else types.SimpleNamespace(_callback=handle._callback))

    try:
        other = kind(order(), loop=loop)
        token = WITHIN.set(Stretch())
        task = kind(order(), loop=loop)
        assert facts(other).left_by is None
        WITHIN.reset(token)
        assert facts(task).left_by == "before"
        assert asked == [task]
        loop.run_until_complete(asyncio.wait([task, other]))
    finally:
        loop.close()


@BOTH
def test_methods_that_a_subclass_of_a_task_overrides_are_not_called(kind: type) -> None:
    """Name, coroutine and state are read from the task itself."""
    careless = hostile("Careless", kind, get_name=refuse, get_coro=refuse)
    loop = asyncio.new_event_loop()
    try:
        task = careless(order(), loop=loop, name="req-8")
        assert task_name(task) == "req-8"
        assert code_of(coroutine_of(task)) is order.__code__
        assert not is_done(task)
        loop.call_later(0.01, loop.stop)
        loop.run_forever()
        careless.done = refuse
        assert is_done(task)
    finally:
        loop.close()


@BOTH
def test_another_method_of_a_task_is_not_its_step(kind: Any) -> None:
    """What a subclass adds, and ``task.cancel`` as a callback, go by their own names."""

    class Notified(kind):  # type: ignore[misc]
        def on_done(self, _: Any) -> None:
            """A callback that happens to belong to a task."""

    async def main() -> None:
        task = Notified(order(), loop=asyncio.get_running_loop())
        assert task_of(task.on_done) is None
        assert describe(handle_of(task.on_done)).callback == f"{HERE}.{Notified.__qualname__}.on_done"
        assert task_of(task.cancel) is None
        assert describe(handle_of(task.cancel)).callback.endswith("Task.cancel" if kind is TASKS[1] else "d.cancel")
        await task

    run(main, kind)


@BOTH
def test_a_coroutine_that_has_ended_keeps_its_name_and_code(kind: type) -> None:
    """The step that ends a coroutine is described when it is over; only the module is no longer known."""
    loop = asyncio.new_event_loop()
    try:
        task = kind(order(), loop=loop, name="last")
        handle = loop._ready[0]  # type: ignore[attr-defined]
        loop.run_until_complete(task)
        assert describe(handle) == HandleFacts("order", "last", "order", order.__code__, "")
    finally:
        loop.close()


def test_what_is_no_task_has_neither_name_nor_coroutine_nor_end() -> None:
    """Third-party tasks that are not asyncio's, futures, and None."""
    loop = asyncio.new_event_loop()
    try:
        for each in (loop.create_future(), None, hostile()()):
            assert (task_name(each), coroutine_of(each), is_done(each), task_of(each)) == (None, None, False, None)
    finally:
        loop.close()


class Custom(Coroutine[Any, Any, str]):
    """A coroutine that is an object of the application's."""

    def send(self, value: Any) -> Any:
        raise StopIteration("done")

    def throw(self, *_: Any) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        pass

    def __await__(self) -> Generator[Any, Any, str]:
        yield
        return "done"

    cr_code = gi_code = cr_frame = property(refuse)


@BOTH
def test_a_coroutine_of_another_type_is_told_by_its_type(kind: type) -> None:
    """Without asking it for anything."""

    async def main() -> None:
        await kind(Custom(), loop=asyncio.get_running_loop(), name="custom")

    (facts,) = run(main, kind).facts_of(f"{HERE}.Custom")
    assert facts == HandleFacts(f"{HERE}.Custom", "custom", f"{HERE}.Custom", None, "")


def test_a_generator_is_as_good_as_a_coroutine() -> None:
    """``types.coroutine`` makes coroutines of generators."""

    @types.coroutine
    def old() -> Generator[None, None, None]:
        yield

    generator = old()
    assert code_of(generator) is old.__code__
    generator.close()


# --- other callbacks ---------------------------------------------------------------------------


class Service:
    def serve(self, *_: Any) -> None:
        """A bound method."""

    @classmethod
    def make(cls, *_: Any) -> None:
        """A class method."""

    @staticmethod
    def check(*_: Any) -> None:
        """A static method."""

    def __call__(self, *_: Any) -> None:
        """A callable object."""


def plain(*_: Any) -> None:
    """A function."""


class Cached(list[int]):
    pass


cached = functools.lru_cache(plain)
lock = threading.Lock()

NAMES: list[tuple[Any, str]] = [
    (plain, f"{HERE}.plain"),
    (lambda: None, f"{HERE}.<lambda>"),
    (Service().serve, f"{HERE}.Service.serve"),
    (Service.make, f"{HERE}.Service.make"),
    (Service.check, f"{HERE}.Service.check"),
    (Service(), f"{HERE}.Service"),
    (Service, f"{HERE}.Service"),
    (functools.partial(plain, 1), f"{HERE}.plain"),
    (functools.partial(functools.partial(Service().serve, 1), x=2), f"{HERE}.Service.serve"),
    (functools.partial(time.sleep, 1), "time.sleep"),
    (cached, f"{HERE}.plain"),
    (time.sleep, "time.sleep"),
    (print, "print"),
    (int, "int"),
    ([].append, "list.append"),
    (Cached().append, f"{HERE}.Cached.append"),
    (dict.fromkeys, "dict.fromkeys"),
    (lock.release, f"_thread.{type(lock).__name__}.release"),
    (str.upper, "str.upper"),
    (asyncio.Event().set, "asyncio.locks.Event.set"),
]


@pytest.mark.parametrize(("callback", "expected"), NAMES, ids=[f"{n}-{name}" for n, (_, name) in enumerate(NAMES)])
def test_a_callback_is_told_by_where_it_is_defined(callback: Any, expected: str) -> None:
    """Functions, methods, classes, callable objects, functions of C; also inside partials."""
    facts = describe(handle_of(callback))
    assert (facts.callback, facts.task, facts.coroutine) == (expected, None, None)
    function = plain_function(callback)
    if isinstance(function, types.FunctionType):
        assert (facts.code, facts.module) == (function.__code__, function.__module__)
    else:
        assert (facts.code, facts.module) == (None, "")


def test_done_callbacks_are_told_like_others() -> None:
    """A future schedules what was added to it."""

    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(functools.partial(Service().serve, 1))
        future.set_result(None)
        await asyncio.gather(future, asyncio.sleep(0))

    seen = run(main, asyncio.Task)
    assert seen.facts_of(f"{HERE}.Service.serve")[0].code is Service.serve.__code__
    assert seen.facts_of("asyncio.tasks.gather.<locals>._done_callback")


def test_a_cancelled_handle_is_unknown() -> None:
    """It has forgotten what it was to call."""
    handle = handle_of(plain)
    handle.cancel()
    assert describe(handle) == HandleFacts("unknown callback")
    assert key_of(handle) == "unknown callback"


def test_a_handle_of_another_kind_is_unknown() -> None:
    """Other loops have handles that do not tell what they call."""
    assert describe(object()) == HandleFacts("unknown callback")


# --- keys --------------------------------------------------------------------------------------


def test_equal_callbacks_have_equal_keys() -> None:
    """Code for what has code, otherwise the name; whatever the object, the partial or the arguments."""
    for one, other, key in [
        (Service().serve, functools.partial(Service().serve, 1), Service.serve.__code__),
        (plain, functools.partial(plain, 1), plain.__code__),
        (time.sleep, functools.partial(time.sleep, 2), "time.sleep"),
        (Service(), Service(), f"{HERE}.Service"),
    ]:
        assert key_of(handle_of(one)) == key_of(handle_of(other)) == key


@BOTH
def test_all_steps_of_one_coroutine_function_have_one_key(kind: type) -> None:
    """Its code; for a coroutine of another type, the name of that."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.wait([kind(each, loop=loop) for each in (order(), order(asyncio.sleep(0)), Custom())])

    seen = run(main, kind)
    keys = {
        callback: {key_of(handle) for handle, facts in seen.seen if facts.callback == callback}
        for callback in ("order", f"{HERE}.Custom")
    }
    assert keys == {"order": {order.__code__}, f"{HERE}.Custom": {f"{HERE}.Custom"}}
