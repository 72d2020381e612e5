"""Parts of the tests that hold a real loop: how long, how the line is found, and which stall is meant.

Every block lasts some thresholds, and a noise of the machine less than one: what is looked for is the
longest stall. A line that blocks ends in a mark, ``# held: name``, by which it is found.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import loopwatch
from loopwatch.model import Stall
from loopwatch.testing import RecordingReporter
from tests.differences import Difference, told, within

THRESHOLD = 0.1
HELD = 0.4
SLACK = 0.25
"""How much longer than meant a block may last on a machine that is busy."""


def line(name: str, file: str) -> int:
    """The number of the line that is marked with ``# held: name``."""
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    found = [number for number, text in enumerate(lines, 1) if text.endswith(f"# held: {name}")]
    assert len(found) == 1, f"{name} marks {len(found)} lines of {file}"
    return found[0]


def watching(events: RecordingReporter, threshold: float = THRESHOLD) -> loopwatch.Watch:
    """A watch that tells nobody else."""
    return loopwatch.install(threshold=threshold, reporters=[events], prometheus=False)


WARM = 0.2
"""For so long a loop rests before it is held: the sampler has then looked twice, and knows its thread's clocks."""

BUSY = "the host gives its CPUs to others"


def starved(stall: Stall) -> bool:
    """Whether the host gave its CPUs to others for a good part of a stall: then it is another stall than was meant."""
    return bool(stall.evidence.get("queued_seconds", 0.0) > 0.2 * stall.duration)


def longest(events: RecordingReporter, busy_too: bool = False) -> Stall:
    """The longest stall that has ended. On a host that has no CPU for us the test ends here."""
    watch = loopwatch.current()
    assert watch is not None and watch.flush(10)
    assert events.stalls, "no stall was seen"
    found = max(events.stalls, key=lambda stall: stall.duration)
    if starved(found) and not busy_too:
        pytest.skip(BUSY)
    return found


def held_for(stall: Stall, seconds: float) -> bool:
    """As long as that, or as near as the stall itself says that it is known."""
    give = within(stall)
    return give <= SLACK and seconds - 0.002 - give <= stall.duration <= seconds + SLACK + give


def blocks(seconds: float = HELD) -> None:
    time.sleep(seconds)  # held: blocks


def assert_blocks_is_named(stall: Stall, callback: str = "blocks", seen: str | None = None) -> None:
    """``seen`` is the outermost function that a look shows, where that is not the callback."""
    assert held_for(stall, HELD)
    assert (stall.kind, stall.cause) == ("step", "wait")
    assert stall.culprit is not None
    assert (stall.culprit.function, stall.culprit.line) == ("blocks", line("blocks", __file__))
    expected = told(Difference.NAMES, stall, callback, seen or callback)
    assert stall.callback is not None and stall.callback.endswith(expected)


def in_a_step(function: Callable[[], Any]) -> None:
    """Run it in a step of its own, with others before and after."""

    async def main() -> None:
        await asyncio.sleep(WARM)
        function()
        await asyncio.sleep(0.01)

    asyncio.run(main())


def in_a_callback(function: Callable[[], Any]) -> None:
    """Run it as a callback, which is no task's step: all that is in the step is its own."""

    async def main() -> None:
        await asyncio.sleep(WARM)
        asyncio.get_running_loop().call_soon(function)
        await asyncio.sleep(0.05)

    asyncio.run(main())


@contextlib.contextmanager
def later(function: Callable[[], Any], delay: float = HELD) -> Iterator[None]:
    """Do it from another thread, when so much time has passed."""
    timer = threading.Timer(delay, function)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def on_a_free_host(events: RecordingReporter, attempt: Callable[[], Any]) -> Stall:
    """The longest stall of an attempt in which the host had a CPU for us, and for the sampler to take its numbers.

    Without, what is told of times cannot be what it is told otherwise.
    """
    for _ in range(6):
        events.events.clear()
        attempt()
        stall = longest(events, busy_too=True)
        known = all(name in stall.evidence for name in ("cpu_seconds", "queued_seconds", "wakes"))
        if known and not starved(stall):
            return stall
    pytest.skip(BUSY)


def burn(seconds: float) -> None:
    """Compute for so many seconds of this thread's CPU time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(200))  # held: burn
