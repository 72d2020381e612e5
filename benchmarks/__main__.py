"""Measure what loopwatch costs and how exact it is, and hold it against the bounds.

    python -m benchmarks                     everything, some minutes
    python -m benchmarks --fast              a first look: fewer rounds, wider spread
    python -m benchmarks --only submit       one figure; may be given several times
    python -m benchmarks --stopwatch python  one implementation, where there are two

The exit code is 0 also where a bound is missed, unless ``--strict`` asks otherwise.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from examples.children import end_on_sigterm

from . import idle, memory, overhead, scrape, service, truth
from .figure import HEAD, Figure, Look, line
from .watching import stopwatches
from .workloads import WORKLOADS

Measure = Callable[[Look], list[Figure]]

MEASURES: dict[str, Measure] = {
    **{name: partial(overhead.measure, name) for name in WORKLOADS},
    **{name: partial(service.measure, name) for name in service.SERVED},
    "idle": idle.measure,
    "stall": truth.measure,
    "memory": memory.measure,
    "scrape": scrape.measure,
}
"""What can be measured, by name."""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=MEASURES, metavar="NAME", help=", ".join(MEASURES))
    parser.add_argument(
        "--stopwatch",
        action="append",
        choices=stopwatches(),
        help="one of the implementations (default: each there is)",
    )
    parser.add_argument("--fast", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--strict", action="store_true", help="exit with 1 unless every bound is kept")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single value there as well")
    parser.add_argument("--pyperf", type=Path, metavar="FILE", help="write the timings for pyperf's own commands")
    return parser.parse_args()


def main() -> int:
    end_on_sigterm()
    options = _options()
    print(f"Python {platform.python_version()} on {platform.platform()}{', a quick look' if options.fast else ''}\n")
    print(line(HEAD), flush=True)
    look = Look(options.fast, tuple(options.stopwatch or stopwatches()))
    figures: list[Figure] = []
    for name in options.only or MEASURES:
        for figure in MEASURES[name](look):
            figures.append(figure)
            print(line(figure.row()), flush=True)
    if options.json:
        options.json.write_text(json.dumps([figure.to_dict() for figure in figures], indent=1), encoding="utf-8")
    if options.pyperf:
        timings = overhead.suite(figures)
        if timings is not None:
            timings.dump(str(options.pyperf), replace=True)
    kept = all(figure.verdict in ("pass", "-") for figure in figures)
    return 1 if options.strict and not kept else 0


if __name__ == "__main__":
    sys.exit(main())
