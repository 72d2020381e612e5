"""Copies the stacks of other threads: code, offset and module of each frame, nothing of their values."""

from __future__ import annotations

import sys
from collections import deque
from types import CodeType, FrameType

from ..facts import RawFrame
from .step_codes import begins_step

_OURS = __name__.partition(".")[0] + "."
_KEPT = 64
"""Frames kept at either end of a deep stack; what lies between (a recursion, mostly) is left out."""


Copied = tuple[tuple[RawFrame, ...] | None, str | None]
"""The frames, outermost first, and the module being imported; None instead of the frames outside of a step."""


def depth_of(frame: FrameType | None) -> int:
    """How many frames a stack has, from the one given outward."""
    depth = 0
    while frame is not None:
        depth += 1
        frame = frame.f_back
    return depth


def copy_within(frame: FrameType | None, outside: int) -> Copied:
    """The frames from the step inward, where so many frames of the stack lie outside of the loop."""
    depth = depth_of(frame)
    return copy_stack(frame, (), depth - outside) if depth >= outside else (None, None)


def copy_stack(frame: FrameType | None, until: tuple[CodeType, ...], most: int = sys.maxsize) -> Copied:
    """The frames from the step inward, ``most`` of them at most, without ours."""
    inner: list[RawFrame] = []
    outer: deque[RawFrame] = deque(maxlen=_KEPT)
    importing = None
    while frame is not None and most:
        most -= 1
        code = frame.f_code
        if until and code in until:
            if begins_step(frame, until):
                break
            return None, None  # the loop itself, between its steps
        if code.co_name == "_find_and_load" and code.co_filename.startswith("<frozen importlib"):
            importing = str(frame.f_locals.get("name"))
        copy = RawFrame(code, frame.f_lasti, str(frame.f_globals.get("__name__", "")))
        if not copy.module.startswith(_OURS):  # what we do at the end of a step, or stand in for, is not the step's
            (inner if len(inner) < _KEPT else outer).append(copy)
        frame = frame.f_back
    if until and frame is None:
        return None, None
    inner += outer
    inner.reverse()
    return tuple(inner), importing
