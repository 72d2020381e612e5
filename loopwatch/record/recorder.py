"""What has happened so far: stalls by loop and cause, seconds by site, jobs by executor and by origin.

Written by whoever drains the hooks, read by snapshots, from any thread and under one lock; never
touched by a hot path. Every table is bounded: what comes after the bound is counted under ``other``.
No count ever goes backwards.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from .. import _compat
from ..facts import BriefJobs, Glance, OffloadTally, Origin, RawFrame, SpanFacts
from ..metrics import JOB_BOUNDS, STALL_BOUNDS
from ..model import Exemplar, Histogram, SiteStats, Stall
from .histogram import Counts

OTHER = "other"
_NAMES = 64
_SITES = 512
_ORIGINS = 256
_GLANCES = 128
_QUICK_JOBS = 100
_QUICK = BRIEF = 0.001
"""Seconds. Such jobs are of no interest by themselves, and the histograms have them all in their first bucket."""
_MEASURED_EVERY = 16
"""Of so many rounds of quick jobs one is measured all the same, so that what is known is of all times."""

_Place = tuple[tuple[RawFrame, ...], str]
"""What makes jobs one offload: the frames that name their site, and their target."""
_TOGETHER: _Place = ((), OTHER)
"""The place of all jobs that come after the bound."""


class Names:
    """Labels for things of which there may come any number: the first ones keep their names, all others share one.

    A name has the same label for good: a series that once counted it never loses it to another.
    """

    def __init__(self, most: int = _NAMES) -> None:
        self._most = most
        self._known: set[str] = set()

    def label(self, name: str) -> str:
        """``name``, or ``other``."""
        if name in self._known:
            return name
        if name == OTHER or len(self._known) >= self._most:
            return OTHER
        self._known.add(name)
        return name


class FinishedJob(Protocol):
    """What is counted of a job; times are readings of one clock, ``started`` is None when no worker took it."""

    @property
    def submitted(self) -> float: ...
    @property
    def started(self) -> float | None: ...
    @property
    def ended(self) -> float | None: ...
    @property
    def cpu(self) -> float | None: ...
    @property
    def outcome(self) -> str: ...
    @property
    def for_loop(self) -> bool: ...
    @property
    def glances(self) -> list[Glance] | None: ...
    @property
    def span(self) -> SpanFacts | None: ...


class FinishedJobs(NamedTuple):
    """The finished jobs of all executors of one label: all in ``outcomes``, those that a worker took in the others."""

    kind: str
    outcomes: Mapping[str, int]
    wait: Histogram
    run: Histogram


@dataclass
class _ExecutorCounts:
    kind: str
    outcomes: Counter[str] = field(default_factory=Counter)
    wait: Counts = field(default_factory=lambda: Counts(JOB_BOUNDS))
    run: Counts = field(default_factory=lambda: Counts(JOB_BOUNDS))

    def freeze(self) -> FinishedJobs:
        return FinishedJobs(self.kind, dict(self.outcomes), self.wait.freeze(), self.run.freeze())


@dataclass
class _Sums:
    """The finished jobs of one origin, in all executors."""

    origin: Origin
    jobs: int = 0
    loop_jobs: int = 0
    wait: float = 0.0
    run: float = 0.0
    cpu: float = 0.0
    cpu_known: float = 0.0
    brief_run: float = 0.0
    brief_cpu: float = 0.0
    brief_known: float = 0.0
    workers: int = 0
    awaited: float = 0.0
    covered: float = 0.0
    glances: Counter[Glance] = field(default_factory=Counter)
    by_executor: dict[str, OriginCounts] = field(default_factory=dict)
    rounds: int = 0
    before: tuple[int, float] = (0, 0.0)
    """Jobs, and the seconds they ran, at the end of the round before."""
    quick: bool = False
    told: OffloadTally | None = None
    """The tally as it was given out, while it holds."""
    judged: int = 0
    """How many of the jobs were there when it was last given out as news."""

    def see(self, glances: list[Glance]) -> None:
        for glance in glances:
            if glance in self.glances or len(self.glances) < _GLANCES:
                self.glances[glance] += 1

    def tally(self) -> OffloadTally:
        """The same object until something new was counted."""
        if self.told is None:
            self.told = self._tally()
        return self.told

    def _tally(self) -> OffloadTally:
        return OffloadTally(
            origin=self.origin,
            jobs=self.jobs,
            wait=self.wait,
            run=self.run,
            cpu=self.cpu,
            cpu_known=self.cpu_known,
            workers=self.workers,
            glances=dict(self.glances),
            awaited=self.awaited,
            covered=self.covered,
            loop_jobs=self.loop_jobs,
            brief=BriefJobs(self.brief_run, self.brief_cpu, self.brief_known),
        )


class OriginCounts:
    """Where the jobs of one origin in one executor are counted; from any thread."""

    __slots__ = ("_executor", "_lock", "_sums")

    def __init__(self, sums: _Sums, executor: _ExecutorCounts, lock: threading.RLock) -> None:
        self._sums = sums
        self._executor = executor
        self._lock = lock

    def job(self, job: FinishedJob) -> float:
        """Count one job; returns the seconds that it waited for a worker."""
        sums, executor = self._sums, self._executor
        submitted, started, cpu = job.submitted, job.started, job.cpu
        ended = submitted if job.ended is None else job.ended
        with self._lock:
            executor.outcomes[job.outcome] += 1
            if started is None:
                return max(0.0, ended - submitted)
            # Written out, without calls that can be spared: this is done for every job there is.
            wait = started - submitted if started > submitted else 0.0
            run = ended - started if ended > started else 0.0
            waits, runs = executor.wait, executor.run
            waits.counts[bisect_left(JOB_BOUNDS, wait)] += 1
            waits.sum += wait
            runs.counts[bisect_left(JOB_BOUNDS, run)] += 1
            runs.sum += run
            sums.told = None
            sums.jobs += 1
            sums.wait += wait
            sums.run += run
            if job.for_loop:
                sums.loop_jobs += 1
            if run < _QUICK:
                sums.brief_run += run
            if cpu is not None and cpu >= 0:
                sums.cpu += cpu
                sums.cpu_known += run
                if run < _QUICK:
                    sums.brief_cpu += cpu
                    sums.brief_known += run
            if job.span is not None:  # only of a job that waited long, where somebody traces
                waits.keep(Exemplar(wait, _compat.clocks.wall(), job.span.trace_id, job.span.span_id))
            if job.glances:
                sums.see(job.glances)
            return wait

    def brief(
        self, jobs: int, failed: int, loop_jobs: int, wait: float, run: float, cpu: float, cpu_known: float
    ) -> None:
        """Count many jobs at once, each of which took less than ``BRIEF`` from its submit to its end."""
        sums, executor = self._sums, self._executor
        with self._lock:
            executor.outcomes["completed"] += jobs - failed
            if failed:
                executor.outcomes["failed"] += failed
            executor.wait.counts[0] += jobs
            executor.wait.sum += wait
            executor.run.counts[0] += jobs
            executor.run.sum += run
            sums.told = None
            sums.jobs += jobs
            sums.loop_jobs += loop_jobs
            sums.wait += wait
            sums.run += run
            sums.brief_run += run
            sums.cpu += cpu
            sums.cpu_known += cpu_known
            sums.brief_cpu += cpu
            sums.brief_known += cpu_known

    def are_quick(self) -> bool:
        """Whether there are many of its jobs, and those since it was last asked so short that their CPU time is of
        no interest; now and then it is of interest all the same.
        """
        sums = self._sums
        with self._lock:
            jobs, run = sums.jobs - sums.before[0], sums.run - sums.before[1]
            if jobs:
                sums.before = sums.jobs, sums.run
                sums.rounds += 1
                short = sums.jobs >= _QUICK_JOBS and run < _QUICK * jobs
                sums.quick = short and sums.rounds % _MEASURED_EVERY != 0
            return sums.quick

    def caller(self, awaited: float, covered: float) -> None:
        """Count time of a task that submitted these jobs, and the part of it that they took."""
        with self._lock:
            self._sums.told = None
            self._sums.awaited += awaited
            self._sums.covered += covered


class Recorder:
    """The numbers of one watch, but for the loops' own times."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may ask for a snapshot while its thread takes one
        self._loop_names = Names()
        self._stalls: dict[str, dict[str, Counts]] = {}
        self._sites: dict[tuple[str, str, str], list[float]] = {}
        self._executor_names = Names()
        self._executors: dict[str, _ExecutorCounts] = {}
        self._origins: dict[_Place, _Sums] = {}

    # --- writing ---

    def stall(self, stall: Stall) -> None:
        """Count a finished stall."""
        with self._lock:
            causes = self._stalls.setdefault(self._loop_names.label(stall.loop), {})
            counts = causes.setdefault(stall.cause, Counts(STALL_BOUNDS))
            counts.add(stall.duration)
            if stall.trace_id is not None and stall.span_id is not None:
                ended = stall.started_at + stall.duration
                counts.keep(Exemplar(stall.duration, ended, stall.trace_id, stall.span_id))
            self._lose("loop", stall.site, stall.cause, stall.charged_seconds, 1)

    def lost(self, kind: str, site: str, cause: str, seconds: float, count: int = 1) -> None:
        """Charge ``seconds`` to a site: ``queue`` (a job waited for a worker) or ``offload`` (a worker waited)."""
        with self._lock:
            self._lose(kind, site, cause, seconds, count)

    def _lose(self, kind: str, site: str, cause: str, seconds: float, count: int) -> None:
        key = (kind, site, cause)
        if key not in self._sites and len(self._sites) >= _SITES:
            key = (kind, OTHER, cause)
        entry = self._sites.setdefault(key, [0.0, 0])
        entry[0] += seconds
        entry[1] += count

    def counts(self, origin: Origin, kind: str, workers: int) -> OriginCounts:
        """Where the jobs of ``origin`` are counted; beyond a bound, all that come later are counted together.

        Jobs from one site to one target are one offload in whatever executors they run: a pool that is
        made anew for each request has a new name each time.
        """
        with self._lock:
            label, executor = self._executor(origin.executor, kind)
            place = (origin.frames, origin.target)
            if place not in self._origins and len(self._origins) >= _ORIGINS:
                place = _TOGETHER
            sums = self._origins.setdefault(place, _Sums(Origin(*place, label)))
            if workers > sums.workers:
                sums.workers, sums.told = workers, None
            counts = sums.by_executor.get(label)
            if counts is None:
                counts = sums.by_executor[label] = OriginCounts(sums, executor, self._lock)
            return counts

    def _executor(self, name: str, kind: str) -> tuple[str, _ExecutorCounts]:
        label = self._executor_names.label(name)
        return label, self._executors.setdefault(label, _ExecutorCounts(kind))

    # --- reading ---

    def stalls(self) -> dict[str, dict[str, Histogram]]:
        """The finished stalls by loop and cause."""
        with self._lock:
            return {
                loop: {cause: counts.freeze() for cause, counts in causes.items()}
                for loop, causes in self._stalls.items()
            }

    def labels(self, executors: Mapping[str, str]) -> dict[str, str]:
        """The labels of executors, given as name and kind, which are told from now on, also without a finished job."""
        with self._lock:
            return {name: self._executor(name, kind)[0] for name, kind in executors.items()}

    def finished_jobs(self) -> dict[str, FinishedJobs]:
        """The finished jobs by label of executor."""
        with self._lock:
            return {label: counts.freeze() for label, counts in self._executors.items()}

    def tallies(self) -> list[OffloadTally]:
        """The jobs by origin so far, without those that are counted together.

        The same object for an origin of which nothing was counted since.
        """
        with self._lock:
            return [sums.tally() for sums in self._offloads()]

    def news(self) -> list[OffloadTally]:
        """Those of the tallies that have jobs which they had not when this was last asked."""
        with self._lock:
            found = [sums for sums in self._offloads() if sums.jobs != sums.judged]
            for sums in found:
                sums.judged = sums.jobs
            return [sums.tally() for sums in found]

    def _offloads(self) -> Iterator[_Sums]:
        return (sums for place, sums in self._origins.items() if place != _TOGETHER)

    def site_stats(self) -> tuple[SiteStats, ...]:
        """Seconds lost by site, in the order in which the sites were first seen."""
        with self._lock:
            return tuple(
                SiteStats(kind, site, cause, seconds, int(count))
                for (kind, site, cause), (seconds, count) in self._sites.items()
            )
