"""Exemplars all the way: a span of the real SDK, a real scrape, and what Prometheus has kept of it."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import loopwatch

pytestmark = [
    pytest.mark.needs("opentelemetry.sdk.trace", "prometheus_client", programs=("prometheus",)),
    pytest.mark.realtime,
]

LIMIT = 30.0
HISTOGRAMS = ("loopwatch_stall_duration_seconds_bucket", "loopwatch_executor_wait_seconds_bucket")


def test_prometheus_leads_from_a_bucket_to_the_trace(tmp_path: Path) -> None:
    """A request that held its loop and whose job then waited: both buckets have the id of its trace in storage."""
    from opentelemetry.sdk.trace import TracerProvider
    from prometheus_client import CollectorRegistry

    from grafana.prometheus_server import prometheus
    from loopwatch.report.otel_traces import OtelTracer

    provider = TracerProvider(shutdown_on_exit=False)
    with loopwatch.install(reporters=[], prometheus=CollectorRegistry()) as watch:
        watch._traces.begin(OtelTracer(provider))
        trace = asyncio.run(_request(provider.get_tracer("shop")))
        assert watch.flush(10.0)
        served = watch.serve_metrics(0)
        with prometheus(tmp_path, {"shop": f"http://127.0.0.1:{served.port}/metrics"}) as server:
            for name in HISTOGRAMS:
                _wait_for(server, name, trace)


async def _request(tracer) -> str:
    with tracer.start_as_current_span("GET /checkout") as span, ThreadPoolExecutor(1) as pool:
        time.sleep(0.2)
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(pool, time.sleep, 0.2) for _ in range(2)))
        return f"{span.get_span_context().trace_id:032x}"


def _wait_for(server, name: str, trace: str) -> None:
    """Until what the server keeps of a series are exemplars of that trace, and of no other."""
    deadline = time.monotonic() + LIMIT
    while (found := _stored(server, name)) != {trace}:
        assert time.monotonic() < deadline, f"{name} has exemplars of {found}"
        time.sleep(0.2)


def _stored(server, name: str) -> set[str]:
    now = time.time()
    series = server.ask("query_exemplars", query=name, start=str(now - 300), end=str(now + 60))
    return {each["labels"]["trace_id"] for one in series for each in one["exemplars"]}
