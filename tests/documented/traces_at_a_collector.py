"""The trace excerpt of the README and of docs/opentelemetry.md: what a collector gets of the service on that page.

``service.py`` is the page's; it is run by uvicorn, its exporters send over HTTP, and what has arrived is drawn.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from examples.listening import free_port
from tests.otlp import Collector, attributes, collecting

LIMIT = 15.0
REQUESTS = ("GET /checkout", "GET /waits", "GET /balance")
BELOW = ("event_loop_blocked", "executor_wait")
METRICS = ("asyncio.callback.duration", "asyncio.eventloop.utilization", "loopwatch.blocking.time")
SHOWN = {
    "event_loop_blocked": (
        ("code.function.name", "code.line.number", "code.stacktrace"),
        ("loopwatch.cause", "thread.name"),
        ("loopwatch.remedy",),
    ),
    "executor_wait": (("loopwatch.executor", "loopwatch.workers", "loopwatch.site"),),
    "GET /waits": (("loopwatch.waited",),),
}
"""Of which span which attributes are shown, line by line."""


@contextmanager
def serving(collector: str) -> Iterator[str]:
    """The page's service, which sends what it has each quarter of a second."""
    port = str(free_port())
    frequent = {"OTEL_BSP_SCHEDULE_DELAY": "250", "OTEL_METRIC_EXPORT_INTERVAL": "250"}
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "service:app", "--port", port, "--log-level", "warning", "--loop", "asyncio"],
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collector, **frequent},
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(LIMIT)


def get(url: str) -> None:
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            with urlopen(url, timeout=LIMIT):
                return
        except (URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def ask_together(*urls: str, apart: float) -> None:
    threads = [threading.Thread(target=get, args=(url,)) for url in urls]
    for thread in threads:
        thread.start()
        time.sleep(apart)
    for thread in threads:
        thread.join()


class Drawing:
    """Spans as a person draws them: a request, what is below it, and what it points to."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def lines(self, request: Any) -> Iterator[str]:
        yield from self._span(request.name, request)
        for name in BELOW:
            for span in self._collector.spans(name):
                if (span.trace_id, span.parent_span_id) == (request.trace_id, request.span_id):
                    yield from self._span(f"└─ {name}", span)

    def _span(self, title: str, span: Any) -> Iterator[str]:
        told = attributes(span)
        begin = f"{title:24}{(span.end_time_unix_nano - span.start_time_unix_nano) / 1e6:5.0f} ms   "
        links = [self._target(link) for link in span.links]
        for names in SHOWN.get(span.name, ((),)):
            shown = [f"{name} = {_value(told[name])}" for name in names if name in told]
            yield (begin + ", ".join(shown + links)).rstrip()
            begin, links = " " * len(begin), []

    def _target(self, link: Any) -> str:
        for blocked in self._collector.spans("event_loop_blocked"):
            if (blocked.trace_id, blocked.span_id) == (link.trace_id, link.span_id):
                (parent,) = (each for each in self._requests() if each.span_id == blocked.parent_span_id)
                return f"link to event_loop_blocked of {parent.name}"
        return "link to a span that has not arrived"

    def _requests(self) -> list[Any]:
        return [span for name in REQUESTS for span in self._collector.spans(name)]


def _value(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value).replace("\n", " ")


def main() -> None:
    with collecting() as (address, collector), serving(address) as service:
        get(f"{service}/docs")  # first use of anything is not what is shown
        ask_together(f"{service}/waits", f"{service}/checkout", apart=0.1)
        ask_together(f"{service}/balance", f"{service}/balance", apart=0.02)
        deadline = time.monotonic() + LIMIT
        while not all(map(collector.spans, (*REQUESTS, *BELOW))) or len(collector.spans("GET /balance")) < 2:
            if time.monotonic() > deadline:
                raise SystemExit("not all spans have arrived")
            time.sleep(0.05)
        drawing = Drawing(collector)
        for name in REQUESTS:
            slowest = max(collector.spans(name), key=lambda span: span.end_time_unix_nano - span.start_time_unix_nano)
            print("\n".join(drawing.lines(slowest)))
        print("metrics:", ", ".join(name for name in METRICS if collector.metric(name) is not None))


if __name__ == "__main__":
    main()
