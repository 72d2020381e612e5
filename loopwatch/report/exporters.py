"""Where the numbers of a watch go besides its reporters: all exporters as one, in and out and through a fork."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..model import Snapshot
from ..settings import Settings
from .exposition import Exposition
from .telemetry import Telemetry

if TYPE_CHECKING:
    from .prometheus import MetricsServer


class Exporters:
    """The exporters that the settings want. Raises :class:`MissingExtra` where the library of one is missing.

    ``snapshot`` is asked for the numbers when they are collected, on the thread that collects; ``steps`` names
    the stopwatch.
    """

    def __init__(self, settings: Settings, snapshot: Callable[[], Snapshot], steps: str) -> None:
        self._prometheus = Exposition(settings, snapshot, steps)
        self._telemetry = Telemetry(settings, snapshot, steps)

    def register(self) -> None:
        """Begin to export. Raises SettingsError where one is refused; ``close`` is then for the caller."""
        self._prometheus.register()
        self._telemetry.register()

    @property
    def tracer(self) -> Any:
        """Who traces (see ``facts.Tracer``), once somebody does."""
        return self._telemetry.tracer

    def refresh(self) -> None:
        """See whether what they export to is there by now. Cheap; from any thread."""
        self._telemetry.refresh()

    def start(self) -> None:
        """Begin what needs a thread, also in a child. Raises RuntimeError where none can be had."""
        self._prometheus.start()

    def finish(self) -> None:
        """Export for the last time what was counted, after ``close()``."""
        self._prometheus.finish()

    def close(self) -> None:
        """Leave no trace of the watch in what others own."""
        self._prometheus.close()
        self._telemetry.close()

    def after_fork(self) -> None:
        """In the child."""
        self._prometheus.after_fork()
        self._telemetry.after_fork()

    def serve(self, port: int, addr: str) -> MetricsServer:
        """Serve the metrics for Prometheus from a thread. Raises MissingExtra, SettingsError and OSError."""
        return self._prometheus.serve(port, addr)
