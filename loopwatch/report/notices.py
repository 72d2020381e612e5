"""What the watch says of itself in the log: what it sees, what it turns out not to see, and its own faults."""

from __future__ import annotations

import logging
import sys
from collections import deque
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
        self._faults: set[tuple[str, str]] = set()
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

    def tell(self, faults: deque[BaseException], refused: deque[Exception]) -> None:
        """Tell of errors of our own and of what ``flush()`` was refused, and take them out."""
        while refused:
            self.not_awaited(refused.popleft())
        while faults:
            self.fault(faults.popleft())

    def not_awaited(self, error: BaseException) -> None:
        """``flush()`` was refused to wait."""
        self._once(logging.WARNING, "loopwatch: flush() could not wait (%s). The events are told without it.", error)

    def fault(self, error: BaseException) -> None:
        """An error of our own, from which the application was kept."""
        self._once(logging.ERROR, "loopwatch: a hook failed and let the call pass unwatched.", error)

    def _once(self, level: int, text: str, error: BaseException) -> None:
        """Where ``text`` has a place for it the error is told in one line, otherwise with its traceback."""
        name = f"{type(error).__name__}: {error}"
        if (text, name) in self._faults or len(self._faults) >= _FAULTS:
            return
        self._faults.add((text, name))
        if "%s" in text:
            _log.log(level, text, name)
        else:
            _log.log(level, text, exc_info=error)
