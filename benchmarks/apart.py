"""Measurements in processes of their own, each of which says its result as one line of JSON."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from examples.children import child, leave_with_parent

from .watching import choose, stopwatches

_LONGEST = 900.0


def result_of(module: str, *arguments: str) -> dict[str, Any]:
    """Run ``python -m module`` to its result. Raises ``ChildFailed`` where there is none."""
    with child(module, *arguments, "--with-parent", seconds=_LONGEST) as (line, _):
        result: dict[str, Any] = json.loads(line)
        return result


def results_at_once(module: str, commands: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """The same for several processes side by side, so that they see the same moments of the machine."""
    with ThreadPoolExecutor(len(commands)) as pool:
        return list(pool.map(lambda arguments: result_of(module, *arguments), commands))


def begin(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """What such a process does first: it reads its arguments, ties its life to its parent's, chooses its stopwatch."""
    parser.add_argument("--stopwatch", default=stopwatches()[0], help="that it uses where it watches")
    parser.add_argument("--with-parent", action="store_true", help="end when the standard input ends")
    options = parser.parse_args()
    if options.with_parent:
        leave_with_parent()
    choose(options.stopwatch)
    return options


@contextmanager
def serving(name: str, purpose: str | None) -> Iterator[bool]:
    """Likewise for one that serves until it is ended, on the processor that it is told; gives whether it is watched."""
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=purpose)
    parser.add_argument("--watched", action="store_true")
    parser.add_argument("--core", type=int, help="the processor to stay on")
    options = begin(parser)
    with on_core(options.core):
        yield options.watched


def cores() -> list[int]:
    """The processors that this process may use; none where the platform does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Keep this process, and what it starts meanwhile, on one processor; with None it stays where it may be."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
