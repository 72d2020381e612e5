"""Where the numbers are exposed to Prometheus: a registry, and HTTP servers of our own. Loads its library late."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import MissingExtra, SettingsError
from ..model import Snapshot
from ..settings import Settings

if TYPE_CHECKING:
    from .prometheus import MetricsServer


class Exposition:
    """The collector of one watch, where its setting ``prometheus`` wants it.

    Raises :class:`MissingExtra` where it asks for a registry and ``prometheus_client`` is not installed.
    """

    def __init__(self, settings: Settings, snapshot: Callable[[], Snapshot], steps: str) -> None:
        self._settings = settings
        self._snapshot = snapshot
        self._steps = steps
        self._registry: Any = None
        self._collector: Any = None
        self._servers: list[MetricsServer] = []
        if settings.prometheus is not False:
            self._choose(settings.prometheus)

    def _choose(self, wanted: Any) -> None:
        try:
            from .prometheus import DEFAULT
        except MissingExtra:
            if wanted != "auto":
                raise
            return
        self._registry = DEFAULT if wanted is True or wanted == "auto" else wanted

    def _make(self) -> Any:
        from .prometheus import make_collector

        return make_collector(self._snapshot, self._settings.max_sites, self._steps)

    def register(self) -> None:
        """Have the chosen registry, if any, scrape the watch. Raises SettingsError where it refuses to."""
        if self._registry is None:
            return
        collector = self._make()
        try:
            self._registry.register(collector)
        except ValueError as refused:
            setting, allowed = self._settings.named("prometheus"), "a registry that takes the metrics of loopwatch"
            reason = f"This one will not do: {refused}."
            raise SettingsError(setting, self._settings.prometheus, allowed, reason) from refused
        self._collector = collector

    def close(self) -> None:
        """Leave the registry, and end the servers."""
        if self._collector is not None:
            from .prometheus import unregister

            unregister(self._collector, self._registry)
            self._collector = None
        for server in self._servers:
            server.close()
        self._servers.clear()

    def serve(self, port: int, addr: str) -> MetricsServer:
        """Serve the chosen registry, or one with the watch alone, from a thread. Raises MissingExtra and OSError."""
        from .prometheus import registry_with, serve

        registry = self._registry if self._registry is not None else registry_with(self._make())
        server = serve(registry, port, addr)
        self._servers.append(server)
        return server

    def after_fork(self) -> None:
        """The threads of the servers are gone in a child: close its copies of their sockets, which nobody reads."""
        for server in self._servers:
            server.close()
        self._servers.clear()
