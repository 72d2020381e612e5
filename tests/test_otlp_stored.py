"""OTLP all the way into a real database of metrics: what the exporter sends is what PromQL answers."""

from __future__ import annotations

import importlib
import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode

import pytest

from examples.listening import free_port
from loopwatch.metrics import DELAYS, METRICS

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
pytest.importorskip("opentelemetry.instrumentation.fastapi")
pytest.importorskip("uvicorn")

from tests.otlp import collecting
from tests.otlp_serving import serving

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
LIMIT = 30.0


class Database:
    """VictoriaMetrics at ``url``."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **query: str) -> bytes:
        with urllib.request.urlopen(f"{self.url}/{path}?{urlencode(query)}", timeout=LIMIT) as answer:
            found: bytes = answer.read()
            return found

    def is_up(self) -> bool:
        try:
            return self.get("health") == b"OK"
        except (URLError, OSError):
            return False

    def names(self) -> set[str]:
        return set(json.loads(self.get("api/v1/label/__name__/values"))["data"])

    def value(self, expr: str) -> float:
        """The sum of all samples of the expression, now."""
        self.get("internal/force_flush")
        found: Any = json.loads(self.get("api/v1/query", query=expr))["data"]["result"]
        return sum(float(each["value"][1]) for each in found)


def wait_until(true: Callable[[], bool]) -> None:
    """Asks of a database cost more than a look at an object: so not as often."""
    deadline = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.1)


@contextmanager
def stored_in(folder: Path, program: Path) -> Iterator[Database]:
    """A database on loopback, with its data in ``folder``; it is ended on the way out."""
    listen = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [program, f"-httpListenAddr={listen}", f"-storageDataPath={folder / 'data'}", "-search.latencyOffset=0s",
         "-opentelemetry.usePrometheusNaming"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    database = Database(f"http://{listen}")
    try:
        wait_until(database.is_up)
        yield database
    finally:
        process.terminate()
        try:
            process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """Where the machine can have it: no release of Debian has one that is new enough so far."""
    monkeypatch.syspath_prepend(SCRIPTS)
    try:
        program = importlib.import_module("victoria_metrics").find_or_make()
    except importlib.import_module("debian_suite").NotToBeHad as why:
        pytest.skip(f"this machine has no VictoriaMetrics: {why}")
    with stored_in(tmp_path, program) as running:
        yield running


def test_promql_answers_with_the_load_that_was_put_on(database: Database) -> None:
    """Every metric of the table is there by its name, and the seconds blocked are those that were blocked."""
    blocked = 'asyncio_eventloop_blocked_duration_seconds_sum{loop="main", cause="wait"}'
    counted = 'asyncio_eventloop_blocked_duration_seconds_count{loop="main", cause="wait"}'
    metrics = f"{database.url}/opentelemetry/v1/metrics"
    with collecting() as (url, _), serving(url, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=metrics) as service:
        wait_until(lambda: any(name.startswith("asyncio_eventloop") for name in database.names()))
        before = database.value(counted), database.value(blocked)  # what starting up took
        began = time.monotonic()
        for _ in range(3):
            service.get("/checkout")
        took = time.monotonic() - began
        for _ in range(3):
            service.get_together("/balance", "/balance")
        wait_until(lambda: database.value(counted) - before[0] >= 3)
        wait_until(lambda: database.value("loopwatch_offload_jobs_total") >= 3)
        assert database.value(counted) - before[0] == 3
        seconds = database.value(blocked) - before[1]
        names = database.names()
    assert 3 * 0.3 <= seconds <= took
    wanted = [*(row.opentelemetry for row in METRICS.values()), *(delay.opentelemetry for delay in DELAYS.values())]
    assert [name for name in wanted if not any(each.startswith(name.replace(".", "_")) for each in names)] == []
