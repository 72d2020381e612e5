"""What stays in memory of jobs and pools: nothing of the application, and a bounded rest."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from loopwatch.observe.jobs.executors import Pools
from loopwatch.observe.jobs.job import Pool, here
from tests.chores import double
from tests.executing import SOON, Gate, Watched, until


class Payload:
    def run(self) -> Payload:
        return self


def test_nothing_of_the_application_outlives_its_job(watched):
    """Function, arguments and result go when the application lets go, though the job is still to be counted."""
    payload, argument = Payload(), Payload()
    gone = [weakref.ref(payload), weakref.ref(argument)]
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(lambda own, given: own.run(), payload, argument)
        assert future.result() is payload
        jobs = watched.jobs(1)
        del payload, argument, future
        pool.submit(double, 1).result()  # so that the worker has let go as well
        gc.collect()
        assert [ref() for ref in gone] == [None, None]
        jobs += watched.jobs(1)
    assert [job.function for job in jobs] == [None, None]


def test_a_pool_may_be_collected_while_jobs_wait(watched):
    """The jobs still run and are counted; the pool, and what is known of it, are gone."""
    gate = Gate()
    pool = ThreadPoolExecutor(1)
    futures = [pool.submit(gate.hold, number) for number in range(3)]
    gone = weakref.ref(pool)
    del pool
    gc.collect()
    assert gone() is None
    gate.opened.set()
    assert [future.result(SOON) for future in futures] == [0, 1, 2]
    assert [job.outcome for job in watched.jobs(3)] == ["completed"] * 3
    here.worker.job = None
    del futures
    until(lambda: gc.collect() is not None and not list(watched.hook.pools))


def test_pools_that_come_and_go_leave_nothing(watched):
    """The set of pools holds the living ones, and their names stay few."""
    kept = []
    for number in range(200):
        pool = ThreadPoolExecutor(1, f"pool-{number}")
        pool.submit(double, 1).result()
        pool.shutdown()
        if number < 100:
            kept.append(pool)
    watched.jobs(200)
    names = {pool.name for pool in watched.hook.pools}
    assert len(names) <= 65 and "other" in names
    del pool
    kept.clear()
    gc.collect()
    assert list(watched.hook.pools) == []


def test_the_pools_can_be_read_while_others_are_made():
    """A reader never meets a set that changes under its eyes."""
    pools, stop = Pools(), threading.Event()

    def churn() -> None:
        living: deque[Pool] = deque(maxlen=20)
        while not stop.is_set():
            living.append(Pool(pools, "thread", "", lambda: 1.0, lambda: 1))
            pools.add(living[-1])

    churner = threading.Thread(target=churn)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    churner.start()
    try:
        most = max(len(list(pools)) for _ in range(5000))
    finally:
        stop.set()
        churner.join()
        sys.setswitchinterval(before)
    assert most > 0
    assert list(pools) == []


def test_jobs_that_nobody_collects_are_bounded(watched):
    """The newest 50,000 are kept."""
    assert watched.hook.finished.maxlen == 50_000


def test_a_kept_future_does_not_keep_the_watch():
    """After the uninstall nothing of it leads to the hook, and so to all that the watch has counted."""
    watched = Watched()
    watched.hook.install()
    with ThreadPoolExecutor(1) as pool:
        kept = pool.submit(double, 1)
        assert kept.result() == 2
        watched.job()
    watched.hook.uninstall()
    hook = weakref.ref(watched.hook)
    del watched
    gc.collect()
    assert hook() is None and kept.done()
