"""Measure loopwatch beside its peers, and write the tables of docs/peers.md and README.md.

    python -m benchmarks.peers                    everything, about an hour
    python -m benchmarks.peers --only sight       what each tool sees; --only cost: what each costs
    python -m benchmarks.peers --quick            one round, short measurements: to try it out
    python -m benchmarks.peers --render           the tables again from results.json, nothing is measured

Each tool gets an environment of its own in .venvs/peers-*; the first run needs the network. Results are
written as they come, so an interrupted run loses only what it had not yet measured.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from examples.children import end_on_sigterm

from . import cost, results, sight, table
from .environments import ROOT, NotInstalled, python_of, versions_in
from .results import Results
from .scenarios.catalogue import SCENARIOS
from .tools import EVERYWHERE, TOOLS

LOOPS = ("asyncio", "uvloop")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=("sight", "cost"))
    parser.add_argument("--quick", action="store_true", help="one round, short measurements")
    parser.add_argument("--rounds", type=int, default=3, help="of each scenario; the most frequent verdict counts")
    parser.add_argument("--loop", choices=LOOPS, action="append", help="default: each")
    parser.add_argument("--tool", choices=TOOLS, action="append", metavar="NAME", help=", ".join(TOOLS))
    parser.add_argument("--scenario", choices=SCENARIOS, action="append", metavar="NAME", help=", ".join(SCENARIOS))
    parser.add_argument("--to", type=Path, default=results.FILE, help="the file of results")
    parser.add_argument("--render", action="store_true", help="only write the tables")
    return parser.parse_args()


def main() -> int:
    end_on_sigterm()
    options = _options()
    if not options.render:
        _measure(options)
    if options.to == results.FILE:
        table.write(results.read())
    return 0


def _measure(options: argparse.Namespace) -> None:
    found = results.read(options.to)
    pythons, found["not_installed"] = _environments(options.tool or list(TOOLS))
    told = _circumstances(pythons)
    for loop in options.loop or LOOPS:
        if options.only != "cost":
            _sight(options, loop, pythons, told, found)
        if options.only != "sight":
            _cost(options, loop, pythons, told, found)


def _sight(options: argparse.Namespace, loop: str, pythons: dict[str, Path], told: Results, found: Results) -> None:
    rounds = 1 if options.quick else options.rounds
    part = found.setdefault("sight", {}).setdefault(loop, {"tools": {}})
    before = part.get("circumstances")

    def keep(tools: dict[str, sight.Row], finished: int) -> None:
        part["circumstances"] = _joined(before, {**told, "rounds": finished}, bool(options.tool or options.scenario))
        for name, row in tools.items():
            part["tools"][name] = {**part["tools"].get(name, {}), **row}
        results.write(found, options.to)

    sight.look(pythons, loop, rounds, options.scenario or list(SCENARIOS), keep)


def _cost(options: argparse.Namespace, loop: str, pythons: dict[str, Path], told: Results, found: Results) -> None:
    part = found.setdefault("cost", {}).setdefault(loop, {"tools": {}})
    part["circumstances"] = _joined(part.get("circumstances"), {**told, "quick": options.quick}, bool(options.tool))

    def keep(tool: str, what: str, value: dict[str, float] | None) -> None:
        part["tools"].setdefault(tool, {})[what] = value
        results.write(found, options.to)

    cost.measure(pythons, loop, options.quick, keep)


def _joined(before: Results | None, told: Results, in_part: bool) -> Results:
    """The circumstances of results of which a part was measured again, in others than the rest."""
    return {**before, "then": told["command"], "then_date": told["date"]} if before and in_part else told


def _environments(names: list[str]) -> tuple[dict[str, Path], dict[str, str]]:
    """The Python of each tool, and why there is none for the others."""
    pythons, missing = {}, {}
    for name in names:
        try:
            pythons[name] = python_of(TOOLS[name])
        except NotInstalled as why:
            missing[name] = str(why)
            print(f"not installed: {name}: {why}", file=sys.stderr)
    if "loopwatch" in pythons and not _is_compiled(pythons["loopwatch"]):
        pythons.pop("loopwatch, in Python", None)  # the same thing twice
    return pythons, missing


def _is_compiled(python: Path) -> bool:
    code = "from loopwatch.observe.stopwatch.steps import IMPLEMENTATION; print(IMPLEMENTATION)"
    done = subprocess.run([python, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return bool(done.stdout.strip() != "python")


def _circumstances(pythons: dict[str, Path]) -> Results:
    versions = {}
    for name, python in pythons.items():
        packages = TOOLS[name].packages
        if name.startswith("loopwatch"):
            versions.update(versions_in(python, ["loopwatch"]) if packages else {})
        else:
            versions.update(versions_in(python, [package.partition("==")[0] for package in packages]))
    some = next(iter(pythons.values()))
    versions.update(versions_in(some, [package.partition("==")[0] for package in EVERYWHERE]))
    code = "import platform; print(platform.python_version())"
    python_version = subprocess.run([some, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    return results.circumstances(python_version, versions)


if __name__ == "__main__":
    sys.exit(main())
