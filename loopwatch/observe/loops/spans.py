"""Which span was current where a loop is held, or where a job waits: asked of the tracer, if there is one.

Asked of what the interpreter keeps of a step or a task, its context, off the hot path: when a step that held its
loop has ended, and by the sampler while it holds it. Nothing is asked, or kept, as long as nobody traces.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context
from typing import Any

from ... import _compat
from ...facts import SpanFacts, Tracer
from ..guard import theirs
from ..handles import context_of, is_done
from ..jobs.job import Job


class Tracing:
    """``tracer`` is who knows spans, None for nobody. From any thread; never raises: errors go to ``faults``."""

    __slots__ = ("faults", "tracer")

    def __init__(self, faults: deque[BaseException] | None = None) -> None:
        self.tracer: Tracer | None = None
        self.faults = faults

    def of_context(self, context: Any) -> SpanFacts | None:
        """The span in the context of a step that has just ended, or that waits, in the thread of its loop."""
        return None if self.tracer is None else self._in(context)

    def of_step(self, state: Any) -> SpanFacts | None:
        """The span of the step that holds a loop, from another thread."""
        if self.tracer is None:
            return None
        return self._in(_context_of_step(state)) if _compat.gil_enabled() else None

    def of_task(self, task: Any) -> SpanFacts | None:
        """The span of a task, of which a weak reference is given, unless it is over."""
        if self.tracer is None or task is None or not _compat.gil_enabled():
            return None
        found = task()
        return None if found is None or is_done(found) else self._in(context_of(found))

    def note(self, jobs: Iterable[Job], before: float) -> None:
        """Keep the spans of the tasks whose jobs wait since ``before``: what waits for a job stays as it is so long."""
        for job in jobs:
            if not job.asked and job.submitted <= before:
                job.asked = True
                job.span = self.of_task(job.task)

    def _in(self, context: Any) -> SpanFacts | None:
        tracer = self.tracer
        if tracer is None or type(context) is not Context:
            return None
        found: SpanFacts | None = self.guarded(tracer.span_in, context)
        return found

    def guarded(self, ask: Callable[..., Any], *args: Any) -> Any:
        """What the tracer answers; None where it raises."""
        try:
            return ask(*args)
        except Exception as error:
            if theirs(error) or self.faults is None:
                raise
            self.faults.append(error)
            return None


def _context_of_step(state: Any) -> Context | None:
    """The task's, where one runs: an eager one runs inside the step of another. Otherwise the handle's."""
    loop = state.loop()
    task = asyncio.current_task(loop) if loop is not None else None
    if task is not None:
        return context_of(task)
    return getattr(state.handle, "_context", None)
