"""One line of the table: what was measured, against which bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["pass", "MISS", "-", "not measured"]


@dataclass(frozen=True)
class Look:
    """How closely to look: ``fast`` with fewer and shorter rounds, and at which ``stopwatches``."""

    fast: bool
    stopwatches: tuple[str, ...]


@dataclass(frozen=True)
class Figure:
    """``measured`` against ``bound``, both in ``unit``; ``measured`` None: this machine lacks what it takes.

    A figure without a bound is told for orientation. ``note`` is printed beside it: the spread, or
    what is missing. ``stopwatch`` names the implementation, where each is measured. ``details`` is
    for the JSON file alone.
    """

    name: str
    what: str
    measured: float | None
    bound: float | None = None
    unit: str = ""
    at_least: bool = False
    note: str = ""
    stopwatch: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        if self.measured is None:
            return "not measured"
        if self.bound is None:
            return "-"
        within = self.measured >= self.bound if self.at_least else self.measured <= self.bound
        return "pass" if within else "MISS"

    def row(self) -> tuple[str, ...]:
        """The cells of the table."""
        sign = ">= " if self.at_least else "<= "
        bound = "" if self.bound is None else f"{sign}{self.bound:g}{self.unit}"
        measured = "" if self.measured is None else f"{self.measured:.3f}{self.unit}"
        return self.name, self.stopwatch, self.what, bound, measured, self.verdict, self.note

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict}


HEAD = ("name", "stopwatch", "what", "bound", "measured", "verdict", "spread and notes")
_WIDTHS = (11, 9, 41, 10, 10, 12)


def line(cells: Sequence[str]) -> str:
    """One line of the table; the last cell is as long as it likes."""
    fixed = [cell.ljust(width) for cell, width in zip(cells, _WIDTHS)]
    return "  ".join([*fixed, *cells[len(_WIDTHS) :]]).rstrip()
