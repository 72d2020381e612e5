"""Copies the stacks of other threads: code, offset and module of each frame, nothing of their values."""

from __future__ import annotations

from collections import deque
from types import CodeType, FrameType

from ..facts import RawFrame
from .step_codes import begins_step

_OURS = __name__.partition(".")[0] + "."
_KEPT = 64
"""Frames kept at either end of a deep stack; what lies between (a recursion, mostly) is left out."""


def copy_stack(frame: FrameType | None, until: tuple[CodeType, ...]) -> tuple[tuple[RawFrame, ...] | None, str | None]:
    """The frames from the step inward, outermost first, without ours, and the module being imported.

    None outside of a step.
    """
    inner: list[RawFrame] = []
    outer: deque[RawFrame] = deque(maxlen=_KEPT)
    importing = None
    while frame is not None:
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
