"""Spans for what a watch finds: joins what was observed in a trace, its meaning, and who writes spans."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from . import _compat
from .explain.culprit import OwnCode
from .explain.offload import name_site
from .facts import Overrun
from .model import Stall
from .observe.jobs.job import Job
from .observe.loops.spans import Tracing
from .record.delivery import Delivery


class Traces:
    """Writes spans on a thread of its own, since a processor of spans may be slow; idle until ``begin``.

    ``stall`` and ``job`` may be called from any thread, and wait for nobody. What there is no room for is
    dropped and counted in ``dropped``.
    """

    def __init__(self, tracing: Tracing, own: OwnCode, size: int) -> None:
        self._tracing = tracing
        self._own = own
        self._delivery: Delivery[Callable[[], None]] = Delivery([self._write], size, "spans")
        self._tracer: Any = None

    @property
    def dropped(self) -> int:
        """How many spans there was no room for."""
        return self._delivery.dropped

    def begin(self, tracer: Any) -> None:
        """Trace from now on, if there is a tracer and it is not done already."""
        if tracer is not None and self._tracer is None:
            self._tracer = self._tracing.tracer = tracer
            self._tracing.guarded(self.start)

    def start(self) -> None:
        """Have the thread, where it is needed. Raises RuntimeError where none can be had."""
        if self._tracer is not None:
            self._delivery.start()

    def stop(self, timeout: float) -> None:
        """Trace no more; what was found is written, for at most so many seconds."""
        self._tracing.tracer = None
        if self._tracer is not None:
            self._delivery.stop_on_any_thread(timeout)

    def flush(self, timeout: float) -> bool:
        """Whether all that was found is written, after so many seconds at most."""
        return self._delivery.flush(timeout)

    def after_fork(self) -> None:
        """In the child the thread is gone; ``start`` is for the caller."""
        self._delivery.after_fork()

    def stall(self, stall: Stall, overrun: Overrun) -> None:
        """A stall has ended."""
        tracer = self._tracer
        if tracer is None or (overrun.span is None and overrun.traced_stall is None):
            return
        traced: Any = overrun.traced_stall or tracer.stall(overrun.span, _compat.clocks.wall() - overrun.started_at)
        self._delivery.put(partial(traced.finish, stall))

    def job(self, job: Job, waited: float) -> None:
        """A job has waited too long for a worker."""
        tracer, span = self._tracer, job.span
        if tracer is None:
            return
        if span is None and not job.asked:  # its wait was over between two looks
            span = self._tracing.of_task(job.task)
        if span is not None:
            began = _compat.clocks.wall() - (_compat.clocks.monotonic() - job.submitted)
            self._delivery.put(partial(self._write_job, job, span, began, waited))

    def _write_job(self, job: Job, span: Any, began: float, waited: float) -> None:
        site = name_site(job.lane.origin, self._own)
        told = {
            "loopwatch.executor": job.pool.name,
            "loopwatch.site": site.name,
            "loopwatch.target": job.lane.origin.target,
            "loopwatch.workers": int(min(job.pool.limit(), 1 << 30)),
            "code.function.name": f"{site.wrapper.module}.{site.wrapper.function}" if site.wrapper else None,
            "code.file.path": site.wrapper.file if site.wrapper else None,
            "code.line.number": site.wrapper.line if site.wrapper else None,
        }
        self._tracer.executor_wait(span, began, waited, told)

    def _write(self, write: Callable[[], None]) -> None:
        self._tracing.guarded(write)

    def within(self, event: Any) -> AbstractContextManager[object]:
        """The span of an event as the current one: what a reporter logs of it then belongs to its trace."""
        tracer, trace_id = self._tracer, getattr(event, "trace_id", None)
        if tracer is None or trace_id is None:
            return nullcontext()
        found: AbstractContextManager[object] | None = self._tracing.guarded(tracer.within, trace_id, event.span_id)
        return found if found is not None else nullcontext()
