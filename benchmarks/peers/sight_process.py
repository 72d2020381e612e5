"""One scenario under one tool, in a process of its own; says what the tool told as one line of JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import traceback
from dataclasses import asdict

from .adapters.adapter import Adapter, run_in_loop
from .scenarios.catalogue import SCENARIOS
from .scenarios.scenario import Scenario
from .tools import BARE, TOOLS

_SETTLE = 0.2
"""Seconds for a tool to come to rest before the work begins, and to say what it has to say when it is done."""


def run(adapter: Adapter, scenario: Scenario, loop: str) -> str:
    """Run it to its end; returns the traceback of what the work raised, if it did."""
    failed: list[str] = []

    async def work() -> None:
        await asyncio.sleep(_SETTLE)
        adapter.begin()
        try:
            # As in a service, what a tool finds running is a task of the program.
            await asyncio.create_task(scenario.run())
        finally:
            await asyncio.sleep(_SETTLE)

    if scenario.prepare is not None:
        scenario.prepare()
    adapter.install()
    try:
        run_in_loop(adapter, loop, adapter.watch(work))
    except Exception:
        failed.append(traceback.format_exc())
    adapter.finish()
    return "".join(failed)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.sight_process", description=__doc__)
    parser.add_argument("tool", choices=(BARE, *TOOLS))
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("loop", choices=("asyncio", "uvloop"))
    options = parser.parse_args()
    answer = os.dup(1)
    os.dup2(2, 1)  # what a tool prints is not the answer
    scenario = SCENARIOS[options.scenario]
    if sys.version_info < scenario.since:
        result: dict[str, object] = {"skipped": True}
    else:
        adapter = Adapter() if options.tool == BARE else TOOLS[options.tool].make()
        failed = run(adapter, scenario, options.loop)
        result = {"reports": [asdict(report) for report in adapter.reports], "failed": failed}
    os.write(answer, json.dumps(result).encode() + b"\n")


if __name__ == "__main__":
    main()
