"""Tells errors of our own, which are noted, from what the application raises while our code happens to run.

Python calls signal handlers between any two bytecodes of the main thread, and one thread can make an
exception break out in another (``PyThreadState_SetAsyncExc``): both find their way into our functions.
Only ``except`` clauses ask, so nothing of this is in the hot path.
"""

from __future__ import annotations

import sys
from types import FrameType

_US = __name__.partition(".")[0]


def theirs(error: BaseException) -> bool:
    """Whether ``error``, which is being handled in a frame of ours, is to go on into the application.

    What an object of the application raises when we ask it something is not: it would not have been asked.
    From any thread.
    """
    if not isinstance(error, Exception):
        return True
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        if _handles_signal(trace.tb_next.tb_frame, trace.tb_frame):
            return True
        trace = trace.tb_next
    return trace is not None and _package(trace.tb_frame.f_globals.get("__name__")) == _US and _is_foreign(type(error))


def _handles_signal(frame: FrameType, interrupted: FrameType) -> bool:
    """Nothing but the handler of a signal is given the very frame that it is called from."""
    names = frame.f_code.co_varnames[: _arguments(frame)]
    found = frame.f_locals
    for value in [found.get(name) for name in names]:
        if value is interrupted or (type(value) is tuple and any(each is interrupted for each in value)):
            return True
    return False


def _arguments(frame: FrameType) -> int:
    code = frame.f_code
    return code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & _TAKES_ANY_POSITION)


_TAKES_ANY_POSITION = 0x04  # CO_VARARGS, see the inspect module


def _is_foreign(kind: type) -> bool:
    """Whether it is neither Python's nor ours: then no call that we make raises it, and it was made to break out."""
    return _package(kind.__module__) not in (_US, *sys.stdlib_module_names)


def _package(module: object) -> str:
    return str(module).partition(".")[0]
