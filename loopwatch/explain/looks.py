"""What each sample of a stall stands for: how many of its seconds, and how surely."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple, TypeVar

from ..facts import Overrun, RawFrame, Sample
from .culprit import first_import, in_package, just_entered, trim_late

LATE = 0.02
"""A sample that came this much later than planned (seconds) may show what came after the code that held on."""

_LATE_SHARE = 0.25
_ON_TIME = 0.008
"""Lateness that every sample may have: the interpreter is handed on once in some milliseconds."""

_Key = TypeVar("_Key", bound=Hashable)


class Look(NamedTuple):
    """A sample, the seconds of the stall that it stands for, and whether it was taken in time to be trusted.

    ``before``: the step had run nothing yet, so up to then the time was that between it and the step before.
    """

    sample: Sample
    seconds: float
    sure: bool
    before: bool = False

    @property
    def frames(self) -> tuple[RawFrame, ...]:
        return self.sample.frames


def weigh(overrun: Overrun) -> list[Look]:
    """The samples with their weights, which add up to the duration.

    Samples are taken at growing distances, so each stands for the time around it, and a late one for
    all the time in which it was due. A frame that had only just been entered is left out of each:
    threads are made to give up the interpreter where functions begin, which says nothing of them.
    A late one that shows nothing but asyncio itself shows nothing.
    """
    end = overrun.started + overrun.duration
    late = min(LATE, max(_ON_TIME, _LATE_SHARE * overrun.duration))
    samples = overrun.samples
    looks = []
    since = overrun.started
    for index, sample in enumerate(samples):
        until = end if index + 1 == len(samples) else _between(sample, samples[index + 1], late)
        until = min(end, max(since, until))
        sure = sample.late < late
        if _is_before(sample, overrun):
            looks.append(Look(sample._replace(frames=(), importing=None), until - since, sure, before=True))
        else:
            looks.append(Look(_trimmed(sample, sure), until - since, sure))
        since = until
    return looks


def _between(one: Sample, following: Sample, late: float) -> float:
    """The moment up to which the one counts, and from which the following does."""
    if following.late >= late:
        return max(one.at, following.at - following.late)
    return (one.at + following.at) / 2


def _is_before(sample: Sample, overrun: Overrun) -> bool:
    """Whether it shows what the loop called, and nothing of it has run: the interpreter is given up there, too."""
    frames = sample.frames
    return len(frames) == 1 and frames[0].code is overrun.handle.code and just_entered(frames[0])


def _trimmed(sample: Sample, sure: bool) -> Sample:
    frames = trim_late(sample.frames)
    if not sure and all(in_package(frame.module, "asyncio") for frame in frames):
        frames = ()  # the loop goes on with what comes next: the code that held the interpreter is over
    importing = sample.importing
    if not sure and first_import(frames) is None:
        importing = None  # it had only just begun when the interpreter came free
    return sample._replace(frames=frames, importing=importing)


def shares(looks: Iterable[Look], key: Callable[[Look], _Key | None]) -> dict[_Key, float]:
    """The seconds by key, the most first; looks whose key is None are left out."""
    found: dict[_Key, float] = {}
    for look in looks:
        name = key(look)
        if name is not None:
            found[name] = found.get(name, 0.0) + look.seconds
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def seconds_of(looks: Iterable[Look]) -> float:
    return sum(look.seconds for look in looks)
