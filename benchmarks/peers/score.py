"""The verdicts of one tool, added up, and the figures of what it costs."""

from __future__ import annotations

from dataclasses import dataclass

from .results import Results
from .scenarios.catalogue import SCENARIOS

OURS = "loopwatch"


@dataclass(frozen=True)
class Score:
    """Of the ``guilty`` programs that could be run, and of the ``innocent`` ones."""

    guilty: int
    innocent: int
    seen: int
    lines: int
    functions: int
    causes: int
    alarms: int

    def cells(self) -> list[str]:
        functions = f" (+{self.functions})" if self.functions else ""
        of = f" of {self.guilty}"
        return [f"{self.seen}{of}", f"{self.lines}{functions}", str(self.causes), f"{self.alarms} of {self.innocent}"]


def score(rows: Results) -> Score:
    """Add up the rows of one tool."""
    run = {name: row for name, row in rows.items() if "not_run" not in row}
    guilty = [row for name, row in run.items() if SCENARIOS[name].kind != "innocent"]
    innocent = [row for name, row in run.items() if SCENARIOS[name].kind == "innocent"]
    return Score(
        guilty=len(guilty),
        innocent=len(innocent),
        seen=sum(row["seen"] for row in guilty),
        lines=sum(row["line"] == "line" for row in guilty),
        functions=sum(row["line"] == "function" for row in guilty),
        causes=sum(row["cause"] for row in guilty),
        alarms=sum(row["false_alarm"] for row in innocent),
    )


@dataclass(frozen=True)
class FigureOf:
    """How a cost is named and written; ``more_is_better`` for rates. A difference below ``least`` says nothing."""

    title: str
    short: str
    unit: str = "x"
    more_is_better: bool = False
    least: float = 0.0


FIGURES = {
    "call_soon": FigureOf("`call_soon` step", "one step"),
    "sleep": FigureOf("`sleep(0)`", "`sleep(0)`"),
    "create_task": FigureOf("`create_task`", "one task"),
    "echo": FigureOf("streams echo", "echo"),
    "to_thread": FigureOf("`to_thread` job", "one job"),
    "requests": FigureOf("requests/s", "requests/s", more_is_better=True),
    "memory": FigureOf("memory after a million steps", "memory", " MB", least=0.5),
    "idle": FigureOf("idle CPU", "idle CPU", " %", least=0.1),
}
COSTS = tuple(FIGURES)


def cost_of(costs: Results, tool: str, what: str) -> str:
    """One cell: the median and how sure it is."""
    value = costs.get(tool, {}).get(what)
    if value is None:
        return "n/a"
    figure = FIGURES[what]
    median = round(value["median"], 2) + 0.0  # no minus before a zero
    sign = "+" if figure.unit != "x" and median >= 0 else ""
    error = f" ±{value['error']:.2f}" if value["rounds"] > 1 else ""
    return f"{sign}{median:.2f}{error}{figure.unit}"
