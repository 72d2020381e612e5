"""What a histogram tells of how its values spread, with the numbers worked out by hand."""

from __future__ import annotations

import pytest

from loopwatch.model import Histogram
from loopwatch.report.spread import since, spread

BOUNDS = (1.0, 2.0, 4.0)


def histogram(*counts: int, total: float) -> Histogram:
    return Histogram(BOUNDS, counts, total)


def test_nothing_is_told_of_no_values() -> None:
    """No value has no mean."""
    assert spread(histogram(0, 0, 0, 0, total=0.0)) == {}


def test_values_spread_evenly_within_a_bucket() -> None:
    """Ten values between 1 and 2, with a mean of 1.6: all but the mean are estimated from the bounds."""
    found = spread(histogram(0, 10, 0, 0, total=16.0))
    assert found == {
        "min": 1.0, "max": 2.0, "mean": 1.6, "stddev": pytest.approx(0.1),
        "p50": 1.5, "p90": 1.9, "p99": pytest.approx(1.99),
    }  # fmt: skip


def test_percentiles_lie_in_the_bucket_of_their_rank() -> None:
    """Of 100 values 50 are below 1, 40 below 2, 10 below 4."""
    found = spread(histogram(50, 40, 10, 0, total=100.0))
    assert [found["p50"], found["p90"], found["p99"]] == pytest.approx([1.0, 2.0, 3.8])
    assert (found["min"], found["max"], found["mean"]) == (0.0, 4.0, 1.0)
    # (50 * 0.5² + 40 * 0.5² + 10 * 2²) / 100
    assert found["stddev"] == pytest.approx(0.625**0.5)


def test_what_lies_above_the_last_bound_counts_as_that_bound() -> None:
    """How far above is not known."""
    found = spread(histogram(0, 0, 0, 3, total=300.0))
    assert (found["min"], found["max"], found["p50"], found["mean"]) == (4.0, 4.0, 4.0, 100.0)


def test_only_what_is_new_counts() -> None:
    """Of two readings the difference; a reading that has begun anew takes nothing away."""
    before, now = histogram(1, 2, 0, 0, total=3.0), histogram(1, 5, 1, 0, total=11.0)
    assert since(before, now) == histogram(0, 3, 1, 0, total=8.0)
    assert since(None, now) is now
    assert since(now, before) == histogram(0, 0, 0, 0, total=0.0)
