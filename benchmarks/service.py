"""Services under wrk, watched against unwatched: requests a second, and CPU for each."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from examples.children import child

from .apart import cores, on_core
from .figure import Figure, Look
from .pairs import Pair, in_turn, spread

_PROGRAM = "wrk"
_RATE = re.compile(r"Requests/sec:\s*([0-9.]+)")
_COUNT = re.compile(r"(\d+) requests in ")
_BROKEN = re.compile(r"Socket errors|Non-2xx")
_CONNECTIONS = 16
_UNWATCHED = ""


class Served(NamedTuple):
    """What is served by which module, the least share of the requests for each stopwatch, and what it needs."""

    what: str
    module: str
    bounds: Mapping[str, float]
    needs: tuple[str, ...]


SERVED = {
    "service": Served(
        "healthy route under wrk, requests/s",
        "benchmarks.service_process",
        {"c": 0.97, "python": 0.97},
        ("fastapi", "httpx", "requests", "uvicorn"),
    ),
    "uvloop_service": Served(
        "Starlette on uvloop, requests/s",
        "benchmarks.starlette_process",
        {"c": 0.99, "python": 0.97},
        ("httptools", "starlette", "uvicorn", "uvloop"),
    ),
}
"""By the name of the figure: the FastAPI example on asyncio, and Starlette on uvloop with httptools."""


class Load(NamedTuple):
    """What one turn of load came to: requests a second, and CPU seconds of the service for one request."""

    rate: float
    cpu: float


@dataclass(frozen=True)
class Service:
    url: str
    pid: int

    def load(self) -> Load:
        """One second of load (wrk knows no less), with as many connections at a time as it likes."""
        command = [_PROGRAM, "-t1", f"-c{_CONNECTIONS}", "-d1s", f"{self.url}/healthy"]
        before = _cpu(self.pid)
        output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
        used = _cpu(self.pid) - before
        rate, count = _RATE.search(output), _COUNT.search(output)
        if rate is None or count is None or _BROKEN.search(output):
            raise RuntimeError(f"wrk did not get all its replies from {self.url}:\n{output}")
        return Load(float(rate[1]), used / int(count[1]))


def measure(name: str, look: Look) -> list[Figure]:
    """All services run all the time, on one processor; the load, on another, goes to one after the other.

    The CPU time is much less disturbed by what else the machine does than the rate is.
    """
    lacks = [needed for needed in SERVED[name].needs if find_spec(needed) is None]
    if lacks or shutil.which(_PROGRAM) is None:
        note = f"not installed: {', '.join(lacks or [_PROGRAM])}"
        return [Figure(name, SERVED[name].what, None, at_least=True, note=note)]
    names = (_UNWATCHED, *look.stopwatches)
    here, there = (None, None) if len(cores()) < 2 else (cores()[0], cores()[-1])
    with on_core(here), ExitStack() as stack:
        services = {each: stack.enter_context(_running(SERVED[name].module, each, there)) for each in names}
        for service in services.values():
            service.load()
        rounds = [
            {each: services[each].load() for each in in_turn(names, number)} for number in range(3 if look.fast else 30)
        ]
    return [figure for stopwatch in look.stopwatches for figure in _figures(name, stopwatch, rounds)]


def _figures(name: str, stopwatch: str, rounds: list[dict[str, Load]]) -> Iterator[Figure]:
    pairs = [(each[_UNWATCHED], each[stopwatch]) for each in rounds]
    rates = [Pair(unwatched.rate, watched.rate) for unwatched, watched in pairs]
    ratios = spread([pair.ratio for pair in rates])
    note = f"{ratios}; {spread([pair.unwatched for pair in rates]).median:.0f} requests/s unwatched"
    details = {"rounds": [{side: load._asdict() for side, load in each.items()} for each in rounds]}
    served = SERVED[name]
    yield Figure(
        name, served.what, ratios.median, served.bounds[stopwatch], "x", True, note, stopwatch, details=details
    )
    prices = [Pair(unwatched.cpu, watched.cpu) for unwatched, watched in pairs if unwatched.cpu]
    if prices:
        ratios = spread([pair.ratio for pair in prices])
        price = spread([pair.unwatched for pair in prices]).median
        more = spread([pair.watched - pair.unwatched for pair in prices]).median
        note = f"{ratios}; {price * 1e6:.1f} us unwatched, {more * 1e6:+.1f} us"
        yield Figure(name, "CPU of the service, one request", ratios.median, None, "x", False, note, stopwatch)


@contextmanager
def _running(module: str, stopwatch: str, core: int | None) -> Iterator[Service]:
    arguments = [] if stopwatch == _UNWATCHED else ["--watched", "--stopwatch", stopwatch]
    arguments += [] if core is None else ["--core", str(core)]
    with child(module, *arguments, "--with-parent", seconds=60.0) as (url, process):
        yield Service(url, process.pid)


def _cpu(pid: int) -> float:
    """CPU seconds of a process so far, of all its living threads; 0 where the platform does not tell."""
    used = 0
    try:
        for schedstat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            used += int(schedstat.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0
    return used / 1e9
