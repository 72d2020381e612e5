"""What a loop can do, told so that it can be compared: with a watch it must be the same as without."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import re
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from tests.bench import REFUSING

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
