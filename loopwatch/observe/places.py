"""Attributes of classes in which functions of ours stand while a watch is installed.

Where another tool has put its function around ours since, ours cannot be taken out: it stays, does
nothing, and goes as soon as an install or uninstall finds it outermost again.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple

_left: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
"""What stood there before, for each function of ours that could not be taken out."""


class _Place(NamedTuple):
    owner: type
    name: str
    ours: Any
    previous: Any

    def standing(self) -> bool:
        return vars(self.owner).get(self.name) is self.ours

    def put_back(self) -> None:
        if self.standing():
            _put(self.owner, self.name, self.previous)
        else:
            _left[_function(self.ours)] = self.previous
        _uncover(self.owner, self.name)


class Places:
    """Those of one watch. Not thread-safe: whoever has it keeps a lock."""

    def __init__(self) -> None:
        self._places: list[_Place] = []

    def put(self, owner: type, name: str, make: Callable[[Any], Any]) -> None:
        """Put what ``make`` makes of what stands there (None: nothing) in its place, once."""
        if any(each.owner is owner and each.name == name for each in self._places):
            return
        _uncover(owner, name)
        previous = vars(owner).get(name)
        place = _Place(owner, name, make(previous), previous)
        self._places.append(place)  # first: a signal handler may raise at any point
        setattr(owner, name, place.ours)

    def take_out(self, owner: type, name: str) -> None:
        """Leave this one as it was."""
        for place in [each for each in self._places if each.owner is owner and each.name == name]:
            self._places.remove(place)
            place.put_back()

    def take_all_out(self) -> None:
        """Leave every one as it was, but for what another tool stands around."""
        while self._places:
            self._places.pop().put_back()


def caller_of(previous: Any) -> Callable[..., Any]:
    """A function that calls what stands in a class for the object that it is given, as the interpreter would.

    A plain function is that already. Others may have to be bound first, as the wrappers of tracing tools, which
    are told no object otherwise; and some are no descriptors and take no object at all.
    """
    if type(previous) is FunctionType:
        return previous
    if not hasattr(type(previous), "__get__"):
        return lambda self, /, *args, **kwargs: previous(*args, **kwargs)
    return lambda self, /, *args, **kwargs: previous.__get__(self, type(self))(*args, **kwargs)


def _put(owner: type, name: str, value: Any) -> None:
    if value is None:
        delattr(owner, name)
    else:
        setattr(owner, name, value)


def _uncover(owner: type, name: str) -> None:
    """Take out what stands there and was left behind."""
    while type(found := _function(vars(owner).get(name))) is FunctionType and found in _left:
        _put(owner, name, _left.pop(found))


def _function(standing: Any) -> Any:
    return standing.__func__ if type(standing) is classmethod else standing
