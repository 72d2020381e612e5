"""What one scenario is, and where in its source the line is that a tool ought to name."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["loop", "pool", "innocent"]

HOLD = 0.35
"""Seconds for which a loop is held: seven times the threshold that every tool is given."""

_MARK = re.compile(r"# held: ([a-z_ ]+)$")


@dataclass(frozen=True)
class Scenario:
    """One program: ``prepare`` runs before the loop does, ``run`` inside it.

    ``cause`` is a pattern for the words that are right as a reason. Where nothing is to blame it says
    instead which reason excuses a report: that the loop was held is true, and no code is charged.
    """

    name: str
    what: str
    kind: Kind
    run: Callable[[], Coroutine[Any, Any, None]]
    cause: str = ""
    prepare: Callable[[], None] | None = None
    since: tuple[int, int] = (3, 10)
    """The Python version that it needs."""


@dataclass(frozen=True)
class Mark:
    """A line that is to blame, and the innermost function that it stands in."""

    file: str
    line: int
    function: str


def marks(scenario: Scenario) -> list[Mark]:
    """The lines of its file that bear its name in a comment: ``# held: name``. None where nothing is to blame."""
    file = Path(inspect.getsourcefile(scenario.run) or "")
    return [mark for name, mark in _marks_in(file) if name == scenario.name]


def _marks_in(file: Path) -> list[tuple[str, Mark]]:
    source = file.read_text(encoding="utf-8")
    functions = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    found = []
    for number, line in enumerate(source.splitlines(), 1):
        if told := _MARK.search(line):
            around = [each for each in functions if each.lineno <= number <= (each.end_lineno or 0)]
            innermost = max(around, key=lambda each: each.lineno)
            found.append((told[1], Mark(file.name, number, innermost.name)))
    return found
