"""What is kept of one backlog while it lasts."""

from __future__ import annotations

from ...facts import SpanFacts, WorkerLook
from ..jobs.job import Job, Lane

_LANES = 512


class Episode:
    """One backlog while it lasts; before any job has waited too long, what may become one."""

    def __init__(self, began: float) -> None:
        self.id = ""
        self.began = began
        self.last = began
        self.depth = 0
        self.waited = 0.0
        self.span: SpanFacts | None = None
        self.tallies: dict[Lane | None, list[float]] = {}
        self.holders: tuple[WorkerLook, ...] = ()
        self.looked_at = 0
        """How deep the queue was when the holders were looked at."""
        self.taken = 0
        self.told = 0.0
        self.held_directly = 0.0
        """Worker seconds that were taken without a job."""
        self._shares: tuple[tuple[Lane | None, float], ...] | None = None
        self.for_loop = False
        self.nested = 0
        self.progressing = True
        self.still = False
        """Whether it was seen to stand still with a job of its own in its queue: told also where no loop waits."""
        self.stuck = False
        """Whether that was proven to be a deadlock."""

    def tally(self, lane: Lane) -> list[float]:
        """[jobs that waited, seconds they waited, worker seconds held] of one lane."""
        entry = self.tallies.get(lane)
        if entry is None:
            key = lane if len(self.tallies) < _LANES else None
            entry = self.tallies.setdefault(key, [0, 0.0, 0.0])
        return entry

    def hold(self, running: list[Job], taken: int, seconds: float) -> None:
        """All workers were taken for some more seconds."""
        for job in running:
            self.tally(job.lane)[2] += seconds
        self.held_directly += taken * seconds
        self._shares = None

    def shares(self) -> tuple[tuple[Lane | None, float], ...]:
        """Who held the workers so far; the shares add up to 1. Jobs whose wait ends between two looks have the same."""
        if self._shares is None:
            held = {lane: entry[2] for lane, entry in self.tallies.items() if entry[2] > 0}
            if self.held_directly:
                held[None] = held.get(None, 0.0) + self.held_directly
            total = sum(held.values())
            self._shares = tuple((lane, seconds / total) for lane, seconds in held.items())
        return self._shares

    def count(self, job: Job, waited: float) -> None:
        """A job has waited too long."""
        entry = self.tally(job.lane)
        entry[0] += 1
        entry[1] += waited
        self.waits(job, waited)

    def waits(self, job: Job, waited: float) -> None:
        """A job has waited so long, so far or in all."""
        if job.span is not None and waited >= self.waited:
            self.span = job.span
        self.waited = max(self.waited, waited)
        self.for_loop = self.for_loop or job.for_loop
