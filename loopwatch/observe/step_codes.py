"""Where, in a stack, a step begins: at the frame of a ``_run``, or in a turn of the loop that calls one without frame.

The stopwatch in C calls the callback by itself, so between the callback and the loop's ``_run_once`` no frame
stands. There the step begins if the frame of the turn is just at its call of ``_run``: its other calls (the
poll, the taking in of events) are the loop's own.
"""

from __future__ import annotations

from asyncio import base_events, events
from collections.abc import Collection, Iterator
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any

_TURN = "_run_once"


def _codes_of(function: Any) -> Iterator[CodeType]:
    """The code of a function and of what it wraps."""
    for _ in range(8):
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType):
            yield code
        function = getattr(function, "__wrapped__", None)


STDLIB = tuple(
    code
    for function in (
        events.Handle._run,
        # Since 3.14; it calls the former, so it is the first frame of a step wherever that has none.
        getattr(getattr(events, "_ThreadSafeHandle", None), "_run", None),
        base_events.BaseEventLoop._run_once,  # type: ignore[attr-defined]
    )
    for code in _codes_of(function)
)
"""Of asyncio's own functions."""


def code_of_run(function: Any) -> tuple[CodeType, ...]:
    """The code whose frames are those of a function that stands in ``Handle._run``; one in C runs without any,
    and tells the code of the one in Python that it calls where it cannot do that."""
    code = getattr(function, "__code__", None)
    return () if code is None else (code,)


def begins_step(frame: FrameType, codes: Collection[CodeType]) -> bool:
    """Whether what the frame has called is a step of a loop; ``codes`` are those of the functions that run one."""
    code = frame.f_code
    return code in codes and (code.co_name != _TURN or _at_call(frame))


def runs_handle(frame: FrameType, codes: Collection[CodeType]) -> Any:
    """The handle that is run in such a frame, or in a turn by other code than asyncio's; None where there is none."""
    if frame.f_code.co_name == _TURN:
        handle = frame.f_locals.get("handle") if _at_call(frame) else None
    else:
        handle = frame.f_locals.get("self") if frame.f_code in codes else None
    return handle if issubclass(type(handle), events.Handle) else None


def _at_call(frame: FrameType) -> bool:
    at = frame.f_lasti
    return any(first <= at < last for first, last in _calls_of_run(frame.f_code))


@lru_cache(maxsize=8)
def _calls_of_run(code: CodeType) -> tuple[tuple[int, int], ...]:
    """From which instruction to which the code calls a method ``_run``, each time that it does."""
    import dis  # here, since where nothing holds a loop it is not needed

    found = []
    began = called = None
    for instruction in dis.get_instructions(code):
        if called is not None:
            found.append((began or 0, instruction.offset))
            began = called = None
        if instruction.argval == "_run":
            began = instruction.offset
        elif began is not None and instruction.opname.startswith("CALL"):
            called = instruction.offset
    return tuple(found)
