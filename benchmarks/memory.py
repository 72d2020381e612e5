"""Memory of a process that has seen a lot, watched against unwatched, and whether it goes on growing."""

from __future__ import annotations

import compileall
import importlib.util
from typing import Any

from .apart import results_at_once
from .figure import Figure, Look

BOUND = 8.0
FLAT = 0.5
_WORK = {"steps": 1_000_000, "stalls": 10_000, "sites": 5_000, "loops": 1_000}
_BESIDE = "prometheus_client"
"""What a service that shows any metrics has loaded anyway; the other one has nothing but asyncio and the log."""

_MEGABYTE = 1 << 20


def measure(look: Look) -> list[Figure]:
    """The same work in all processes, in two halves; what the second half adds must be next to nothing."""
    _compile("loopwatch")
    work = [f"--{what}={count // (50 if look.fast else 1)}" for what, count in _WORK.items()]
    commands = [
        [*work, *beside, *watched] for beside in ((), (f"--beside={_BESIDE}",)) for watched in ((), ("--watched",))
    ]
    results = results_at_once("benchmarks.memory_process", commands)
    if not results[0]["ready"]:
        return [Figure("memory", "memory more than unwatched", None, BOUND, note="no /proc on this platform")]
    bare, beside = results[:2], results[2:]
    return [
        _whole("memory more than unwatched", *bare),
        _whole(f"the same beside {_BESIDE}", *beside),
        _grown("of it in the second half", *bare),
    ]


def _compile(package: str) -> None:
    """Have its bytecode written, as an installation has it: what compiles it anew has a megabyte less to give back."""
    found = importlib.util.find_spec(package)
    for folder in (found and found.submodule_search_locations) or ():
        compileall.compile_dir(folder, quiet=1)


def _whole(what: str, unwatched: dict[str, Any], watched: dict[str, Any]) -> Figure:
    more = _more(unwatched, watched)
    note = f"{more['ready']:.1f} MB as soon as installed, {more['half'] - more['ready']:+.2f} in the first half"
    details = {"unwatched": unwatched, "watched": watched}
    return Figure("memory", what, more["end"], BOUND, " MB", note=note, details=details)


def _grown(what: str, unwatched: dict[str, Any], watched: dict[str, Any]) -> Figure:
    more = _more(unwatched, watched)
    parts = ", ".join(f"{part} {grown / _MEGABYTE:+.2f}" for part, grown in watched["second_half"].items())
    note = f"of the watched process alone: {parts}; {watched['told']} stalls told"
    return Figure("memory", what, more["end"] - more["half"], FLAT, " MB", note=note)


def _more(unwatched: dict[str, Any], watched: dict[str, Any]) -> dict[str, float]:
    return {moment: (watched[moment] - unwatched[moment]) / _MEGABYTE for moment in ("ready", "half", "end")}
