"""Histograms count as Prometheus does: a bucket holds what is less than or equal to its bound."""

from __future__ import annotations

import math
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwatch.metrics import JOB_BOUNDS
from loopwatch.model import Histogram
from loopwatch.record.histogram import Counts

bounds = st.lists(st.floats(0.0001, 100, allow_nan=False), min_size=1, max_size=8, unique=True).map(
    lambda values: tuple(sorted(values))
)


@st.composite
def bounds_and_values(draw: st.DrawFn) -> tuple[tuple[float, ...], list[float]]:
    """Bounds, and durations of which many lie exactly on a bound, where the rule decides."""
    edges = draw(bounds)
    values = draw(st.lists(st.one_of(st.floats(0, 200, allow_nan=False), st.sampled_from(edges)), max_size=30))
    return edges, values


def filled(edges: tuple[float, ...], values: list[float]) -> Counts:
    counts = Counts(edges)
    for value in values:
        counts.add(value)
    return counts


@given(bounds_and_values())
def test_the_cumulated_counts_are_le(case: tuple[tuple[float, ...], list[float]]) -> None:
    """Summed up to a bound, the counts are the number of values less than or equal to it; +Inf holds all."""
    edges, values = case
    cumulated = list(accumulate(filled(edges, values).counts))
    assert cumulated == [sum(value <= bound for value in values) for bound in (*edges, math.inf)]


@pytest.mark.parametrize(
    ("value", "place"), [(0.0, 0), (0.01, 0), (0.010001, 1), (0.1, 1), (0.5, 2), (1.0, 2), (1.1, 3), (math.inf, 3)]
)
def test_a_value_on_a_bound_belongs_below_it(value: float, place: int) -> None:
    """The bound itself is the largest value of its bucket; the last bucket takes what lies above all bounds."""
    assert filled((0.01, 0.1, 1.0), [value]).counts == [int(place == each) for each in range(4)]


@given(bounds_and_values())
def test_count_and_sum_are_those_of_the_values(case: tuple[tuple[float, ...], list[float]]) -> None:
    """No value is lost or counted twice, and the sum is theirs."""
    edges, values = case
    frozen = filled(edges, values).freeze()
    assert frozen.count == len(values)
    assert frozen.sum == pytest.approx(math.fsum(values))


@given(bounds, st.data())
def test_merging_is_the_same_as_counting_together(edges: tuple[float, ...], data: st.DataObject) -> None:
    """Two histograms merged are one of all values; the one that was merged stays as it was."""
    durations = st.lists(st.floats(0, 200, allow_nan=False), max_size=15)
    ours, theirs = data.draw(durations), data.draw(durations)
    merged, other = filled(edges, ours), filled(edges, theirs)
    before = list(other.counts)
    merged.merge(other.counts, other.sum)
    together = filled(edges, ours + theirs)
    assert merged.counts == together.counts
    assert merged.sum == pytest.approx(together.sum)
    assert other.counts == before


@pytest.mark.parametrize("counts", [[1], [1, 1, 1, 1]], ids=["fewer", "more"])
def test_counts_of_other_bounds_are_refused_whole(counts: list[int]) -> None:
    """What has another number of buckets cannot be merged, and nothing of it is added."""
    mine = filled((0.1, 1.0), [0.05, 5.0])
    with pytest.raises(ValueError):
        mine.merge(counts, 1.0)
    assert mine.freeze() == Histogram((0.1, 1.0), (1, 0, 1), 5.05)


def test_a_frozen_histogram_does_not_change() -> None:
    """A snapshot keeps its numbers while counting goes on."""
    counts = filled(JOB_BOUNDS, [0.002])
    frozen = counts.freeze()
    kept = frozen.to_dict()
    counts.add(0.002)
    counts.merge(counts.counts, counts.sum)
    assert frozen.to_dict() == kept
    assert frozen.count == 1
    assert hash(frozen) == hash(Histogram(JOB_BOUNDS, frozen.counts, frozen.sum))
    assert counts.freeze().count == 4


def test_an_empty_histogram_counts_nothing() -> None:
    """Before the first value there is one count of zero a bucket, the one above all bounds included."""
    assert Counts((0.1, 1.0)).freeze() == Histogram((0.1, 1.0), (0, 0, 0), 0.0)
