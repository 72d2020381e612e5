"""Writes the dashboards' JSON anew.

python -m grafana
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .board import written
from .executors import executors
from .overview import overview
from .simulated_async import simulated_async

FOLDER = Path(__file__).resolve().parent / "dashboards"


def dashboards() -> Mapping[str, str]:
    """The JSON of each dashboard by the name of its file."""
    return {
        "overview.json": written(overview()),
        "executors.json": written(executors()),
        "simulated_async.json": written(simulated_async()),
    }


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, text in dashboards().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
