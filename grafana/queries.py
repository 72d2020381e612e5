"""PromQL over the metric table: a name or a label that is not in it is an error here, not an empty panel."""

from __future__ import annotations

from loopwatch.metrics import METRICS

_VARIABLES = ("loop", "executor")
"""Labels of metrics by which a viewer may choose, besides the target's own ``job`` and ``instance``."""

EVERY = "$__rate_interval"
SHOWN = "$__range"


def series(name: str, suffix: str = "", **labels: str) -> str:
    """A selector of the metric ``name``, as the dashboard's variables filter it.

    ``labels`` are wanted values; one that begins with ``!`` is not wanted. ``suffix`` is that of a histogram.
    Raises LookupError for what the table does not have.
    """
    metric = METRICS[name]
    if bool(suffix) != (metric.type == "histogram"):
        raise LookupError(f"{name} is a {metric.type}, which has no series {name}{suffix}")
    for label in labels:
        if label not in metric.labels:
            raise LookupError(f"{name} has no label {label!r}")
    chosen = [f'{label}=~"${label}"' for label in ("job", "instance")]
    chosen += [f'{label}=~"${label}"' for label in _VARIABLES if label in metric.labels and label not in labels]
    chosen += [
        f'{label}!="{value[1:]}"' if value.startswith("!") else f'{label}="{value}"' for label, value in labels.items()
    ]
    return f"{name}{suffix}{{{', '.join(chosen)}}}"


def rate(name: str, suffix: str = "", **labels: str) -> str:
    """How fast a counter, or one of a histogram's, grows in a second."""
    return f"rate({series(name, suffix, **labels)}[{EVERY}])"


def grown(name: str, suffix: str = "", **labels: str) -> str:
    """By how much it grew in the time that is shown."""
    return f"increase({series(name, suffix, **labels)}[{SHOWN}])"


def total(by: str, of: str) -> str:
    """The sum, by these labels; of everything where there is none."""
    return f"sum by ({by}) ({of})" if by else f"sum({of})"


def worst(by: str, of: str) -> str:
    """The greatest, by these labels; of everything where there is none."""
    return f"max by ({by}) ({of})" if by else f"max({of})"


def top(most: int, of: str) -> str:
    """The greatest few, so that hundreds of instances stay readable."""
    return f"topk({most}, {of})"


def quantile(share: float, name: str, by: str = "", **labels: str) -> str:
    """A quantile of a histogram over all that is chosen, or by some labels."""
    buckets = total(", ".join(filter(None, ("le", by))), rate(name, "_bucket", **labels))
    return f"histogram_quantile({share}, {buckets})"


def mean(name: str, by: str = "", **labels: str) -> str:
    """The mean of a histogram's values."""
    return f"{total(by, rate(name, '_sum', **labels))} / {total(by, rate(name, '_count', **labels))}"
