"""What the dashboards ask of Prometheus, read from their JSON, with the viewer's choices filled in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parent / "dashboards"

CHOSEN = {
    "$job": ".*",
    "$instance": ".*",
    "$loop": ".*",
    "$executor": ".*",
    "$__rate_interval": "1m",
    "$__range": "5m",
}


class Expression(NamedTuple):
    dashboard: str
    panel: str
    legend: str
    text: str


def panels(dashboard: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All panels that show something, also those in folded rows."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels", ())
        else:
            yield panel


def expressions() -> Iterator[Expression]:
    """Every expression of every panel."""
    for path in sorted(FOLDER.glob("*.json")):
        for panel in panels(json.loads(path.read_text(encoding="utf-8"))):
            for target in panel["targets"]:
                yield Expression(path.stem, panel["title"], target.get("legendFormat", ""), filled(target["expr"]))


def filled(text: str) -> str:
    """The expression as Grafana sends it when everything is chosen."""
    for variable in sorted(CHOSEN, key=len, reverse=True):
        text = text.replace(variable, CHOSEN[variable])
    return text
