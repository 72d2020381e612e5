"""A call is told by where its name comes from, and nothing of the application is run to find that out."""

from __future__ import annotations

import os
import sys
from types import CodeType, ModuleType
from typing import Any

import pytest

from loopwatch.explain.calls import called_name, resolve_call


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of the user's, as it stands in ``sys.modules``."""
    module = ModuleType("shop_for_calls")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def call_in(code: CodeType) -> int:
    """The offset of the last call, or of a place in its inline cache."""
    return max(at for at in range(0, len(code.co_code), 2) if called_name(code, at))


def resolved(module: ModuleType, source: str) -> str | None:
    """The name of the last call in ``source``, which is compiled as the module's but not run."""
    code = compile(source, "<shop>", "exec")
    while inner := [each for each in code.co_consts if isinstance(each, CodeType)]:
        code = inner[-1]
    return resolve_call(code, call_in(code), module.__name__)


@pytest.mark.parametrize(
    ("imports", "source", "expected"),
    [
        ("from time import sleep", "sleep(1)", "time.sleep"),
        ("from time import sleep as doze", "def f(): doze(1)", "time.sleep"),
        ("import time as clock", "def f(): clock.sleep(1)", "time.sleep"),
        ("import os.path as paths", "def f(): paths.join('a')", f"{os.path.__name__}.join"),
        ("from collections import OrderedDict as Ordered", "Ordered().popitem()", "collections.OrderedDict().popitem"),
        ("from queue import Queue", "def f():\n with Queue(): pass", "queue.Queue().__exit__"),
        ("from functools import reduce", "async def f(): await reduce(1)", "_functools.reduce"),
        ("import asyncio as aio", "async def f(): await aio.sleep(1)", "asyncio.sleep"),
        ("push = [].append", "push(1)", "list.append"),
        ("", "print(1)", "print"),
        ("", "def f(): open(1).read()", "open().read"),
        ("def outer():\n def inner(): pass\n return inner\nhook = outer()", "hook(1)", "hook"),
        ("hook = lambda: 0", "hook(1)", "hook"),
        ("thing = object()", "thing.call()", "thing.call"),
        # Not the module's name, though it is called the same.
        ("from time import sleep", "def f(sleep): sleep(1)", "sleep"),
        ("from time import sleep", "def f():\n sleep = print\n def g(): sleep(1)", "sleep"),
        ("from time import sleep", "class A:\n sleep = print\n sleep(1)", "sleep"),
        ("from time import sleep", "class A:\n sleep(1)", "time.sleep"),
    ],
)
def test_imported_names_are_told_by_where_they_come_from(
    shop: ModuleType, imports: str, source: str, expected: str
) -> None:
    """Modules, functions and classes by their home; variables, and names that hide a global one, as written."""
    exec(imports, vars(shop))
    assert resolved(shop, source) == expected


def test_without_its_module_a_call_keeps_the_written_name() -> None:
    """A module that is gone, or that is no module, is no reason to fail."""
    code = compile("sleep(1)", "<shop>", "exec")
    lasti = call_in(code)
    assert resolve_call(code, lasti, "there is no such module") == "sleep"


class Hostile:
    """Says no to everything that could be asked of it."""

    def _refuse(self, *_: Any) -> Any:
        raise AssertionError("code of the application was run")

    __getattribute__ = __getattr__ = __repr__ = __str__ = __eq__ = __hash__ = __bool__ = __call__ = _refuse
    __class__ = property(_refuse)


class HostileModule(ModuleType):
    def __getattribute__(self, name: str) -> Any:
        raise AssertionError("the module was asked")


def test_nothing_of_the_application_is_asked(shop: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither globals, nor modules that load on access, nor constants that a tool has put into the code."""
    vars(shop)["hostile"] = Hostile()
    assert resolved(shop, "hostile(1)") == "hostile"
    lazy = HostileModule("lazy_for_calls")
    vars(shop)["lazy"] = lazy
    assert resolved(shop, "lazy.load(1)") == "lazy_for_calls.load"
    monkeypatch.setitem(sys.modules, "lazy_for_calls", lazy)
    load = compile("load(1)", "<shop>", "exec")
    assert {resolve_call(load, at, "lazy_for_calls") for at in range(0, len(load.co_code), 2)} == {None, "load"}

    code = compile("sleep(1000, 'text')", "<shop>", "exec")
    lasti = call_in(code)
    odd = code.replace(co_consts=tuple(Hostile() for _ in code.co_consts))
    assert called_name(odd, lasti) == "sleep"
