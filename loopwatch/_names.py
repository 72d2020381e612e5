"""Names of modules and functions as the interpreter knows them, found without running code of the application."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

_NAMES_OF_MODULE = vars(ModuleType)["__dict__"]


def namespace(module: object) -> dict[str, Any]:
    """The names in a module, past any code of its own that would load it first; empty for what is no module."""
    return (_NAMES_OF_MODULE.__get__(module) or {}) if issubclass(type(module), ModuleType) else {}


def code_name(code: CodeType) -> str:
    """The name that code carries itself: without its class before Python 3.11."""
    return str(getattr(code, "co_qualname", code.co_name))


def qualified_name(code: CodeType, module: str) -> str:
    """``Class.method`` for a code object that runs in ``module``; before 3.11 searched in that module's names."""
    own: str | None = getattr(code, "co_qualname", None)
    if own is not None:
        return own
    known = _found.get(id(code))
    if known is None or known[0] is not code:
        if len(_found) >= 2048:
            _found.clear()
        known = _found[id(code)] = code, _search(code, module) or code.co_name
    return known[1]


_found: dict[int, tuple[CodeType, str]] = {}


def _search(wanted: CodeType, module: str) -> str | None:
    """The name of the function whose code is ``wanted``, as it was when the function was made."""
    for function in _reachable(list(namespace(sys.modules.get(module)).values()), module):
        code, name = function.__code__, function.__qualname__
        # A wrapper goes by the name of what it wraps; its own name is found in the function that made it.
        if code.co_filename != wanted.co_filename or "__wrapped__" in function.__dict__:
            continue
        if code is wanted:
            return name
        inner = _name_within(code, wanted)
        if inner is not None:
            return f"{name}.<locals>.{inner}"
    return None


def _name_within(outer: CodeType, wanted: CodeType) -> str | None:
    for code in outer.co_consts:
        if type(code) is not CodeType:
            continue
        if code is wanted:
            return code.co_name
        inner = _name_within(code, wanted)
        if inner is not None:
            is_class = not code.co_flags & 0x1  # CO_OPTIMIZED: only functions have it
            return f"{code.co_name}.{inner}" if is_class else f"{code.co_name}.<locals>.{inner}"
    return None


def _reachable(values: list[Any], module: str) -> Iterator[FunctionType]:
    """The functions among some values, in their classes and under their decorators; asks nothing of other objects."""
    seen: set[int] = set()
    while values:
        value = values.pop()
        kind = type(value)
        if id(value) in seen:
            continue
        seen.add(id(value))
        if kind is FunctionType:
            yield value
            values.append(value.__dict__.get("__wrapped__"))
            values += [held for cell in value.__closure__ or () if type(held := _content(cell)) is FunctionType]
        elif kind is staticmethod or kind is classmethod:
            values.append(value.__func__)
        elif kind is property:
            values += (value.fget, value.fset, value.fdel)
        elif kind is functools.cached_property:
            values.append(value.func)
        elif kind is _LruCache:
            values.append(value.__dict__.get("__wrapped__"))
        elif issubclass(kind, type) and _class_module(value) == module:
            values += list(_class_names(value).values())


_LruCache: type = type(functools.lru_cache(lambda: None))
_class_module = vars(type)["__module__"].__get__
_class_names = vars(type)["__dict__"].__get__


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None
