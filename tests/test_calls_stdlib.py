"""Names of calls against all code there is: the standard library's sources are the judge, and random bytes."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwatch.explain import calls
from loopwatch.explain.calls import Reading, called_name

MODULES = [
    *("argparse", "ast", "asyncio.base_events", "asyncio.locks", "asyncio.tasks", "concurrent.futures.thread"),
    *("contextlib", "http.client", "inspect", "logging", "subprocess", "tarfile", "typing", "urllib.request"),
]


def code_objects(code: CodeType) -> Iterator[CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from code_objects(each)


def source_of(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")


def text_of(node: ast.AST) -> str | None:
    """What a callee is to be called, by the rules of the module."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return before + "." + node.attr if (before := text_of(node.value)) else None
    if isinstance(node, ast.Call):
        return before + "()" if (before := text_of(node.func)) else None
    if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
        return type(node.value).__name__
    return None


class Marked(ast.NodeVisitor):
    """Gives everything that calls a line of its own, and notes what may be called there."""

    def __init__(self, tree: ast.AST) -> None:
        self.names: dict[int, set[str | None]] = {}
        self._line = 1_000_000
        self.visit(tree)

    def _mark(self, node: Any, *names: str | None) -> None:
        if node.lineno < 1_000_000:
            self._line += 1
            node.lineno = node.end_lineno = self._line
            node.col_offset = node.end_col_offset = 0
        self.names.setdefault(node.lineno, set()).update(names)

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.Call):
            self._mark(node, text_of(node.func))
            if isinstance(node.func, ast.Attribute):  # some versions put a call where its attribute ends
                node.func.lineno = node.func.end_lineno = node.lineno
                node.func.col_offset = node.func.end_col_offset = 0
        elif isinstance(node, (ast.Await, ast.YieldFrom)):
            self._mark(node, text_of(node.value.func) if isinstance(node.value, ast.Call) else None)
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            prefix = "__a" if isinstance(node, ast.AsyncWith) else "__"
            for item in node.items:
                manager = text_of(item.context_expr)
                names = [manager and f"{manager}.{prefix}{way}__" for way in ("enter", "exit")]
                self._mark(node, *names)
                self._mark(item.context_expr, *names)
        elif isinstance(node, ast.AsyncFor):
            iterated = text_of(node.iter)
            self._mark(node, iterated and f"{iterated}.__anext__")
            self._mark(node.iter, iterated and f"{iterated}.__anext__")
        for decorator in getattr(node, "decorator_list", ()):
            self._mark(decorator, text_of(decorator))
            self._mark(node, text_of(decorator))  # where Python 3.10 says that a decorator is called
        super().generic_visit(node)


def is_one_of(name: str, expected: set[str | None]) -> bool:
    """The interpreter knows a private attribute with its class in front: ``_Pool__lock`` for ``__lock``."""
    return any(
        each is not None
        and name.count(".") == each.count(".")
        and all(
            got == want or (want.startswith("__") and got.startswith("_") and got.endswith(want))
            for got, want in zip(name.split("."), each.split("."))
        )
        for each in expected
    )


@pytest.mark.parametrize("module", MODULES)
def test_no_call_of_the_standard_library_gets_a_wrong_name(module: str) -> None:
    """Each name is the one in the source at that very place, and hardly a call that has a name goes without."""
    tree = ast.parse(source_of(module))
    expected = Marked(tree).names
    wrong, missed, named = [], [], 0
    for code in code_objects(compile(tree, module, "exec")):
        lines = {at: line for start, end, line in code.co_lines() for at in range(start, end, 2)}
        for instruction, callee in Reading(code).callees():
            there = expected.get(lines.get(instruction.begin) or 0, set())
            if callee is not None:
                named += 1
                if not is_one_of(callee.text(), there):
                    wrong.append((code.co_name, instruction.name, callee.text(), there))
            elif instruction.name.startswith("CALL") and "INTRINSIC" not in instruction.name and None not in there:
                missed += [there] if there else []
    assert wrong == []
    assert named > 20
    assert len(missed) < named / 20, missed


@pytest.mark.parametrize("module", ["json.decoder", "queue", "contextlib", "asyncio.locks", "textwrap"])
def test_every_offset_gives_a_name_or_none(module: str) -> None:
    """Also inside an instruction's inline cache, before the first instruction and behind the last."""
    for code in code_objects(compile(source_of(module), module, "exec")):
        end = len(code.co_code)
        for at in (-2, -1, *range(0, min(end, 1200)), end - 2, end, end + 2, 10**9):
            name = called_name(code, at)
            assert name is None or (name and set("(),.") - set("().") == {","} and not name.endswith(".")), name


@given(st.binary(max_size=400), st.integers(-4, 400))
def test_no_bytecode_makes_it_raise(bytecode: bytes, lasti: int) -> None:
    """Not even bytes that were never code: tools write bytecode too."""
    # A real code object of random bytes may crash the interpreter; this has all that is read of one.
    code: Any = SimpleNamespace(
        co_code=bytecode,
        co_names=("name", "other"),
        co_consts=(None, "text"),
        co_varnames=("local",),
        co_cellvars=("cell",),
        co_freevars=(),
        co_name="<module>",
    )
    assert called_name(code, lasti) is None or isinstance(called_name(code, lasti), str)


def test_what_is_remembered_is_bounded_and_never_mixed_up() -> None:
    """Thousands of short-lived code objects, whose addresses are used again."""
    for number in range(3000):
        code = compile(f"call_{number}()", "<case>", "exec")
        assert called_name(code, next(at for at in range(0, 99, 2) if called_name(code, at))) == f"call_{number}"
    assert len(calls._answers) <= 1024
