"""Work for workers in any thread or process; imports next to nothing, for a process that is spawned waits for that."""

from __future__ import annotations

import os
import time


def double(number: int) -> int:
    return 2 * number


def fail() -> None:
    raise LookupError("on purpose")


def leave_the_process() -> None:
    os._exit(3)


def work(seconds: float) -> None:
    time.sleep(seconds)


def slow_report(seconds: float) -> None:
    time.sleep(seconds)


def lookup() -> None:
    time.sleep(0.002)
