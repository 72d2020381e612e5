"""How much of its callers' time an offload explains: follows the tasks that submitted jobs until they end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..handles import is_done
from .job import Job

_FOLLOWED = 512
_WORTH_WHILE = 0.001


class _Caller:
    """One task, by weak reference, and its jobs of one origin. ``until``: the end of the last of them."""

    __slots__ = ("origin", "task", "until")

    def __init__(self, task: Any, origin: Any, until: float) -> None:
        self.task = task
        self.origin = origin
        self.until = until


class Callers:
    """Tells ``on_time(origin, awaited, covered)`` in increments, all in seconds.

    ``awaited`` is a task's time from its first job on until its end, which is known to the nearest
    look; ``covered`` the part of it in which one of its jobs waited or ran. ``origin`` is any object
    that stands for equal jobs. A bounded number of tasks is followed beyond their last job, and none
    for jobs that take less than a millisecond. Called under the watch's drain lock.
    """

    def __init__(self, on_time: Callable[[Any, float, float], None]) -> None:
        self._on_time = on_time
        self._open: dict[tuple[int, int], _Caller] = {}

    def finished(self, job: Job, origin: Any) -> None:
        """A job of a task is over; its task may go on."""
        if job.ended is None or job.ended - job.submitted < _WORTH_WHILE:
            return
        key = (id(job.task), id(origin))
        caller = self._open.get(key)
        if caller is None:
            if len(self._open) >= _FOLLOWED:
                self._open.pop(next(iter(self._open)))
            caller = self._open[key] = _Caller(job.task, origin, job.submitted)
        awaited = max(0.0, job.ended - caller.until)
        # Jobs of one task may overlap: each moment counts once.
        covered = max(0.0, job.ended - max(job.submitted, caller.until))
        caller.until = max(caller.until, job.ended)
        self._on_time(origin, awaited, covered)
        if _over(caller):
            del self._open[key]

    def look(self, now: float) -> None:
        """Close the tasks that have ended since the last look."""
        for key, caller in list(self._open.items()):
            if _over(caller):
                del self._open[key]
                self._on_time(caller.origin, max(0.0, now - caller.until), 0.0)


def _over(caller: _Caller) -> bool:
    task = caller.task()
    return task is None or is_done(task)
