"""What the watch says of itself in the log: what it sees, what it turns out not to see, and its own faults."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable

from ..model import Coverage
from ..settings import Settings

_log = logging.getLogger("loopwatch")
_FAULTS = 32
_SUBJECTS = 64
_UNLIKELY = 10.0
"""Seconds that hardly anyone would let a loop, or a job, wait untold: more likely milliseconds were meant."""


class Notices:
    """Each thing is said once. The log's handlers are the application's: call this with no lock held."""

    def __init__(self) -> None:
        self._faults: set[str] = set()
        self._unseen: set[str] = set()

    def begin(self, version: str, seen: Iterable[Coverage], settings: Settings) -> None:
        """The watch is in place, and this is what it sees."""
        seen = list(seen)
        _log.info("loopwatch %s watches: %s", version, "; ".join(map(str, seen)))
        if settings.prometheus == "auto" and "prometheus_client" not in sys.modules:
            _log.info("loopwatch: no metrics for Prometheus: prometheus_client is not installed.")
        for name in ("threshold", "executor_wait"):
            chosen = getattr(settings, name)
            if chosen >= _UNLIKELY:
                _log.warning(
                    "loopwatch: %s is %g seconds, so what is shorter is not told. If milliseconds are meant, write %g.",
                    settings.named(name), chosen, chosen / 1000,
                )  # fmt: skip
        self.unseen(seen)

    def unseen(self, seen: Iterable[Coverage]) -> None:
        """Warn of what is not seen at all, unless that was said before."""
        for entry in seen:
            if entry.seen == "blind" and entry.subject not in self._unseen and len(self._unseen) < _SUBJECTS:
                self._unseen.add(entry.subject)
                _log.warning("loopwatch does not see %s: %s.", entry.subject, entry.detail)

    def refused(self, error: BaseException) -> None:
        """Something in the way out was refused."""
        _log.warning(
            "loopwatch: uninstall() could not go on (%s: %s). A thread of its own does the rest.",
            type(error).__name__, error,
        )  # fmt: skip

    def fault(self, error: BaseException) -> None:
        """An error of our own, from which the application was kept."""
        text = f"{type(error).__name__}: {error}"
        if text not in self._faults and len(self._faults) < _FAULTS:
            self._faults.add(text)
            _log.error("loopwatch: a hook failed and let the call pass unwatched.", exc_info=error)
