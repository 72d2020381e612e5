"""Events made by hand, of a shop whose code and pools have names, and the source file that their frames stand in."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from loopwatch.model import Backlog, Frame, Offload, Stall

VIEWS = """\
import time


def checkout(cart):
    for item in cart:
        price(item)


def price(item):
    time.sleep(0.35)\t# a tab
"""


def source(folder: Path) -> Path:
    """A file with the lines above."""
    file = folder / "views.py"
    file.write_text(VIEWS, encoding="utf-8")
    return file


def frame(function: str, line: int, file: object = "/srv/shop/views.py", module: str = "shop.views") -> Frame:
    return Frame(module=module, function=function, file=str(file), line=line)


def library(module: str, function: str = "call", line: int = 1) -> Frame:
    """A frame of an installed package."""
    return frame(function, line, f"/srv/lib/site-packages/{module.replace('.', '/')}.py", module)


CHECKOUT = frame("checkout", 42)
SEND = frame("send", 7, "/srv/shop/db.py", "shop.db")
REQUEST = frame("Database._request", 54, module="shop.db")


def stall(**changes: Any) -> Stall:
    """A step of 352 ms, of which no more is known."""
    given = {
        "id": "1", "kind": "step", "duration": 0.352, "started_at": 1_700_000_000.0, "loop": "main",
        "thread": "MainThread", "coroutine": "checkout", "callback": "checkout", "task": "req-8",
    }  # fmt: skip
    return Stall(**{**given, **changes})


def backlog(**changes: Any) -> Backlog:
    """A full pool of three workers, of which no more is known than whose jobs held them."""
    given = {
        "id": "2", "executor": "database", "workers": 3, "depth": 9, "waited": 0.471, "duration": 2.07,
        "started_at": 1_700_000_000.0, "jobs": 40, "culprit": REQUEST,
    }  # fmt: skip
    return Backlog(**{**given, **changes})


def offload(**changes: Any) -> Offload:
    """A client that is three threads inside."""
    given = {
        "site": "shop.db.Database._request:54 from shop.views.order:20", "target": "shop.db.Database._send",
        "executor": "database", "jobs": 15, "wait_seconds": 4.24, "run_seconds": 2.366, "cpu_seconds": 0.0162,
        "verdict": "simulated async", "cause": "wait", "workers": 3, "evidence": {"waited_for": "network"},
    }  # fmt: skip
    return Offload(**{**given, **changes})


def text(expected: str) -> str:
    """What stands indented between three quotes."""
    return textwrap.dedent(expected).strip("\n")
