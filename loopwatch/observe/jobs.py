"""One job, the pool that it goes to, and the lane that it shares with its like. The hot path of executors.

A lane stands for all jobs of one pool with one submitting path and one target, so that names are made
once a lane and not once a job.
"""

from __future__ import annotations

import threading
import weakref
from _thread import get_ident
from collections.abc import Callable
from types import FrameType, FunctionType
from typing import TYPE_CHECKING, Any

from .. import _compat
from ..facts import Glance, Origin, RawFrame, SpanFacts
from .bounded import Faults, Finished
from .callees import callee_code, callee_key, callee_name, callee_of
from .guard import theirs

_ON_LOOP = range(48)
_ELSEWHERE = range(16)
"""Frames looked at: on a loop up to its step, so that the caller behind a deep library is found."""
_LANES = 256
_WITHIN = _compat.BYTECODE_WITHIN_CODE
_APART = 1 << 24
"""More than any bytecode is long: keeps the numbers of two code objects apart where bytecode lies elsewhere."""
NOBODY = "other"
NOWHERE: frozenset[int] = frozenset()
"""For ``Pool.lane`` where no loop runs."""
faults = Faults(64)
"""Errors of our own, wherever they happen; the watch that is installed tells them."""
_clock = _compat.clocks.monotonic
_thread_cpu: Callable[[], Any] = _compat.clocks.thread_cpu


class Worker:
    """What is known of one thread: its ids, and the job that it runs."""

    __slots__ = ("ident", "job", "native")

    def __init__(self) -> None:
        self.ident = get_ident()
        self.native = _compat.native_thread_id()
        self.job: Job | None = None


class _Here(threading.local):
    """The worker of the thread that asks."""

    def __init__(self) -> None:
        self.worker = Worker()


here = _Here()


class Lane:
    """All jobs with one origin. ``codes`` keeps the ids in the key valid; the rest belongs to whoever counts."""

    __slots__ = ("codes", "counts", "origin", "quick", "site")

    def __init__(self, origin: Origin, codes: tuple[Any, ...]) -> None:
        self.origin = origin
        self.codes = codes
        self.counts: Any = None
        self.site = ""
        self.quick = False
        """Its jobs are so short that reading the CPU clock around each would be a good part of them."""


class Pool:
    """What is known of one executor. ``waiting`` and ``running`` are ordered sets of jobs (dict keys)."""

    __slots__ = ("__weakref__", "executor", "full_at", "full_since", "hook", "inside", "kind", "lanes", "last_end",
                 "limit", "name", "open", "running", "threads", "waiting")  # fmt: skip

    def __init__(self, executor: Any, kind: str, name: str, limit: Callable[[], float], threads: Callable[[], int]):
        self.executor = weakref.ref(executor)
        self.hook: Any = None
        """Whose it is: what an earlier watch has left on an executor is not taken for that of the next."""
        self.kind = kind
        self.inside = kind == "thread"
        """Whether its jobs are timed in the worker, or from outside."""
        self.open = False
        """Whether a job needs a ``StandIn``."""
        self.name = name
        self.limit = limit
        self.threads = threads
        self.waiting: dict[Job, None] = {}
        self.running: dict[Job, None] = {}
        self.lanes: dict[Any, Lane] = {}
        self.last_end = 0.0
        self.full_at = 0.0
        """When it was last seen with a queue and no free worker."""
        self.full_since = 0.0
        """Since when it has been so at every look; 0 when it was not at the last one."""

    def full(self) -> bool:
        """Whether every worker is taken."""
        return len(self.running) >= self.limit() > 0

    def busy(self) -> int:
        """How many workers are taken."""
        return len(self.running)

    def taken(self) -> int:
        """How many of them are taken without a job."""
        return 0

    def lane(self, frame: FrameType | None, function: Any, until: frozenset[int]) -> Lane:
        """The lane of a job that ``frame`` submits; the walk ends at the loop's step (ids of code, ``until``)."""
        key: list[Any] = [id(function.__code__) if type(function) is FunctionType else callee_key(function)]
        at: Any = frame
        try:
            for _ in _ON_LOOP if until else _ELSEWHERE:
                place = id(at.f_code)
                if place in until:
                    break
                # One number for both, and no two equal.
                key.append(place + at.f_lasti if _WITHIN else place * _APART + at.f_lasti)
                at = at.f_back
        except AttributeError:  # there are no more
            pass
        places = tuple(key)
        lane = self.lanes.get(places)
        return self._new_lane(places, frame, function) if lane is None else lane

    def place(self, frame: FrameType, function: Any) -> Lane:
        """The lane of a job that no loop waits for: the frame that submits it is all that is kept, and looked at."""
        code = id(function.__code__) if type(function) is FunctionType else callee_key(function)
        at = id(frame.f_code)
        place = (at + frame.f_lasti if _WITHIN else at * _APART + frame.f_lasti, code)
        lane = self.lanes.get(place)
        if lane is not None:
            return lane
        if str(frame.f_globals.get("__name__")).startswith("concurrent.futures"):  # map()
            return self.lane(frame, function, NOWHERE)
        return self._new_lane(place, frame, function)

    def _new_lane(self, key: tuple[Any, ...], frame: FrameType | None, function: Any) -> Lane:
        frames: list[RawFrame] = []
        for _ in key[1:]:
            assert frame is not None
            frames.append(RawFrame(frame.f_code, frame.f_lasti, str(frame.f_globals.get("__name__", ""))))
            frame = frame.f_back
        callee = callee_of(function)
        origin = Origin(tuple(frames), callee_name(callee), self.name)
        lane = Lane(origin, (callee_code(callee), *(each.code for each in frames)))
        lanes = self.lanes
        if len(lanes) >= _LANES:  # any one goes: it is made anew when it is needed, and counts on where it was
            known = list(lanes)
            lanes.pop(known[hash(key) % len(known)], None)
        return lanes.setdefault(key, lane)

    def clear(self) -> None:
        """Forget every job, and what was counted."""
        self.waiting.clear()
        self.running.clear()
        for lane in list(self.lanes.values()):
            lane.counts = None


def pool_on(executor: Any) -> Pool | None:
    """What a watch has put on an executor; asks nothing of the executor's own."""
    try:
        found = object.__getattribute__(executor, "_loopwatch")
    except AttributeError:
        return None
    return found if type(found) is Pool else None


def first(jobs: dict[Job, None]) -> Job | None:
    """The oldest of an ordered set, which other threads may be changing."""
    for _ in range(8):
        try:
            return next(iter(jobs), None)
        except RuntimeError:  # it changed between two bytecodes
            continue
    return None


class Job:
    """One function handed to an executor; stands in for it until a worker calls it."""

    # Defaults stand in the class: a job sets only what differs, and most jobs end without.
    task: Any = None
    for_loop = False
    worker: Worker | None = None
    submitter = 0
    started: float | None = None
    ended: float | None = None
    cpu: float | None = None
    abandoned = False
    outcome = ""
    glances: list[Glance] | None = None
    glanced = 0.0
    """When it was last looked at."""
    after = 0.0
    """When the last job of its pool had ended as it began: later than it was submitted where it waited for a worker."""
    busy: float = 0
    """How many workers of its pool had a job as it was submitted."""
    queued = False
    """Whether it was seen waiting while no worker was free."""
    congested: bool | None = None
    """Whether it waited too long because no worker was free; None until that is known."""
    held_by: tuple[tuple[Lane | None, float], ...] = ()
    """Who held the workers by the end of such a wait: shares of 1, None for who is not known."""
    span: SpanFacts | None = None
    """What was current in its task while it waited long, where someone traces."""
    asked = False
    """Whether that was looked for."""

    def __init__(self, pool: Pool, function: Any, lane: Lane, finished: Finished) -> None:
        self.pool = pool
        self.function = function
        self.lane = lane
        self.finished = finished
        self.abandoned = False  # read by each: what stands in the class alone takes longer to find
        self.busy = len(pool.running)
        self.submitted = _clock()

    def inherit(self, outer: Job) -> None:
        """A job submitted by the worker that runs ``outer`` belongs to the loop for which that one works."""
        self.submitter = get_ident()
        self.for_loop = outer.for_loop

    def begin(self) -> Any:
        """A worker takes the job (in the worker's thread): returns the function that it stands for."""
        function, self.function = self.function, None
        try:
            self.worker = worker = here.worker
            worker.job = self
            pool = self.pool
            self.after = pool.last_end
            pool.running[self] = None
            pool.waiting.pop(self, None)
            self.cpu = None if self.lane.quick else _thread_cpu()
            self.started = _clock()
        except BaseException as error:
            if theirs(error):
                self.forget()
                raise
            faults.append(error)
        return function

    __call__ = property(begin)
    """Gives the caller's function to be called in its place: so no frame of ours stands in the worker's traceback."""

    def finish(self, future: Any) -> None:
        """Done-callback of the job's future; may be called twice (written out: every job comes here)."""
        try:
            now = _clock()
            pool = self.pool
            if pool.running.pop(self, 0) is not None:
                self._finish_unbegun(future, now)
                return
            self.ended = pool.last_end = now
            worker: Any = self.worker
            if worker.job is self:  # otherwise the worker has gone on, and we come too late
                worker.job = None
            if self.cpu is not None:
                self.cpu = _thread_cpu() - self.cpu if here.worker is worker else None
            outcome = "completed" if future._exception is None else "failed"
            self.outcome = "abandoned" if self.abandoned else outcome
            finished = self.finished
            finished.append(self)
            finished.added += 1
        except BaseException as error:
            if theirs(error):
                self.forget()
                raise
            faults.append(error)

    def _finish_unbegun(self, future: Any, now: float) -> None:
        if self.pool.waiting.pop(self, 0) is None:
            self.function = None
            self.ended = now
            self.outcome = _compat.outcome_of(future)
            self.finished.put(self)

    def end(self) -> None:
        """The function returned or raised (in the worker's thread, or in another if the end came unseen)."""
        if self.ended is not None:
            return
        self.ended = self.pool.last_end = _clock()
        worker: Worker = here.worker
        if worker is self.worker:
            worker.job = None
            if self.cpu is not None:
                self.cpu = _thread_cpu() - self.cpu
        else:
            self.cpu = None

    def settle(self, outcome: str) -> None:
        """The job is over and its outcome known."""
        self.outcome = "abandoned" if self.abandoned and outcome != "cancelled" else outcome
        pool = self.pool
        pool.running.pop(self, None)
        if self.function is not None:  # no worker took it
            self.function = None
            pool.waiting.pop(self, None)
        self.finished.put(self)

    def forget(self) -> None:
        """It was refused. A pool that cannot start a thread has queued it all the same: should it run, unwatched."""
        self.__class__ = _Refused
        if self.worker is not None and self.worker.job is self:
            self.worker.job = None
        self.pool.running.pop(self, None)
        self.pool.waiting.pop(self, None)


class StandIn:
    """Handed over in place of a function where others than a worker may have it in hands: in a ``submit`` that another
    tool has replaced, or in a pool of the application's own make. They find in it what they would find unwatched,
    and may call it again, which is not timed. The job itself does not keep the function."""

    def __init__(self, job: Job, function: Any) -> None:
        self._loopwatch = job, function

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            return getattr(self.__dict__["_loopwatch"][1], name)

    @property
    def __call__(self) -> Any:
        job, function = self._loopwatch
        if job.function is not None:
            job.begin()
        return function


class _Refused(Job):
    def begin(self) -> Any:
        return self.function

    __call__ = property(begin)


class RemoteJob(Job):
    """One function handed to workers that are seen from outside only: assumed to begin first in, first out."""

    def enter(self) -> None:
        """It is submitted: the oldest as many as there are workers count as running."""
        pool = self.pool
        self.function = None
        if len(pool.running) >= pool.limit():
            pool.waiting[self] = None
        else:
            self.started = self.submitted
            pool.running[self] = None

    def finish(self, future: Any) -> None:
        """Done-callback of the job's future; may be called twice."""
        try:
            now = _clock()
            if not self._leave(now):
                return
            outcome = _compat.outcome_of(future)
            self.ended = self.pool.last_end = now
            if self.started is None and outcome != "cancelled":  # the order was another than assumed
                self.started = self.submitted
            self.outcome = "abandoned" if self.abandoned and outcome != "cancelled" else outcome
            self.finished.put(self)
        except BaseException as error:
            if theirs(error):
                self.forget()
                raise
            faults.append(error)

    def forget(self) -> None:
        """It was refused."""
        self._leave(_clock())

    def _leave(self, now: float) -> bool:
        pool = self.pool
        if pool.running.pop(self, 0) is not None:
            return pool.waiting.pop(self, 0) is None
        following = first(pool.waiting)
        if following is not None and pool.waiting.pop(following, 0) is None:
            following.started = following.after = now
            pool.running[following] = None
        return True
