"""A thread that lives as long as a test wants it to."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PATIENCE = 20.0


@contextlib.contextmanager
def thread(work: Callable[[], Any], release: Callable[[], Any]) -> Iterator[int]:
    """Runs ``work`` in a thread, which ``release`` lets end; gives its native id. After it the thread is gone."""
    ids: queue.Queue[int] = queue.Queue()

    def body() -> None:
        ids.put(threading.get_native_id())
        work()

    runner = threading.Thread(target=body, daemon=True)
    runner.start()
    try:
        yield ids.get(timeout=PATIENCE)
    finally:
        release()
        runner.join(PATIENCE)
    assert not runner.is_alive()
    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/self/task/{runner.native_id}").exists():  # for the kernel it ends a little later
        assert time.monotonic() < deadline
        time.sleep(0.001)
