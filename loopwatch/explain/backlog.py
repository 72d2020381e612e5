"""From an episode of a full pool, as counted, to a backlog in words: who filled it, and who held its workers."""

from __future__ import annotations

from collections import Counter

from .._compat import gil_enabled
from ..facts import Activity, Congestion, Origin, RawFrame, WorkerLook
from ..model import Backlog, Frame, Holder, Submitter
from .culprit import OwnCode, find_culprit, in_package, to_frame, to_stack
from .offload import locate, name_site, site_of
from .remedy import Holding, backlog_remedy

_SUBMITTERS = 10
_OTHERS = "other"
_HALF = 0.5
_WORKERS_OWN = ("threading", "concurrent.futures.thread", "anyio._backends._asyncio")


def explain_backlog(congestion: Congestion, own: OwnCode) -> Backlog:
    """The backlog that an episode was. Pure; may be called from any thread."""
    seen = Counter(look.activity for look in congestion.holders if look.activity)
    packages = {frame.module.partition(".")[0] for look in congestion.holders for frame in look.frames}
    chief, held = _chief(congestion, own)
    # Where no job was seen to hold a worker, those that only waited are not to blame for what the application held.
    unseen = congestion.taken > 0 and held <= 0.0
    return Backlog(
        id=congestion.id,
        executor=congestion.executor,
        workers=congestion.workers,
        depth=congestion.depth,
        waited=congestion.waited,
        duration=(congestion.seen if congestion.ended is None else congestion.ended) - congestion.started,
        started_at=congestion.started_at,
        jobs=congestion.jobs,
        culprit=_culprit(chief, congestion, own) if chief is not None and not unseen else None,
        charged_site=site_of(chief, own) if chief is not None and not unseen else "",
        submitters=_submitters(congestion, own),
        holders=tuple(_holder(look, own) for look in congestion.holders),
        self_deadlock=_is_deadlock(congestion),
        evidence={
            "kind": congestion.kind,
            "seen": dict(seen),
            "nested": congestion.nested,
            "progressing": congestion.progressing,
            "held_seconds": round(held, 6),
            **({"held_directly": congestion.taken} if congestion.taken else {}),
        },
        remedy=backlog_remedy(_holding(congestion, seen, unseen), congestion.workers, packages, congestion.executor),
        in_progress=congestion.ended is None,
        trace_id=congestion.span.trace_id if congestion.span is not None else None,
        span_id=congestion.span.span_id if congestion.span is not None else None,
    )


def _is_deadlock(congestion: Congestion) -> bool:
    return congestion.nested > 0 and not congestion.progressing


def _holding(congestion: Congestion, seen: Counter[Activity], unseen: bool) -> Holding:
    """For what the workers were held; ``seen`` is what they were seen to do, ``unseen``: no job held one."""
    if _is_deadlock(congestion):
        return "jobs of the pool"
    if congestion.kind == "libuv":
        return "lookups"
    if seen["network"] > 0 and seen["network"] + seen["sleep"] >= _HALF * seen.total():
        return "network"
    if unseen:
        return "application"
    # Of a pool with a processor for each worker it is not known that they stand in each other's way.
    computes = congestion.kind == "thread" and seen["running"] > _HALF * seen.total()
    return "computing" if computes and gil_enabled() else "other"


def _chief(congestion: Congestion, own: OwnCode) -> tuple[Origin | None, float]:
    """The origin from whose site came the jobs that held the workers longest, and for how many seconds they did."""
    held: dict[str, float] = {}
    waited: dict[str, float] = {}
    origins: dict[str, Origin] = {}
    for tally in congestion.tallies:
        site = site_of(tally.origin, own)
        held[site] = held.get(site, 0.0) + tally.held
        waited[site] = waited.get(site, 0.0) + tally.waited
        origins[site] = tally.origin  # any of them names it
    chief = max(held, key=lambda site: (held[site], waited[site]), default=None)
    return (origins[chief], held[chief]) if chief is not None else (None, 0.0)


def _culprit(chief: Origin, congestion: Congestion, own: OwnCode) -> Frame | None:
    """Own code that handed the work over; where none did, own code that a worker was running; else a library's."""
    wrapper = locate(chief, own).wrapper
    if wrapper is not None and own.owns(wrapper):
        return to_frame(wrapper)
    site = name_site(chief, own)
    for look in congestion.holders:
        if site_of(look.origin, own) == site.name:
            frame = find_culprit(look.frames, own)
            if frame is not None and own.owns(frame):
                return to_frame(frame)
    return site.target or site.wrapper


def _submitters(congestion: Congestion, own: OwnCode) -> tuple[Submitter, ...]:
    """Who waited, the longest first; the shares add up to 1."""
    sums: dict[str, list[float]] = {}
    for tally in congestion.tallies:
        if tally.jobs:
            entry = sums.setdefault(site_of(tally.origin, own), [0, 0.0])
            entry[0] += tally.jobs
            entry[1] += tally.waited
    ordered = sorted(sums.items(), key=lambda item: -item[1][1])
    if len(ordered) > _SUBMITTERS:
        rest = [entry for _, entry in ordered[_SUBMITTERS - 1 :]]
        ordered[_SUBMITTERS - 1 :] = [(_OTHERS, [sum(column) for column in zip(*rest)])]
    total = sum(waited for _, (_, waited) in ordered)
    return tuple(
        Submitter(site, int(jobs), waited, waited / total if total else 1 / len(ordered))
        for site, (jobs, waited) in ordered
    )


def _holder(look: WorkerLook, own: OwnCode) -> Holder:
    stack = to_stack(_without_worker(look.frames))
    return Holder(look.thread, site_of(look.origin, own), look.origin.target, look.seconds, stack)


def _without_worker(frames: tuple[RawFrame, ...]) -> tuple[RawFrame, ...]:
    """The stack of the job: what every worker thread begins with says nothing; a job in C has no other."""
    for index, frame in enumerate(frames):
        if not any(in_package(frame.module, name) for name in _WORKERS_OWN):
            return frames[index:]
    return frames
