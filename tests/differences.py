"""The loops on which the scenarios run, and all that may be told otherwise of one than of another.

Each difference is a row of the table *What differs on uvloop* in the README, where users find it; a test holds the two
together. Whatever has no row here is expected of every loop alike, and what is expected by ``told`` of a stall that was
timed exactly does not differ at all, whatever loop it was of.
"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TypeVar

from loopwatch.model import Stall

T = TypeVar("T")

LOOPS = ("asyncio", "uvloop")
"""Modules, each of which has a ``new_event_loop``."""

README = Path(__file__).resolve().parent.parent / "README.md"


class Difference(enum.Enum):
    """What differs, by how its row begins."""

    DURATION = "duration of a stall"
    COUNTS = "step durations, number of steps, ready callbacks, `delayed`, `contributors`"
    KIND = "`kind` of a stall"
    NAMES = "`callback`, `task`, `coroutine`"
    UNSEEN = "a stall that nobody could look at"
    TURN = "a stall in a turn that goes on"
    LOOKUP = "`getaddrinfo`"
    VICTIMS = "who waited for a stall, in traces"


def exact(stall: Stall) -> bool:
    """Whether it is told as timed by the loop's own thread."""
    return stall.evidence.get("exact") is not False


def told(difference: Difference, stall: Stall, exactly: T, otherwise: T) -> T:
    """What is expected of a stall: the first where it was timed exactly, else what the difference leaves of it."""
    return exactly if exact(stall) else otherwise


def on(difference: Difference, loop: str, asyncio: T, uvloop: T) -> T:
    """What is expected of a loop, where that is no matter of a single stall."""
    return {"asyncio": asyncio, "uvloop": uvloop}[loop]


def within(stall: Stall) -> float:
    """By how many seconds its duration may be wrong (Difference.DURATION): by none where it was timed exactly."""
    return 0.0 if exact(stall) else float(stall.evidence["within_seconds"])
