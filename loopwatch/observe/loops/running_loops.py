"""Finds the loops that run already, and the steps under way in them, by the stacks of their threads."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Collection, Iterator
from types import CodeType, FrameType
from typing import Any, NamedTuple

from ... import _compat
from ..step_codes import begins_step, runs_handle


class Found(NamedTuple):
    """A loop that runs in a thread, and the handle and frame of its step, None while it polls."""

    loop: Any
    ident: int
    handle: Any
    frame: FrameType | None


def running_loops(codes: Collection[CodeType]) -> list[Found]:
    """The innermost running loop of each thread; ``codes`` mark the frames in which steps run."""
    here = threading.get_ident()
    found = []
    with _compat.uncollected():
        for ident, frame in {here: sys._getframe(), **_compat.stacks()}.items():
            one = _innermost(frame, ident, codes)
            if one is None and ident == here and (loop := _current()) is not None:
                one = Found(loop, ident, None, None)
            if one is not None:
                found.append(one)
    return found


def _innermost(frame: FrameType, ident: int, codes: Collection[CodeType]) -> Found | None:
    handle: Any = None
    step = None
    for outer in _outward(frame):
        if step is None and begins_step(outer, codes) and (handle := runs_handle(outer, codes)) is not None:
            step = outer
        elif outer.f_code.co_name == "run_forever":
            loop = outer.f_locals.get("self")
            if issubclass(type(loop), asyncio.AbstractEventLoop):
                return Found(loop, ident, handle, step)
    return None if step is None else Found(handle._loop, ident, handle, step)


def handles_under_way(loop: Any, codes: Collection[CodeType]) -> list[Any]:
    """The handles whose steps the calling thread is in, outermost first; several where the loop was re-entered."""
    handles: list[Any] = []
    for frame in _outward(sys._getframe(1)):
        handle = runs_handle(frame, codes)
        if handle is not None and handle._loop is loop and all(other is not handle for other in handles):
            handles.insert(0, handle)
    return handles


def is_in(found: Found, codes: Collection[CodeType]) -> bool:
    """Whether a thread is still in the step in which it was found."""
    with _compat.uncollected():
        return any(
            outer is found.frame and runs_handle(outer, codes) is found.handle
            for outer in _outward(_compat.stacks().get(found.ident))
        )


def thread_name(ident: int) -> str:
    """The name of a thread, without making an object for one that has none."""
    return next((thread.name for thread in threading.enumerate() if thread.ident == ident), f"thread {ident}")


def native_id(ident: int) -> int:
    """The system's id of a thread, 0 where it is not known."""
    if ident == threading.get_ident():
        return _compat.native_thread_id()
    return next((thread.native_id or 0 for thread in threading.enumerate() if thread.ident == ident), 0)


def _outward(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _current() -> Any:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
