"""Load on each route of the example service in turn, and what loopwatch said of each.

    python -m examples.load                          starts the service itself, and ends it
    python -m examples.load http://127.0.0.1:8000    uses one that runs

While a route is under load, ``/healthy`` is asked every few milliseconds: its median reply shows
whether the loop was held (it waits too) or only a pool's queue was full (it does not notice).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from .children import ChildFailed, child, end_on_sigterm

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Round:
    """``requests`` to one ``route``, ``concurrency`` at a time; ``disease`` is what is wrong with it."""

    route: str
    requests: int
    concurrency: int
    disease: str


ROUNDS = (
    Round("/healthy", 100, 2, "none"),
    Round("/sync-client", 6, 2, "synchronous client in a coroutine"),
    Round("/cpu", 6, 2, "CPU work in a coroutine"),
    Round("/report", 150, 50, "more blocking routes at a time than AnyIO has workers"),
    Round("/burst", 4, 1, "hundreds of steps in one turn"),
    Round("/simulated", 60, 20, "an async client that is a thread pool"),
    Round("/healthy", 100, 2, "none"),
)


@dataclass
class Outcome:
    """What came back of one round (seconds), and what loopwatch said of it."""

    route: str
    disease: str
    statuses: dict[str, int]
    mean: float
    slowest: float
    healthy_median: float
    events: list[dict[str, Any]] = field(default_factory=list)


async def put_load(url: str, limit: float) -> tuple[list[Outcome], list[dict[str, Any]]]:
    """Run all rounds against the service at ``url``; returns their outcomes, and the offloads loopwatch knows.

    Each round takes at most ``limit`` seconds, or :class:`TimeoutError` is raised.
    """
    # A connection is let go of before the service does so, at five seconds: to meet on it would be an error.
    limits = httpx.Limits(max_connections=200, keepalive_expiry=2.0)
    async with httpx.AsyncClient(base_url=url, timeout=limit, limits=limits, trust_env=False) as client:
        outcomes = []
        found = await _findings(client)
        for each in ROUNDS:
            outcome = await asyncio.wait_for(_round(client, each), limit)
            said = len(found["events"])
            found = await _findings(client)
            outcome.events = found["events"][said:]
            outcomes.append(outcome)
        return outcomes, found["offloads"]


async def _findings(client: httpx.AsyncClient) -> dict[str, Any]:
    # An episode ends, and is told, a moment after the last reply.
    await asyncio.sleep(0.5)
    response = await client.get("/findings")
    response.raise_for_status()
    found: dict[str, Any] = response.json()
    return found


async def _round(client: httpx.AsyncClient, each: Round) -> Outcome:
    enough = asyncio.Event()
    probe = asyncio.create_task(_probe(client, enough))
    statuses: Counter[str] = Counter()
    seconds: list[float] = []
    numbers = iter(range(each.requests))

    async def ask_next_ones() -> None:
        for _ in numbers:
            started = time.perf_counter()
            response = await client.get(each.route)
            seconds.append(time.perf_counter() - started)
            statuses[str(response.status_code)] += 1

    try:
        await asyncio.gather(*(ask_next_ones() for _ in range(each.concurrency)))
    finally:
        enough.set()
        healthy = await probe
    mean = sum(seconds) / len(seconds)
    return Outcome(each.route, each.disease, dict(statuses), mean, max(seconds), statistics.median(healthy))


async def _probe(client: httpx.AsyncClient, enough: asyncio.Event) -> list[float]:
    """Ask ``/healthy`` again and again until it is enough; returns the seconds each reply took."""
    seconds: list[float] = []
    while not (seconds and enough.is_set()):
        started = time.perf_counter()
        await client.get("/healthy")
        seconds.append(time.perf_counter() - started)
        await asyncio.sleep(0.005)
    return seconds


def say(outcomes: list[Outcome], offloads: list[dict[str, Any]]) -> None:
    """Print the rounds one after the other, then the offloads with a verdict."""
    for outcome in outcomes:
        statuses = ", ".join(f"{count} x {status}" for status, count in outcome.statuses.items())
        print(f"\n== {outcome.route} (disease: {outcome.disease})")
        print(f"   replies: {statuses}; mean {_ms(outcome.mean)}, slowest {_ms(outcome.slowest)}")
        print(f"   /healthy meanwhile: median {_ms(outcome.healthy_median)}")
        for line in _counted(outcome.events) or ["nothing"]:
            print(f"   loopwatch: {line}")
    print("\n== offloads")
    for offload in offloads:
        print(f"   {offload['verdict']}: {offload['site']}, {offload['jobs']} jobs. {offload['remedy']}".rstrip())


def _counted(events: list[dict[str, Any]]) -> list[str]:
    lines = Counter(_one_line(event) for event in events if not event.get("in_progress"))
    return [f"{count} x {line}" for line, count in lines.items()]


def _one_line(event: dict[str, Any]) -> str:
    culprit = (event.get("culprit") or {}).get("site")
    if event["event"] == "stall":
        names = ", ".join(each["name"] for each in event["contributors"][:1])
        return f"stall ({event['kind']}, cause {event['cause']}) by {culprit or names or event['callback']}"
    if event["event"] == "backlog":
        holders = sorted({holder["target"] for holder in event["holders"]})
        return f"backlog of {event['executor']} by {culprit}, workers held by {', '.join(holders)}"
    return f"{event['verdict']}: {event['site']}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.load", description=__doc__)
    parser.add_argument("url", nargs="?", type=_loopback, help="of the service (default: start one, and end it)")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds a round may take (default 60)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there as well")
    return parser.parse_args()


def _loopback(text: str) -> str:
    if httpx.URL(text).host not in _LOOPBACK:
        raise argparse.ArgumentTypeError(f"{text} is not on loopback; this load is for one's own machine")
    return text


@contextmanager
def _service() -> Iterator[str]:
    with child("examples.fastapi_service", "--port", "0", "--with-parent", seconds=120.0) as (url, _):
        yield url


def main() -> int:
    end_on_sigterm()
    options = _options()
    with ExitStack() as stack:
        try:
            url = options.url or stack.enter_context(_service())
            outcomes, offloads = asyncio.run(put_load(url, options.limit))
        except KeyboardInterrupt:
            return 130
        except (ChildFailed, TimeoutError, asyncio.TimeoutError, httpx.HTTPError) as failure:
            print(f"{type(failure).__name__}: {failure}", file=sys.stderr)
            return 2
    say(outcomes, offloads)
    if options.json:
        found = {"rounds": [asdict(outcome) for outcome in outcomes], "offloads": offloads}
        options.json.write_text(json.dumps(found, indent=2), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
