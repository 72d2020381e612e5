"""Where the numbers are exposed to Prometheus: a registry, and HTTP servers of our own. Loads its library late."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import MissingExtra, SettingsError
from ..model import Snapshot
from ..settings import Settings
from .readings import Reading, read

if TYPE_CHECKING:
    from .prometheus import MetricsServer
    from .prometheus_files import SharedFiles


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
        self._files: SharedFiles | None = None
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
        from .prometheus_files import SharedFiles, directory

        folder = directory()
        if folder is not None:
            self._files = SharedFiles(folder, self._readings)

    def _readings(self) -> Mapping[str, list[Reading]]:
        return read(self._snapshot(), self._settings.max_sites, self._steps)

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

    def start(self) -> None:
        """Begin to write for a scrape of several processes, where there are. Raises RuntimeError without a thread."""
        if self._files is not None:
            self._files.start()

    def finish(self) -> None:
        """Write for the last time what was counted, after ``close()``."""
        if self._files is not None:
            self._files.finish()

    def close(self) -> None:
        """Leave the registry, and end the servers and the thread that writes."""
        if self._files is not None:
            self._files.stop()
        if self._collector is not None:
            from .prometheus import unregister

            unregister(self._collector, self._registry)
            self._collector = None
        for server in self._servers:
            server.close()
        self._servers.clear()

    def serve(self, port: int, addr: str) -> MetricsServer:
        """Serve the chosen registry, or one with the watch alone, from a thread. Raises MissingExtra and OSError.

        Where several processes write their numbers, all of theirs.
        """
        from .prometheus import serve

        server = serve(self._served(), port, addr)
        self._servers.append(server)
        return server

    def _served(self) -> Any:
        if self._files is not None:
            from .prometheus_files import registry_of_all

            return registry_of_all()
        if self._registry is not None:
            return self._registry
        from .prometheus import registry_with

        return registry_with(self._make())

    def after_fork(self) -> None:
        """The threads are gone in a child: close its copies of the servers' sockets, which nobody reads."""
        if self._files is not None:
            self._files.after_fork()
        for server in self._servers:
            server.close()
        self._servers.clear()
