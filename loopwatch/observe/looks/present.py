"""What a loop's thread does right now, asked from another thread: names, and nothing that they belong to.

Each question is a function of its own, which lets go of all that is the application's as it returns: what is last
held by the thread that asks would end there, with whatever code runs then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ... import _compat
from ...facts import HandleFacts, RawFrame
from ..handles import code_of, coroutine_of, describe, task_name
from ..loops.asyncio_loop import step_codes
from ..loops.loop_state import LoopState
from ..loops.polls import ready, waiting
from ..loops.seen_steps import UNSEEN
from ..stacks import copy_stack, copy_within


def stack_of(state: LoopState) -> tuple[bool, tuple[RawFrame, ...] | None, str | None]:
    """Whether the thread is there; its stack from the step inward, None outside of a step; what is being imported."""
    outside = state.depth
    between = (
        outside is None and state.handle is None
    )  # asked first: if it is so now, a step that is seen after this has only just begun
    with _compat.uncollected():
        frame = _compat.stacks().get(state.ident)
        frames, importing = copy_stack(frame, step_codes()) if outside is None else copy_within(frame, outside)
    if between and not frames:
        frames = None
    return frame is not None, frames, importing


def task_of(state: LoopState) -> tuple[str | None, str | None]:
    """The names of the task that runs, and of its coroutine."""
    loop = state.loop()
    task = asyncio.current_task(loop) if loop is not None else None
    return (None, None) if task is None else (task_name(task), _name_of(coroutine_of(task)))


def _name_of(coroutine: Any) -> str | None:
    code = code_of(coroutine)
    if code is None:
        return None
    name = getattr(coroutine, "__qualname__", None)
    return name if isinstance(name, str) else code.co_name


def handle_of(state: LoopState) -> HandleFacts | None:
    """What the step that runs was made from; of a loop that does not tell of its steps it is not known yet."""
    if not state.tells_of_steps:
        timed = getattr(state, "exact", None)
        return (timed.described() if timed is not None else None) or UNSEEN
    handle = state.handle
    return None if handle is None else describe(handle)


def waiting_of(state: LoopState) -> int:
    """What is ready behind a step that goes on, and which timers are due."""
    return _counted(waiting, state)


def ready_of(state: LoopState) -> int:
    """What is ready behind a step that goes on."""
    return _counted(ready, state)


def given_of(state: LoopState) -> int:
    """What is ready behind it of what was given to a loop that does not show it."""
    timed = getattr(state, "exact", None)
    return 0 if timed is None else int(timed.calls.waiting)


def _counted(count: Callable[[Any], int], state: LoopState) -> int:
    """The loop's thread may change it under our eyes."""
    try:
        return count(state.loop())
    except (RuntimeError, IndexError, AttributeError):
        return 0
