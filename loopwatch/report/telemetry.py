"""Whether and where OpenTelemetry is used. Loads its library late, and for "auto" only where the process has it."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import MissingExtra
from ..model import Snapshot
from ..settings import Settings

if TYPE_CHECKING:
    from .otel import Instruments, Source
    from .otel_traces import OtelTracer

_METRICS = "opentelemetry.sdk.metrics"
_TRACES = "opentelemetry.sdk.trace"
_log = logging.getLogger("loopwatch")


def _is_imported(name: str) -> bool:
    """Whether a module was imported, wholly: to import what it needs, while another thread does, may harm that one."""
    module = sys.modules.get(name)
    return module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False)


class Telemetry:
    """What one watch tells OpenTelemetry, as its setting wants it.

    ``"auto"`` looks for the providers that the process has set as soon as it has imported the SDK, which it must
    to have any; until then nothing is imported, and nothing asked but whether. Raises :class:`MissingExtra` where
    more is wanted and the SDK is not installed.
    """

    def __init__(self, settings: Settings, snapshot: Callable[[], Snapshot], steps: str) -> None:
        self._wanted: Any = settings.opentelemetry
        self._ask = (snapshot, settings.max_sites, steps)
        self._in_use = False
        self._alone = threading.Lock()
        self.tracer: OtelTracer | None = None
        """Who traces, as soon as the process has set a ``TracerProvider``."""
        self._instruments: Instruments | None = None
        self._source: Source | None = None
        if self._wanted not in (False, "auto"):
            from . import otel  # noqa: F401  (raises where it is missing)

    def register(self) -> None:
        """Begin to tell: from now on ``refresh`` has something to do."""
        self._in_use = self._wanted is not False
        self.refresh()
        if self._wanted is True and self._instruments is None and self.tracer is None:
            _log.info("loopwatch: no provider is set for OpenTelemetry; one that is set later is used from then on.")

    def refresh(self) -> None:
        """See whether there is a provider by now, and which readers it has. Cheap; from any thread, with no lock held.

        Never waits for another thread that does so: that one may wait for a lock of the SDK's.
        """
        if self._in_use and self._alone.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._alone.release()

    def _look(self) -> None:
        if self.tracer is None and _is_imported(_TRACES):
            self._look_for_tracer()
        if self._instruments is not None:
            self._instruments.follow_readers()
        elif not isinstance(self._wanted, (bool, str)):
            self._use(self._wanted)
        elif _is_imported(_METRICS):
            self._look_for_provider()

    def _look_for_provider(self) -> None:
        try:
            from .otel import global_provider
        except MissingExtra:  # the SDK is there only in part
            return
        provider = global_provider()
        if provider is not None:
            self._use(provider)

    def _look_for_tracer(self) -> None:
        try:
            from .otel_traces import OtelTracer, recording_provider
        except MissingExtra:
            return
        if recording_provider():
            self.tracer = OtelTracer()
            _log.info("loopwatch: findings are spans of OpenTelemetry as well.")

    def _use(self, provider: Any) -> None:
        from .otel import Source, instruments_of

        self._source = Source(*self._ask)
        self._instruments = instruments_of(provider)
        self._instruments.use(self._source)
        _log.info("loopwatch: metrics go to OpenTelemetry as well.")

    def after_fork(self) -> None:
        """In the child everything is counted anew, and the lock may be held by a thread that is not there."""
        self._alone = threading.Lock()
        if self._in_use:
            self.close()
            self.register()

    def close(self) -> None:
        """Tell no more."""
        self._in_use = False
        if self._instruments is not None and self._source is not None:
            self._instruments.release(self._source)
        self._instruments = self._source = self.tracer = None
