"""Looks at the executors from the sampler's thread: their queues, their workers, and episodes of backlog."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dis import opmap
from itertools import islice
from typing import Any

from ... import _compat
from ...facts import Congestion, Glance, RawFrame, WaitTally, WorkerLook
from ..jobs.executors import ExecutorHook, thread_names
from ..jobs.job import NOBODY, Job, Pool, first
from ..loops.spans import Tracing
from ..stacks import copy_stack
from .deadlocks import waits_for_itself
from .episodes import Episode
from .host import new_id
from .taken import full_since, with_callbacks

clocks = _compat.clocks
_LOOKS_A_TICK = 8
_LOOK_FROM = 0.002
_GLANCES = 16
_FORGET_AFTER = 10.0
_ENDS_AFTER = 5
_FRONT = 256
_HOLDERS = 16
_NAMES = 64
_DEEPER = 1.5
_LOOK_LASTS = 0.005
_JUMPS = frozenset(
    number for name, number in opmap.items() if name == "RESUME" or name.startswith(("JUMP_", "POP_JUMP_"))
)
"""Instructions at which threads hand on the interpreter, and which call nothing that could wait for anything else."""
_WAITING_MODULES = ("threading", "queue", "concurrent.futures._base")


class PoolWatch:
    """Follows the pools that ``hook`` sees: the sampler's thread looks, whoever drains tells of what has ended."""

    def __init__(
        self,
        hook: ExecutorHook,
        executor_wait: float,
        on_backlog: Callable[[Congestion], None],
        tracing: Tracing | None = None,
    ) -> None:
        self.hook = hook
        self.tracing = tracing or Tracing()
        self.executor_wait = executor_wait
        self.saturated: dict[str, float] = {}
        self._on_backlog = on_backlog
        self.episodes: dict[Pool, Episode] = {}
        self._queues: dict[Pool, Episode] = {}
        """Full pools in which no job has waited too long yet."""
        self._looked = clocks.monotonic()
        self._lock = threading.RLock()
        hook.on_fork = self._forget

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self.episodes.clear()
        self._queues.clear()
        self.saturated.clear()
        self._looked = clocks.monotonic()

    def busy(self) -> bool:
        """Whether any pool needs looking at (a job that has run for long alone does not)."""
        now = clocks.monotonic()
        if self.episodes or self.hook.finished:
            return True
        return any(
            pool.waiting or any(now - (job.started or now) < _FORGET_AFTER for job in list(pool.running))
            for pool in self.hook.pools
        )

    def look(self, now: float) -> None:
        """One look at every pool (on the sampler's thread)."""
        passed, self._looked = max(0.0, now - self._looked), now
        for pool in self.hook.pools:
            running = list(pool.running)
            if running:
                self._glance(pool, running, now)
            with self._lock:
                self._follow(pool, running, now, passed)

    # --- workers ---

    def _glance(self, pool: Pool, running: list[Job], now: float) -> None:
        """Look at a few workers; at a job that runs for long ever more rarely."""
        jobs = []
        for job in running:
            age = now - (job.started or now)
            if job.worker is not None and age >= _LOOK_FROM and now - job.glanced >= age / 8:
                jobs.append(job)
        jobs.sort(key=lambda job: job.glanced)
        del jobs[_LOOKS_A_TICK:]
        for job, frames, activity in _looks(jobs):
            if frames and activity is not None and job in pool.running:  # otherwise the worker had moved on
                job.glanced = now
                packages = dict.fromkeys(frame.module.partition(".")[0] for frame in frames)
                glance = Glance(activity, frames[-1], tuple(packages))
                job.glances = [*(job.glances or ())[1 - _GLANCES :], glance]

    def _holders(self, pool: Pool, running: list[Job], now: float) -> tuple[WorkerLook, ...]:
        names = thread_names()
        looks = []
        for job, frames, activity in _looks(running[:_HOLDERS]):
            name = names.get(job.worker.ident if job.worker else 0, f"worker of {pool.name}")
            looks.append(WorkerLook(name, job.lane.origin, now - (job.started or now), frames, activity))
        return tuple(looks)

    # --- queues ---

    def _follow(self, pool: Pool, running: list[Job], now: float, passed: float) -> None:
        oldest = first(pool.waiting)
        taken = running if oldest is not None and pool.full() else None
        if oldest is not None and taken is None and now - oldest.submitted >= self.executor_wait / 2:
            taken = with_callbacks(pool, running, now)
        if oldest is not None and taken is not None:
            self._look_at_queue(pool, taken, oldest, now, min(passed, max(0.0, now - oldest.submitted)))
        else:
            pool.full_since = 0.0
            self._queues.pop(pool, None)
        self._count_begun(running)
        episode = self.episodes.get(pool)
        if episode is not None and now - episode.last > _ENDS_AFTER * self.executor_wait:
            self._end(pool, episode, episode.last)

    def _look_at_queue(self, pool: Pool, running: list[Job], oldest: Job, now: float, passed: float) -> None:
        """No worker is free, and jobs wait."""
        pool.full_at = now
        pool.full_since = pool.full_since or full_since(pool, running, oldest, now)
        self._saturate(pool.name, passed)
        waited = now - max(oldest.submitted, pool.full_since)
        episode = self.episodes.get(pool)
        if episode is None:
            episode = self._queues.get(pool)
            if episode is None or now - episode.began > 2 * self.executor_wait + passed:
                episode = self._queues[pool] = Episode(max(oldest.submitted, now - passed))
        episode.depth = max(episode.depth, len(pool.waiting))
        episode.taken = max(episode.taken, pool.taken())
        episode.hold(running, pool.taken(), passed)
        if self.tracing.tracer is not None and waited >= self.executor_wait / 2:
            self.tracing.note(_front(pool), now - self.executor_wait / 2)
        if waited < self.executor_wait:
            return
        if pool not in self.episodes:
            self._open(pool, oldest.submitted)
        self._congested(pool, episode, running, now)

    def _saturate(self, name: str, seconds: float) -> None:
        """Names outlive their pools, of which there may come any number: those beyond a bound share one entry."""
        saturated = self.saturated
        key = name if name in saturated or len(saturated) < _NAMES else NOBODY
        saturated[key] = saturated.get(key, 0.0) + seconds

    def _congested(self, pool: Pool, episode: Episode, running: list[Job], now: float) -> None:
        episode.last = now
        front = _front(pool)
        for job in front:
            waited = now - job.submitted
            job.queued = True
            if waited >= self.executor_wait:
                episode.waits(job, waited)
        if episode.depth >= _DEEPER * episode.looked_at:
            episode.looked_at = episode.depth
            episode.holders = self._holders(pool, running, now) or episode.holders
        self._look_for_deadlock(pool, episode, front, running, now)
        if now - episode.began >= max(2 * episode.told, 10 * self.executor_wait):
            episode.told = now - episode.began
            self._tell(pool, episode, None, now)

    def _look_for_deadlock(
        self, pool: Pool, episode: Episode, front: list[Job], running: list[Job], now: float
    ) -> None:
        """A pool that stands still, with jobs in its queue that its own workers have submitted, is looked into."""
        workers = {job.worker.ident for job in running if job.worker}
        nested = sum(1 for job in front if job.submitter in workers)
        quiet = nested > 0 and now - pool.last_end >= self.executor_wait
        stuck = quiet and waits_for_itself(pool, running)
        if not episode.still and quiet and (stuck or _all_wait(running)):
            episode.still = True
            episode.holders = self._holders(pool, running, now)
        episode.stuck = episode.stuck or stuck
        episode.nested, episode.progressing = nested, not stuck

    def _count_begun(self, running: list[Job]) -> None:
        for job in running:
            if job.congested is None and job.started is not None:
                self._count(job, job.started)

    def finished(self, job: Job) -> bool:
        """A job is over that may have waited long (from any thread): whether it did, because no worker was free."""
        with self._lock:
            if job.congested is None:
                self._count(job, job.started if job.started is not None else job.ended or job.submitted)
        return bool(job.congested)

    def _count(self, job: Job, begun: float) -> None:
        """Each job once, as soon as its wait is over."""
        pool, waited = job.pool, begun - job.submitted
        job.congested = waited >= self.executor_wait and (job.queued or self._waited_for_workers(job))
        if job.congested:
            episode = self.episodes.get(pool) or self._open(pool, job.submitted)
            episode.last = max(episode.last, begun)
            episode.count(job, waited)
            job.held_by = episode.shares()

    def _waited_for_workers(self, job: Job) -> bool:
        """Of one that no look has seen waiting. Who waits while a worker is free waits for the interpreter or the host.

        That jobs of its pool ended meanwhile proves nothing by itself: they may have run beside free workers.
        """
        pool = job.pool
        if pool in self.episodes and pool.full_at >= job.submitted:
            return job.started is None or job.after >= job.submitted
        return job.after >= job.submitted and 0 < pool.limit() <= job.busy

    def _open(self, pool: Pool, began: float) -> Episode:
        episode = self._queues.pop(pool) if pool in self._queues else Episode(began)
        self.episodes[pool] = episode
        episode.id = new_id()
        episode.began = began
        episode.depth = max(episode.depth, 1)
        return episode

    def settle(self, now: float) -> None:
        """Tell every episode as it stands, from any thread: as over where no job waits any more."""
        with self._lock:
            for pool in list(self.hook.pools):
                self._count_begun(list(pool.running))
            for pool, episode in list(self.episodes.items()):
                if pool.waiting:
                    self._tell(pool, episode, None, now)
                else:
                    self._end(pool, episode, episode.last)

    # --- telling ---

    def _end(self, pool: Pool, episode: Episode, ended: float) -> None:
        del self.episodes[pool]
        self._tell(pool, episode, ended, ended)

    def close(self) -> None:
        """End every episode: the watch does."""
        with self._lock:
            for pool, episode in list(self.episodes.items()):
                self._count_begun(list(pool.running))
                self._end(pool, episode, clocks.monotonic() if pool.waiting else episode.last)

    def _tell(self, pool: Pool, episode: Episode, ended: float | None, now: float) -> None:
        if not (episode.for_loop or episode.still):
            return
        tallies = {lane: list(entry) for lane, entry in episode.tallies.items()}
        waited = episode.waited
        stuck = episode.stuck and ended is not None
        for job in list(pool.waiting):
            so_far = now - job.submitted
            if so_far >= self.executor_wait:
                entry = tallies.setdefault(job.lane, [0, 0.0, 0.0])
                entry[0] += 1
                entry[1] += so_far
                waited = max(waited, so_far)
        self._on_backlog(
            Congestion(
                id=episode.id,
                executor=pool.name,
                kind=pool.kind,
                workers=int(min(pool.limit(), 1 << 30)),
                depth=episode.depth,
                waited=waited,
                started=episode.began,
                ended=ended,
                seen=now,
                started_at=clocks.wall() - (clocks.monotonic() - episode.began),
                jobs=int(sum(jobs for jobs, _, _ in tallies.values())),
                tallies=tuple(
                    WaitTally(lane.origin, int(jobs), waited, held)
                    for lane, (jobs, waited, held) in tallies.items()
                    if lane is not None
                ),
                holders=episode.holders,
                taken=episode.taken,
                # One that got stuck is told so at its end, too, whatever has freed it.
                nested=max(1, episode.nested) if stuck else episode.nested,
                progressing=episode.progressing and not stuck,
                span=episode.span,
            )
        )


def _front(pool: Pool) -> list[Job]:
    """The first jobs of the queue: it may be long."""
    for _ in range(8):
        try:
            return list(islice(pool.waiting, _FRONT))
        except RuntimeError:  # it changed meanwhile
            continue
    return []


def _stacks(jobs: list[Job]) -> list[tuple[Job, tuple[RawFrame, ...]]]:
    """Where the workers of some jobs stand, all at one moment."""
    found: list[tuple[Job, tuple[RawFrame, ...]]] = []
    if not jobs:
        return found
    with _compat.uncollected():
        stacks = _compat.stacks()
        for job in jobs:
            frames, _ = copy_stack(stacks.get(job.worker.ident) if job.worker is not None else None, ())
            found.append((job, frames or ()))
    return found


def _looks(jobs: list[Job]) -> list[tuple[Job, tuple[RawFrame, ...], Any]]:
    """The same, and what they do there.

    To ask the kernel is to wait for the interpreter again: where threads compete for it, it is not asked of all.
    """
    found = []
    began = clocks.monotonic()
    for job, frames in _stacks(jobs):
        activity = None
        if frames and _waits_for_interpreter(frames[-1]):
            activity = "futex"
        elif job.worker is not None and clocks.monotonic() - began <= _LOOK_LASTS:
            activity = _compat.kernel_activity(job.worker.native)
        found.append((job, frames, activity))
    return found


def _waits_for_interpreter(frame: RawFrame) -> bool:
    """Whether a thread stands where it can do nothing but wait for the interpreter, which whoever looks at it has."""
    return _compat.gil_enabled() and frame.code.co_code[max(0, frame.lasti)] in _JUMPS


def _all_wait(running: list[Job]) -> bool:
    """Whether every worker waits for another thread."""
    if not all(frames and frames[-1].module in _WAITING_MODULES for _, frames in _stacks(running)):
        return False
    return all(job.worker and _compat.kernel_activity(job.worker.native) in ("futex", None) for job in running)
