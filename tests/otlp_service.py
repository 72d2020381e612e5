"""A FastAPI service with OpenTelemetry as its documentation has it, under a watch with default settings.

Run as a program: serves on a free port, says which, and ends when its input does. ``OTEL_*`` variables as usual.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import uvicorn
from fastapi import FastAPI
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import loopwatch

app = FastAPI()
pool = ThreadPoolExecutor(1, thread_name_prefix="bank")


@app.get("/checkout")
async def checkout() -> str:
    time.sleep(0.3)
    return "held"


@app.get("/waits")
async def waits() -> str:
    await asyncio.sleep(0.25)
    return "waited"


@app.get("/sleeps")
async def sleeps() -> str:
    await asyncio.sleep(1.5)
    return "slept"


@app.get("/balance")
async def balance() -> str:
    await asyncio.get_running_loop().run_in_executor(pool, time.sleep, 0.2)
    return "balance"


class Server(uvicorn.Server):
    """Says where it serves, and ends with its input."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)
        threading.Thread(target=self._end_with_input, daemon=True).start()

    def _end_with_input(self) -> None:
        sys.stdin.read()
        self.should_exit = True


def main() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    watch = loopwatch.install()  # before there is any provider
    tracers = TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=1), schedule_delay_millis=200))
    trace.set_tracer_provider(tracers)
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(timeout=1), export_interval_millis=300)
    metrics.set_meter_provider(MeterProvider([reader]))
    FastAPIInstrumentor.instrument_app(app)
    Server(uvicorn.Config(app, port=0, log_level="warning", loop=os.environ.get("LOOP", "asyncio"))).run()
    began = time.perf_counter()
    watch.uninstall()
    print(f"uninstalled in {time.perf_counter() - began:.3f}", flush=True)
    print("kept", len(watch._traces._delivery._queue), "dropped", watch.snapshot().events_dropped)
    print("threads", [thread.name for thread in threading.enumerate() if thread.name.startswith("loopwatch")])
    sys.stdout.flush()
    tracers.shutdown()


if __name__ == "__main__":
    main()
