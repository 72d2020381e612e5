"""Which workers of a real pool are taken by done-callbacks."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from loopwatch.observe.jobs.job import Pool
from loopwatch.observe.looks.taken import with_callbacks
from tests.executing import SOON


@pytest.mark.parametrize(("callbacks", "taken"), [(1, None), (2, 2)])
def test_a_pool_with_a_free_worker_is_not_taken_by_callbacks(callbacks, taken):
    """Only where each of its threads is within one; a thread that waits for work is free."""
    gate, both = threading.Event(), threading.Barrier(2)
    with ThreadPoolExecutor(2) as executor:
        pool = Pool(executor, "thread", "pool", lambda: 2.0, lambda: 2)
        futures = [executor.submit(both.wait, SOON) for _ in range(2)]
        for future in futures:
            future.result(SOON)
        for _ in range(callbacks):
            begun, go = threading.Event(), threading.Event()

            def hold(_: object, begun: threading.Event = begun) -> None:
                begun.set()
                gate.wait(SOON)

            executor.submit(go.wait, SOON).add_done_callback(hold)
            go.set()
            assert begun.wait(SOON)
        time.sleep(0.05)
        found = with_callbacks(pool, [], 5.0)
        gate.set()
    assert (found if found is None else len(found)) == taken
