"""Keeps each verdict until there is news of its origin: to find it again would cost more than to count the jobs."""

from __future__ import annotations

from typing import NamedTuple

from ..facts import OffloadTally
from ..model import Offload
from .culprit import OwnCode
from .offload import Site, judge, name_site


class _Kept(NamedTuple):
    tally: OffloadTally
    site: Site
    offload: Offload


class Verdicts:
    """The verdicts on the origins of one recorder, which bounds their number. From any thread.

    Equal tallies are told by their identity: the recorder gives the same object until it has counted more.
    """

    def __init__(self, own: OwnCode) -> None:
        self._own = own
        self._kept: dict[int, _Kept] = {}

    def of(self, tally: OffloadTally) -> Offload:
        """The verdict on all jobs of one origin so far."""
        # What is kept holds the origin, so that no other can have its id.
        kept = self._kept.get(id(tally.origin))
        if kept is not None and kept.tally is tally:
            return kept.offload
        site = name_site(tally.origin, self._own) if kept is None else kept.site
        offload = judge(tally, self._own, site)
        self._kept[id(tally.origin)] = _Kept(tally, site, offload)
        return offload
