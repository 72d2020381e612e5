"""Whether a function is asyncio's own ``Handle._run``, and where a handle keeps what that function uses.

The stopwatches do what that function does when nothing fails by themselves, so nothing but evidence counts:

- the version of Python is one whose ``Handle._run`` was read by us;
- the code of the function is what the loader of ``asyncio.events`` gives for it, bit by bit, so that no
  tool has put its own in its place or changed its code;
- run on a handle that takes notes, it asks for exactly what we ask for, in the same order, and does no more.

``NotGenuine`` says what was found instead; then the function itself is called and timed. The same holds for the
``select`` of an ``EpollSelector``.
"""

from __future__ import annotations

import select
import selectors
from asyncio import events
from collections.abc import Callable
from functools import lru_cache
from types import CodeType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any, NamedTuple

from ... import _compat

_SLOTS = ("_loop", "_context", "_callback", "_args")
_COMPARED = (
    "co_argcount",
    "co_code",
    "co_consts",
    "co_exceptiontable",  # since 3.11
    "co_flags",
    "co_freevars",
    "co_kwonlyargcount",
    "co_name",
    "co_names",
    "co_varnames",
)


class NotGenuine(Exception):
    """Says in a few words why a function cannot stand for asyncio's ``Handle._run``."""


class HandleShape(NamedTuple):
    """The descriptors of a handle's ``_loop``, ``_context``, ``_callback``, ``_args``, and the types that keep them."""

    slots: tuple[MemberDescriptorType, ...]
    types: tuple[type, ...]


def handle_shape() -> HandleShape:
    """Where asyncio's handles keep what is needed. Raises NotGenuine."""
    slots = tuple(vars(events.Handle).get(name) for name in _SLOTS)
    known = tuple(slot for slot in slots if type(slot) is MemberDescriptorType)
    if len(known) != len(_SLOTS):
        raise NotGenuine("asyncio's handles are not made as in a known version of Python")
    candidates = (events.Handle, events.TimerHandle, getattr(events, "_ThreadSafeHandle", None))
    return HandleShape(known, tuple(kind for kind in candidates if kind is not None and _keeps(kind, slots)))


def _keeps(kind: type, slots: tuple[Any, ...]) -> bool:
    return all(getattr(kind, name, None) is slot for name, slot in zip(_SLOTS, slots))


def known_run(function: Any) -> tuple[HandleShape | None, str]:
    """Where handles keep their things, None where not known; and why ``function``, which stands in ``Handle._run``,
    must be called; nothing where what it does may be done in its place."""
    shape = None
    try:
        shape = handle_shape()
        assert_genuine(function)
    except NotGenuine as reason:
        return shape, str(reason)
    return shape, ""


def assert_genuine(function: Any) -> None:
    """Raises NotGenuine unless ``function`` is asyncio's own ``Handle._run`` of a version that we know."""
    _assert_unchanged(function, events, "Handle", "_run")
    if not _does_as_known(function):
        raise NotGenuine("Handle._run does not do what it did in the versions that are known")


_known_select: dict[FunctionType, CodeType] = {}
"""The selector's own ``select``, with its code, if it was found genuine when that was looked into last."""


def look_into_select() -> None:
    """Find out whether ``EpollSelector.select`` is its own. Reads a file, so it is not for the thread of a loop."""
    _known_select.clear()
    function = vars(getattr(selectors, "EpollSelector", object)).get("select")
    try:
        _assert_unchanged(function, selectors, "EpollSelector", "select")
    except NotGenuine:
        return
    if isinstance(function, FunctionType) and _polls_as_known(function):
        _known_select[function] = function.__code__


def epoll_types(method: Any) -> tuple[type, type] | None:
    """The types of a selector and of its epoll object, if ``method`` is that selector's own, genuine ``select``.

    Without one that is ready, and without waiting, that comes to no more than asking the epoll object.
    None until ``look_into_select`` was called.
    """
    kind, epoll = getattr(selectors, "EpollSelector", None), getattr(select, "epoll", None)
    if kind is None or epoll is None or type(method) is not MethodType or type(method.__self__) is not kind:
        return None
    function = method.__func__
    known = type(function) is FunctionType and _known_select.get(function) is function.__code__
    return (kind, epoll) if known else None


def _assert_unchanged(function: Any, module: ModuleType, owner: str, name: str) -> None:
    told = f"{owner}.{name}"
    if not _compat.KNOWN_HANDLES:
        raise NotGenuine("this version of Python is not known")
    if type(function) is not FunctionType or function.__globals__ is not vars(module):
        raise NotGenuine(f"another tool stands in {told}")
    if not _unchanged(function.__code__, function.__defaults__, function.__kwdefaults__, function.__closure__):
        raise NotGenuine(f"{told} is not as it was defined")
    original = _original(module, owner, name)
    if original is None:
        raise NotGenuine(f"the original of {told} cannot be read")
    if not _same(function.__code__, original):
        raise NotGenuine(f"the code of {told} was changed")


def _unchanged(code: CodeType, defaults: Any, keywords: Any, closure: Any) -> bool:
    """No defaults but the ``None`` of a timeout, and nothing that is kept from outside."""
    return not keywords and not closure and (defaults or (None,)) == (None,) and len(defaults or ()) < code.co_argcount


@lru_cache(maxsize=8)
def _original(module: ModuleType, owner: str, name: str) -> CodeType | None:
    """The code of a method of the standard library as it was installed."""
    loader: Any = getattr(module.__spec__, "loader", None)
    try:
        code = loader.get_code(module.__name__)
    except Exception:  # loaders may be of any make, and the files may be gone
        return None
    holder = _within(code, owner)
    return None if holder is None else _within(holder, name)


def _within(code: Any, name: str) -> CodeType | None:
    constants = getattr(code, "co_consts", ())
    return next((each for each in constants if type(each) is CodeType and each.co_name == name), None)


def _same(code: CodeType, original: CodeType) -> bool:
    return all(getattr(code, name, None) == getattr(original, name, None) for name in _COMPARED)


class _Noting:
    """A handle, and its context, that take notes of what is asked of them, and of what is run."""

    notes: list[Any]

    def __init__(self) -> None:
        object.__setattr__(self, "notes", [])

    def __setattr__(self, name: str, value: Any) -> None:
        self.notes.append((name, value))

    def __getattr__(self, name: str) -> Any:
        self.notes.append(name)
        if name == "_context":
            return self
        if name == "_callback":
            return len
        if name == "_args":
            return (self, 1)
        raise AttributeError(name)

    def run(self, *given: Any) -> None:
        self.notes.append(given)


def _does_as_known(function: Callable[[Any], Any]) -> bool:
    noting = _Noting()
    try:
        answer = function(noting)
    except Exception:  # it is not the one that is known, whatever it is
        return False
    return answer is None and noting.notes == ["_context", "_callback", "_args", (len, noting, 1)]


class _NotingPoll(_Noting):
    """A selector with so many files, and its epoll object, of which none is ready."""

    def __init__(self, files: int) -> None:
        super().__init__()
        object.__setattr__(self, "_fd_to_key", dict.fromkeys(range(files)))
        object.__setattr__(self, "_selector", self)

    def poll(self, *given: Any) -> list[Any]:
        self.notes.append(given)
        return []


def _polls_as_known(function: Callable[..., Any]) -> bool:
    for files, asked in ((0, 1), (1, 1), (7, 7)):
        noting = _NotingPoll(files)
        try:
            answer = function(noting, 0)
        except Exception:  # likewise
            return False
        if answer != [] or type(answer) is not list or noting.notes != [(0, asked)]:
            return False
    return True
