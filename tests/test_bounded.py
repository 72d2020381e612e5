"""What nobody collects is bounded, and what was lost by that is counted."""

from __future__ import annotations

import threading
from typing import Any

from loopwatch.observe.bounded import Faults, Finished


def put(jobs: Finished, *given: Any) -> None:
    for each in given:
        jobs.put(each)


def test_jobs_are_taken_once_oldest_first() -> None:
    """What was taken is not there any more, and nothing of it was lost."""
    jobs = Finished(5)
    put(jobs, 1, 2, 3)
    assert (jobs.take(), jobs.take(), jobs.dropped) == ([1, 2, 3], [], 0)


def test_the_newest_jobs_are_kept_and_the_lost_ones_counted() -> None:
    """Beyond the bound the oldest go; how many went is known as soon as someone looks."""
    jobs = Finished(3)
    put(jobs, *range(10))
    assert (jobs.take(), jobs.dropped) == ([7, 8, 9], 7)
    put(jobs, *range(4))
    assert (jobs.take(), jobs.dropped) == ([1, 2, 3], 8)


def test_a_queue_that_is_full_to_the_brim_has_lost_nothing() -> None:
    """The bound itself is no loss."""
    jobs = Finished(3)
    for _ in range(4):
        put(jobs, 1, 2, 3)
        assert len(jobs.take()) == 3
    assert jobs.dropped == 0


def test_jobs_that_are_forgotten_are_not_lost() -> None:
    """A fork begins with an empty queue, and its first loss is its own."""
    jobs = Finished(3)
    put(jobs, *range(3))
    jobs.clear()
    put(jobs, *range(3))
    assert (jobs.take(), jobs.dropped) == ([0, 1, 2], 0)
    put(jobs, *range(5))
    assert (len(jobs.take()), jobs.dropped) == (3, 2)


def test_a_count_that_has_slipped_is_no_loss() -> None:
    """Where two threads have counted as one, neither that nor a later loss is told wrongly."""
    jobs = Finished(3)
    put(jobs, 1, 2)
    jobs.added -= 1
    assert (jobs.take(), jobs.dropped) == ([1, 2], 0)
    put(jobs, *range(5))
    assert (len(jobs.take()), jobs.dropped) == (3, 2)


def test_jobs_of_many_threads_are_taken_or_counted() -> None:
    """However adding and taking fall: what was not taken was lost, but for a few that counted as one."""
    jobs, taken, number = Finished(50), [], 5000

    def add() -> None:
        put(jobs, *range(number))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        taken += jobs.take()
    taken += jobs.take()
    assert abs(4 * number - len(taken) - jobs.dropped) <= 0.02 * 4 * number


def test_faults_beyond_the_bound_are_counted() -> None:
    """The newest are kept; a new watch begins to count anew."""
    faults = Faults(2)
    errors = [ValueError(number) for number in range(5)]
    for error in errors:
        faults.append(error)
    assert (list(faults), faults.dropped) == (errors[3:], 3)
    faults.clear()
    assert (list(faults), faults.dropped) == ([], 0)
