"""Made-up finished jobs, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass

from loopwatch.facts import Glance, OffloadTally, Origin, RawFrame, SpanFacts
from loopwatch.record.recorder import Recorder


@dataclass
class Job:
    """A finished job, made up."""

    submitted: float = 100.0
    started: float | None = 100.25
    ended: float | None = 101.0
    cpu: float | None = 0.5
    outcome: str = "completed"
    for_loop: bool = True
    glances: list[Glance] | None = None
    span: SpanFacts | None = None


def line(number: int) -> RawFrame:
    return RawFrame(line.__code__, number, "shop.db")


def origin(number: int = 0, executor: str = "database", target: str = "shop.db.send") -> Origin:
    return Origin((line(number),), target, executor)


def tally(recorder: Recorder) -> OffloadTally:
    (found,) = recorder.tallies()
    return found
