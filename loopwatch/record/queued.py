"""Who is charged with the seconds that jobs waited in queues: those who held the workers, not those who had to wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .recorder import Recorder


class QueuedTime:
    """Collects the waits of jobs, and charges them to sites. Under the watch's drain lock."""

    def __init__(self, recorder: Recorder, site_of: Callable[[Any], str]) -> None:
        """``site_of`` names the site of an origin (any object that stands for equal jobs)."""
        self._recorder = recorder
        self._site_of = site_of
        self._waits: dict[tuple[int, str], tuple[Any, list[float]]] = {}

    def add(self, job: Any, seconds: float) -> None:
        """A job waited because no worker was free. Jobs whose waits end between two looks share their holders."""
        self._waits.setdefault((id(job.held_by), job.pool.name), (job, []))[1].append(seconds)

    def charge(self) -> None:
        """Charge what was added, not a second more or less.

        What rounding leaves goes to who held the workers longest, as the number of the jobs does.
        """
        for job, waits in self._waits.values():
            seconds = sum(waits)
            (chief, _), *others = sorted(self._shares(job).items(), key=lambda each: -each[1])
            for site, share in others:
                self._lose(site, seconds * share, 0)
            self._lose(chief, max(0.0, seconds * (1.0 - sum(share for _, share in others))), len(waits))
        self._waits.clear()

    def _lose(self, site: str, seconds: float, jobs: int) -> None:
        self._recorder.lost("queue", site, "backlog", seconds, jobs)

    def _shares(self, job: Any) -> dict[str, float]:
        """By site. Where no job is known to have held workers, the executor is named, as in the backlog itself."""
        sites: dict[str, float] = {}
        for lane, share in job.held_by or ((None, 1.0),):
            site = self._executor(job.pool) if lane is None else self._site(lane)
            sites[site] = sites.get(site, 0.0) + share
        return sites

    def _executor(self, pool: Any) -> str:
        return self._recorder.labels({pool.name: pool.kind})[pool.name]

    def _site(self, lane: Any) -> str:
        lane.site = lane.site or self._site_of(lane.origin)
        site: str = lane.site
        return site
