"""What a job really runs, inside what carries it into a pool: its key, its code and its name."""

from __future__ import annotations

from contextvars import Context
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, GeneratorType, MethodType
from typing import Any

from ..handles import name_of


def callee_of(function: Any) -> Any:
    """What a job really runs, inside partials, bound methods and what the standard library or asgiref put around it."""
    for _ in range(8):
        kind = type(function)
        if kind is MethodType:
            function = function.__func__
        elif kind is partial or issubclass(kind, partial):
            run, given = _func_of(function), _args_of(function)
            function = given[_CARRIED[carrier]] if given and (carrier := _carrier(run)) else run
        else:
            break
    return function


_func_of = vars(partial)["func"].__get__
_args_of = vars(partial)["args"].__get__
_CARRIED = {"run": 0, "_process_chunk": 0, "thread_handler": -1}
"""Where carriers take the function: ``asyncio.to_thread``, ``ProcessPoolExecutor.map``, asgiref's ``sync_to_async``."""


def _carrier(run: Any) -> str:
    kind = type(run)
    if kind is BuiltinFunctionType:
        return "run" if type(run.__self__) is Context else ""
    if kind is MethodType:
        run = run.__func__
    name: str = run.__name__ if type(run) is FunctionType else ""
    return name if name in _CARRIED and name != "run" else ""


def callee_key(function: Any) -> Any:
    if type(function) is partial:  # what follows finds that, too, but asyncio.to_thread() makes one of these a job
        run = function.func
        if type(run) is BuiltinFunctionType and type(run.__self__) is Context and (given := function.args):
            first = given[0]
            if type(first) is FunctionType:
                return id(first.__code__)
    callee = callee_of(function)
    code = callee_code(callee)
    # Bound methods of C types are made anew for each call: only their name stays.
    return id(code) if code is not None else name_of(callee)


def callee_code(callee: Any) -> CodeType | None:
    if type(callee) is FunctionType:
        return callee.__code__
    return callee.gi_code if type(callee) is GeneratorType else None


def callee_name(callee: Any) -> str:
    if type(callee) is not GeneratorType:
        return name_of(callee)
    frame = callee.gi_frame  # None once it has ended
    return f"{frame.f_globals.get('__name__')}.{callee.__qualname__}" if frame is not None else callee.__qualname__
