"""Code that runs in a thread and is looked at there, while it stands still."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

PATIENCE = 20.0
"""Seconds after which a test gives up; nothing here takes longer than some milliseconds."""

INLINED = sys.version_info >= (3, 12)
"""Comprehensions have no frame of their own."""


def in_thread(work: Callable[[], Any], look: Callable[[int], Any], release: Callable[[], Any]) -> Any:
    """Runs ``work`` in a thread, looks at it, and lets it end."""
    failures: list[BaseException] = []

    def body() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    try:
        found = look(thread.ident or 0)
    finally:
        release()
        thread.join(PATIENCE)
    assert not thread.is_alive() and not failures, failures
    return found


def frames_of(ident: int) -> Iterator[FrameType]:
    frame: FrameType | None = sys._current_frames()[ident]
    while frame is not None:
        yield frame
        frame = frame.f_back
