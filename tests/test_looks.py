"""What each sample of a stall stands for: how much of its time, and how surely."""

from __future__ import annotations

from typing import Any

import pytest

from loopwatch.explain.looks import LATE, seconds_of, shares, weigh
from loopwatch.facts import HandleFacts, Overrun, RawFrame, Sample
from tests.made_overruns import AT_WORK, calls, overrun, seen

TINY = 0.001
ENTERED = RawFrame(AT_WORK.code, 0, AT_WORK.module)


def weights(facts: Overrun) -> list[float]:
    return [round(look.seconds, 6) for look in weigh(facts)]


def at(*moments: tuple[float, float]) -> list[Sample]:
    """Samples by moment (from the beginning) and lateness."""
    return [Sample(100.0 + moment, 100.0, late, (AT_WORK,)) for moment, late in moments]


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        ((), []),
        (((0.5, 0.0),), [1.0]),
        (((0.2, 0.0), (0.4, 0.0)), [0.3, 0.7]),
        (((0.2, 0.0), (0.9, 0.6)), [0.3, 0.7]),
        (((0.2, 0.0), (0.9, 0.9)), [0.2, 0.8]),
        (((0.1, 0.0), (0.3, 0.0), (0.9, 0.0)), [0.2, 0.4, 0.4]),
        (((0.1, 0.0), (1.2, 0.0)), [0.65, 0.35]),
        (((-0.4, 0.0), (0.6, 0.0)), [0.1, 0.9]),
    ],
)
def test_samples_share_the_duration_among_them(moments: Any, expected: list[float]) -> None:
    """Each stands for the time around it, and a late one for all the time in which it was due."""
    assert weights(overrun(samples=at(*moments))) == expected


@pytest.mark.parametrize(
    ("duration", "late", "sure"),
    [
        (10.0, LATE - TINY, True),
        (10.0, LATE, False),
        (0.06, 0.0149, True),
        (0.06, 0.0151, False),
        (0.01, 0.0079, True),
        (0.01, 0.0081, False),
    ],
)
def test_a_sample_is_late_by_the_measure_of_its_stall(duration: float, late: float, sure: bool) -> None:
    """A quarter of a short stall is late already; some milliseconds never are."""
    (look,) = weigh(overrun(duration, samples=at((duration / 2, late))))
    assert look.sure is sure


AROUND = calls("self.call_soon(done)", "asyncio.base_events", "/usr/lib/python3/asyncio/base_events.py")


@pytest.mark.parametrize(
    ("frames", "late", "shown"),
    [
        ((AROUND,), 0.9, ()),
        ((AROUND, AROUND), 0.9, ()),
        ((AROUND,), 0.0, (AROUND,)),
        ((AT_WORK, AROUND), 0.9, (AT_WORK, AROUND)),
        ((AROUND, AT_WORK), 0.9, (AROUND, AT_WORK)),
    ],
)
def test_a_late_sample_of_asyncio_alone_shows_nothing(frames: Any, late: float, shown: Any) -> None:
    """What held the interpreter was over by then, and asyncio went on: it is not to blame for having been seen."""
    (look,) = weigh(overrun(samples=[seen("running", late=late)[0]._replace(frames=frames)]))
    assert look.frames == shown


@pytest.mark.parametrize(
    ("handle", "frames", "before"),
    [
        (ENTERED.code, (ENTERED,), True),
        (ENTERED.code, (AT_WORK,), False),
        (ENTERED.code, (AT_WORK, ENTERED), False),
        (None, (ENTERED,), False),
    ],
    ids=["entered", "at work", "has called another", "called from C"],
)
def test_a_step_that_has_run_nothing_yet_shows_what_was_before_it(handle: Any, frames: Any, before: bool) -> None:
    """Only where it is certain that what was entered is what the loop has called."""
    facts = overrun(samples=[Sample(100.9, 100.0, 0.8, frames)], handle=HandleFacts("view", code=handle))
    (look,) = weigh(facts)
    assert (look.before, look.frames == ()) == (before, before)


def test_shares_are_told_the_most_first() -> None:
    """And add up to what was weighed."""
    looks = weigh(overrun(samples=seen("sleep", "file", "file", "running")))
    found = shares(looks, lambda look: look.sample.activity)
    assert list(found) == ["file", "sleep", "running"]
    assert sum(found.values()) == pytest.approx(seconds_of(looks)) == pytest.approx(1.0)
