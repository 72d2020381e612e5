"""The default reporter: one WARNING an event on the logger ``loopwatch``, readable without the manual."""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

from .. import _compat
from ..errors import SettingsError
from ..model import Backlog, Event, Offload, Stall
from .text import lack, not_told, render, retell

_REMEMBERED = 1024
_WORSE = 10
"""A finding more than this many times as long as the equal one that was told is news."""

_SHORT = ("event", "id", "site", "cause", "duration", "loop", "executor", "verdict", "in_progress", "suppressed",
          "trace_id", "span_id")  # fmt: skip
"""The fields that a record has as attributes of its own."""

_Value = TypeVar("_Value")


class _Key(NamedTuple):
    """Equal for findings that are one and the same to a reader: of what kind they are, at which site."""

    event: str
    what: str
    site: str
    more: str = ""


@dataclass(slots=True)
class _Told:
    """The latest finding that was told of one cause at one site, and how many equal ones were left out since."""

    at: float
    duration: float
    left_out: int = 0


class _Lasting(NamedTuple):
    """What was said in full of a stall or backlog that has not ended."""

    key: _Key
    remedy: str


class _Latest(OrderedDict[Any, _Value], Generic[_Value]):
    """Keeps the latest entries, and only so many."""

    def keep(self, key: object, value: _Value) -> _Value | None:
        """Returns the entry that had to go for it, if any."""
        self[key] = value
        self.move_to_end(key)
        return self.popitem(last=False)[1] if len(self) > _REMEMBERED else None


class LogReporter:
    """Writes events to a logger; an equal (cause, site) only once in ``repeat_interval`` seconds.

    What was left out is counted in ``suppressed`` of the next one told, and what has no next one is
    told by ``finish()``. A finding more than ten times as long as the one told is not equal to it, so
    a deadlock is told even where a short wait was. What is told while it lasts is told again when it
    ends, in one line if nothing is new.

    Every record carries the event's fields as ``record.loopwatch`` (the dictionary of ``to_dict()``)
    and the commonest of them, prefixed with ``loopwatch_``, for formatters that write JSON. Called
    in the watch's reporter thread; source lines are read there.

    A logger that is disabled after this was made is enabled again, once, and says so: ``logging.config`` disables all
    that it is not told of. Who wants no log sets the logger's level.

    Raises :class:`SettingsError` for an interval that is negative or no number.
    """

    def __init__(
        self,
        logger: logging.Logger | None = None,
        *,
        repeat_interval: float = 60.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        if not isinstance(repeat_interval, (int, float)) or not repeat_interval >= 0:
            raise SettingsError("repeat_interval", repeat_interval, "a number of seconds, 0 or more")
        self._logger = logger or logging.getLogger("loopwatch")
        self._interval = repeat_interval
        self._clock = clock or _compat.clocks.monotonic
        self._failed = False
        self._may_enable = not self._logger.disabled
        self._forget()

    def _forget(self) -> None:
        """Begin anew, in this process."""
        self._process = os.getpid()
        self._told: _Latest[_Told] = _Latest()
        self._lasting: _Latest[_Lasting] = _Latest()
        self._forgotten = 0

    def __call__(self, event: Event) -> None:
        """Write ``event``, unless an equal one was written a moment ago."""
        if self._logger.disabled and self._may_enable:
            self._enable()
        if not self._logger.isEnabledFor(logging.WARNING):
            return
        if self._process != os.getpid():
            self._forget()  # what the parent of a fork left out is for the parent to tell
        key = _key(event)
        before = self._lasting.pop(_id(event), None)
        known = self._told.get(key)
        if before is None and known is not None and not self._is_news(event, known):
            return
        if known is not None:
            event = replace(event, suppressed=event.suppressed + known.left_out)
        gone = self._told.keep(key, _Told(self._clock(), _duration(event)))
        self._forgotten += gone.left_out if gone is not None else 0
        if _lasts(event):
            self._lasting.keep(_id(event), _Lasting(key, event.remedy))
        self._write(event, before.remedy if before is not None and before.key == key else None)

    def _enable(self) -> None:
        """Against ``disable_existing_loggers``, which is true by default (``Lib/logging/config.py``)."""
        self._may_enable = self._logger.disabled = False
        why = "as logging.config does with loggers that it is not told of"
        self._warn(lambda: f"The logger {self._logger.name!r} was disabled, {why}; it is enabled again.", {})

    def _is_news(self, event: Event, known: _Told) -> bool:
        if self._clock() - known.at >= self._interval or _duration(event) > _WORSE * known.duration:
            return True
        if not _lasts(event):  # each is counted once, when it ends
            known.left_out += 1
        return False

    def finish(self) -> None:
        """Tell in one line what was left out and not told of since, by site; called when the watch ends."""
        if self._process == os.getpid() and self._logger.isEnabledFor(logging.WARNING):
            left: Counter[tuple[str, str]] = Counter()
            for key, told in self._told.items():
                left[key.what, key.site] += told.left_out
            counts = [(what, site, times) for (what, site), times in left.most_common() if times]
            if counts or self._forgotten:
                self._warn(lambda: not_told(counts, self._forgotten), _summary(counts, self._forgotten))
        self._forget()

    def _write(self, event: Event, told: str | None) -> None:
        """``told``: the remedy with which all else was told before."""
        self._warn(lambda: render(event) if told is None else retell(event, told), _fields(event))

    def _warn(self, text: Callable[[], str], extra: Mapping[str, object]) -> None:
        try:
            self._logger.warning(text(), extra=extra)
        except Exception as error:
            # A handler or filter of the application's raised. Others may work, and so may this one next time.
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        """Say it once, where logging itself says that a handler fails."""
        if self._failed or not logging.raiseExceptions or sys.stderr is None:
            return
        self._failed = True
        try:
            what = f"the logger {self._logger.name!r} could not take an event: {type(error).__name__}: {error}"
            print(f"loopwatch: {what} (told only once)", file=sys.stderr)
        except (OSError, ValueError):  # closed
            return


def _key(event: Event) -> _Key:
    if isinstance(event, Stall):
        # What nobody is charged with has no site that tells one from the other: what was running does.
        seen = event.stack[-1] if event.culprit is None and event.stack else None
        return _Key(
            event.event, lack(event) or event.cause, event.site, f"{seen.module}.{seen.function}" if seen else ""
        )
    if isinstance(event, Backlog):
        # Without the caller, who is charged too: one wrapper's full pool is one finding, whoever has called last.
        site = event.site.partition(" from ")[0]
        return _Key(event.event, "deadlock" if event.self_deadlock else "backlog", site)
    return _Key(event.event, event.verdict, event.site, event.target)


def _id(event: Event) -> str:
    return "" if isinstance(event, Offload) else event.id


def _lasts(event: Event) -> bool:
    return not isinstance(event, Offload) and event.in_progress


def _duration(event: Event) -> float:
    return 0.0 if isinstance(event, Offload) else event.duration


def _summary(counts: Sequence[tuple[str, str, int]], elsewhere: int) -> dict[str, Any]:
    """The fields of what was not told; ``site`` by ``site``, as an event has them."""
    left = [{"cause": what, "site": site, "suppressed": times} for what, site, times in counts]
    total = elsewhere + sum(times for _, _, times in counts)
    facts = {"event": "not told", "suppressed": total, "findings": left}
    return {"loopwatch": facts, "loopwatch_event": "not told", "loopwatch_suppressed": total}


def _fields(event: Event) -> dict[str, Any]:
    facts = event.to_dict()
    known = {**facts, "site": event.site}
    return {"loopwatch": facts, **{f"loopwatch_{name}": known[name] for name in _SHORT if known.get(name) is not None}}
