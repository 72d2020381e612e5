"""One job, from its submit to its end. The hot path of executors.

``Job`` says what a job does, and is what it does in Python. ``PlainJob`` has its fields in Python, too; ``QuickJob``
has them in C, where all that most jobs of plain thread pools do is done: there is one where that was compiled.
"""

from __future__ import annotations

import threading
from _thread import get_ident
from collections.abc import Callable
from types import BuiltinMethodType, MethodType
from typing import TYPE_CHECKING, Any, ClassVar

from ... import _compat
from ...facts import Glance, SpanFacts
from ..bounded import Faults, Finished
from ..guard import theirs
from .job_fields import IN_C, JobFields, note_worker, use
from .lanes import NOBODY, NOWHERE, Lane, Pool, first, pool_on

OPEN = ("PENDING", "RUNNING")
"""States of a future that has yet to call its callbacks (``Lib/concurrent/futures/_base.py``)."""
_METHODS = (MethodType, BuiltinMethodType)
faults = Faults(64)
"""Errors of our own, wherever they happen; the watch that is installed tells them."""
_clock = _compat.clocks.monotonic
_thread_cpu: Callable[[], Any] = _compat.clocks.thread_cpu


class Worker:
    """What is known of one thread: its ids, and the job that it runs."""

    __slots__ = ("ident", "job", "native")

    def __init__(self) -> None:
        note_worker()
        self.ident = get_ident()
        self.native = _compat.native_thread_id()
        self.job: Job | None = None


class _Here(threading.local):
    """The worker of the thread that asks."""

    def __init__(self) -> None:
        self.worker = Worker()


here = _Here()
use(_clock, _thread_cpu, here)


class Job:
    """One function handed to an executor; stands in for it until a worker calls it."""

    if not TYPE_CHECKING:
        __slots__ = ()

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

    refused: ClassVar[type[Any]]
    """What becomes of it where it was refused."""

    if TYPE_CHECKING:  # of each job
        pool: Any
        function: Any
        lane: Lane
        finished: Finished
        submitted: float

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
            if self.note_fault(error):
                raise
        return function

    __call__ = property(begin)
    """Gives the caller's function to be called in its place: so no frame of ours stands in the worker's traceback."""

    def finish(self, future: Any) -> None:
        """Done-callback of the job's future; may be called twice (written out: every job comes here)."""
        try:
            now = _clock()
            pool = self.pool
            if pool.running.pop(self, 0) is not None:
                self.finish_unbegun(future, now)
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
            if self.note_fault(error):
                raise

    def note_fault(self, error: BaseException) -> bool:
        """An error in what we do, which is being handled: noted, unless it is for the application. Whether it is."""
        if theirs(error):
            self.forget()
            return True
        faults.append(error)
        return False

    def attach(self, future: Any) -> None:
        """Be told of the end of the job's future."""
        # What add_done_callback() does, without its lock, which would cost more than all the rest.
        future._done_callbacks.append(self.finish)
        if future._state not in OPEN:  # it may have been too late, or just in time
            self.finish(future)

    def finish_unbegun(self, future: Any, now: float) -> None:
        """No worker has it: it was cancelled, or has ended before."""
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
        self.__class__ = self.refused
        if self.worker is not None and self.worker.job is self:
            self.worker.job = None
        self.pool.running.pop(self, None)
        self.pool.waiting.pop(self, None)


class PlainJob(Job):
    """One with its fields in Python."""


class _Refused(PlainJob):
    def begin(self) -> Any:
        return self.function

    __call__ = property(begin)


class QuickJob(JobFields, Job):
    """One with its fields in C, which does there what it can; the rest is done by ``Job``."""

    __slots__ = ()


class _RefusedQuick(QuickJob):
    __slots__ = ()

    def begin(self) -> Any:
        return self.function

    __call__ = property(begin)


PlainJob.refused, QuickJob.refused = _Refused, _RefusedQuick


def job_of(callback: Any) -> Job | None:
    """The job that is told of its end by a callback of a future; None where it is another's."""
    owner = callback.__self__ if type(callback) in _METHODS else None
    # Not isinstance(), which asks objects of the application what they are.
    return owner if issubclass(type(owner), Job) else None


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


class RemoteJob(PlainJob):
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


__all__ = [
    "IN_C", "NOBODY", "NOWHERE", "OPEN", "Job", "Lane", "PlainJob", "Pool", "QuickJob", "RemoteJob", "StandIn",
    "Worker", "faults", "first", "here", "job_of", "pool_on",
]  # fmt: skip
