"""What the watch says of itself in the log: what it sees, what it turns out not to see, and its own faults."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ..model import Coverage

_log = logging.getLogger("loopwatch")
_FAULTS = 32
_SUBJECTS = 64


class Notices:
    """Each thing is said once. The log's handlers are the application's: call this with no lock held."""

    def __init__(self) -> None:
        self._faults: set[str] = set()
        self._unseen: set[str] = set()

    def begin(self, version: str, seen: Iterable[Coverage]) -> None:
        """The watch is in place, and this is what it sees."""
        seen = list(seen)
        _log.info("loopwatch %s watches: %s", version, "; ".join(map(str, seen)))
        self.unseen(seen)

    def unseen(self, seen: Iterable[Coverage]) -> None:
        """Warn of what is not seen at all, unless that was said before."""
        for entry in seen:
            if entry.seen == "blind" and entry.subject not in self._unseen and len(self._unseen) < _SUBJECTS:
                self._unseen.add(entry.subject)
                _log.warning("loopwatch does not see %s: %s.", entry.subject, entry.detail)

    def fault(self, error: BaseException) -> None:
        """An error of our own, from which the application was kept."""
        text = f"{type(error).__name__}: {error}"
        if text not in self._faults and len(self._faults) < _FAULTS:
            self._faults.add(text)
            _log.error("loopwatch: a hook failed and let the call pass unwatched.", exc_info=error)
