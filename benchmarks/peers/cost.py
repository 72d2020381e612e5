"""What each tool costs: processes that measure themselves, the bare loop's among them, in turn, round after round."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.apart import cores, on_core
from benchmarks.pairs import in_turn, spread
from benchmarks.service import Service

from .environments import ROOT, python_of
from .tools import BARE, TOOLS

_LONGEST = 240.0
_BARE_EVERY = 3
"""Tools between two looks at the bare loop, so that both see the same moments of a busy machine."""

Keep = Callable[[str, str, "dict[str, float] | None"], None]


@dataclass(frozen=True)
class Effort:
    """Rounds of each comparison, seconds of one slice, of idling and steps that fill the memory."""

    rounds: int
    slice: float
    idle: float
    steps: int


THOROUGH = Effort(rounds=5, slice=0.04, idle=10.0, steps=1_000_000)
QUICK = Effort(rounds=1, slice=0.01, idle=1.0, steps=20_000)


def measure(pythons: dict[str, Path], loop: str, quick: bool, keep: Keep) -> None:
    """All of it on one kind of loop; ``keep`` is given each figure, and None for what could not be measured."""
    effort = QUICK if quick else THOROUGH
    tools = [name for name in pythons if loop == "asyncio" or TOOLS[name].uvloop]
    found = _Bench({**pythons, BARE: python_of(None)}, loop, effort)
    for part in (found.steps, found.requests, found.memory, found.idle):
        part(tools, keep)
        print(f"{loop}: {part.__name__} measured", flush=True)


@dataclass(frozen=True)
class _Bench:
    pythons: dict[str, Path]
    loop: str
    effort: Effort

    def steps(self, tools: Sequence[str], keep: Keep) -> None:
        """Ratios to the mean of the two looks at the bare loop around them."""
        ratios: dict[tuple[str, str], list[float]] = {}
        for number in range(self.effort.rounds):
            for tool, here, bare in self._beside_bare(in_turn(tools, number)):
                for what, seconds in here.items():
                    ratios.setdefault((tool, what), []).append(seconds / bare[what])
                    keep(tool, what, _summary(ratios[tool, what]))

    def _beside_bare(self, tools: Sequence[str]) -> Iterator[tuple[str, dict[str, float], dict[str, float]]]:
        before = self._result(BARE, "steps")
        for first in range(0, len(tools), _BARE_EVERY):
            found = {tool: self._result(tool, "steps") for tool in tools[first : first + _BARE_EVERY]}
            after = self._result(BARE, "steps")
            if before is None or after is None:
                raise RuntimeError("the bare loop itself cannot be measured")
            between = {what: (before[what] + after[what]) / 2 for what in before}
            yield from ((tool, here, between) for tool, here in found.items() if here is not None)
            before = after

    def requests(self, tools: Sequence[str], keep: Keep) -> None:
        """All services live side by side; the load goes to one after the other, the bare one among them."""
        if shutil.which("wrk") is None:
            for tool in tools:
                keep(tool, "requests", None)
            return
        here, there = (None, None) if len(cores()) < 2 else (cores()[0], cores()[-1])
        with on_core(here), ExitStack() as stack:
            services = {}
            for tool in (BARE, *tools):
                try:
                    services[tool] = stack.enter_context(self._service(tool, there))
                except NoAnswer as why:
                    print(why, flush=True)
                    keep(tool, "requests", None)
            self._load(services, keep)

    def _load(self, services: dict[str, Service], keep: Keep) -> None:
        ratios: dict[str, list[float]] = {}
        for tool in list(services):
            try:
                services[tool].load()
            except RuntimeError as why:  # not all replies came, or not as they should
                print(f"{tool} on {self.loop}: {why}", flush=True)
                del services[tool]
                keep(tool, "requests", None)
        for number in range(self.effort.rounds):
            rates = {tool: services[tool].load().rate for tool in in_turn(list(services), number)}
            for tool, rate in rates.items():
                if tool != BARE:
                    ratios.setdefault(tool, []).append(rate / rates[BARE])
                    keep(tool, "requests", _summary(ratios[tool]))

    @contextmanager
    def _service(self, tool: str, core: int | None) -> Iterator[Service]:
        pinned = [] if core is None else ["--core", str(core)]
        with self._process(tool, "serve", *pinned) as (process, url):
            yield Service(url, process.pid)

    def memory(self, tools: Sequence[str], keep: Keep) -> None:
        """Megabytes more than the bare process has after the same steps."""
        self._more_than_bare("memory", tools, keep, 1, "--count", str(self.effort.steps))

    def idle(self, tools: Sequence[str], keep: Keep) -> None:
        """Per cent of a core more than the bare loop takes; all side by side, since none of them does much."""
        self._more_than_bare("idle", tools, keep, len(tools) + 1, "--seconds", str(self.effort.idle))

    def _more_than_bare(self, what: str, tools: Sequence[str], keep: Keep, at_once: int, *arguments: str) -> None:
        def result(tool: str) -> float | None:
            found = self._result(tool, what, *arguments)
            return None if found is None else found[what]

        with ThreadPoolExecutor(at_once) as pool:
            answers = pool.map(result, (BARE, *tools))
            bare = next(answers)
            if bare is None:
                raise RuntimeError("the bare loop itself cannot be measured")
            for tool, here in zip(tools, answers):
                keep(tool, what, None if here is None else _summary([here - bare]))

    def _result(self, tool: str, what: str, *arguments: str) -> dict[str, float] | None:
        if what == "steps":
            arguments = ("--seconds", str(self.effort.slice))
        try:
            with self._process(tool, what, *arguments) as (_, answer):
                result: dict[str, float] = answer
                return result
        except NoAnswer as why:
            print(why, flush=True)
            return None

    @contextmanager
    def _process(self, tool: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], Any]]:
        """One process and its answer; it is gone afterwards. Raises NoAnswer."""
        command = [str(self.pythons[tool]), "-m", "benchmarks.peers.cost_process", tool, self.loop, *arguments]
        extra = {} if tool == BARE else TOOLS[tool].environment
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **extra, "PYTHONWARNINGS": "ignore"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        bound = threading.Timer(_LONGEST, process.kill)
        bound.start()
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise NoAnswer(f"{tool} on {self.loop} has no figure for: {arguments[0]}")
            yield process, json.loads(line)
        finally:
            bound.cancel()
            process.kill()
            process.communicate()


class NoAnswer(Exception):
    """Raised when a process ended, or its time was up, before it had said its result."""


def _summary(values: Sequence[float]) -> dict[str, float]:
    """Median, and how far the true one may be from it: half the range of so few rounds."""
    found = spread(values)
    reach = (max(values) - min(values)) / 2
    return {"median": round(found.median, 4), "error": round(reach, 4), "rounds": len(values)}
