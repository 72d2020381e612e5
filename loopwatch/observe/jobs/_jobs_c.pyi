"""Jobs in C, see ``jobs.h``; put to use by ``job_fields.py``."""

from collections.abc import Callable
from typing import Any, final

from ...facts import Glance, SpanFacts

class JobFields:
    """The fields of a job, see ``Job`` in ``jobs.py``, and what most jobs do."""

    pool: Any
    function: Any
    lane: Any
    finished: Any
    task: Any
    worker: Any
    glances: list[Glance] | None
    congested: bool | None
    outcome: str
    held_by: tuple[tuple[Any, float], ...]
    submitted: float
    started: float | None
    ended: float | None
    cpu: float | None
    glanced: float
    after: float
    busy: float
    submitter: int
    for_loop: bool
    abandoned: bool
    queued: bool
    span: SpanFacts | None
    asked: bool
    def begin(self) -> Any: ...
    def finish(self, future: Any, /) -> None: ...
    def attach(self, future: Any, /) -> None: ...

class LaneFields:
    """``brief``: jobs that take less than so many seconds may be added up here; 0 for none."""

    __slots__ = ("brief", "quick")
    brief: float
    quick: bool
    def take(self) -> tuple[int, int, int, float, float, float, float] | None:
        """The sums of what was added up, which begin anew; None where there was nothing."""

class PoolFields:
    __slots__ = ("inside", "lanes", "last_end", "open", "running", "waiting")
    waiting: dict[Any, None]
    running: dict[Any, None]
    lanes: dict[Any, Any]
    last_end: float
    inside: bool
    open: bool
    def forget_last(self) -> None:
        """Look for the lane of the next job among all ``lanes``, though it be that of the last one."""

@final
class Entry:
    def __call__(self, pool: PoolFields, function: Any, /) -> Any: ...

def make_entry(
    kind: type,
    finished: Any,
    until: frozenset[int],
    current_task: Callable[[Any], Any],
    callee_key: Callable[[Any], Any],
    /,
) -> Entry: ...
def configure(
    clock: Callable[[], float] | None, thread_cpu: Callable[[], Any] | None, here: Any, of_threads: bool, /
) -> None:
    """Read these clocks, or None: our own, without a call. ``of_threads``: ``here.worker`` is one for each thread."""

def note_worker() -> None:
    """There is something like ``here.worker`` in this thread from now on."""

def own_clocks() -> tuple[float, float] | None:
    """The clock and the CPU time of this thread as they are read without a call; None where they cannot be."""
