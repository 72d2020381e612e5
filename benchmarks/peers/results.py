"""The file that the tables are made from: what was measured, with which versions, when and on what."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "results.json"

Results = dict[str, Any]


def read(file: Path = FILE) -> Results:
    """What is there so far; parts that were measured at different times say so each."""
    if not file.exists():
        return {}
    results: Results = json.loads(file.read_text(encoding="utf-8"))
    return results


def write(results: Results, file: Path = FILE) -> None:
    """Whole or not at all: an interrupted run leaves a file that can be read."""
    beside = file.with_suffix(".part")
    beside.write_text(json.dumps(results, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(beside, file)


def _arguments(given: list[str]) -> str:
    """As they were given, without the name of a file."""
    words = " ".join(f'"{word}"' if " " in word else word for word in given)
    return re.sub(r"--to[ =](\"[^\"]*\"|\S+) ?", "", words)


def circumstances(python: str, versions: dict[str, str]) -> Results:
    """When and on what a part was measured, without a word of where."""
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": f"python -m benchmarks.peers {_arguments(sys.argv[1:])}".strip(),
        "python": python,
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "versions": versions,
    }
