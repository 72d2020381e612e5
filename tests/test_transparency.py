"""A watched program does what it did: order, contexts, errors, tracebacks, warnings."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import logging
import re
import sys
import traceback
from asyncio import base_events, events
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from loopwatch.observe.class_patches import patches
from loopwatch.testing import FakeClock
from tests.bench import LONG, REFUSING, ClockedSelector, Watching, new_loop

RUN = events.Handle._run
FOREVER = base_events.BaseEventLoop.run_forever


@pytest.fixture
def watching() -> Iterator[Watching]:
    """The hook, not installed; afterwards nothing of it is left."""
    bench = Watching(FakeClock())
    yield bench
    bench.hook.uninstall()
    assert list(bench.faults) == []
    assert events.Handle._run is RUN
    assert base_events.BaseEventLoop.run_forever is FOREVER


Story = Callable[[Any, list[Any]], Any]
STORIES: list[Story] = []


def story(function: Story) -> Story:
    """Register something that a loop does; what it appends to the list must be the same, watched or not."""
    STORIES.append(function)
    return function


def asking_the_impossible(function: Story) -> Story:
    """Register what can be told only where a loop refuses to run twice without coming to harm."""
    STORIES.append(pytest.param(function, marks=REFUSING))  # type: ignore[arg-type]
    return function


def shape(error: BaseException | None) -> Any:
    """What of an exception must not change: its type and text, its chain, and the functions it came through."""
    if error is None:
        return None
    frames = [frame.name for frame in traceback.extract_tb(error.__traceback__) if "loopwatch" not in frame.filename]
    return type(error), str(error), frames, shape(error.__cause__), shape(error.__context__)


@story
def order_of_callbacks(loop: Any, told: list[Any]) -> None:
    async def task(name: str) -> str:
        for number in range(3):
            told.append((name, number))
            await asyncio.sleep(0)
        return name

    async def main() -> None:
        loop.call_later(0.01, told.append, "later")
        loop.call_soon(told.append, "soon")
        told.append(await asyncio.gather(task("a"), task("b")))
        await asyncio.sleep(0.02)

    loop.run_until_complete(main())


@story
def contexts(loop: Any, told: list[Any]) -> None:
    name = contextvars.ContextVar("name", default="nobody")
    own = contextvars.copy_context()
    own.run(name.set, "own")
    loop.call_soon(lambda: told.append(name.get()))
    loop.call_soon(lambda: told.append(name.get()), context=own)
    loop.call_soon_threadsafe(lambda: told.append(name.get()), context=own)
    loop.call_later(0, lambda: name.set("changed"), context=own)
    loop.call_later(0.01, lambda: told.append((name.get(), own[name])), context=own)
    loop.call_later(0.02, loop.stop)
    loop.run_forever()
    told.append((name.get(), own[name]))


@story
def errors_in_callbacks(loop: Any, told: list[Any]) -> None:
    def handler(loop: Any, context: dict[str, Any]) -> None:
        error = context["exception"]
        told.append((re.sub(r"0x\w+", "0x", context["message"]), sorted(context), shape(error)))
        told.append([frame.name for frame in traceback.extract_tb(error.__traceback__)])

    def wrong() -> None:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error

    loop.set_exception_handler(handler)
    loop.call_soon(wrong)
    loop.call_later(0, wrong)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.call_later(0.01, loop.stop)
    loop.run_forever()


@story
def errors_in_the_error_handler(loop: Any, told: list[Any]) -> None:
    def handler(loop: Any, context: dict[str, Any]) -> None:
        told.append(context["message"][:20])
        raise LookupError("in the handler")

    def wrong() -> None:
        raise ValueError

    loop.set_exception_handler(handler)
    loop.call_soon(wrong)
    loop.call_soon(loop.stop)
    loop.run_forever()


@story
def errors_out_of_tasks(loop: Any, told: list[Any]) -> None:
    async def wrong() -> None:
        await asyncio.sleep(0)
        raise ValueError("task")

    async def main() -> None:
        task = asyncio.create_task(wrong(), name="wrong")
        try:
            await task
        except ValueError as error:
            told.append(shape(error))
        told.append(task.get_name())
        raise LookupError("main")

    try:
        loop.run_until_complete(main())
    except LookupError as error:
        told.append(shape(error))


@story
def ends_of_the_program(loop: Any, told: list[Any]) -> None:
    for error in (SystemExit(3), KeyboardInterrupt("stop")):

        def fatal(error: BaseException = error) -> None:
            raise error

        loop.call_soon(fatal)
        loop.call_soon(told.append, "after")
        try:
            loop.run_forever()
        except BaseException as caught:
            told.append((caught is error, shape(caught)))
        loop.call_soon(loop.stop)
        loop.run_forever()


@story
def never_retrieved(loop: Any, told: list[Any]) -> None:
    """A task that nobody waits for ends when its step does, and its error is told then."""
    loop.set_exception_handler(lambda loop, context: told.append(context["message"].rstrip(".")))

    async def wrong() -> None:
        raise ValueError

    async def main() -> None:
        loop.create_task(wrong())
        await asyncio.sleep(0)
        told.append("main")

    for debug in (False, True):
        loop.set_debug(debug)
        loop.run_until_complete(main())


@story
def ends_of_lives(loop: Any, told: list[Any]) -> None:
    """What a callback was given dies before the next callback runs, and before the loop has stopped."""

    class Thing:
        def __init__(self, name: str) -> None:
            self.name = name

        def __del__(self) -> None:
            told.append(f"end of {self.name}")

    def use(thing: Thing) -> None:
        told.append(thing.name)

    for name in "abc":
        loop.call_soon(use, Thing(name))
    loop.call_later(0.01, use, Thing("later"))
    loop.call_later(0.02, loop.stop)
    loop.run_forever()
    told.append("stopped")


@story
def cancellation(loop: Any, told: list[Any]) -> None:
    async def patient() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError as error:
            told.append(("cancelled", str(error)))
            raise

    async def main() -> None:
        task = asyncio.create_task(patient())
        await asyncio.sleep(0)
        task.cancel("enough")
        try:
            await task
        except asyncio.CancelledError as error:
            told.append(shape(error)[:2])
        handle = loop.call_soon(told.append, "never")
        handle.cancel()
        told.append(handle.cancelled())
        await asyncio.sleep(0)

    loop.run_until_complete(main())


@asking_the_impossible
def refusals(loop: Any, told: list[Any]) -> None:
    async def main() -> None:
        for wrong in (loop.run_forever, loop.close):
            try:
                wrong()
            except RuntimeError as error:
                told.append(shape(error))

    loop.run_until_complete(main())
    loop.close()
    try:
        loop.run_forever()
    except RuntimeError as error:
        told.append(shape(error))


@story
def who_runs(loop: Any, told: list[Any]) -> None:
    async def main() -> None:
        task = asyncio.current_task()
        told.append((task is not None and task.get_name(), len(asyncio.all_tasks()), loop.is_running()))
        told.append(asyncio.get_running_loop() is loop)

    task = loop.create_task(main(), name="me")
    loop.run_until_complete(task)
    told.append((loop.is_running(), asyncio._get_running_loop()))


@story
def handles_by_name(loop: Any, told: list[Any]) -> None:
    for debug in (False, True):
        loop.set_debug(debug)
        handle = loop.call_soon(loop.stop)
        told.append(re.sub(r"0x\w+|:\d+", "", repr(handle)))
        loop.run_forever()
        told.append(re.sub(r"0x\w+|:\d+", "", repr(handle)))


@story
def async_generators(loop: Any, told: list[Any]) -> None:
    async def numbers() -> Any:
        try:
            yield 1
            yield 2
        finally:
            told.append("closed")

    async def main() -> None:
        async for number in numbers():
            told.append(number)
            break
        gc.collect()
        await asyncio.sleep(0.01)

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())


def lived(function: Story, watched: bool) -> list[Any]:
    told: list[Any] = []
    loop = asyncio.new_event_loop()
    bench = Watching(FakeClock())
    if watched:
        bench.hook.install()
    try:
        function(loop, told)
    finally:
        loop.close()
        bench.hook.uninstall()
    assert list(bench.faults) == []
    return told


@pytest.mark.parametrize("function", STORIES, ids=lambda function: getattr(function, "__name__", None))
def test_a_watched_loop_does_what_it_did(function: Story) -> None:
    """Step by step the same story, with and without us."""
    unwatched = lived(function, watched=False)
    assert unwatched
    assert lived(function, watched=True) == unwatched


def slow_callback_warnings(watched: bool, caplog: pytest.LogCaptureFixture) -> list[str]:
    bench = Watching(FakeClock())
    if watched:
        bench.hook.install()
    caplog.clear()
    with caplog.at_level(logging.WARNING, "asyncio"), new_loop(bench.clock) as loop:
        loop.set_debug(True)
        loop.slow_callback_duration = 0.05
        loop.call_soon(bench.work, 0.06)
        loop.call_soon(bench.work, 0.04)
        loop.call_later(1, bench.work, 0.2)
        loop.call_later(2, loop.stop)
        loop.run_forever()
    bench.hook.uninstall()
    return [re.sub(r"0x\w+", "0x", message) for message in caplog.messages]


def test_debug_mode_warns_of_the_same_callbacks(caplog: pytest.LogCaptureFixture) -> None:
    """asyncio's own slow-callback warnings come as before, word for word."""
    unwatched = slow_callback_warnings(False, caplog)
    assert len(unwatched) == 2
    assert slow_callback_warnings(True, caplog) == unwatched


def stack_in_a_step() -> list[tuple[str, str]]:
    """The functions and files of the frames outside of a callback, innermost first."""
    found: list[tuple[str, str]] = []

    def look() -> None:
        frame = sys._getframe(1)
        while frame.f_code is not stack_in_a_step.__code__:
            found.append((frame.f_code.co_name, frame.f_code.co_filename))
            frame = frame.f_back  # type: ignore[assignment]

    loop = asyncio.new_event_loop()
    loop.call_soon(look)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    return found


def test_two_frames_are_ours(watching: Watching) -> None:
    """A step has one frame more around it, and a run one more: unavoidable, and no others."""
    unwatched = stack_in_a_step()
    watching.hook.install()
    watched = stack_in_a_step()
    assert [frame for frame in watched if frame not in unwatched] == [
        ("_run", make_run_file()),
        ("run_forever", patches_file()),
    ]
    assert [frame for frame in watched if frame in unwatched] == unwatched


def frames_of_an_end() -> list[tuple[str, str]]:
    """The functions and files that ``SystemExit`` comes through on its way out of a callback, outermost first."""

    def fatal() -> None:
        raise SystemExit(3)

    loop = asyncio.new_event_loop()
    loop.call_soon(fatal)
    with pytest.raises(SystemExit) as caught:
        loop.run_forever()
    loop.close()
    return [(frame.name, frame.filename) for frame in traceback.extract_tb(caught.value.__traceback__)]


def test_an_error_that_leaves_the_loop_has_two_frames_more(watching: Watching) -> None:
    """Each stands right before the one that it calls; what a callback's other errors come through is unchanged."""
    unwatched = frames_of_an_end()
    watching.hook.install()
    expected = []
    for frame in unwatched:
        ours = {"run_forever": patches_file(), "_run": make_run_file()}.get(frame[0])
        expected += [(frame[0], ours), frame] if ours else [frame]
    assert len(expected) == len(unwatched) + 2
    assert frames_of_an_end() == expected


def make_run_file() -> str:
    from loopwatch.observe import _steps_py

    return str(_steps_py.__file__)


def patches_file() -> str:
    return inspect.getfile(type(patches))


def test_the_patched_methods_look_like_themselves(watching: Watching) -> None:
    """Names, signatures and documentation are those of the functions replaced."""
    before = [(f.__name__, f.__qualname__, f.__module__, f.__doc__, inspect.signature(f)) for f in (RUN, FOREVER)]
    watching.hook.install()
    ours = (events.Handle._run, base_events.BaseEventLoop.run_forever)
    assert [(f.__name__, f.__qualname__, f.__module__, f.__doc__, inspect.signature(f)) for f in ours] == before
    assert ours[0] is not RUN


def test_attributes_of_loops_stay_as_fast_as_they_were(watching: Watching) -> None:
    """From the moment that somebody asks for an object's ``__dict__``, the interpreter has to keep one: we never do."""
    asked: list[str] = []

    class Reticent(asyncio.SelectorEventLoop):
        def __getattribute__(self, name: str) -> Any:
            if name == "__dict__":
                asked.append(name)
            return super().__getattribute__(name)

    class Selector(ClockedSelector):
        def __getattribute__(self, name: str) -> Any:
            if name == "__dict__":
                asked.append(name)
            return super().__getattribute__(name)

    watching.hook.install()
    loop: Any = Reticent(Selector())
    loop._selector.clock = watching.clock
    loop.call_soon(watching.work)
    loop.run_until_complete(asyncio.sleep(0))
    watching.hook.uninstall()
    loop.close()
    assert asked == []
    assert watching.told() == [("step", LONG)]
