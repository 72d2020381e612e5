"""OTLP all the way into a real database of metrics: what the exporter sends is what PromQL answers."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from examples.listening import free_port
from grafana.prometheus_server import Prometheus, answering
from loopwatch.metrics import DELAYS, METRICS

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
pytest.importorskip("opentelemetry.instrumentation.fastapi")
pytest.importorskip("uvicorn")

from tests.otlp import collecting
from tests.otlp_serving import serving

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
LIMIT = 30.0


def wait_until(true: Callable[[], bool]) -> None:
    """Asks of a database cost more than a look at an object: so not as often."""
    deadline = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.1)


def stored(server: Prometheus, expr: str) -> float:
    """The sum of all samples of the expression, with those that have only just come."""
    with urlopen(f"{server.url}/internal/force_flush", timeout=LIMIT):
        return server.value(expr)


def names(server: Prometheus) -> set[str]:
    return set(server.ask("label/__name__/values"))


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Prometheus]:
    """Where the machine can have it: no release of Debian has one that is new enough so far."""
    monkeypatch.syspath_prepend(SCRIPTS)
    try:
        program = importlib.import_module("victoria_metrics").find_or_make()
    except importlib.import_module("debian_suite").NotToBeHad as why:
        pytest.skip(f"this machine has no VictoriaMetrics: {why}")
    listen = f"127.0.0.1:{free_port()}"
    command = [
        str(program), f"-httpListenAddr={listen}", f"-storageDataPath={tmp_path / 'data'}", "-search.latencyOffset=0s",
        "-opentelemetry.usePrometheusNaming",
    ]  # fmt: skip
    with answering(command, f"http://{listen}", tmp_path / "database.log") as server:
        yield server


def test_promql_answers_with_the_load_that_was_put_on(database: Prometheus) -> None:
    """Every metric of the table is there by its name, and the seconds blocked are those that were blocked."""
    blocked = 'asyncio_eventloop_blocked_duration_seconds_sum{loop="main", cause="wait"}'
    counted = 'asyncio_eventloop_blocked_duration_seconds_count{loop="main", cause="wait"}'
    metrics = f"{database.url}/opentelemetry/v1/metrics"
    with collecting() as (url, _), serving(url, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=metrics) as service:
        wait_until(lambda: any(name.startswith("asyncio_eventloop") for name in names(database)))
        before = stored(database, counted), stored(database, blocked)  # what starting up took
        began = time.monotonic()
        for _ in range(3):
            service.get("/checkout")
        took = time.monotonic() - began
        for _ in range(3):
            service.get_together("/balance", "/balance")
        wait_until(lambda: stored(database, counted) - before[0] >= 3)
        wait_until(lambda: stored(database, "loopwatch_offload_jobs_total") >= 3)
        assert stored(database, counted) - before[0] == 3
        seconds = stored(database, blocked) - before[1]
        there = names(database)
    assert 3 * 0.3 <= seconds <= took
    wanted = [*(row.opentelemetry for row in METRICS.values()), *(delay.opentelemetry for delay in DELAYS.values())]
    assert [name for name in wanted if not any(each.startswith(name.replace(".", "_")) for each in there)] == []
