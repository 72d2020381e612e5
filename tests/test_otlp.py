"""The real thing: FastAPI under uvicorn with its instrumentation, and the real exporters, over HTTP to a collector."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from loopwatch.metrics import DELAYS, METRICS
from tests.bench import wait_until

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
pytest.importorskip("opentelemetry.instrumentation.fastapi")
pytest.importorskip("uvicorn")

from tests.otlp import attributes, collecting
from tests.otlp_serving import serving

ASKED = ("GET /checkout", "GET /sleeps", "GET /waits")
NOWHERE = "http://127.0.0.1:9"


def one(found: list[Any]) -> Any:
    (only,) = found
    return only


def points_to(span: Any, other: Any) -> bool:
    return (other.trace_id, other.span_id) in [(link.trace_id, link.span_id) for link in span.links]


def test_a_collector_gets_traces_and_metrics() -> None:
    """A stall below its request, the victim that points to it, waits for a worker, and every number of the table."""
    with collecting() as (url, collector):
        with serving(url) as service:
            service.get_together("/waits", "/checkout", apart=0.1)
            service.get_together("/balance", "/balance", apart=0.02)
            service.get("/balance")  # the third of them makes an offload that can be judged
            wait_until(lambda: len(collector.spans("executor_wait")) == 1 and len(collector.spans("GET /balance")) == 3)
            wait_until(lambda: collector.metric("loopwatch.offload.jobs") is not None)
        assert service.process.returncode == 0, service.err
        blocked = one(collector.spans("event_loop_blocked"))
        request, victim = one(collector.spans("GET /checkout")), one(collector.spans("GET /waits"))
        assert (blocked.trace_id, blocked.parent_span_id) == (request.trace_id, request.span_id)
        assert 0.3 <= (blocked.end_time_unix_nano - blocked.start_time_unix_nano) / 1e9 < 5
        told = attributes(blocked)
        assert told["code.function.name"] == "__main__.checkout"
        assert told["loopwatch.cause"] == "wait"
        assert "time.sleep(0.3)" in told["code.stacktrace"]
        assert 0 < attributes(victim)["loopwatch.waited"] < 5
        assert [(link.trace_id, link.span_id) for link in victim.links] == [(blocked.trace_id, blocked.span_id)]
        wait = one(collector.spans("executor_wait"))
        assert wait.parent_span_id in {span.span_id for span in collector.spans("GET /balance")}
        assert attributes(wait)["loopwatch.executor"] == "bank"
        table = {row.opentelemetry: row for row in METRICS.values()}
        for name in [*table, *(delay.opentelemetry for delay in DELAYS.values())]:
            assert collector.metric(name) is not None, name
        blocked_for = "asyncio.eventloop.blocked.duration"
        stalls = [
            point for point in collector.metric(blocked_for).histogram.data_points
            if attributes(point) == {"loop": "main", "cause": "wait"}
        ]  # fmt: skip
        assert one(stalls).sum >= 0.3  # and maybe what starting up took
        assert tuple(stalls[0].explicit_bounds) == table[blocked_for].bounds


def test_it_is_the_same_on_uvloop() -> None:
    """Who waited points to the stall; who came before, after, or waits for something else does not."""
    pytest.importorskip("uvloop")
    with collecting() as (url, collector):
        with serving(url, LOOP="uvloop", LOOPWATCH_EXACT_UVLOOP="true") as service:
            service.get("/waits")
            service.get_together("/sleeps", "/waits", "/checkout", apart=0.08)
            service.get("/waits")
            wait_until(lambda: [len(collector.spans(name)) for name in ASKED] == [1, 1, 3])
            wait_until(lambda: bool(collector.spans("event_loop_blocked")))
        assert service.process.returncode == 0, service.err
        request = one(collector.spans("GET /checkout"))
        blocked = one(
            [span for span in collector.spans("event_loop_blocked") if span.parent_span_id == request.span_id]
        )
        assert blocked.trace_id == request.trace_id
        before, victim, after = sorted(collector.spans("GET /waits"), key=lambda span: span.start_time_unix_nano)
        assert 0 < attributes(victim)["loopwatch.waited"] < 5
        assert points_to(victim, blocked)
        for innocent in (before, after, request, one(collector.spans("GET /sleeps"))):
            assert not points_to(innocent, blocked)  # a busy machine may have held it at another time


def test_a_collector_that_is_not_there_does_no_harm() -> None:
    """Requests are answered, loopwatch logs its findings only, keeps nothing, and ends in time with all its threads."""
    with serving(NOWHERE) as service:
        service.get_together(*["/checkout", "/waits"] * 3)
        time.sleep(1.0)
        service.get("/waits")
    assert service.process.returncode == 0, service.err
    said = [line for line in service.err.splitlines() if re.match(r"(WARNING|ERROR):loopwatch", line)]
    assert all("was held" in line or "Not told again" in line for line in said), said
    assert 1 <= len(said) <= 4  # equal findings are told once
    took = re.search(r"uninstalled in ([\d.]+)", service.out)
    assert took is not None
    assert float(took[1]) < 2.5
    assert "kept 0 dropped 0" in service.out
    assert "threads []" in service.out
