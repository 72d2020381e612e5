"""What each tool sees: every scenario under every tool, each run a process of its own, round after round."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .adapters.adapter import Report
from .environments import ROOT
from .judge import Verdict, judge, majority
from .scenarios.catalogue import SCENARIOS
from .scenarios.scenario import Scenario
from .tools import TOOLS, Tool

_LONGEST = 120.0
TOLD = ROOT / ".venvs" / "peers-told"
"""What the tools said, word for word; for who wants to look a verdict up."""

IDLE = "idle"
"""The scenario in which nothing happens; it comes first, since the judge wants to know what a tool says of it."""

Pythons = dict[str, Path]
Row = dict[str, Any]


def look(
    pythons: Pythons, loop: str, rounds: int, names: Sequence[str], keep: Callable[[dict[str, Row], int], None]
) -> dict[str, Row]:
    """The verdicts by tool and scenario; ``keep`` is given them after each scenario, and the round."""
    tools = [TOOLS[name] for name in pythons if loop == "asyncio" or TOOLS[name].uvloop]
    verdicts: dict[tuple[str, str], list[Verdict]] = {}
    table: dict[str, Row] = {tool.name: {} for tool in tools}
    always: dict[str, list[Report]] = {tool.name: [] for tool in tools}
    for number in range(rounds):
        for name in sorted(names, key=lambda name: name != IDLE):
            for tool in tools if number % 2 == 0 else tools[::-1]:
                result = one(tool, pythons[tool.name], SCENARIOS[name], loop, number)
                if "reports" not in result:
                    table[tool.name].setdefault(name, result)
                    continue
                reports = [Report(**each) for each in result["reports"]]
                if name == IDLE:
                    always[tool.name] += reports
                verdicts.setdefault((tool.name, name), []).append(judge(SCENARIOS[name], reports, always[tool.name]))
                row = majority(verdicts[tool.name, name]).to_dict()
                table[tool.name][name] = row
            keep(table, number + 1)
        print(f"{loop}: round {number + 1} of {rounds} done", flush=True)
    return table


def one(tool: Tool, python: Path, scenario: Scenario, loop: str, number: int) -> dict[str, Any]:
    """What a tool told of one run, or why there is none."""
    command = [str(python), "-m", "benchmarks.peers.sight_process", tool.name, scenario.name, loop]
    environment = {**os.environ, **tool.environment, "PYTHONWARNINGS": "ignore"}
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LONGEST,
        )
    except subprocess.TimeoutExpired:
        return {"not_run": f"did not end within {_LONGEST:g} s"}
    told: dict[str, Any] = json.loads(done.stdout) if done.stdout.strip() else {}
    _write_down(tool, scenario, loop, number, told, done.stderr)
    if told.get("skipped"):
        return {"not_run": "needs a newer Python"}
    if not told:
        return {"not_run": f"ended with {done.returncode} and without an answer"}
    if told["failed"]:
        return {"not_run": f"failed with {told['failed'].strip().splitlines()[-1].partition(':')[0]}"}
    return told


def _write_down(tool: Tool, scenario: Scenario, loop: str, number: int, told: dict[str, Any], errors: str) -> None:
    folder = TOLD / loop / re.sub(r"\W+", "-", tool.name)
    folder.mkdir(parents=True, exist_ok=True)
    parts = [f"[{each['cause']}]\n{each['text']}\n" for each in told.get("reports", ())]
    text = "\n".join([*parts, "--- raised", str(told.get("failed")), "--- stderr", errors])
    (folder / f"{scenario.name}-{number}.txt").write_text(text, encoding="utf-8")
