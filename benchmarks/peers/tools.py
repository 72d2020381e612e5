"""The one table of the tools: what is installed for each, and how it is set up."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module

from .adapters.adapter import Adapter

PYTHON = "3.13"
"""The version that all of them run on: the newest that is everywhere; one of them needs 3.12."""

EVERYWHERE = ("anyio==4.16.0", "httptools==0.9.0", "starlette==1.10.0", "uvicorn==0.54.0", "uvloop==0.23.0")
"""What the programs need, the same in every environment."""

BARE = "bare"
"""The side without any tool."""


@dataclass(frozen=True)
class Tool:
    """``adapter`` names a class in :mod:`.adapters`; ``packages`` are pinned, the first is the tool itself.

    ``uvloop`` says whether its way of working can see anything there: what patches asyncio's own handles cannot.
    ``how`` tells the reader of the table how it is set up; the adapter's docstring says on whose word.
    """

    name: str
    adapter: str
    packages: tuple[str, ...] = ()
    uvloop: bool = True
    how: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """The environment that it shares with no other; where it installs nothing, the one of the bare loop."""
        return self.name if self.packages else BARE

    def make(self) -> Adapter:
        """Its adapter, in a process that has its packages."""
        module, _, name = self.adapter.rpartition(".")
        made: Adapter = getattr(import_module(f"{__package__}.adapters.{module}"), name)()
        return made


TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool("loopwatch", "own.Loopwatch", ("-e .",), how="`loopwatch.install()`"),
        Tool(
            "loopwatch, in Python",
            "own.Loopwatch",
            how="the same, with `LOOPWATCH_NO_EXTENSIONS=1`",
            environment={"LOOPWATCH_NO_EXTENSIONS": "1"},
        ),
        Tool(
            "asyncio debug mode",
            "by_step.AsyncioDebug",
            how="`PYTHONASYNCIODEBUG=1`, `slow_callback_duration`",
            environment={"PYTHONASYNCIODEBUG": "1"},
        ),
        # On uvloop its hang dumps work, its slow callbacks do not.
        Tool("aiodebug", "by_step.Aiodebug", ("aiodebug==2.3.0",), how="slow callbacks and hang dumps"),
        Tool("aiocop", "by_step.Aiocop", ("aiocop==1.2.1",), how="audit hook, slow tasks, CPU sampling"),
        Tool("blockbuster", "by_call.Blockbuster", ("blockbuster==1.5.29",), how="`activate()`; raises, no threshold"),
        Tool("pyleak", "by_heartbeat.Pyleak", ("pyleak==0.2.0",), how='`no_event_loop_blocking(action="log")`'),
        Tool("loopsentry", "by_heartbeat.Loopsentry", ("loopsentry==1.2.0",), how="`LoopSentry(threshold=…)`"),
        Tool("asynclens", "by_heartbeat.Asynclens", ("asynclens==0.1.2",), how="`AsyncWatchdog(threshold_ms=…)`"),
        Tool(
            "fastapi-loopguard",
            "by_heartbeat.FastapiLoopguard",
            ("fastapi-loopguard==0.9.0",),
            how="middleware around the work, mode `log`",
        ),
        Tool(
            "asyncio-event-loop-monitor",
            "by_call.AsyncioEventLoopMonitor",
            ("asyncio-event-loop-monitor==0.1.0",),
            how="`event_loop_monitor_ctx` around the work",
        ),
        Tool(
            "monitored-ioloop",
            "by_step.MonitoredIoloop",
            ("monitored-ioloop==0.0.23",),
            how="loop factory; it has no threshold, 50 ms are taken",
        ),
        Tool(
            "logfire",
            "by_step.Logfire",
            ("logfire==5.4.0",),
            uvloop=False,
            how="`log_slow_async_callbacks()`",
        ),
        Tool(
            "OpenTelemetry asyncio",
            "by_call.OpentelemetryAsyncio",
            ("opentelemetry-instrumentation-asyncio==0.66b1", "opentelemetry-sdk==1.45.1"),
            how="`AsyncioInstrumentor`; durations of 50 ms and more are taken as reports",
        ),
    )
}
