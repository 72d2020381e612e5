"""What a loop called is named without asking the application: none of its code is run for it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import types
from typing import Any

import pytest

from loopwatch.facts import HandleFacts
from loopwatch.observe import handles
from loopwatch.observe.handles import (
    describe,
    key_of,
    name_of,
    plain_function,
    task_name,
    task_of,
)
from tests.callables import BOTH, TASKS, handle_of, hostile, order, refuse


def plain(*_: Any) -> None:
    """A function."""


class Text(str):
    __str__ = __repr__ = __format__ = __eq__ = refuse
    __hash__ = str.__hash__


class Meta(type):
    __getattribute__ = __instancecheck__ = __subclasscheck__ = __repr__ = refuse


def test_no_callable_is_asked_for_anything() -> None:
    """Neither attributes, nor its class, nor its text: not of the object, its class or its class's class."""
    callable_class = hostile(
        "Asked", __call__=refuse, __getattribute__=refuse, __module__="shop", __self__=property(refuse)
    )
    for callback in (callable_class(), functools.partial(callable_class()), types.MethodType(callable_class(), 1)):
        handle = handle_of(plain)
        handle._callback = callback  # type: ignore[attr-defined]
        assert describe(handle) == HandleFacts("shop.Asked")
        assert key_of(handle) == "shop.Asked"
    careful: Any = Meta("Careful", (list,), {"__module__": "shop"})
    assert name_of(careful) == name_of(list.__new__(careful)) == "shop.Careful"
    assert name_of(list.__new__(careful).append) == "shop.Careful.append"


def test_a_partial_of_the_applications_own_is_opened_without_its_help() -> None:
    """Its ``func`` is read where ``functools.partial`` keeps it."""
    own = hostile("Own", functools.partial, func=property(refuse))
    assert plain_function(own(plain, 1)) is plain


def test_names_that_were_replaced_by_something_else_are_not_run() -> None:
    """Functions whose names are of a subclass of str, or no text at all."""

    def renamed() -> None:
        pass

    renamed.__qualname__ = Text("shop.renamed")
    renamed.__module__ = hostile()()
    facts = describe(handle_of(renamed))
    assert str.__eq__(facts.callback, "shop.renamed") and type(facts.callback) is str
    assert facts.module == ""


@BOTH
def test_a_task_name_is_text_of_ours(kind: type) -> None:
    """Also where the application has given it something else."""
    loop = asyncio.new_event_loop()
    try:
        task = kind(order(), loop=loop)
        task.set_name(18)
        assert task_name(task) == "18"
        loop.run_until_complete(task)
    finally:
        loop.close()


def test_partials_within_partials_end_somewhere() -> None:
    """A partial that holds itself, however deep, is opened a bounded number of times."""
    endless = functools.partial(plain)
    endless.__setstate__((endless, (), {}, {}))  # type: ignore[attr-defined]
    assert plain_function(endless) is endless
    endless.__setstate__((plain, (), {}, {}))


def test_c_tasks_are_known_where_others_have_put_theirs_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some tools replace ``asyncio.Task`` by the Python one before loopwatch is imported."""
    monkeypatch.setattr(asyncio, "Task", TASKS[1])
    again = types.ModuleType(handles.__name__)
    again.__package__ = handles.__package__
    exec(compile(inspect.getsource(handles), handles.__file__, "exec"), vars(again))
    loop = asyncio.new_event_loop()
    try:
        task = TASKS[0](order(), loop=loop, name="early")
        assert again.task_name(task) == "early"
        loop.run_until_complete(task)
    finally:
        loop.close()


def test_a_slot_of_the_applications_is_no_task() -> None:
    """An object may keep anything under the name ``__self__``."""

    class Slotted:
        __slots__ = ("__self__",)

        def __call__(self) -> None:
            pass

    empty, full = Slotted(), Slotted()
    full.__self__ = hostile()()  # type: ignore[attr-defined]
    assert task_of(empty) is None and task_of(full) is None
