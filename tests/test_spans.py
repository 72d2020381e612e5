"""Findings name the trace that they belong to, whoever traces; nobody is asked for it who need not be."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, ContextVar, copy_context
from pathlib import Path
from typing import Any

import pytest

import loopwatch
from loopwatch import JsonLinesReporter, Watch
from loopwatch.facts import Sample, SpanFacts
from loopwatch.observe.handles import context_of
from loopwatch.observe.looks.observation import Look, seen_span
from loopwatch.testing import RecordingReporter
from tests.bench import wait_until

SPAN: ContextVar[str] = ContextVar("SPAN", default="")
HELD = 0.3


class FakeStall:
    """Keeps who waited, and for how long."""

    def __init__(self) -> None:
        self.victims: dict[str, float] = {}

    def waited(self, victim: SpanFacts, seconds: float) -> None:
        self.victims[victim.span_id] = seconds


class FakeTracer:
    """Traces with a context variable; counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.stalls: list[FakeStall] = []

    def stall(self, parent: SpanFacts | None, seconds: float) -> FakeStall:
        self.stalls.append(FakeStall())
        return self.stalls[-1]

    def span_in(self, context: Context) -> SpanFacts | None:
        self.asked += 1
        name = context.get(SPAN, "")
        return SpanFacts(f"trace of {name}", name, None) if name else None


@pytest.fixture
def tracer(watch: Watch) -> Iterator[FakeTracer]:
    tracer = FakeTracer()
    watch._tracing.tracer = tracer
    yield tracer
    assert not watch._faults


def the_stall(watch: Watch, events: RecordingReporter) -> Any:
    assert watch.flush(5.0)
    (stall,) = [each for each in events.stalls if not each.in_progress]
    return stall


async def block() -> None:
    time.sleep(HELD)


async def block_within(name: str) -> None:
    await asyncio.sleep(0)
    SPAN.set("request")
    token = SPAN.set(name)
    time.sleep(HELD)
    SPAN.reset(token)


def test_a_stall_names_the_span_that_was_current_while_it_lasted(
    watch: Watch, events: RecordingReporter, tracer: FakeTracer
) -> None:
    """Not the one that is current when the step ends: the inner span is over by then."""
    asyncio.run(block_within("query"))
    stall = the_stall(watch, events)
    assert (stall.trace_id, stall.span_id) == ("trace of query", "query")


def test_a_callback_has_the_span_of_its_context(watch: Watch, events: RecordingReporter, tracer: FakeTracer) -> None:
    """What is no task runs in the context that its handle was given."""

    async def main() -> None:
        context = copy_context()
        context.run(SPAN.set, "timer")
        asyncio.get_running_loop().call_soon(lambda: time.sleep(HELD), context=context)
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert the_stall(watch, events).span_id == "timer"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no eager tasks before 3.12")
def test_an_eager_task_has_its_own_span(watch: Watch, events: RecordingReporter, tracer: FakeTracer) -> None:
    """It runs inside the step of another, whose context is not its own."""

    async def main() -> None:
        factory: Any = asyncio.eager_task_factory  # type: ignore[attr-defined]
        asyncio.get_running_loop().set_task_factory(factory)
        context = copy_context()
        context.run(SPAN.set, "eager")
        await asyncio.create_task(block(), context=context)  # type: ignore[call-arg]

    asyncio.run(main())
    assert the_stall(watch, events).span_id == "eager"


@pytest.mark.needs("uvloop")
def test_a_task_on_uvloop_has_its_span(watch: Watch, events: RecordingReporter, tracer: FakeTracer) -> None:
    """There are no handles to ask there: the task is."""
    import uvloop

    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(block_within("query"))
    finally:
        loop.close()
    assert the_stall(watch, events).span_id == "query"


@pytest.mark.parametrize("kind", ["as it is", "in Python"])
def test_the_context_of_a_task_is_found(kind: str) -> None:
    """On every version of Python, of both kinds of tasks, and it is not that of one who waits for it."""

    async def main() -> None:
        SPAN.set("outer")
        loop = asyncio.get_running_loop()
        make: Any = loop.create_task if kind == "as it is" else lambda coro: asyncio.tasks._PyTask(coro, loop=loop)  # type: ignore[attr-defined]
        task = make(block_within("inner"))
        SPAN.set("waits for it")
        task.add_done_callback(lambda _: None)
        found = context_of(task)
        assert found is not None
        assert found[SPAN] == "outer"
        task.cancel()

    asyncio.run(main())


def test_what_is_quick_asks_nobody(watch: Watch, events: RecordingReporter, tracer: FakeTracer) -> None:
    """Thousands of steps that hold no loop cost no question."""

    async def main() -> None:
        for _ in range(5000):
            await asyncio.sleep(0)

    asyncio.run(main())
    watch.flush(5.0)
    assert tracer.asked == 0 or events.stalls  # where the machine stalled, a few were asked for


def test_without_a_tracer_there_are_no_ids(watch: Watch, events: RecordingReporter) -> None:
    """The fields are there, and empty."""
    asyncio.run(block_within("query"))
    stall = the_stall(watch, events)
    assert (stall.trace_id, stall.span_id) == (None, None)


def test_a_tracer_that_raises_does_no_harm(events: RecordingReporter, caplog: pytest.LogCaptureFixture) -> None:
    """Its error is told once as ours; the application and the finding go on."""

    class Broken(FakeTracer):
        def span_in(self, context: Context) -> SpanFacts | None:
            raise LookupError("no such span")

    with loopwatch.install(reporters=[events], prometheus=False) as watch:
        watch._tracing.tracer = Broken()
        asyncio.run(block_within("query"))
        assert the_stall(watch, events).span_id is None
    assert [record.getMessage() for record in caplog.records if "no such span" in str(record.exc_info)] == [
        "loopwatch: a hook failed and let the call pass unwatched."
    ]


# --- what was seen, and what was not -----------------------------------------------------------


def look(span_id: str | None) -> Look:
    return Look(Sample(0.0, 0.0, 0.0, ()), None, 0, SpanFacts("t", span_id, None) if span_id else None)


class Held:
    """As much of one as is asked for."""

    def __init__(self, kind: str = "step", span: SpanFacts | None = None) -> None:
        self.kind = kind
        self.span = span


@pytest.mark.parametrize(
    ("kind", "looks", "found"),
    [
        ("step", ["a", "b", "b", None], "b"),
        ("step", [None, None, "a"], "a"),  # most of it was outside of any span, and yet it belongs to this one
        ("step", [], "end"),
        ("step", [None], "end"),
        ("turn", ["a", "a"], "a"),
        ("turn", ["a", "b"], "end"),
    ],
)
def test_the_span_is_the_one_that_was_seen_most(kind: Any, looks: list[str | None], found: str) -> None:
    """Where none was seen, that at its end; a turn of many steps has one only where all looks agree."""
    held: Any = Held(kind, SpanFacts("t", "end", None))
    span = seen_span(held, [look(each) for each in looks])
    assert span is not None
    assert span.span_id == found


# --- queues ------------------------------------------------------------------------------------


def test_a_backlog_names_the_span_whose_job_waited_longest(
    watch: Watch, events: RecordingReporter, tracer: FakeTracer
) -> None:
    """Three jobs of two tasks on one worker: the last to begin has waited longest."""
    pool = ThreadPoolExecutor(1)

    async def work(name: str) -> None:
        SPAN.set(name)
        await asyncio.get_running_loop().run_in_executor(pool, time.sleep, 0.2)

    async def main() -> None:
        await asyncio.gather(work("first"), work("second"), work("third"))

    asyncio.run(main())
    pool.shutdown()
    wait_until(lambda: watch.flush(5.0) and any(not each.in_progress for each in events.backlogs))
    (backlog,) = [each for each in events.backlogs if not each.in_progress]
    assert (backlog.trace_id, backlog.span_id) == ("trace of third", "third")


# --- where the ids arrive ----------------------------------------------------------------------


def test_the_log_and_the_lines_carry_the_ids(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As attributes of the record, in its dictionary, and in each JSON line."""
    path = tmp_path / "events.jsonl"
    with loopwatch.install(reporters=["log", JsonLinesReporter(path)], prometheus=False) as watch:
        watch._tracing.tracer = FakeTracer()
        asyncio.run(block_within("query"))
    found = json.loads(path.read_text().splitlines()[-1])
    assert (found["trace_id"], found["span_id"]) == ("trace of query", "query")
    (record,) = [each.__dict__ for each in caplog.records if each.levelname == "WARNING"]
    assert (record["loopwatch_trace_id"], record["loopwatch_span_id"]) == ("trace of query", "query")
    assert record["loopwatch"]["span_id"] == "query"
