"""What simulated async costs: charges the seconds that workers waited, and says whom to tell of it, once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..model import Offload
from .recorder import Recorder

_TOLD = 4096


class Charges:
    """The seconds charged so far by origin (any object that stands for equal jobs). Under the watch's drain lock."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._charged: dict[Any, float] = {}
        self._told: set[tuple[str, str]] = set()
        self._offloads: dict[Any, Offload] = {}

    def may_grow(self, origin: Any, waited: float) -> bool:
        """Whether its workers waited more than has been charged: otherwise it need not be judged again."""
        return waited > self._charged.get(origin, 0.0)

    def charge(self, origin: Any, offload: Offload, waited: float) -> None:
        """Charge what is new of the seconds that its workers waited so far; all of it when the verdict comes late."""
        more = waited - self._charged.get(origin, 0.0)
        if more > 0:
            self._charged[origin] = waited
            self._offloads[origin] = self._never_less(origin, offload)
            self._recorder.lost("offload", offload.site, offload.cause, more, 0)

    def _never_less(self, origin: Any, offload: Offload) -> Offload:
        """CPU time is an estimate where not every job was measured, and an estimate may come down."""
        before = self._offloads.get(origin)
        if before is None or not before.cpu_seconds or before.cpu_seconds <= (offload.cpu_seconds or 0.0):
            return offload
        return replace(offload, cpu_seconds=before.cpu_seconds)

    def offloads(self) -> tuple[Offload, ...]:
        """What has been charged, as it was when that last grew; in the order in which it began."""
        return tuple(self._offloads.values())

    def first(self, offload: Offload) -> bool:
        """Whether nobody was told of this wrapper and target yet; from then on somebody was."""
        key = (offload.wrapper.site if offload.wrapper else offload.site, offload.target)
        if key in self._told or len(self._told) >= _TOLD:
            return False
        self._told.add(key)
        return True
