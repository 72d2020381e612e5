"""The facts that travel out of loopwatch: events for reporters, and the snapshot.

All of it is frozen and JSON-ready through ``to_dict()``. Durations are seconds; ``started_at`` is
seconds since the epoch; every stack is outermost frame first. No field ever holds an argument, a
local variable or a payload: only file names, lines, and the names of functions, tasks and threads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

SCHEMA_VERSION = 1
"""Goes up when a field changes its meaning or is gone. A reader must bear new fields."""

Cause = Literal["cpu", "wait", "import", "gc", "suspended", "debugger", "unknown"]
Kind = Literal["step", "turn"]
Verdict = Literal["simulated async", "cpu offload", "file I/O offload", "lock offload", "offload", "undecided"]


def _plain(value: Any) -> Any:
    if isinstance(value, _Fact):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None  # JSON knows neither NaN nor the infinities
    return value if value is None or isinstance(value, (str, int)) else str(value)


class _Fact:
    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """The same facts in JSON's own types (dict, list, str, int, float, bool, None)."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}  # type: ignore[arg-type]


class _Event(_Fact):
    __slots__ = ()
    event: ClassVar[str]
    schema_version: ClassVar[int] = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """The same facts in JSON's own types, with ``event`` (its kind) and ``schema_version``."""
        return {"event": self.event, "schema_version": self.schema_version, **super().to_dict()}


@dataclass(frozen=True)
class Frame(_Fact):
    """One line of a stack.

    ``function`` is the qualified name (``Class.method``), ``module`` the dotted module name,
    ``file`` the path as the interpreter knows it.
    """

    module: str
    function: str
    file: str
    line: int

    @property
    def site(self) -> str:
        """The stable name used in logs and labels: ``package.module.function:line``."""
        return f"{self.module}.{self.function}:{self.line}"

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "site": self.site}


@dataclass(frozen=True)
class StackShare(_Fact):
    """One distinct stack of a long stall and its share (0 to 1) of the time that was seen."""

    stack: tuple[Frame, ...]
    share: float


@dataclass(frozen=True)
class Contributor(_Fact):
    """What one coroutine or callback added to a turn: ``steps`` runs, ``seconds`` in all."""

    name: str
    steps: int
    seconds: float


@dataclass(frozen=True)
class Stall(_Event):
    """The loop was held at least ``threshold``: by one step, or by many steps of one turn.

    A stall that does not end is reported with ``in_progress`` true and the age so far as
    ``duration``; when it ends it is reported once more under the same ``id``. ``callback`` is what
    the loop called, ``coroutine`` and ``task`` are set when that was a task's step.
    ``evidence`` holds the numbers on which ``cause`` was decided. ``delayed`` counts what was ready
    to run and had to wait: callbacks, due timers and ready sockets. ``suppressed`` counts the equal
    findings that a rate-limited reporter left out before this one. ``trace_id`` and ``span_id`` (lower-case
    hex, 32 and 16 digits) name the span that was current in what held the loop; None where nobody traces,
    or the trace is not recorded.
    """

    event: ClassVar[str] = "stall"

    id: str
    kind: Kind
    duration: float
    started_at: float
    loop: str
    thread: str
    task: str | None = None
    coroutine: str | None = None
    callback: str | None = None
    culprit: Frame | None = None
    stack: tuple[Frame, ...] = ()
    profile: tuple[StackShare, ...] = ()
    cause: Cause = "unknown"
    evidence: Mapping[str, Any] = field(default_factory=dict)
    remedy: str = ""
    delayed: int = 0
    steps: int = 1
    contributors: tuple[Contributor, ...] = ()
    in_progress: bool = False
    suppressed: int = 0
    trace_id: str | None = None
    span_id: str | None = None

    @property
    def site(self) -> str:
        """The culprit's site; without one, the callback's name, or the cause in brackets when no code is to blame."""
        if self.culprit is not None:
            return self.culprit.site
        if self.cause in ("gc", "suspended"):
            return f"({self.cause})"
        return self.callback or self.coroutine or "(unknown)"

    @property
    def charged_seconds(self) -> float:
        """The seconds of ``duration`` that were the code's own doing, as far as the evidence tells.

        What the thread spent waiting for a CPU or the interpreter, in the garbage collector or stopped
        is taken off where code is charged with the rest, and of the cause ``cpu`` what is unaccounted for, as
        what a hypervisor takes is; a stall that charges nobody counts whole.
        """
        if self.cause not in ("cpu", "wait", "import"):
            return self.duration
        others = ("queued_seconds", "interpreter_seconds", "gc_seconds", "suspended_seconds", "unaccounted_seconds")
        return max(0.0, self.duration - sum(self.evidence.get(name) or 0.0 for name in others))


@dataclass(frozen=True)
class Submitter(_Fact):
    """One site that filled a queue: its jobs that waited, the seconds they waited, its share of all waiting."""

    site: str
    jobs: int
    waited: float
    share: float


@dataclass(frozen=True)
class Holder(_Fact):
    """One occupied worker: its thread, the site that submitted its job, how long it ran so far, and where it was."""

    thread: str
    site: str
    target: str
    seconds: float
    stack: tuple[Frame, ...]


@dataclass(frozen=True)
class Backlog(_Event):
    """An episode in which jobs waited at least ``executor_wait`` because every worker was busy.

    Reported while it lasts with ``in_progress`` true, and once more under the same ``id`` when it
    ends. ``depth`` is the deepest queue seen, ``waited`` the longest wait of one job, ``jobs`` the
    number of jobs that waited too long. ``culprit`` is the submitter whose jobs held the workers,
    ``charged_site`` that submitter's site as the metrics name it: with the caller, where there is one.
    ``trace_id`` and ``span_id`` (as in :class:`Stall`) name the span of the task whose job waited longest.
    """

    event: ClassVar[str] = "backlog"

    id: str
    executor: str
    workers: int
    depth: int
    waited: float
    duration: float
    started_at: float
    jobs: int
    culprit: Frame | None = None
    charged_site: str = ""
    submitters: tuple[Submitter, ...] = ()
    holders: tuple[Holder, ...] = ()
    self_deadlock: bool = False
    evidence: Mapping[str, Any] = field(default_factory=dict)
    remedy: str = ""
    in_progress: bool = False
    suppressed: int = 0
    trace_id: str | None = None
    span_id: str | None = None

    @property
    def site(self) -> str:
        """The site that is charged, or the executor's name where no code was seen."""
        return self.charged_site or self.culprit.site if self.culprit else self.executor


@dataclass(frozen=True)
class Offload(_Event):
    """All jobs from one submitting site to one target, and what they turned out to be.

    ``site`` names the wrapper that hands the work over and, where that is another function, the
    caller in the user's own code: ``vendor.client.Client.get:57 from shop.views.order:12``.
    ``cpu_seconds`` is None where the workers' CPU clock could not be read (process pools).
    ``share`` is the part (0 to 1) of the callers' awaiting time that these jobs explain, None when
    it was not measured. An offload is given to reporters once, when there is enough evidence that its
    workers wait on behalf of a loop: then ``cause`` is ``wait``, and the verdict ``simulated async`` where
    it is known who handed the work over.
    """

    event: ClassVar[str] = "offload"

    site: str
    target: str
    executor: str
    jobs: int
    wait_seconds: float
    run_seconds: float
    cpu_seconds: float | None
    verdict: Verdict = "undecided"
    cause: str = "unknown"
    share: float | None = None
    wrapper: Frame | None = None
    caller: Frame | None = None
    workers: int = 0
    evidence: Mapping[str, Any] = field(default_factory=dict)
    remedy: str = ""
    suppressed: int = 0


Event = Stall | Backlog | Offload


@dataclass(frozen=True)
class Exemplar(_Fact):
    """One value (seconds) of a histogram, and the span in which it came to be; ``at`` is seconds since the epoch."""

    value: float
    at: float
    trace_id: str
    span_id: str


@dataclass(frozen=True)
class Histogram(_Fact):
    """Counts by upper bound (seconds). ``counts`` has one more entry than ``bounds``: what lay above the last.

    Counts are per bucket, not cumulative. ``sum`` is in seconds.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float
    exemplars: tuple[Exemplar | None, ...] = ()
    """For each bucket the latest value in it that belongs to a recorded trace, where somebody traces."""

    @property
    def count(self) -> int:
        """How many values were recorded."""
        return sum(self.counts)


@dataclass(frozen=True)
class LoopStats(_Fact):
    """All loops of one name so far (loops that came and went in one thread share its name).

    ``active`` and ``idle`` are seconds; ``utilization`` is active / (active + idle) over about the
    last ten seconds; ``stalled`` is the age of the stall in progress, 0 when there is none;
    ``stalls`` maps a cause to the histogram of finished stalls.
    """

    name: str
    alive: int
    active: float
    idle: float
    utilization: float
    turns: int
    steps: int
    ready: int
    tasks: int
    stalled: float
    step_duration: Histogram
    turn_duration: Histogram
    stalls: Mapping[str, Histogram]


@dataclass(frozen=True)
class ExecutorStats(_Fact):
    """All executors of one name so far. ``outcomes`` maps completed/failed/cancelled/abandoned to jobs.

    ``workers`` exist now, ``busy`` of them run a job, ``workers_max`` may exist; ``depth`` jobs wait
    now, the oldest for ``oldest_wait`` seconds; ``saturated`` is the time in seconds in which all
    workers were busy while jobs waited.
    """

    name: str
    kind: str
    workers: int
    busy: int
    workers_max: int
    depth: int
    oldest_wait: float
    saturated: float
    outcomes: Mapping[str, int]
    wait: Histogram
    run: Histogram


@dataclass(frozen=True)
class SiteStats(_Fact):
    """Seconds lost at one site: ``kind`` is ``loop`` (held a loop), ``queue`` (jobs waited) or ``offload``."""

    kind: str
    site: str
    cause: str
    seconds: float
    count: int


@dataclass(frozen=True)
class Coverage(_Fact):
    """How one thing is seen: ``exact``, ``partial`` or ``blind``, with the reason in ``detail``."""

    subject: str
    seen: Literal["exact", "partial", "blind"]
    detail: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.seen} ({self.detail})"


@dataclass(frozen=True)
class Snapshot(_Fact):
    """The immutable numbers of a watch so far. ``sampler_seconds`` is the CPU time loopwatch's own thread took."""

    schema_version: ClassVar[int] = SCHEMA_VERSION

    loops: tuple[LoopStats, ...]
    executors: tuple[ExecutorStats, ...]
    offloads: tuple[Offload, ...]
    sites: tuple[SiteStats, ...]
    coverage: tuple[Coverage, ...]
    gc_pauses: Mapping[str, Histogram]
    events_dropped: int
    sampler_seconds: float
    version: str

    def to_dict(self) -> dict[str, Any]:
        """The same numbers in JSON's own types, with ``schema_version``."""
        return {"schema_version": self.schema_version, **super().to_dict()}
