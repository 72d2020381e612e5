"""Which line a frame stands on, and which frame is no suspect because it has only just begun."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import timeit
import types
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

import pytest

from loopwatch.explain.culprit import line_of, to_frame, to_stack, trim_late
from loopwatch.facts import RawFrame


def stack_of(frame: FrameType | None) -> tuple[RawFrame, ...]:
    """A real stack as it is copied, outermost first."""
    frames: list[RawFrame] = []
    while frame is not None:
        frames.append(RawFrame(frame.f_code, frame.f_lasti, str(frame.f_globals.get("__name__", ""))))
        frame = frame.f_back
    return tuple(reversed(frames))


@contextlib.contextmanager
def traced(look: Callable[[FrameType, str], None], opcodes: bool = False) -> Iterator[None]:
    """Calls ``look`` with each event of the code that runs inside."""

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        frame.f_trace_opcodes = opcodes
        look(frame, event)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


MANY_LINES = """
import contextlib
def count(to):
    for n in range(to):
        yield (
            n
            if n
            else
            -n
        )
class Cart:
    total = sum(
        count(3)
    )
    def add(self, *items):
        with contextlib.suppress(ValueError):
            try:
                return [
                    item for item in items
                    if item
                ]
            finally:
                raise ValueError
Cart().add(
    1, *count(2),
)
"""


def test_the_line_is_the_one_that_the_interpreter_tells() -> None:
    """At each instruction of real code, over several lines, with handlers and generators."""
    compared = 0

    def look(frame: FrameType, _: str) -> None:
        nonlocal compared
        if frame.f_code.co_filename == "<many>" and frame.f_lineno and frame.f_lasti >= 0:
            assert line_of(frame.f_code, frame.f_lasti) == frame.f_lineno
            compared += 1

    code = compile(MANY_LINES, "<many>", "exec")
    with traced(look, opcodes=True):
        exec(code, {"__name__": "many"})
    assert compared > 50


def test_outside_of_the_code_the_line_is_its_first() -> None:
    """A frame that has not begun, an offset behind the end, an instruction that has no line."""
    code = compile("\n\ndef work():\n    return 1\n", "<many>", "exec").co_consts[0]
    assert isinstance(code, CodeType)
    assert [line_of(code, at) for at in (-1, -2, len(code.co_code), 10**6)] == [3, 3, 3, 3]
    module = compile("\n\nwork = 1\n", "<many>", "exec")
    assert line_of(module, 0) in (1, 3)


VIEWS = RawFrame(compile("def work(): return 1", "/srv/shop/views.py", "exec").co_consts[0], 0, "shop.views")


def test_a_frame_in_words_has_module_function_file_and_line() -> None:
    """And a stack has them in the same order."""
    told = to_frame(VIEWS)
    assert (told.module, told.function, told.file, told.line) == ("shop.views", "work", "/srv/shop/views.py", 1)
    assert told.site == "shop.views.work:1"
    assert [each.module for each in to_stack([VIEWS._replace(module="asyncio"), VIEWS])] == ["asyncio", "shop.views"]


# --- looks that came late ----------------------------------------------------------------------


def holder() -> int:
    return innocent(1) + sum(generator(2)) + run_to_end(coroutine(3)) + closure()(4)


def innocent(number: int) -> int:
    number += 1
    return number


def generator(number: int) -> Iterator[int]:
    number += 1
    yield number
    number += 1
    yield number


async def coroutine(number: int) -> int:
    await pause()
    number += 1
    return number


@types.coroutine
def pause() -> Iterator[None]:
    yield


def closure() -> Callable[[int], int]:
    cell = 1
    return lambda number: cell + number


def run_to_end(coroutine: Any) -> int:
    try:
        while True:
            coroutine.send(None)
    except StopIteration as end:
        return int(end.value)


def test_a_function_that_has_only_begun_is_no_suspect() -> None:
    """Entered or resumed: dropped, and its caller is the innermost frame; one instruction later it stays."""
    began: list[tuple[RawFrame, ...]] = []
    went_on: list[tuple[RawFrame, ...]] = []

    def look(frame: FrameType, event: str) -> None:
        if frame.f_code.co_filename == __file__ and event == "call":
            began.append(stack_of(frame))
        elif frame.f_code in (holder.__code__, innocent.__code__, run_to_end.__code__) and frame.f_lasti > 0:
            went_on.append(stack_of(frame))

    with traced(look):
        holder()
    names = {stack[-1].code.co_name for stack in began}
    assert {"holder", "innocent", "generator", "coroutine", "pause", "closure", "<lambda>", "run_to_end"} <= names
    assert len(began) >= 13  # the generator is resumed twice, the coroutine and its pause once
    for stack in began:
        assert trim_late(stack) == stack[:-1], stack[-1]
    assert len(went_on) > 10
    for stack in went_on:
        assert trim_late(stack) == stack, stack[-1]


def test_a_lone_frame_stays() -> None:
    """Better a doubtful suspect than an empty stack."""
    only = (VIEWS._replace(lasti=0),)
    assert trim_late(only) == only
    assert trim_late(()) == ()


def hold(number: int) -> int:
    square = number * number  # holds the interpreter in C
    return innocent(square)


@pytest.mark.realtime
@pytest.mark.skipif(not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="nothing holds the others up")
def test_a_look_that_had_to_wait_shows_the_one_who_held() -> None:
    """For real: another thread wants to look while one multiplication holds the interpreter."""
    number = 3**400_000
    took = min(timeit.repeat(lambda: hold(number), number=1, repeat=3))
    late: list[tuple[RawFrame, ...]] = []
    thread = threading.Thread(target=lambda: [hold(number) for _ in range(8)])
    thread.start()
    while thread.is_alive():
        before = time.perf_counter()
        time.sleep(0.001)
        frames = sys._current_frames().get(thread.ident or 0)
        if frames is not None and time.perf_counter() - before > took / 2:
            late.append(stack_of(frames))
    thread.join()
    held = [stack for stack in late if any(each.code is hold.__code__ for each in stack)]
    assert held
    assert {trim_late(stack)[-1].code for stack in held} == {hold.__code__}
