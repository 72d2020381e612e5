"""loopwatch itself, set up and judged like all the others."""

from __future__ import annotations

import logging
import re
from typing import Any

from .adapter import THRESHOLD, Adapter, Report, hear

_CAUSE = re.compile(r"\(cause: ([^)]*)\)|while the whole process stood still|had no free worker|has had no free worker")


def cause_in(text: str) -> str:
    """The reason in the first line of what the log says: in brackets for a stall, in words for a backlog."""
    found = _CAUSE.search(text.partition("\n")[0])
    return (found[1] or found[0]) if found else ""


class Loopwatch(Adapter):
    """loopwatch, of this checkout. Source: its README: ``loopwatch.install()``, told by the logger ``loopwatch``,
    each finding in full (``repeat_interval=0``)."""

    def __init__(self) -> None:
        super().__init__()
        self._watch: Any = None

    def install(self) -> None:
        import loopwatch

        hear("loopwatch", self.reports, self._read)
        self._watch = loopwatch.install(threshold=THRESHOLD, repeat_interval=0)

    @staticmethod
    def _read(record: logging.LogRecord, text: str) -> Report:
        return Report(text, cause_in(text))

    def begin(self) -> None:
        self._watch.flush(2.0)
        super().begin()

    def finish(self) -> None:
        self._watch.flush(5.0)
        self._watch.uninstall()
