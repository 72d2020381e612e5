"""Sentences on where a peer does better than loopwatch, made from the numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .results import Results
from .scenarios.catalogue import SCENARIOS
from .score import COSTS, FIGURES, OURS
from .sight import IDLE
from .tools import TOOLS

_ASPECTS: dict[str, Callable[[Results], bool]] = {
    "sees it": lambda row: bool(row["seen"]),
    "names the right line": lambda row: bool(row["line"] == "line"),
    "names the function": lambda row: bool(row["line"]),
    "says the right cause": lambda row: bool(row["cause"]),
    "keeps silent": lambda row: not row["false_alarm"],
}
"""What a peer may do that loopwatch does not; the first that fits is told, with all who do it."""


def names(of: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    words = list(of)
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + f" and {words[-1]}" if words else ""


def ahead_in_sight(tools: Results, brief: bool = False) -> list[str]:
    """For each program that a peer does better with, what and who; ``brief``: in one paragraph."""
    found = [(name, *better) for name in SCENARIOS if (better := _better(tools, name))]
    if not found:
        return ["No peer does better than loopwatch with any of these programs."]
    caveat = _caveat(tools, {tool for _, _, who in found for tool in who})
    if brief:
        where = "; ".join(f"*{name}* ({doing}: {names(who)})" for name, doing, who in found)
        return [f"Where peers do better than loopwatch: {where}.", *caveat]
    return [
        "Where peers do better than loopwatch:",
        "",
        *(f"- *{name}*: {SCENARIOS[name].what} ({doing}: {names(who)})." for name, doing, who in found),
        *(["", *caveat] if caveat else []),
    ]


def _better(tools: Results, name: str) -> tuple[str, list[str]] | None:
    """What peers do with this program that loopwatch does not, and which."""
    rows = {tool: tools.get(tool, {}).get(name, {"not_run": ""}) for tool in TOOLS}
    ours = rows[OURS]
    if "not_run" in ours:
        return None
    for doing, does in _ASPECTS.items():
        who = [tool for tool, row in rows.items() if not tool.startswith(OURS) and "not_run" not in row and does(row)]
        if who and not does(ours):
            return doing, who
    return None


def _caveat(tools: Results, concerned: set[str]) -> list[str]:
    noisy = [tool for tool in TOOLS if tool in concerned and tools[tool].get(IDLE, {}).get("false_alarm")]
    return [f"Reporting the idle program as well: {names(noisy)}."] if noisy else []


def ahead_in_cost(costs: Results) -> list[str]:
    """For each figure the peers that are better, by more than both are unsure of and more than nothing."""
    lines = []
    for what in COSTS:
        better = [tool for tool in TOOLS if not tool.startswith(OURS) and _cheaper(costs, tool, what)]
        if better:
            lines.append(f"- {FIGURES[what].title}: {names(better)}.")
    if not lines:
        return ["No peer costs less than loopwatch in any of these, beyond what the rounds differ by."]
    return [
        "Peers that cost less than loopwatch, by more than the rounds differ (of memory 0.5 MB, of CPU 0.1 %):",
        "",
        *lines,
    ]


def _cheaper(costs: Results, tool: str, what: str) -> bool:
    theirs, ours = costs.get(tool, {}).get(what), costs.get(OURS, {}).get(what)
    if not theirs or not ours:
        return False
    less = ours["median"] - theirs["median"]
    if FIGURES[what].more_is_better:
        less = -less
    return bool(less > max(FIGURES[what].least, theirs["error"] + ours["error"]))
