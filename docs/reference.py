"""Writes the pages that are made from the tables in the code: the metrics, and the settings.

python -m docs.reference
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

from loopwatch import settings
from loopwatch.metrics import DELAYS, METRICS, Metric
from loopwatch.settings import PREFIX, Settings

from .queries import QUERIES

FOLDER = Path(__file__).resolve().parent

LABELS = {
    "loop": "the name of the thread that the loop runs in, `main` for the main thread",
    "state": "of a loop `active` or `idle`, of a worker `busy` or `idle`",
    "cause": "why a loop was held: `cpu`, `wait`, `import`, `gc`, `suspended` or `unknown`; of seconds lost in a queue "
    "`backlog`, of those that workers waited `wait`",
    "kind": "`loop`: a loop was held; `queue`: jobs waited because workers were held; `offload`: workers waited on "
    "behalf of a loop",
    "site": "who is charged, as in the log: `package.module.function:line`, with ` from ` and the caller where a "
    "wrapper has one; at most `max_sites` of them, the rest is `other`",
    "part": "`queue`: waited for a worker; `run`: on a worker; `cpu`: the part of `run` that was computed",
    "executor": "the prefix of the names of a pool's threads, `default` for a loop's own pool, `anyio` for AnyIO's "
    "worker threads, `anyio:` and the function that used it first for another limiter, `libuv` for lookups on uvloop",
    "outcome": "`completed`, `failed`, `cancelled`, or `abandoned`: who awaited it gave up while it ran",
    "generation": "`0`, `1` or `2`, as the collector counts them",
    "subject": "what is seen, in the words of `Snapshot.coverage`",
    "seen": "`exact`, `partial` or `blind`",
    "version": "of loopwatch",
    "python": "the version of Python",
    "steps": "by which stopwatch steps are timed, `c` or `python`",
    "coverage": "the weakest of what is seen: `exact`, `partial` or `blind`",
}
"""What the values of each label mean."""

METRICS_BEGIN = """\
# Metrics

Written by `make reference` from [loopwatch/metrics.py](../loopwatch/metrics.py); do not edit it. The names are a
contract: the [dashboards and alerts](prometheus.md) are built on them. In OpenTelemetry the labels are attributes
of the same names. [Prometheus and Grafana](prometheus.md) and [OpenTelemetry](opentelemetry.md) say how to get at them.

Begin with [`loopwatch_blocking_seconds_total`](#loopwatch_blocking_seconds_total): the seconds lost, and where. Of a
stall it has what was the code's own doing, without what a busy host took; `loopwatch_stall_duration_seconds` has all.
"""

QUERIES_BEGIN = """\
## Each metric

Each has a question that it answers, in PromQL. They are made for many instances, and for several workers behind one
target; the tests ask each of a Prometheus that scrapes the FastAPI example under load. A window such as `[5m]` should
span four scrapes or more. `rate` and `increase` see a series from its second scrape on: a stall by which a series
began, as the first of its cause or of its line does, is in the numbers, but not in these.
"""

DELAYS_BEGIN = """\
## For OpenTelemetry alone

Gauges in seconds with the attribute `loop`, as Node.js has them: how the turns of a loop spread. The mean is exact, the
others are estimated from buckets.
"""

SETTINGS_BEGIN = """\
# Settings

Written by `make reference` from [loopwatch/settings.py](../loopwatch/settings.py); do not edit it. Each is an argument,
`loopwatch.install(threshold=0.1)`, and a variable of the environment, `LOOPWATCH_THRESHOLD=0.1`. An argument wins; in
the environment lists are written with commas, and an empty variable counts as unset. A wrong value or a misspelt name
raises `SettingsError`, which says what is allowed. [What to set first](service.md#what-to-do-in-production-first) in
production is little.

A *step* is one run of one callback by the loop, a *turn* one round of the loop between two polls for I/O.
"""

SWITCHES = """\
## Before there is a watch

Two variables are not settings: they are read when loopwatch is built and when it is imported. `0`, `false`, `no` and
`off` count as unset.
"""


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


# --- metrics -----------------------------------------------------------------------------------


def metrics() -> str:
    """The page of all metrics."""
    rows = ((f"[`{row.prometheus}`](#{row.prometheus})", row.type, ", ".join(row.labels)) for row in METRICS.values())
    names = dict.fromkeys(label for row in METRICS.values() for label in row.labels)
    delays = ((f"`{row.opentelemetry}`", row.help) for row in DELAYS.values())
    return "\n".join([
        METRICS_BEGIN,
        table(("Prometheus", "type", "labels"), rows),
        "## Labels\n",
        table(("label", "its values"), ((f"`{name}`", LABELS[name]) for name in names)),
        QUERIES_BEGIN,
        *map(_metric, METRICS.values()),
        DELAYS_BEGIN,
        table(("OpenTelemetry", ""), delays),
    ])  # fmt: skip


def _metric(row: Metric) -> str:
    facts = [
        ("type", row.type),
        ("OpenTelemetry", f"`{row.opentelemetry}`"),
        *([("unit", f"`{row.unit}`")] if row.unit else []),
        *([("labels", ", ".join(f"`{label}`" for label in row.labels))] if row.labels else []),
        *([("several workers", _together(row))] if row.type != "info" else []),
        *([("bounds", ", ".join(f"{bound:g}" for bound in row.bounds))] if row.bounds else []),
    ]
    asked = QUERIES[row.prometheus]
    query = f"{asked.question}\n\n```text\n{asked.promql}\n```\n"
    return f"### `{row.prometheus}`\n\n{row.help}\n\n{table(('', ''), facts)}\n{query}"


def _together(row: Metric) -> str:
    alive = " of those that live" if row.type == "gauge" else ""
    return ("the sum" if row.together == "sum" else "the greatest") + (alive or " of all")


# --- settings ----------------------------------------------------------------------------------


def described() -> Mapping[str, str]:
    """What is said of each setting where it is defined."""
    source = Path(settings.__file__).read_text(encoding="utf-8")
    classes = (each for each in ast.parse(source).body if isinstance(each, ast.ClassDef))
    body = next(each.body for each in classes if each.name == Settings.__name__)
    return {
        ast.unparse(field.target): str(said.value.value).replace("``", "`")
        for field, said in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(said, ast.Expr) and isinstance(said.value, ast.Constant)
    }


def settings_page() -> str:
    """The page of all settings."""
    told = described()
    known = [each for each in fields(Settings) if "rule" in each.metadata]
    rows = ((f"[`{each.name}`](#{each.name})", f"`{_default(each.default)}`", told[each.name]) for each in known)
    parts = [SETTINGS_BEGIN, table(("setting", "default", "meaning"), rows)]
    for each in known:
        rule = each.metadata["rule"]
        facts = [
            ("default", f"`{_default(each.default)}`"),
            ("allowed", rule.allowed),
            ("environment", f"`{PREFIX}{each.name.upper()}`"),
            *([("written there", rule.written)] if rule.written != rule.allowed else []),
        ]
        parts.append(f"## `{each.name}`\n\n{told[each.name]}\n\n{table(('', ''), facts)}")
    switches = (
        (f"`{name}`", said)
        for name, said in (
            (
                settings.NO_EXTENSIONS,
                "do without what is compiled: steps, jobs and calls of uvloop are timed in Python",
            ),
            (settings.REQUIRE_C, "neither build nor import loopwatch without what is compiled"),
        )
    )
    return "\n".join([*parts, SWITCHES, table(("variable", ""), switches)])


def _default(value: object) -> str:
    return repr(value) if not isinstance(value, float) else f"{value:g}"


# --- both --------------------------------------------------------------------------------------


def pages() -> Mapping[str, str]:
    """The text of each page by the name of its file."""
    return {"metrics.md": metrics(), "settings.md": settings_page()}


def main() -> None:
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
