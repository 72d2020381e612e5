"""What a watch finds, as spans of OpenTelemetry, back-dated into the traces that it was found in."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context
from typing import Any

from .. import _compat
from .._version import __version__
from ..errors import MissingExtra
from ..facts import SpanFacts
from ..model import Frame, Stall

try:
    from opentelemetry import context as contexts
    from opentelemetry import trace
    from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags, TracerProvider
except ImportError as missing:
    raise MissingExtra("OpenTelemetry", "opentelemetry-sdk", "otel") from missing

BLOCKED = "event_loop_blocked"
WAIT = "executor_wait"
WAITED = "loopwatch.waited"
_MOST_FRAMES = 64


class OtelTracer:
    """Asks OpenTelemetry which span is current where, and gives it ours; by default with the process' own provider.

    Only of traces that are recorded: where a trace was sampled out, neither is a span made nor anything told.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("loopwatch", __version__, provider)

    def span_in(self, context: Context) -> SpanFacts | None:
        """The recorded span that is current in a context. From any thread: a context in use is not entered."""
        span = trace.get_current_span(context.copy().run(contexts.get_current))
        if not span.is_recording():
            return None
        return facts_of(span)

    def stall(self, parent: SpanFacts | None, seconds: float) -> OtelStall:
        """See :class:`OtelStall`. Makes no span yet."""
        return OtelStall(self, parent, _now() - int(seconds * 1e9))

    def start(self, name: str, parent: SpanFacts | None, started: int, attributes: Mapping[str, Any]) -> Span:
        """A span that began at ``started`` (nanoseconds since the epoch), or with its parent, if it has one."""
        # A step may begin before the span that it sets: what comes before that is no part of its trace.
        started = max(started, getattr(parent.handle, "start_time", None) or 0) if parent else started
        context = trace.set_span_in_context(parent.handle, contexts.Context()) if parent else contexts.Context()
        return self._tracer.start_span(name, context, start_time=started, attributes=attributes)

    def executor_wait(self, parent: SpanFacts, started_at: float, seconds: float, told: Mapping[str, Any]) -> None:
        """A span for a job that waited for a worker; ``started_at`` is in seconds since the epoch."""
        started = int(started_at * 1e9)
        _end(self.start(WAIT, parent, started, _set(told)), parent, started + int(seconds * 1e9))

    @contextmanager
    def within(self, trace_id: str, span_id: str) -> Iterator[None]:
        """Have a span of another thread be the current one here: so a log record that is made now belongs to it."""
        known = SpanContext(int(trace_id, 16), int(span_id, 16), False, TraceFlags(TraceFlags.SAMPLED))
        token = contexts.attach(trace.set_span_in_context(NonRecordingSpan(known)))
        try:
            yield
        finally:
            contexts.detach(token)


def _end(span: Span, parent: SpanFacts | None, ended: int) -> None:
    """End a span at ``ended``, or with its parent if that was over before: so that it lies within."""
    over = getattr(parent.handle, "end_time", None) if parent is not None else None
    span.end(max(getattr(span, "start_time", None) or 0, ended if over is None else min(ended, over)))


def facts_of(span: Span) -> SpanFacts:
    """A span by its ids."""
    known = span.get_span_context()
    return SpanFacts(format(known.trace_id, "032x"), format(known.span_id, "016x"), span)


class OtelStall:
    """The span of one stall. Made when it is needed: when someone who waited is to point to it, or when it is told.

    ``waited`` on the loop's thread, ``finish`` on loopwatch's own: the lock is not waited for on the loop's.
    """

    def __init__(self, tracer: OtelTracer, parent: SpanFacts | None, started: int) -> None:
        self._tracer = tracer
        self._parent = parent
        self._started = started
        self._lock = threading.Lock()
        self._span: Span | None = None
        self._recorded = False
        self._told: Stall | None = None

    def waited(self, victim: SpanFacts, seconds: float) -> None:
        """Add to what the span waited in all, and point from it to the stall, unless that is not recorded."""
        span = victim.handle
        before = (getattr(span, "attributes", None) or {}).get(WAITED, 0.0)
        span.set_attribute(WAITED, before + seconds)
        blocking = self._now()
        if blocking is not None and self._recorded and hasattr(span, "add_link"):
            span.add_link(blocking.get_span_context(), {WAITED: seconds})

    def _now(self) -> Span | None:
        if self._lock.acquire(blocking=False):
            try:
                if self._span is None:
                    self._start()
                    self._end(self._span)  # where the stall was told before this
            finally:
                self._lock.release()
        return self._span

    def finish(self, stall: Stall) -> None:
        """Say what the stall was, and when it ended. One that no trace had to do with is none of a trace."""
        with self._lock:
            if self._span is None and self._parent is not None:
                self._start()
            self._told, span = stall, self._span
        self._end(span)

    def _start(self) -> None:
        self._span = self._tracer.start(BLOCKED, self._parent, self._started, {})
        self._recorded = self._span.is_recording()

    def _end(self, span: Span | None) -> None:
        stall = self._told
        if span is not None and stall is not None:
            span.set_attributes(_set(_attributes(stall)))
            _end(span, self._parent, self._started + int(stall.duration * 1e9))


def _attributes(stall: Stall) -> Mapping[str, Any]:
    """By the names that OpenTelemetry's conventions have for code and threads, ours for what they have no name for."""
    return {
        **code_of(stall.culprit),
        "code.stacktrace": _stacktrace(stall),
        "thread.name": stall.thread,
        "loopwatch.site": stall.site,
        "loopwatch.cause": stall.cause,
        "loopwatch.remedy": stall.remedy,
        "loopwatch.kind": stall.kind,
        "loopwatch.loop": stall.loop,
        "loopwatch.task": stall.task,
        "loopwatch.delayed": stall.delayed,
    }


def code_of(frame: Frame | None) -> Mapping[str, Any]:
    """The place of a frame by the names of the conventions."""
    if frame is None:
        return {}
    return {
        "code.function.name": f"{frame.module}.{frame.function}",
        "code.file.path": frame.file,
        "code.line.number": frame.line,
    }


def _stacktrace(stall: Stall) -> str:
    """As Python writes it; of a very deep one the inner part."""
    frames = stall.stack[-_MOST_FRAMES:]
    found = traceback.StackSummary.from_list([(each.file, each.line, each.function, None) for each in frames])
    return "".join(found.format())


def _set(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Those that have a value."""
    return {name: value for name, value in attributes.items() if value not in (None, "")}


def recording_provider() -> bool:
    """Whether the process has set a provider of tracers that does something."""
    return not type(trace.get_tracer_provider()).__module__.startswith("opentelemetry.trace")


def _now() -> int:
    return int(_compat.clocks.wall() * 1e9)
