"""What is summed up of the jobs of one origin, for a verdict on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from loopwatch.facts import Glance
from loopwatch.record.recorder import Recorder
from tests.made_counts import Job, line, origin, tally


def test_jobs_without_a_cpu_clock_do_not_dilute_the_others() -> None:
    """CPU time is known of a part of the run time, and that part is told."""
    recorder = Recorder()
    counts = recorder.counts(origin(), "thread", 3)
    for cpu in (0.5, None, -0.001):  # a clock that was read in two threads
        counts.job(Job(cpu=cpu, for_loop=False))
    found = tally(recorder)
    assert (found.run, found.cpu, found.cpu_known, found.loop_jobs) == (2.25, 0.5, 0.75, 0)


def test_glances_are_counted_up_to_a_number_of_kinds() -> None:
    """What a worker was seen doing is kept by kind; the kinds that come too late are not."""
    recorder = Recorder()
    counts = recorder.counts(origin(), "thread", 3)
    for number in range(300):
        counts.job(Job(glances=[Glance("network", line(number), ("shop",))]))
    counts.job(Job(glances=[Glance("network", line(0), ("shop",))] * 2))
    seen = tally(recorder).glances
    assert len(seen) == 128
    assert seen[Glance("network", line(0), ("shop",))] == 3


def test_callers_time_is_added_up() -> None:
    """How long the submitting tasks took, and the part of it in which these jobs were under way."""
    recorder = Recorder()
    counts = recorder.counts(origin(), "thread", 3)
    counts.caller(2.0, 1.5)
    counts.caller(1.0, 0.0)
    assert (tally(recorder).awaited, tally(recorder).covered) == (3.0, 1.5)


@pytest.mark.parametrize(
    ("number", "run", "quick"), [(99, 0.0005, False), (100, 0.0005, True), (100, 0.0015, False), (5000, 0.0005, True)]
)
def test_many_short_jobs_are_quick(number: int, run: float, quick: bool) -> None:
    """From a hundred jobs of less than a millisecond on, their CPU time is not worth a clock."""
    counts = Recorder().counts(origin(), "thread", 3)
    for _ in range(number):
        counts.job(Job(started=100.0, ended=100.0 + run))
    assert counts.are_quick() is quick


def brief_jobs(counts: Any, number: int, run: float = 0.0005) -> None:
    for _ in range(number):
        counts.job(Job(started=100.0, ended=100.0 + run))


def test_a_site_whose_jobs_become_long_is_measured_again() -> None:
    """However many brief ones there were: what is known of those says nothing of these."""
    counts = Recorder().counts(origin(), "thread", 3)
    brief_jobs(counts, 20_000)
    assert counts.are_quick()
    assert counts.are_quick()  # no jobs, no news
    brief_jobs(counts, 2, run=0.05)
    assert not counts.are_quick()
    brief_jobs(counts, 2)
    assert counts.are_quick()


def test_many_short_jobs_are_measured_now_and_then() -> None:
    """The first hundred have not to stand for all that come in months."""
    counts = Recorder().counts(origin(), "thread", 3)
    found = []
    for _ in range(48):
        brief_jobs(counts, 100)
        found.append(counts.are_quick())
    assert found.count(False) == 3 and found[0]


def test_the_seconds_of_brief_jobs_are_told_apart() -> None:
    """Those that were over within a millisecond, measured or not."""
    recorder = Recorder()
    counts = recorder.counts(origin(), "thread", 3)
    counts.job(Job(started=100.0, ended=101.0, cpu=0.25))
    counts.job(Job(started=100.0, ended=100.0 + 2**-11, cpu=2**-12))
    counts.job(Job(started=100.0, ended=100.0 + 2**-11, cpu=None))
    found = tally(recorder)
    assert (found.run, found.cpu, found.cpu_known) == (1 + 2**-10, 0.25 + 2**-12, 1 + 2**-11)
    assert found.brief == (2**-10, 2**-12, 2**-11)


def test_a_tally_is_the_same_object_until_more_was_counted() -> None:
    """So that who has judged it knows at a glance that there is nothing new."""
    recorder = Recorder()
    counts, other = recorder.counts(origin(), "thread", 3), recorder.counts(origin(1), "thread", 3)
    counts.job(Job())
    other.job(Job())
    kept, idle = recorder.tallies()
    changes: list[Callable[[], object]] = [
        lambda: counts.job(Job()),
        lambda: counts.job(Job(cpu=None, glances=[Glance("network", line(0), ())])),
        lambda: counts.caller(1.0, 0.5),
        lambda: recorder.counts(origin(), "thread", 4),
    ]
    for change in changes:
        assert recorder.tallies()[0] is kept
        change()
        assert recorder.tallies()[0] not in (kept, idle)
        assert recorder.tallies()[1] is idle
        kept = recorder.tallies()[0]
    counts.job(Job(started=None, outcome="cancelled"))
    recorder.counts(origin(), "thread", 4)
    assert recorder.tallies()[0] is kept


def test_news_are_those_with_jobs_that_were_not_there_before() -> None:
    """However often the tallies were read meanwhile, and whatever else was counted."""
    recorder = Recorder()
    counts = [recorder.counts(origin(number), "thread", 3) for number in range(3)]
    counts[0].job(Job())
    counts[2].job(Job())
    assert [each.origin for each in recorder.news()] == [origin(0), origin(2)]
    assert recorder.news() == []
    counts[2].job(Job())
    counts[0].caller(1.0, 0.5)
    assert [each.jobs for each in recorder.tallies()] == [1, 0, 2]
    assert [(each.origin, each.jobs) for each in recorder.news()] == [(origin(2), 2)]
