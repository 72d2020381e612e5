"""What the observe room hands to the explain room: raw, cheap to take, holding no user object.

Times are readings of the pinned monotonic clock (``_compat.clock``), in seconds. A code object is
the only thing kept of the application; it carries names and lines, no values.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, Literal, NamedTuple, Protocol

Activity = Literal["running", "network", "sleep", "file", "process", "futex", "other"]
"""What a thread was doing when it was looked at; ``running`` means on (or ready for) the CPU.

``futex`` is a wait for a lock, or for the interpreter: the kernel does not tell them apart.
"""


class SpanFacts(NamedTuple):
    """A span that is recorded, by its ids in lower-case hex (32 and 16 digits).

    ``handle`` is the tracing library's own object, the one thing of the application that a fact may carry: what
    is to be said of a span must be said to itself. Whoever has it lets go of it when the event was told.
    """

    trace_id: str
    span_id: str
    handle: Any


class TracedStall(Protocol):
    """A stall as a tracing library will have it: its own span, which others can point to before it is told."""

    def waited(self, victim: SpanFacts, seconds: float) -> None:
        """Let a span know that it waited for this stall. On the thread of the loop that was held; must not wait."""


class Tracer(Protocol):
    """What the watch asks of a tracing library. Called from any thread, loops' own included; must not wait."""

    def span_in(self, context: Context) -> SpanFacts | None:
        """The span that is current in a context, which may be in use in another thread; None unless it is recorded."""

    def stall(self, parent: SpanFacts | None, seconds: float) -> TracedStall:
        """A stall has just ended, ``seconds`` after it began, in the span ``parent``, if in any."""


class Stretch(Protocol):
    """A stretch of a program, such as one test's call. What is begun in it has it in its context, as ``WITHIN``."""

    def left(self, task: Any) -> str | None:
        """Its name, where this task was there when it was over. From any thread; must neither wait nor raise."""


WITHIN: ContextVar[Stretch | None] = ContextVar("loopwatch_within", default=None)
"""Set by tests alone: without them nobody asks who has left a task behind."""


class RawFrame(NamedTuple):
    """One frame as copied: ``lasti`` is the byte offset of its current instruction, ``module`` its ``__name__``."""

    code: CodeType
    lasti: int
    module: str


class Sample(NamedTuple):
    """One look at a thread that holds its loop.

    ``frames`` run from the step inward, outermost first, without asyncio's own frames around it.
    ``late`` is how long the sampler had to wait, beyond its plan, before it could look: what it saw
    then may be what came *after* the code that held the interpreter; without any frames, that code
    was over. ``importing`` is the module whose import was under way.
    """

    at: float
    step: float
    late: float
    frames: tuple[RawFrame, ...]
    task: str | None = None
    coroutine: str | None = None
    importing: str | None = None
    activity: Activity | None = None


UNKNOWN_CALLBACK = "unknown callback"
"""What a handle is called that was cancelled while it ran: it has forgotten what it called."""


class HandleFacts(NamedTuple):
    """Names of what the loop called. ``code`` is the coroutine's or the function's, None for a C callable.

    ``left_by`` names the stretch that has left the task behind, if one has.
    """

    callback: str
    task: str | None = None
    coroutine: str | None = None
    code: CodeType | None = None
    module: str = ""
    left_by: str | None = None


class ContributorFacts(NamedTuple):
    """What equal steps of one turn took together. ``code`` is that of what the loop called, None for a C callable."""

    name: str
    steps: int
    seconds: float
    code: CodeType | None = None


@dataclass(frozen=True)
class Overrun:
    """One step or turn that held its loop too long (``ended`` None: it still does, as of ``seen``).

    Of the duration, ``cpu_seconds`` were spent on the CPU by the loop's thread, ``queued_seconds`` ready
    to run while the host gave its CPUs to others; None where the platform does not tell. In
    ``gc_seconds`` the collector ran, in ``suspended_seconds`` the whole process stood still.
    """

    id: str
    kind: Literal["step", "turn"]
    loop: str
    thread: str
    started: float
    ended: float | None
    seen: float
    started_at: float
    handle: HandleFacts
    samples: tuple[Sample, ...] = ()
    delayed: int = 0
    steps: int = 1
    turn_seconds: float = 0.0
    contributors: tuple[ContributorFacts, ...] = ()
    cpu_seconds: float | None = None
    queued_seconds: float | None = None
    off_unseen: float | None = None
    """Before it was first looked at: the seconds that were neither, in which it may have waited for anything.

    None where its CPU time is that of a part, or not known.
    """
    gc_seconds: float = 0.0
    gc_generation: int | None = None
    gc_frames: tuple[RawFrame, ...] = ()
    """The stack in which the longest of these collections was set off, outermost first."""
    gc_elsewhere: bool = False
    """That stack is one of another thread than the loop's."""
    suspended_seconds: float = 0.0
    wakes: float | None = None
    """About how often the loop's thread gave up the CPU by itself, and so woke later, meanwhile."""
    threshold: float = 0.0
    """What the loop may be held at most."""
    between: bool = False
    """It was seen between two steps: the loop's own work, and that of what it calls around them."""
    within: float | None = None
    """By how many seconds the duration may be wrong; None where it was measured on the loop's own thread."""
    traced: bool = False
    """The process was held by a debugger from outside (ptrace)."""
    span: SpanFacts | None = None
    """What was current in the step that held the loop, where someone traces and that is recorded."""
    traced_stall: TracedStall | None = None
    """What those that waited for it point to, where that may be."""

    @property
    def duration(self) -> float:
        return (self.seen if self.ended is None else self.ended) - self.started


class Origin(NamedTuple):
    """Where jobs come from: the frames of ``submit``'s caller, innermost first, up to the loop's step."""

    frames: tuple[RawFrame, ...]
    target: str
    executor: str


class Glance(NamedTuple):
    """One look at a job while it ran: its innermost frame, and the top-level packages of its whole stack."""

    activity: Activity
    at: RawFrame | None
    packages: tuple[str, ...]


class WorkerLook(NamedTuple):
    """One look at an occupied worker: who submitted its job, how long it ran so far, its stack outermost first."""

    thread: str
    origin: Origin
    seconds: float
    frames: tuple[RawFrame, ...]
    activity: Activity | None


class BriefJobs(NamedTuple):
    """The part of some jobs' seconds that those took which were over within a millisecond."""

    run: float = 0.0
    cpu: float = 0.0
    cpu_known: float = 0.0


@dataclass(frozen=True)
class OffloadTally:
    """The sums of all finished jobs of one origin.

    ``glances`` counts what its workers were seen doing. ``awaited`` is how long the submitting tasks
    existed from their first job on; ``covered`` the part of it in which a job of this origin was
    waiting or running. ``cpu_known`` is the run time of the jobs whose CPU time is in ``cpu``; ``brief`` the part
    of ``run``, ``cpu`` and ``cpu_known`` that is of brief jobs, of which few are measured where there are many.
    """

    origin: Origin
    jobs: int
    wait: float
    run: float
    cpu: float
    cpu_known: float
    workers: int
    glances: Mapping[Glance, int] = field(default_factory=dict)
    awaited: float = 0.0
    covered: float = 0.0
    loop_jobs: int = 0
    """How many of the jobs were submitted on behalf of a running event loop."""
    brief: BriefJobs = field(default=BriefJobs())


class WaitTally(NamedTuple):
    origin: Origin
    jobs: int
    waited: float
    held: float
    """Worker seconds that jobs of this origin took during the episode."""


@dataclass(frozen=True)
class Congestion:
    """One episode of a full pool, as counted (``ended`` None: it lasts, as of ``seen``)."""

    id: str
    executor: str
    workers: int
    depth: int
    waited: float
    started: float
    ended: float | None
    seen: float
    started_at: float
    jobs: int
    tallies: tuple[WaitTally, ...]
    holders: tuple[WorkerLook, ...]
    nested: int = 0
    """How many of the waiting jobs were submitted by a worker of the same pool that is still occupied."""
    kind: str = "thread"
    taken: int = 0
    """How many workers were taken without a job, at most: tokens of a limiter that the application held itself."""
    progressing: bool = True
    """Whether a job of the pool finished since the oldest waiting job was submitted."""
    span: SpanFacts | None = None
    """What was current in the task whose job waited longest, of those that have a recorded one."""
