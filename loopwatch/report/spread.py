"""How values spread, estimated from a histogram: for those who want a number where there are buckets."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from math import sqrt

from ..model import Histogram

_PARTS = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def since(before: Histogram | None, now: Histogram) -> Histogram:
    """What ``now`` has more than ``before``, an earlier reading of the same histogram."""
    if before is None:
        return now
    counts = tuple(max(0, more - less) for more, less in zip(now.counts, before.counts, strict=True))
    return Histogram(now.bounds, counts, max(0.0, now.sum - before.sum))


def spread(values: Histogram) -> Mapping[str, float]:
    """``min``, ``max``, ``mean``, ``stddev``, ``p50``, ``p90`` and ``p99`` of the values; nothing where there are none.

    The mean is exact. The least and the greatest are the bounds of the outermost buckets with a value, between the
    bounds of a bucket values count as evenly spread, and what lies above the last bound counts as that bound.
    """
    total = values.count
    if not total:
        return {}
    edges = (0.0, *values.bounds, values.bounds[-1])
    filled = [index for index, count in enumerate(values.counts) if count]
    mean = values.sum / total
    square = sum(
        count * ((edges[index] + edges[index + 1]) / 2 - mean) ** 2 for index, count in enumerate(values.counts)
    )
    found = {"min": edges[filled[0]], "max": edges[filled[-1] + 1], "mean": mean, "stddev": sqrt(square / total)}
    for name, part in _PARTS.items():
        found[name] = _percentile(values, edges, part * total)
    return found


def _percentile(values: Histogram, edges: tuple[float, ...], rank: float) -> float:
    """The value below which there are ``rank`` values."""
    for index, (below, count) in enumerate(zip(accumulate(values.counts), values.counts)):
        if count and below >= rank:
            low, high = edges[index], edges[index + 1]
            return low + (high - low) * (rank - (below - count)) / count
    return edges[-1]
