"""What a trace shows of a loop that was held and of a job that waited, with the spans of the real SDK."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest

import loopwatch
from loopwatch import Watch
from loopwatch.testing import RecordingReporter
from tests.bench import wait_until
from tests.made_events import stall as made_stall

pytest.importorskip("opentelemetry.sdk.trace")

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler

from loopwatch.report.otel_traces import OtelTracer

HELD = 0.3


class Tracing:
    """A watch that traces with a provider of its own, and the spans that were exported."""

    def __init__(self, watch: Watch, sampler: Sampler) -> None:
        self.watch = watch
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("shop")
        watch._traces.begin(OtelTracer(self.provider))

    def spans(self, name: str) -> list[Any]:
        """Those of a name, the earliest first, once everything is told."""
        assert self.watch.flush(5.0)
        found = [span for span in self.exporter.get_finished_spans() if span.name == name]
        return sorted(found, key=lambda span: span.start_time or 0)

    def span(self, name: str) -> Any:
        (span,) = self.spans(name)
        return span


@pytest.fixture
def watch(events: RecordingReporter) -> Iterator[Watch]:
    """One that times what is given to uvloop also without the accelerator."""
    with loopwatch.install(reporters=[events], prometheus=False, exact_uvloop=True) as watch:
        yield watch


@pytest.fixture
def make(watch: Watch) -> Iterator[Callable[[Sampler], Tracing]]:
    yield lambda sampler: Tracing(watch, sampler)
    assert not watch._faults


@pytest.fixture
def tracing(make: Callable[[Sampler], Tracing]) -> Tracing:
    return make(ALWAYS_ON)


async def checkout(tracing: Tracing) -> None:
    with tracing.tracer.start_as_current_span("GET /checkout"):
        await asyncio.sleep(0)
        with tracing.tracer.start_as_current_span("query"):
            time.sleep(HELD)


def test_a_stall_is_a_span_below_the_one_that_was_current(tracing: Tracing) -> None:
    """It lies where it was, within its parent, with the place, the reason and what to do instead."""
    asyncio.run(checkout(tracing))
    blocked, parent = tracing.span("event_loop_blocked"), tracing.span("query")
    assert blocked.parent.span_id == parent.context.span_id
    assert blocked.context.trace_id == parent.context.trace_id
    assert HELD <= (blocked.end_time - blocked.start_time) / 1e9 < HELD + 1
    assert parent.start_time <= blocked.start_time
    assert blocked.end_time <= parent.end_time
    told = dict(blocked.attributes)
    assert told["code.function.name"].endswith("test_otel_traces.checkout")
    assert told["code.file.path"] == __file__
    assert told["code.line.number"] == checkout.__code__.co_firstlineno + 4
    assert "time.sleep(HELD)" in told["code.stacktrace"]
    assert (told["loopwatch.cause"], told["thread.name"]) == ("wait", "MainThread")
    assert told["loopwatch.remedy"].startswith("Use `await asyncio.sleep")
    assert blocked.instrumentation_scope.name == "loopwatch"


def test_the_finding_names_the_span_that_it_is_below(tracing: Tracing, events: RecordingReporter) -> None:
    """The same ids in the event, and so in the log, the lines and the exemplars."""
    asyncio.run(checkout(tracing))
    parent = tracing.span("query").context
    (stall,) = [each for each in events.stalls if not each.in_progress]
    assert (stall.trace_id, stall.span_id) == (f"{parent.trace_id:032x}", f"{parent.span_id:016x}")


def test_what_is_in_no_trace_makes_none(tracing: Tracing) -> None:
    """A stall outside of any span, of which nobody was a victim, is told by the log alone."""

    async def main() -> None:
        time.sleep(HELD)

    asyncio.run(main())
    assert tracing.spans("event_loop_blocked") == []


@pytest.mark.usefixtures("each_loop")
def test_a_trace_that_is_sampled_out_costs_nothing(
    make: Callable[[Sampler], Tracing], events: RecordingReporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No span is made for it, nothing is kept, and the finding names no trace that cannot be found."""
    tracing = make(ALWAYS_OFF)
    started: list[str] = []
    monkeypatch.setattr(OtelTracer, "start", lambda self, name, *rest: started.append(name))
    asyncio.run(checkout(tracing))
    assert tracing.spans("event_loop_blocked") == []
    assert started == []
    (stall,) = [each for each in events.stalls if not each.in_progress]
    assert (stall.trace_id, stall.span_id) == (None, None)


@pytest.mark.usefixtures("each_loop")
def test_who_waited_knows_it_and_points_to_the_stall(tracing: Tracing) -> None:
    """A request whose timer was due while another held the loop; one that was over before does not."""

    async def other(name: str, seconds: float) -> None:
        with tracing.tracer.start_as_current_span(name):
            await asyncio.sleep(seconds)

    async def main() -> None:
        await other("before", 0.01)
        waiting = asyncio.create_task(other("waiting", 0.05))
        later = asyncio.create_task(other("later", 2 * HELD))
        await asyncio.sleep(0.01)
        await checkout(tracing)
        await asyncio.gather(waiting, later)
        await other("after", 0.0)

    asyncio.run(main())
    blocked, victim = tracing.span("event_loop_blocked"), tracing.span("waiting")
    assert 0.1 < victim.attributes["loopwatch.waited"] <= HELD
    (link,) = victim.links
    assert (link.context.trace_id, link.context.span_id) == (blocked.context.trace_id, blocked.context.span_id)
    for name in ("before", "later", "after", "query"):
        assert "loopwatch.waited" not in tracing.span(name).attributes, name


@pytest.mark.usefixtures("each_loop")
def test_a_stall_without_a_trace_has_one_for_its_victims(tracing: Tracing) -> None:
    """What has held the loop belongs to no request: the request that waited still finds what it was."""

    async def victim() -> None:
        with tracing.tracer.start_as_current_span("victim"):
            await asyncio.sleep(0.05)

    async def main() -> None:
        waiting = asyncio.create_task(victim())
        await asyncio.sleep(0.01)
        time.sleep(HELD)
        await waiting

    asyncio.run(main())
    blocked = tracing.span("event_loop_blocked")
    assert blocked.parent is None
    assert blocked.attributes["code.function.name"].endswith("main")
    assert tracing.span("victim").links[0].context.span_id == blocked.context.span_id


def test_waits_add_up(tracing: Tracing) -> None:
    """Two stalls in the time of one request: the sum, and a link to each."""

    async def main() -> None:
        async def victim() -> None:
            with tracing.tracer.start_as_current_span("victim"):
                await asyncio.sleep(0.05)
                await asyncio.sleep(0.05)

        waiting = asyncio.create_task(victim())
        for _ in range(2):
            await asyncio.sleep(0.02)
            await checkout(tracing)
        await waiting

    asyncio.run(main())
    victim = tracing.span("victim")
    links = {link.context.span_id for link in victim.links}
    assert links == {span.context.span_id for span in tracing.spans("event_loop_blocked")}
    assert len(links) == 2
    assert victim.attributes["loopwatch.waited"] == pytest.approx(
        sum(link.attributes["loopwatch.waited"] for link in victim.links)
    )


@pytest.mark.parametrize("within", [True, False], ids=["within a span", "within none"])
def test_who_is_told_late_points_to_the_stall_all_the_same(tracing: Tracing, within: bool) -> None:
    """Whom an event has woken may be known when the stall has been written; it is one span still, and ends."""
    tracer = OtelTracer(tracing.provider)
    with tracing.tracer.start_as_current_span("request"):
        stall = tracer.stall(tracer.span_in(copy_context()) if within else None, 0.1)
    stall.finish(made_stall())
    for name in ("first", "second"):
        with tracing.tracer.start_as_current_span(name):
            victim = tracer.span_in(copy_context())
            assert victim is not None
            stall.waited(victim, 0.1)
    blocked = tracing.span("event_loop_blocked")
    assert blocked.end_time is not None
    for name in ("first", "second"):
        assert [link.context.span_id for link in tracing.span(name).links] == [blocked.context.span_id]


def test_a_job_that_waited_is_a_span_below_its_task(tracing: Tracing) -> None:
    """One worker, three requests: two have waited for it, each its own time."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="bank")

    async def balance(number: int) -> None:
        with tracing.tracer.start_as_current_span(f"request {number}"):
            await asyncio.get_running_loop().run_in_executor(pool, time.sleep, 0.2)

    async def main() -> None:
        await asyncio.gather(*map(balance, range(3)))

    asyncio.run(main())
    pool.shutdown()
    waits = tracing.spans("executor_wait")
    assert [(each.end_time - each.start_time) / 1e9 for each in waits] == pytest.approx([0.2, 0.4], abs=0.15)
    for number, wait in enumerate(waits, 1):
        assert wait.parent.span_id == tracing.span(f"request {number}").context.span_id
        assert wait.attributes["loopwatch.executor"] == "bank"
        assert wait.attributes["loopwatch.workers"] == 1
        assert wait.attributes["code.function.name"].endswith("balance")


def test_a_log_record_belongs_to_the_trace(tracing: Tracing) -> None:
    """A reporter runs with the span of its event as the current one, which is where log handlers look for it."""
    seen: list[Any] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(trace.get_current_span().get_span_context())

    handler = Handler()
    reporter = loopwatch.LogReporter(logging.getLogger("test_otel_traces"))
    logging.getLogger("test_otel_traces").addHandler(handler)
    tracing.watch._delivery.reporters.append(reporter)
    try:
        asyncio.run(checkout(tracing))
        parent = tracing.span("query").context
    finally:
        logging.getLogger("test_otel_traces").removeHandler(handler)
    assert [(each.trace_id, each.span_id) for each in seen] == [(parent.trace_id, parent.span_id)]
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_processor_that_hangs_holds_up_nobody(tracing: Tracing, events: RecordingReporter) -> None:
    """Spans are written on a thread of their own: the sampler goes on, and the findings are told."""
    there, go = threading.Event(), threading.Event()

    class Hanging(SimpleSpanProcessor):
        def on_end(self, span: Any) -> None:
            if span.name == "event_loop_blocked":
                there.set()
                go.wait(30)

    tracing.provider.add_span_processor(Hanging(tracing.exporter))
    asyncio.run(checkout(tracing))
    assert there.wait(10)
    asyncio.run(checkout(tracing))
    wait_until(lambda: len([each for each in events.stalls if not each.in_progress]) == 2)
    assert tracing.watch.snapshot().loops[0].stalls["wait"].count == 2
    assert not tracing.watch._traces.flush(0.0)
    go.set()
    assert len(tracing.spans("event_loop_blocked")) == 2
