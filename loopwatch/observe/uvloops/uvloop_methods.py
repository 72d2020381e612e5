"""What is ours in ``uvloop.Loop``, a class of Python that inherits those of C beneath it: methods and an attribute."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from weakref import ref


class Method:
    """A method of ours, which calls the one that is inherited. Where another tool has it, it stays.

    It serves whichever watch there is, so there is one for each name, for good.
    """

    def __init__(self, name: str, make: Callable[[Any], Any]) -> None:
        self._name = name
        self._make = make
        self._ours: Any = None

    def put(self, kind: Any) -> None:
        standing = getattr(kind, self._name)
        if self._ours is None or not _is_within(standing, self._ours):
            self._ours = functools.update_wrapper(self._make(standing), standing)
            setattr(kind, self._name, self._ours)

    def take_out(self, kind: Any) -> None:
        if self._ours is not None and vars(kind).get(self._name) is self._ours:
            inherited, before = getattr(super(kind, kind), self._name), self._ours.__wrapped__
            if before is inherited:
                delattr(kind, self._name)
            else:
                setattr(kind, self._name, before)
            self._ours = None


def _is_within(function: Any, ours: Any) -> bool:
    for _ in range(8):
        if function is ours:
            return True
        function = getattr(function, "__wrapped__", None)
    return False


class Kept:
    """An attribute of the loops of a class that stands in none of them.

    Whoever looks up another name in an object that has attributes of its own looks among these first, as asyncio does
    for ``call_soon`` with each step: where uvloop's loops have none, that costs nothing.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        # By identity: a class of loops may say which of them are equal, and that none has a hash.
        self._kept: dict[int, tuple[ref[Any], Any]] = {}

    def __get__(self, loop: Any, kind: Any = None) -> Any:
        if loop is None:
            return self
        try:
            return self._kept[id(loop)][1]
        except KeyError:
            raise AttributeError(self._name) from None

    def __set__(self, loop: Any, value: Any) -> None:
        key, kept = id(loop), self._kept
        kept[key] = ref(loop, lambda _: kept.pop(key, None)), value

    def __delete__(self, loop: Any) -> None:
        try:
            del self._kept[id(loop)]
        except KeyError:
            raise AttributeError(self._name) from None

    def put(self, kind: Any) -> None:
        setattr(kind, self._name, self)

    def take_out(self, kind: Any) -> None:
        if vars(kind).get(self._name) is self:
            delattr(kind, self._name)
