"""Exemplars: one value of a bucket with the trace in which it came to be, in the newer format of text."""

from __future__ import annotations

import asyncio
import time
from contextvars import Context, ContextVar
from typing import Any

import pytest

import loopwatch
from loopwatch.facts import SpanFacts
from loopwatch.metrics import STALL_BOUNDS
from loopwatch.model import Exemplar, Stall
from loopwatch.record.histogram import Counts
from loopwatch.record.recorder import Recorder

prometheus_client = pytest.importorskip("prometheus_client")

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def stall(duration: float, trace: str | None, started: float = 100.0) -> Stall:
    span = SPAN if trace else None
    return Stall(
        id="1", kind="step", duration=duration, started_at=started, loop="main", thread="MainThread", cause="cpu",
        trace_id=trace, span_id=span,
    )  # fmt: skip


def test_a_bucket_keeps_the_latest_value_that_has_a_trace() -> None:
    """One for each bucket, so that their number is bounded; values without a trace push none out."""
    recorder = Recorder()
    for each in (stall(0.06, TRACE), stall(0.07, "f" * 32, 200.0), stall(0.08, None), stall(2.0, TRACE)):
        recorder.stall(each)
    kept = recorder.stalls()["main"]["cpu"].exemplars
    assert [each.duration if isinstance(each, Stall) else each.value for each in kept if each is not None] == [
        0.07,
        2.0,
    ]
    assert kept[STALL_BOUNDS.index(0.1)] == Exemplar(0.07, 200.07, "f" * 32, SPAN)


def test_who_does_not_trace_has_none() -> None:
    """Nothing is kept for nobody."""
    recorder = Recorder()
    recorder.stall(stall(0.06, None))
    assert recorder.stalls()["main"]["cpu"].exemplars == ()
    counts = Counts((1.0,))
    counts.add(0.5)
    assert counts.exemplars is None


CURRENT: ContextVar[str] = ContextVar("CURRENT")


class TracedStall:
    """Nobody waits for it here."""

    def waited(self, victim: SpanFacts, seconds: float) -> None: ...


class Tracer:
    """Knows one span: that of a context in which CURRENT is set."""

    def stall(self, parent: SpanFacts | None, seconds: float) -> TracedStall:
        return TracedStall()

    def span_in(self, context: Context) -> SpanFacts | None:
        trace = context.get(CURRENT)
        return None if trace is None else SpanFacts(trace, SPAN, None)


def exemplars(registry: Any, name: str) -> list[Any]:
    from prometheus_client.openmetrics.exposition import generate_latest
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    families = text_string_to_metric_families(generate_latest(registry).decode())
    return [sample.exemplar for family in families for sample in family.samples if family.name == name]


@pytest.mark.realtime
def test_stalls_and_waits_are_scraped_with_their_trace() -> None:
    """A loop held in a span, and a job that waited on behalf of one: both histograms lead to the trace."""
    registry = prometheus_client.CollectorRegistry()
    with loopwatch.install(reporters=[], prometheus=registry) as watch:
        watch._tracing.tracer = Tracer()

        async def held() -> None:
            CURRENT.set(TRACE)
            time.sleep(0.2)
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(1) as pool:
                loop = asyncio.get_running_loop()
                await asyncio.gather(*(loop.run_in_executor(pool, time.sleep, 0.3) for _ in range(2)))

        asyncio.run(held())
        watch.flush()
        for name in ("loopwatch_stall_duration_seconds", "loopwatch_executor_wait_seconds"):
            (found,) = {each.labels["trace_id"] for each in exemplars(registry, name) if each is not None}
            assert found == TRACE, name
        plain = prometheus_client.generate_latest(registry).decode()
        assert TRACE not in plain
