"""What a loop called, by name: read from a handle without running a line of the application's code.

So nothing here asks an object for an attribute, or what it is an instance of: either may be answered by
code of the application. Only what the interpreter itself keeps is read.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from asyncio import tasks
from contextvars import Context
from functools import partial
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

from .._names import code_name
from ..facts import WITHIN, ContributorFacts, HandleFacts

# From where it is made, since others put their own in place of asyncio.Task; the accelerator may be missing.
_CTask: Any = getattr(sys.modules.get("_asyncio"), "Task", asyncio.Task)
_PyTask: Any = tasks._PyTask  # type: ignore[attr-defined]
_get_context: Any = getattr(_CTask, "get_context", None)
_UNKNOWN = HandleFacts("unknown callback")

_DEEP = 8
"""Partials and bound methods opened in each other."""

_BASES = vars(type)["__mro__"]
_CONTENTS = vars(type)["__dict__"]
_CLASS_MODULE = vars(type)["__module__"]
_CLASS_NAME = vars(type)["__qualname__"]
_PARTIAL_OF = vars(partial)["func"]


def task_of(callback: Any) -> Any:
    """The task whose step or wake-up ``callback`` is, or None.

    A C task schedules an object of its own for a step and the builtin method ``task_wakeup`` for a wake-up,
    a Python task two methods of its own. Another method of a task is a callback like any other.
    """
    kind = type(callback)
    if kind is FunctionType:
        return None
    if kind is MethodType:
        of_tasks = _CONTENTS.__get__(_PyTask)
        function = callback.__func__
        if function is not of_tasks.get("_Task__step") and function is not of_tasks.get("_Task__wakeup"):
            return None
    elif kind is BuiltinFunctionType and callback.__name__ != "task_wakeup":
        return None
    owner = _kept(callback, "__self__")
    return owner if issubclass(type(owner), (_CTask, _PyTask)) else None


def task_name(task: Any) -> str | None:
    """The task's name, without calling a method that a subclass may have overridden."""
    if issubclass(type(task), _CTask):
        return _text(_CTask.get_name(task))
    return _text(_attributes(task).get("_name")) if issubclass(type(task), _PyTask) else None


def coroutine_of(task: Any) -> Any:
    """The task's coroutine, likewise."""
    if issubclass(type(task), _CTask):
        return _CTask.get_coro(task)
    return _attributes(task).get("_coro") if issubclass(type(task), _PyTask) else None


def context_of(task: Any) -> Context | None:
    """The context that the task's steps run in, likewise; from any thread."""
    if issubclass(type(task), _PyTask):
        found = _attributes(task).get("_context")
        return found if type(found) is Context else None
    if not issubclass(type(task), _CTask):
        return None
    if _get_context is not None:
        context: Context = _get_context(task)
        return context
    # Before 3.12 only the collector tells, and this one first (``TaskObj_traverse`` in ``Modules/_asynciomodule.c``).
    return next((each for each in gc.get_referents(task) if type(each) is Context), None)


def is_done(task: Any) -> bool:
    """Whether the task has ended, likewise; from any thread."""
    if issubclass(type(task), _CTask):
        return bool(_CTask.done(task))
    return issubclass(type(task), _PyTask) and _attributes(task).get("_state", "PENDING") != "PENDING"


def code_of(coroutine: Any) -> CodeType | None:
    """The code object of a coroutine or generator."""
    code = _kept(coroutine, "cr_code") or _kept(coroutine, "gi_code")
    return code if type(code) is CodeType else None


def plain_function(callback: Any) -> Any:
    """The function inside partials and bound methods (at most eight deep)."""
    for _ in range(_DEEP):
        if issubclass(type(callback), partial):
            callback = _PARTIAL_OF.__get__(callback)
        elif type(callback) is MethodType:
            callback = callback.__func__
        else:
            break
    return callback


def key_of(handle: Any) -> CodeType | str:
    """Something that stands for what the handle calls, the same for equal callbacks: a code object or a name."""
    callback = handle._callback
    if callback is None:
        return _UNKNOWN.callback
    task = task_of(callback)
    if task is not None:
        coroutine = coroutine_of(task)
        return code_of(coroutine) or _name_of_coroutine(coroutine)
    function = plain_function(callback)
    return function.__code__ if type(function) is FunctionType else name_of(function)


def contributor(key: CodeType | str, steps: int, seconds: float) -> ContributorFacts:
    """What the equal steps of a turn took together that go by a key of ``key_of``."""
    if type(key) is CodeType:
        return ContributorFacts(code_name(key), steps, seconds, key)
    return ContributorFacts(str(key), steps, seconds)


def name_of(function: Any) -> str:
    """A dotted name: ``package.module.Class.method``, ``time.sleep``, or that of the type for other callables.

    What goes by another's name, as ``functools.update_wrapper`` makes it do, is called by that.
    """
    kind = type(function)
    if kind is FunctionType:
        return _dotted(function.__module__, _text(function.__qualname__) or "?")
    if kind is BuiltinFunctionType:
        owner = function.__self__
        if owner is None or issubclass(type(owner), ModuleType):
            return _dotted(function.__module__, function.__name__)
        return f"{_name_of_type(owner if issubclass(type(owner), type) else type(owner))}.{function.__name__}"
    if issubclass(kind, type):
        return _name_of_type(function)
    given = _attributes(function)
    name = _text(_kept(function, "__qualname__") or given.get("__qualname__"))
    if name is None:
        return _name_of_type(kind)
    return _dotted(_kept(function, "__module__") or given.get("__module__"), name)


def describe(handle: Any) -> HandleFacts:
    """Names for what ``handle`` calls. Raises nothing for handles of asyncio's own making."""
    callback = getattr(handle, "_callback", None)
    if callback is None:  # cancelled while it ran
        return _UNKNOWN
    task = task_of(callback)
    if task is not None:
        coroutine = coroutine_of(task)
        name = _name_of_coroutine(coroutine)
        frame = _kept(coroutine, "cr_frame") or _kept(coroutine, "gi_frame")  # None once it has ended
        module = dict.get(frame.f_globals, "__name__") if frame is not None else None
        left_by = _left_by(task, _kept(handle, "_context"))
        return HandleFacts(name, task_name(task), name, code_of(coroutine), _text(module) or "", left_by)
    function = plain_function(callback)
    if type(function) is FunctionType:
        return HandleFacts(name_of(function), None, None, function.__code__, _text(function.__module__) or "")
    return HandleFacts(name_of(function))


def _left_by(task: Any, context: Any) -> str | None:
    """Who has left the task behind whose step runs in ``context``, where that is known (asyncio's handles tell it)."""
    if type(context) is not Context:
        context = context_of(task)
    stretch = None if context is None else context.get(WITHIN)
    return None if stretch is None else stretch.left(task)


# --- reading what the interpreter keeps --------------------------------------------------------


def _kept(thing: Any, name: str) -> Any:
    """An attribute that is a field of the object's own C structure, or a slot; None for any other."""
    for kind in _BASES.__get__(type(thing)):
        found = _CONTENTS.__get__(kind).get(name)
        if found is None:
            continue
        if type(found) is not GetSetDescriptorType and type(found) is not MemberDescriptorType:
            return None
        try:
            return found.__get__(thing)
        except AttributeError:  # a slot that was never filled
            return None
    return None


def _attributes(thing: Any) -> dict[str, Any]:
    """What is stored in the object itself."""
    stored = _kept(thing, "__dict__")
    return stored if type(stored) is dict else {}


def _text(value: Any) -> str | None:
    """``value`` if it is text, without the code of a subclass of ``str``."""
    if type(value) is str:
        return value
    return str.__str__(value) if issubclass(type(value), str) else None


def _dotted(module: Any, name: str) -> str:
    home = _text(module)
    return f"{home}.{name}" if home and home != "builtins" else name


def _name_of_type(kind: type) -> str:
    return _dotted(_CLASS_MODULE.__get__(kind), _text(_CLASS_NAME.__get__(kind)) or "?")


def _name_of_coroutine(coroutine: Any) -> str:
    return _text(_kept(coroutine, "__qualname__")) or _name_of_type(type(coroutine))
