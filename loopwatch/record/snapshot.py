"""Adds up loops and executors by name into their immutable numbers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple
from weakref import WeakSet

from ..metrics import GC_BOUNDS, STEP_BOUNDS, TURN_BOUNDS
from ..model import ExecutorStats, Histogram, LoopStats
from .histogram import Counts
from .recorder import Names, Recorder

_WINDOW = 10.0
_APART = 1.0
_UNLIMITED = 1 << 30
_TRIES = 8


@dataclass
class _Totals:
    """The sum over the loops of one label.

    A stopwatch keeps no sum of its steps, because steps tile the time in which their loop is active:
    each begins where the one before it, or the poll, ended. So what the finished steps took is the
    active time up to the beginning of the one that runs, with about a microsecond a poll that the
    loop takes to get there. What the finished turns took is the active time up to the turn that runs.
    """

    alive: int = 0
    ready: int = 0
    tasks: int = 0
    active: float = 0.0
    idle: float = 0.0
    stalled: float = 0.0
    step: Counts = field(default_factory=lambda: Counts(STEP_BOUNDS))
    turn: Counts = field(default_factory=lambda: Counts(TURN_BOUNDS))

    def add(self, state: Any, now: float) -> None:
        """Add what a loop did until ``now``."""
        step, turn = (state.mark, state.turn) if state.mark < inf else (now, now)
        steps = state.active(min(now, step)) if state.tells_of_steps else state.seconds_timed()
        self.step.merge(state.steps_counted(), steps)
        self.turn.merge(state.turns_counted(), state.active(min(now, turn)))
        self.active += state.active(now)
        self.idle += state.idle_now(now)

    def copy(self) -> _Totals:
        """The same sums, without what is only true of loops that live."""
        totals = _Totals(active=self.active, idle=self.idle)
        totals.step.merge(self.step.counts, self.step.sum)
        totals.turn.merge(self.turn.counts, self.turn.sum)
        return totals


class _Moment(NamedTuple):
    at: float
    active: float
    idle: float


class _Course:
    """What was told of one label so far."""

    def __init__(self) -> None:
        self._sums = [0.0, 0.0, 0.0, 0.0]
        self._lately: deque[_Moment] = deque()

    def hold(self, totals: _Totals) -> None:
        """Let no sum be less than it was told before.

        The fields of a loop that runs are read one by one, and so not all at the same moment.
        """
        sums = (totals.active, totals.idle, totals.step.sum, totals.turn.sum)
        self._sums = list(map(max, sums, self._sums))
        totals.active, totals.idle, totals.step.sum, totals.turn.sum = self._sums

    def utilization(self, totals: _Totals, now: float) -> float:
        """The active share since about ten seconds ago: since the latest telling that is as old, or the oldest."""
        lately = self._lately
        if not lately and not totals.alive:
            return 0.0
        while len(lately) > 1 and now - lately[1].at >= _WINDOW:
            lately.popleft()
        before = lately[0] if lately else _Moment(now, 0.0, 0.0)
        if not lately or now - lately[-1].at >= _APART:
            lately.append(_Moment(now, totals.active, totals.idle))
        active, idle = totals.active - before.active, totals.idle - before.idle
        return active / (active + idle) if active + idle > 0 else 0.0


class LoopTotals:
    """The numbers of loops that are gone, by name, and the sum of them and the living. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may ask for a snapshot while its thread takes one
        self._names = Names()
        self._gone: dict[str, _Totals] = {}
        self._retired: WeakSet[Any] = WeakSet()
        self._courses: dict[str, _Course] = {}
        self._lost = 0

    def retire(self, state: Any) -> None:
        """Keep the numbers of a loop that is gone; from now on it is not counted among the living, nor once more."""
        with self._lock:
            if state not in self._retired:
                self._retired.add(state)
                self._lost += state.lost
                # Of one that still runs: until the last moment that it wrote down.
                until = next((at for at in (state.mark, state.turn, state.run_started) if at < inf), 0.0)
                self._gone.setdefault(self._names.label(state.name), _Totals()).add(state, until)

    def stats(
        self,
        states: Iterable[Any],
        now: float,
        recorder: Recorder,
        stalled: Callable[[Any, float], float],
        tasks: Callable[[Any], int],
    ) -> tuple[LoopStats, ...]:
        """One entry a label, living and gone loops together; counts and sums never go backwards."""
        with self._lock:
            table = {label: gone.copy() for label, gone in self._gone.items()}
            for state in states:
                if state in self._retired:
                    continue
                totals = table.setdefault(self._names.label(state.name), _Totals())
                totals.add(state, now)
                loop = state.loop()
                if loop is None or state.is_gone():
                    continue
                totals.alive += 1
                totals.ready += len(getattr(loop, "_ready", ()))
                totals.tasks += tasks(loop)
                totals.stalled = max(totals.stalled, stalled(state, now))
            stalls = self._stalls(recorder)
            for label in stalls:
                table.setdefault(label, _Totals())
            return tuple(self._told(label, totals, now, stalls.get(label, {})) for label, totals in table.items())

    def lost(self, states: Iterable[Any]) -> int:
        """How many overruns of all loops, the living ones given, were not told because too many came at once."""
        with self._lock:
            return sum((int(state.lost) for state in states if state not in self._retired), self._lost)

    def _stalls(self, recorder: Recorder) -> dict[str, dict[str, Histogram]]:
        """The finished stalls by our own labels: the recorder may have met the loops in another order."""
        found: dict[str, dict[str, Histogram]] = {}
        for loop, causes in recorder.stalls().items():
            mine = found.setdefault(self._names.label(loop), {})
            for cause, stalls in causes.items():
                mine[cause] = _sum(mine[cause], stalls) if cause in mine else stalls
        return found

    def _told(self, label: str, totals: _Totals, now: float, stalls: Mapping[str, Histogram]) -> LoopStats:
        course = self._courses.setdefault(label, _Course())
        course.hold(totals)
        step, turn = totals.step.freeze(), totals.turn.freeze()
        return LoopStats(
            name=label,
            alive=totals.alive,
            active=totals.active,
            idle=totals.idle,
            utilization=course.utilization(totals, now),
            turns=turn.count,
            steps=step.count,
            ready=totals.ready,
            tasks=totals.tasks,
            stalled=totals.stalled,
            step_duration=step,
            turn_duration=turn,
            stalls=stalls,
        )


def _sum(one: Histogram, other: Histogram) -> Histogram:
    counts = tuple(mine + yours for mine, yours in zip(one.counts, other.counts, strict=True))
    return Histogram(one.bounds, counts, one.sum + other.sum, one.exemplars or other.exemplars)


def executor_stats(
    recorder: Recorder, pools: Sequence[Any], saturated: Mapping[str, float], now: float
) -> tuple[ExecutorStats, ...]:
    """One entry a label of executor: those that finished a job, and those that exist."""
    lost = dict(saturated)  # written meanwhile by the sampler
    labels = recorder.labels({**dict.fromkeys(lost, "thread"), **{pool.name: pool.kind for pool in pools}})
    seconds: dict[str, float] = {}
    for name, full in lost.items():
        seconds[labels[name]] = seconds.get(labels[name], 0.0) + full
    living: dict[str, list[Any]] = {}
    for pool in pools:
        if pool.executor() is not None:
            living.setdefault(labels[pool.name], []).append(pool)
    return tuple(
        ExecutorStats(
            name=label,
            kind=jobs.kind,
            workers=sum(pool.threads() for pool in living.get(label, ())),
            busy=sum(pool.busy() for pool in living.get(label, ())),
            workers_max=int(min(sum(pool.limit() for pool in living.get(label, ())), _UNLIMITED)),
            depth=sum(len(pool.waiting) for pool in living.get(label, ())),
            oldest_wait=max((_oldest_wait(pool, now) for pool in living.get(label, ())), default=0.0),
            saturated=seconds.get(label, 0.0),
            outcomes=jobs.outcomes,
            wait=jobs.wait,
            run=jobs.run,
        )
        for label, jobs in recorder.finished_jobs().items()
    )


def _oldest_wait(pool: Any, now: float) -> float:
    for _ in range(_TRIES):
        try:
            oldest = next(iter(pool.waiting), None)
            return max(0.0, now - oldest.submitted) if oldest is not None else 0.0
        except RuntimeError:  # a job came or went between two bytecodes; a copy would take long for a long queue
            continue
    return 0.0


def gc_histograms(counts: Mapping[int, Sequence[int]], sums: Mapping[int, float]) -> dict[str, Histogram]:
    """The collector's pauses by generation."""
    return {
        str(generation): Histogram(GC_BOUNDS, tuple(values), sums[generation]) for generation, values in counts.items()
    }
