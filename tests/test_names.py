"""Qualified names in every version of Python, found without running code of the application."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest

from loopwatch import _names
from loopwatch._names import namespace, qualified_name

SHAPES = """
import asyncio
import contextlib
import functools
import sys

codes = {}


def here(name):
    codes[name] = sys._getframe(1).f_code


def plain():
    here("plain")


renamed = plain
anonymous = lambda: here("<lambda>")


class Cart:
    def add(self):
        here("Cart.add")

    @classmethod
    def make(cls):
        here("Cart.make")

    @staticmethod
    def check():
        here("Cart.check")

    @property
    def total(self):
        here("Cart.total")

    @total.setter
    def total(self, value):
        def inner():
            here("Cart.total.<locals>.inner")

        inner()

    @functools.cached_property
    def cached(self):
        here("Cart.cached")

    @functools.lru_cache(maxsize=None)
    def remembered(self):
        here("Cart.remembered")

    class Line:
        def price(self):
            here("Cart.Line.price")

    def sum(self):
        return list(here("Cart.sum.<locals>.<genexpr>") for _ in "1")


def outer():
    def inner():
        (lambda: here("outer.<locals>.inner.<locals>.<lambda>"))()

    inner()


def factory():
    class Local:
        def method(self):
            def deep():
                here("factory.<locals>.Local.method.<locals>.deep")

            deep()

    Local().method()


def wrapping(function):
    @functools.wraps(function)
    def wrapper(*args):
        here("wrapping.<locals>.wrapper")
        return function(*args)

    return wrapper


def hiding(function):
    def hidden(*args):
        here("hiding.<locals>.hidden")
        return function(*args)

    return hidden


@wrapping
@wrapping
def decorated():
    here("decorated")


@hiding
def covered():
    here("covered")


class Service:
    @wrapping
    @functools.lru_cache
    @hiding
    def serve(self):
        here("Service.serve")


@contextlib.contextmanager
def managed():
    here("managed")
    yield


async def main():
    here("main")
    async for _ in rows():
        pass


async def rows():
    here("rows")
    yield 1


def run():
    cart = Cart()
    plain(), anonymous(), cart.add(), Cart.make(), Cart.check(), cart.total, cart.cached, cart.remembered()
    cart.total = 1
    Cart.Line().price(), cart.sum(), outer(), factory(), decorated(), covered(), Service().serve()
    with managed():
        pass
    coroutine = main()
    try:
        coroutine.send(None)
    except StopIteration:
        pass
"""


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of the user's, with the codes of all functions that ran, by their names."""
    (tmp_path / "shapes_for_names.py").write_text(SHAPES)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("shapes_for_names")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    module.run()
    return module


def test_functions_go_by_their_qualified_names(shapes: ModuleType) -> None:
    """Methods, properties, nested functions, under decorators with and without ``wraps``, and wrappers themselves."""
    found = {name: qualified_name(code, shapes.__name__) for name, code in shapes.codes.items()}
    assert len(found) > 18
    assert found == {name: name for name in found}


def test_a_function_that_cannot_be_found_goes_by_its_plain_name(shapes: ModuleType) -> None:
    """Where the interpreter does not know more: the module or the function is gone."""
    code: CodeType = shapes.codes["Cart.add"].replace(co_firstlineno=1)
    del sys.modules[shapes.__name__]
    assert qualified_name(code, shapes.__name__).rpartition(".")[2] == "add"
    assert qualified_name(code, "there is no such module").rpartition(".")[2] == "add"
    assert qualified_name(compile("1", "<x>", "exec"), "") == "<module>"


def refuse(*_: Any) -> Any:
    raise AssertionError("code of the application was run")


class Hostile:
    """What a proxy, a lazy object or a settings object may be."""

    __getattribute__ = __getattr__ = __eq__ = __repr__ = __bool__ = __iter__ = refuse
    __hash__ = object.__hash__
    __class__ = property(refuse)


class HostileMeta(type):
    __getattribute__ = __instancecheck__ = refuse


class Sealed(ModuleType):
    __getattribute__ = refuse


def test_objects_of_the_application_are_not_asked(shapes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what stands beside the function, nor a module that loads on access, nor constants in the code."""
    sealed = Sealed(shapes.__name__)
    names = namespace(sealed)
    names["hostile"] = Hostile()
    names["Careful"] = HostileMeta("Careful", (), {"__module__": shapes.__name__, "hostile": Hostile()})
    names["Cart"] = shapes.Cart
    names["last"] = Hostile()
    monkeypatch.setitem(sys.modules, shapes.__name__, sealed)
    code: CodeType = shapes.codes["Cart.add"]
    assert qualified_name(code, shapes.__name__) == "Cart.add"
    odd = code.replace(co_consts=(Hostile(), ["not even hashable"]), co_firstlineno=7)
    assert qualified_name(odd, shapes.__name__).rpartition(".")[2] == "add"


def test_what_is_remembered_is_bounded() -> None:
    """Where names must be searched, the answers are kept for a bounded number of functions."""
    for number in range(2100):
        qualified_name(compile(f"{number}", "<x>", "exec"), "there is no such module")
    assert len(_names._found) <= 2048


def test_the_names_of_a_module_are_read_without_it() -> None:
    """Nothing else has any: neither an object that claims to be a module, nor nothing."""
    sealed = Sealed("sealed")
    assert namespace(sealed)["__name__"] == "sealed"
    assert namespace(sys) is vars(sys)
    pretender = type("Pretender", (), {"__class__": ModuleType, "__dict__": property(refuse)})()
    for each in (pretender, None, 7, Hostile()):
        assert namespace(each) == {}
    assert namespace(ModuleType.__new__(ModuleType)) == {}
