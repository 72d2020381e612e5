"""A collector for tests: takes in what OTLP exporters send over HTTP, and keeps it decoded."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

pytest.importorskip("opentelemetry.proto")

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """What has arrived so far: ``spans`` by name, the latest of the ``metrics`` by name; of all services together."""

    def __init__(self) -> None:
        self._spans: list[tuple[str, Any]] = []
        self._metrics: dict[str, Any] = {}
        self._lock = threading.Lock()
        self.requests = 0

    def take(self, path: str, body: bytes) -> None:
        with self._lock:
            self.requests += 1
            if path == "/v1/traces":
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        self._spans += [(scope.scope.name, span) for span in scope.spans]
            if path == "/v1/metrics":
                for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                    for scope in resource.scope_metrics:
                        self._metrics.update({metric.name: metric for metric in scope.metrics})

    def spans(self, name: str) -> list[Any]:
        with self._lock:
            return [span for _, span in self._spans if span.name == name]

    def metric(self, name: str) -> Any:
        with self._lock:
            return self._metrics.get(name)


def attributes(thing: Any) -> dict[str, Any]:
    """The attributes of a span, a link or a point, as plain values."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in thing.attributes}


@contextmanager
def collecting() -> Iterator[tuple[str, Collector]]:
    """The address of a collector on loopback, and what it has got."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.take(self.path, gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
