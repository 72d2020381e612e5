"""Runs several functions again and again at once, each in a thread of its own, for so many seconds."""

from __future__ import annotations

import faulthandler
import sys
import threading
import time
from collections.abc import Callable

PATIENCE = 200.0


def run_together(*works: Callable[[], object]) -> None:
    """Until the seconds that the program was given are over. Raises the first error of any of them."""
    seconds = float(sys.argv[1])
    faulthandler.dump_traceback_later(seconds + PATIENCE, exit=True)  # where it hangs is to be told
    until = time.monotonic() + seconds
    errors: list[BaseException] = []
    ready = threading.Barrier(len(works))

    def repeat(work: Callable[[], object]) -> None:
        try:
            ready.wait(PATIENCE)
            while time.monotonic() < until and not errors:
                work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=repeat, args=[work], daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()) + 2 * PATIENCE)
    faulthandler.cancel_dump_traceback_later()
    if errors:
        raise errors[0]
    if any(thread.is_alive() for thread in threads):
        raise RuntimeError("a thread did not come to its end")


def require(extension: str) -> None:
    """The extension is the one that was compiled, and the interpreter lock has stayed off."""
    module = __import__(extension, fromlist=["*"])
    is_enabled: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)
    if is_enabled():
        raise RuntimeError(f"the interpreter lock is on, with {module.__name__}")
