"""What a watch has counted since it began: jobs, stalls, loops and what they cost, joined to their meaning."""

from __future__ import annotations

from collections.abc import Callable

from . import _compat
from ._version import __version__
from .explain.culprit import OwnCode
from .explain.offload import essential, site_of, waited, worth_telling
from .explain.verdicts import Verdicts
from .facts import OffloadTally
from .model import Coverage, Offload, Snapshot, Stall
from .observe.hooks import Hooks
from .observe.jobs.callers import Callers
from .observe.jobs.job import Job
from .observe.looks.pools import PoolWatch
from .observe.looks.sampler import Sampler
from .observe.loops.task_counts import task_counts, task_ids
from .record.charges import Charges
from .record.queued import QueuedTime
from .record.recorder import OriginCounts, Recorder
from .record.snapshot import LoopTotals, executor_stats, gc_histograms


class Accounts:
    """The numbers of one watch. ``count`` and ``judge`` under the watch's drain lock, all else from any thread."""

    def __init__(
        self,
        executor_wait: float,
        own: OwnCode,
        hooks: Hooks,
        pools: PoolWatch,
        on_wait: Callable[[Job, float], None],
    ) -> None:
        """``on_wait`` is told of each job that waited too long for a worker, on behalf of a loop."""
        self._on_wait = on_wait
        self._executor_wait = executor_wait
        self._own = own
        self._hooks = hooks
        self._pools = pools
        self.begin()

    def begin(self) -> None:
        """From here on everything is counted anew, as in the child of a fork."""
        self._recorder, self._verdicts = Recorder(), Verdicts(self._own)
        self._totals = LoopTotals()
        self._hooks.loops.on_retired = self._totals.retire
        self._callers = Callers(OriginCounts.caller)
        self._charges = Charges(self._recorder)
        self._queued = QueuedTime(self._recorder, lambda origin: site_of(origin, self._own))

    # --- counting ---

    def stall(self, stall: Stall) -> None:
        """Count a finished stall."""
        self._recorder.stall(stall)

    def retire_loops(self) -> None:
        """Keep the numbers of all loops that are watched now: soon nobody will be told of them."""
        for state in list(self._hooks.loops.states.values()):
            self._totals.retire(state)

    def count(self, jobs: list[Job], now: float) -> None:
        """Count jobs that are over, and what the tasks that submitted some have spent until ``now``."""
        least, episodes = self._executor_wait, self._pools.episodes
        for job in jobs:
            lane = job.lane
            counts = lane.counts or self._begin_counts(job)
            wait = counts.job(job)
            # Who waited while a worker was free waited for the interpreter, and is in no queue.
            in_queue = (wait >= least or job.pool in episodes) and self._pools.finished(job)
            if in_queue and job.for_loop and wait >= least and job.outcome != "cancelled":
                self._queued.add(job, wait)
                self._on_wait(job, wait)
            if job.task is not None and job.started is not None:
                self._callers.finished(job, counts)
        for lane in {job.lane for job in jobs}:
            if (brief := lane.take()) is not None:
                lane.counts.brief(*brief)
            lane.quick = lane.counts.are_quick()
        self._queued.charge()
        self._callers.look(now)

    def _begin_counts(self, job: Job) -> OriginCounts:
        """Jobs are counted by the frames that name their site, so that different ways to it are one."""
        limit = int(min(job.pool.limit(), 1 << 30))
        counts = self._recorder.counts(essential(job.lane.origin, self._own), job.pool.kind, limit)
        job.lane.counts = counts
        return counts

    def judge(self, tell: Callable[[Offload], None]) -> None:
        """Charge the offloads whose workers wait for a loop, and tell of those that nobody was told of."""
        for tally in self._recorder.news():
            lost = waited(tally)
            if not self._charges.may_grow(tally.origin, lost):
                continue
            offload = self._verdicts.of(tally)
            if offload.cause == "wait":
                self._charges.charge(tally.origin, offload, lost)
                if worth_telling(offload, lost) and self._charges.first(offload):
                    tell(offload)

    # --- telling ---

    def tallies(self) -> list[OffloadTally]:
        """The jobs so far, by where they come from."""
        return self._recorder.tallies()

    def tasks(self) -> frozenset[int]:
        """The ids of the tasks that are there, of the loops that are watched at least."""
        loops = (state.loop() for state in list(self._hooks.loops.states.values()))
        return task_ids(loop for loop in loops if loop is not None)

    def snapshot(self, sampler: Sampler, coverage: tuple[Coverage, ...], dropped: int, offloads: bool) -> Snapshot:
        """The numbers so far; without ``offloads`` only those that are charged: judging may take longer than the rest.

        ``dropped``: events that were lost by others than the loops themselves.
        """
        hooks, recorder = self._hooks, self._recorder
        now, states = _compat.clocks.monotonic(), list(hooks.loops.states.values())
        return Snapshot(
            loops=self._totals.stats(states, now, recorder, sampler.stalled, task_counts()),
            executors=executor_stats(recorder, list(hooks.executors.pools), self._pools.saturated, now),
            offloads=tuple(map(self._verdicts.of, recorder.tallies())) if offloads else self._charges.offloads(),
            sites=recorder.site_stats(),
            coverage=coverage,
            gc_pauses=gc_histograms(hooks.collections.counts, hooks.collections.sums),
            events_dropped=self._totals.lost(states) + dropped,
            sampler_seconds=sampler.seconds,
            version=__version__,
        )
