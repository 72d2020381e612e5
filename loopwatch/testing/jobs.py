"""What became of the jobs of each site between two moments, from the sums at both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..explain.culprit import OwnCode
from ..explain.offload import judge
from ..facts import BriefJobs, OffloadTally
from ..model import Offload

Tallies = Mapping[int, OffloadTally]
"""The sums by the identity of their origin, which lives as long as they do."""


def by_origin(tallies: Iterable[OffloadTally]) -> Tallies:
    return {id(tally.origin): tally for tally in tallies}


def offloads(before: Tallies, after: Tallies, own: OwnCode) -> list[Offload]:
    """The verdicts on the jobs that ended between the two."""
    more = (tally if (old := before.get(key)) is None else less(tally, old) for key, tally in after.items())
    return [judge(tally, own) for tally in more if tally.jobs]


def less(tally: OffloadTally, old: OffloadTally) -> OffloadTally:
    """The jobs of a tally without those that an earlier one had counted."""
    glances = {look: times - old.glances.get(look, 0) for look, times in tally.glances.items()}
    return OffloadTally(
        origin=tally.origin,
        jobs=tally.jobs - old.jobs,
        wait=tally.wait - old.wait,
        run=tally.run - old.run,
        cpu=tally.cpu - old.cpu,
        cpu_known=tally.cpu_known - old.cpu_known,
        workers=tally.workers,
        glances={look: times for look, times in glances.items() if times > 0},
        awaited=tally.awaited - old.awaited,
        covered=tally.covered - old.covered,
        loop_jobs=tally.loop_jobs - old.loop_jobs,
        brief=BriefJobs(*(new - before for new, before in zip(tally.brief, old.brief))),
    )
