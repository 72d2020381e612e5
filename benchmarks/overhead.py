"""Watched against unwatched for each workload: pairs within one process, several processes.

``python -m benchmarks.overhead NAME`` is one such process; it prints its pairs as one line of JSON.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from typing import Any

import pyperf

from .apart import begin, cores, on_core, result_of
from .figure import Figure, Look
from .pairs import Pair, interleave, loops_for, spread
from .workloads import WORKLOADS


@dataclass(frozen=True)
class Effort:
    """For each stopwatch so many processes, each with so many rounds of ``seconds`` a side."""

    processes: int
    rounds: int
    seconds: float


THOROUGH = Effort(processes=3, rounds=25, seconds=0.06)
QUICK = Effort(processes=1, rounds=5, seconds=0.05)


def measure(name: str, look: Look) -> list[Figure]:
    """The ratio of one workload for each stopwatch, as the median of all pairs."""
    effort = QUICK if look.fast else THOROUGH
    results: dict[str, list[dict[str, Any]]] = {stopwatch: [] for stopwatch in look.stopwatches}
    for _ in range(effort.processes):
        for stopwatch in look.stopwatches:
            results[stopwatch].append(_in_own_process(name, stopwatch, effort))
    return [_figure(name, stopwatch, results[stopwatch]) for stopwatch in look.stopwatches]


def _figure(name: str, stopwatch: str, results: list[dict[str, Any]]) -> Figure:
    workload = WORKLOADS[name]
    pairs = [Pair(**each) for result in results for each in result["pairs"]]
    ratios = spread([pair.ratio for pair in pairs])
    price = spread([pair.unwatched for pair in pairs]).median
    more = spread([pair.watched - pair.unwatched for pair in pairs]).median
    note = f"{ratios}; {price * 1e6:.2f} us unwatched, {more * 1e9:+.0f} ns"
    details = {"processes": results}
    return Figure(
        name,
        workload.what,
        ratios.median,
        workload.bounds[stopwatch],
        "x",
        note=note,
        stopwatch=stopwatch,
        details=details,
    )


def _in_own_process(name: str, stopwatch: str, effort: Effort) -> dict[str, Any]:
    # Each process lays out its memory in another way, which alone makes some per cent.
    arguments = (name, "--rounds", str(effort.rounds), "--seconds", str(effort.seconds), "--stopwatch", stopwatch)
    return result_of("benchmarks.overhead", *arguments)


def suite(figures: list[Figure]) -> pyperf.BenchmarkSuite | None:
    """All timings in pyperf's own form, with what it knows of the machine: two benchmarks a workload and stopwatch."""
    benchmarks = []
    for figure in figures:
        for side in ("unwatched", "watched"):
            runs = [
                _run(f"{figure.name} {figure.stopwatch} {side}", side, each)
                for each in figure.details.get("processes", ())
            ]
            if runs:
                benchmarks.append(pyperf.Benchmark(runs))
    return pyperf.BenchmarkSuite(benchmarks) if benchmarks else None


def _run(name: str, side: str, result: dict[str, Any]) -> pyperf.Run:
    values = [pair[side] for pair in result["pairs"]]
    return pyperf.Run(values, metadata={**result["metadata"], "name": name}, collect_metadata=False)


def _metadata(loops: int) -> dict[str, Any]:
    # pyperf learns what it says of the machine when a run is made.
    known: dict[str, Any] = pyperf.Run([1.0], metadata={"loops": loops}).get_metadata()
    return {key: value for key, value in known.items() if isinstance(value, (str, int, float))}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("name", choices=WORKLOADS)
    parser.add_argument("--rounds", type=int, default=THOROUGH.rounds)
    parser.add_argument("--seconds", type=float, default=THOROUGH.seconds, help="of one side of a round")
    options = begin(parser)
    time_function = WORKLOADS[options.name].time
    # Where the threads of a process run would else decide more than what they do.
    with on_core(max(cores(), default=None)):
        loops = loops_for(time_function, options.seconds)
        pairs = interleave(time_function, loops, options.rounds)
    print(json.dumps({"metadata": _metadata(loops), "pairs": [asdict(pair) for pair in pairs]}), flush=True)


if __name__ == "__main__":
    main()
