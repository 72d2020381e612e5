"""What has happened is counted, all of it, in tables that have an end, and never backwards."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwatch.facts import Glance, OffloadTally
from loopwatch.metrics import JOB_BOUNDS, STALL_BOUNDS
from loopwatch.model import Frame, SiteStats, Stall
from loopwatch.record.recorder import Names, Recorder
from tests.made_counts import Job, line, origin, tally


def stall(**changes: Any) -> Stall:
    culprit = Frame("shop.views", changes.pop("function", "checkout"), "/srv/shop/views.py", 42)
    given = {
        "id": "1", "kind": "step", "duration": 0.2, "started_at": 0.0, "loop": "main", "thread": "MainThread",
        "cause": "cpu", "culprit": culprit,
    }  # fmt: skip
    return Stall(**{**given, **changes})


# --- names ---


def test_the_first_names_keep_theirs_and_the_rest_share_one() -> None:
    """A label of metrics has a bounded number of values."""
    names = Names(2)
    assert [names.label(name) for name in ("a", "b", "c", "a", "d", "b")] == ["a", "b", "other", "a", "other", "b"]


def test_what_is_called_other_is_other() -> None:
    """It takes no place from a name."""
    names = Names(1)
    assert [names.label(name) for name in ("other", "a", "other", "b")] == ["other", "a", "other", "other"]


@given(st.lists(st.integers(0, 100).map(str)), st.integers(1, 5))
def test_a_label_is_for_good(met: list[str], most: int) -> None:
    """Whatever comes in between, a name that was given a label has it ever after."""
    names = Names(most)
    first: dict[str, str] = {}
    for name in met:
        assert names.label(name) == first.setdefault(name, names.label(name))
    assert len(set(first.values()) - {"other"}) == min(most, len(set(met)))


# --- stalls and sites ---


def test_stalls_are_counted_by_loop_and_cause() -> None:
    """Each cause of each loop is a histogram of durations."""
    recorder = Recorder()
    for each in (stall(), stall(duration=0.3), stall(cause="wait"), stall(loop="worker")):
        recorder.stall(each)
    found = recorder.stalls()
    assert {loop: {cause: h.count for cause, h in causes.items()} for loop, causes in found.items()} == {
        "main": {"cpu": 2, "wait": 1},
        "worker": {"cpu": 1},
    }
    assert found["main"]["cpu"].sum == pytest.approx(0.5)
    assert found["main"]["cpu"].bounds == STALL_BOUNDS


def test_a_stall_is_time_lost_at_its_site() -> None:
    """The seconds of all stalls of one site and cause are added up, beside those that queues lost there."""
    recorder = Recorder()
    recorder.stall(stall())
    recorder.lost("queue", "shop.db.get:5", "backlog", 1.5)
    recorder.stall(stall(duration=0.3))
    recorder.lost("offload", "shop.db.get:5", "wait", 2.0, 0)
    assert recorder.site_stats() == (
        SiteStats("loop", "shop.views.checkout:42", "cpu", pytest.approx(0.5), 2),  # type: ignore[arg-type]
        SiteStats("queue", "shop.db.get:5", "backlog", 1.5, 1),
        SiteStats("offload", "shop.db.get:5", "wait", 2.0, 0),
    )


def test_nobody_is_charged_with_what_nobody_did() -> None:
    """A collection of garbage has the site of its cause."""
    recorder = Recorder()
    recorder.stall(stall(cause="gc", culprit=None))
    assert [each.site for each in recorder.site_stats()] == ["(gc)"]


def test_sites_beyond_the_bound_are_counted_together() -> None:
    """5,000 sites leave no second unaccounted for, and those first seen keep their names."""
    recorder = Recorder()
    for number in range(5000):
        recorder.stall(stall(function=f"f{number}", duration=0.1))
        recorder.lost("queue", f"f{number}", "backlog", 0.1)
    found = recorder.site_stats()
    assert len(found) <= 512 + 2
    assert sum(each.seconds for each in found) == pytest.approx(1000.0)
    assert sum(each.count for each in found) == 10_000
    assert {each.kind for each in found if each.site == "other"} == {"loop", "queue"}
    recorder.stall(stall(function="f0", duration=0.1))
    assert recorder.site_stats()[0].count == 2


def test_loops_beyond_the_bound_are_counted_together() -> None:
    """A thread with a loop for each request makes no label for each request."""
    recorder = Recorder()
    for number in range(1000):
        recorder.stall(stall(loop=f"Thread-{number}"))
    found = recorder.stalls()
    assert len(found) == 65
    assert found["other"]["cpu"].count == 1000 - 64


# --- jobs ---


def test_a_job_is_counted_by_its_executor_and_by_its_origin() -> None:
    """Wait, run, CPU time and outcome, each where it belongs; the wait is told to whoever counts."""
    recorder = Recorder()
    assert recorder.counts(origin(), "thread", 3).job(Job()) == 0.25
    (jobs,) = recorder.finished_jobs().values()
    assert (jobs.kind, jobs.outcomes, jobs.wait.sum, jobs.run.sum) == ("thread", {"completed": 1}, 0.25, 0.75)
    assert jobs.wait.counts[JOB_BOUNDS.index(0.25)] == 1
    assert jobs.run.counts[JOB_BOUNDS.index(1.0)] == 1
    assert tally(recorder) == OffloadTally(
        origin(), jobs=1, wait=0.25, run=0.75, cpu=0.5, cpu_known=0.75, workers=3, loop_jobs=1
    )


def test_brief_jobs_counted_at_once_are_as_if_they_were_counted_one_by_one() -> None:
    """The same sums, outcomes and buckets, also of those of which the CPU time is not known."""
    one_by_one, at_once = Recorder(), Recorder()
    for failed, cpu in ((False, 0.125 / 1024), (True, None), (False, 0.25 / 1024)):
        job = Job(100.0, 100.0 + 0.25 / 1024, 100.0 + 0.75 / 1024, cpu, "failed" if failed else "completed", not failed)
        one_by_one.counts(origin(), "thread", 3).job(job)
    at_once.counts(origin(), "thread", 3).brief(3, 1, 2, 0.75 / 1024, 1.5 / 1024, 0.375 / 1024, 1.0 / 1024)
    assert at_once.finished_jobs() == one_by_one.finished_jobs()
    assert tally(at_once) == tally(one_by_one)


def test_a_job_that_no_worker_took_has_only_an_outcome() -> None:
    """It waited until it was cancelled, and never ran: it is in no histogram, and no job of an offload."""
    recorder = Recorder()
    counts = recorder.counts(origin(), "thread", 3)
    assert counts.job(Job(started=None, ended=100.5, outcome="cancelled")) == 0.5
    assert counts.job(Job(started=None, ended=None, outcome="cancelled")) == 0.0
    (jobs,) = recorder.finished_jobs().values()
    assert (jobs.outcomes, jobs.wait.count, jobs.run.count) == ({"cancelled": 2}, 0, 0)
    assert tally(recorder).jobs == 0


def test_times_that_were_read_in_the_wrong_order_are_none() -> None:
    """Workers write while others read: no wait and no run is less than nothing."""
    recorder = Recorder()
    recorder.counts(origin(), "thread", 3).job(Job(submitted=100.0, started=99.9, ended=99.8))
    found = tally(recorder)
    assert (found.wait, found.run) == (0.0, 0.0)


jobs = st.lists(
    st.builds(
        Job,
        started=st.none() | st.floats(90, 130),
        ended=st.none() | st.floats(90, 130),
        cpu=st.none() | st.floats(0, 10),
        outcome=st.sampled_from(["completed", "failed", "cancelled", "abandoned"]),
        for_loop=st.booleans(),
    ),
    max_size=50,
)


@given(jobs, st.data())
def test_every_job_is_in_every_sum_that_it_belongs_to(finished: list[Job], data: st.DataObject) -> None:
    """Outcomes count all, histograms those that ran; origins and executors tell the same; nothing goes backwards."""
    recorder = Recorder()
    before: tuple[float, ...] = (0,) * 6
    for job in finished:
        place = origin(data.draw(st.integers(0, 3)), data.draw(st.sampled_from(["a", "b", "c"])))
        assert recorder.counts(place, "thread", 3).job(job) >= 0.0
        counted = list(recorder.finished_jobs().values())
        tallies = recorder.tallies()
        now = (
            sum(sum(each.outcomes.values()) for each in counted),
            sum(each.wait.count for each in counted),
            sum(each.run.count for each in counted),
            sum(each.run.sum for each in counted),
            sum(each.jobs for each in tallies),
            sum(each.cpu for each in tallies),
        )
        assert all(new >= old - 1e-9 for old, new in zip(before, now, strict=True))
        before = now
    ran = [job for job in finished if job.started is not None]
    assert before[0] == len(finished)
    assert before[1] == before[2] == before[4] == len(ran)
    assert sum(each.loop_jobs for each in recorder.tallies()) == sum(job.for_loop for job in ran)
    assert sum(each.run for each in recorder.tallies()) == pytest.approx(before[3])
    outcomes = sum((Counter(each.outcomes) for each in recorder.finished_jobs().values()), Counter())
    assert outcomes == Counter(job.outcome for job in finished)


def test_one_site_and_target_are_one_offload_in_whatever_pools() -> None:
    """A pool that is made anew for each request does not make each request another offload."""
    recorder = Recorder()
    for number in range(1000):
        recorder.counts(origin(executor=f"ThreadPoolExecutor-{number}"), "thread", 1 + number % 2).job(Job())
    found = tally(recorder)
    assert (found.jobs, found.workers, found.origin.executor) == (1000, 2, "ThreadPoolExecutor-0")


def test_pools_beyond_the_bound_are_counted_together() -> None:
    """Their names are labels: 1,000 anonymous pools have 65, and no job is lost."""
    recorder = Recorder()
    for number in range(1000):
        recorder.counts(origin(executor=f"ThreadPoolExecutor-{number}"), "thread", 1).job(Job())
    found = recorder.finished_jobs()
    assert len(found) == 65
    assert found["other"].wait.count == 1000 - 64
    assert sum(sum(each.outcomes.values()) for each in found.values()) == 1000


def test_origins_beyond_the_bound_are_counted_together_and_by_their_executor() -> None:
    """They are no offload of anybody's, and their jobs still count for the executor that ran them."""
    recorder = Recorder()
    for number in range(300):
        recorder.counts(origin(number), "thread", 3).job(Job())
    for number in range(300, 310):
        recorder.counts(origin(number, "mail"), "thread", 3).job(Job())
    assert len(recorder.tallies()) == 256
    assert {name: each.run.count for name, each in recorder.finished_jobs().items()} == {"database": 300, "mail": 10}


def test_equal_origins_share_their_counts() -> None:
    """The same object for the same origin and pool: whoever follows a task by it follows one thing."""
    recorder = Recorder()
    first = recorder.counts(origin(), "thread", 3)
    assert recorder.counts(origin(), "thread", 5) is first
    assert recorder.counts(origin(1), "thread", 3) is not first
    assert recorder.counts(origin(executor="mail"), "thread", 3) is not first
    assert recorder.tallies()[0].workers == 5


def test_what_was_read_stays_as_it_is() -> None:
    """Counting goes on without changing what somebody holds."""
    recorder = Recorder()
    counts = recorder.counts(origin(), "thread", 3)
    counts.job(Job(glances=[Glance("network", line(0), ())]))
    recorder.stall(stall())
    before = (recorder.finished_jobs(), recorder.tallies(), recorder.stalls(), recorder.site_stats())
    kept = repr(before)
    counts.job(Job(outcome="failed", glances=[Glance("sleep", line(0), ())]))
    recorder.stall(stall(cause="wait"))
    assert repr(before) == kept


def test_nobody_reads_a_job_that_is_half_counted() -> None:
    """Who asks in the middle of a job waits for its end: all of its numbers are there, or none."""
    recorder = Recorder()
    read: list[tuple[int, int]] = []

    def look() -> None:
        (jobs,) = recorder.finished_jobs().values()
        read.append((jobs.run.count, tally(recorder).loop_jobs))

    class Watched(Job):
        @property
        def for_loop(self) -> bool:
            reader.start()
            reader.join(0.05)
            return True

        @for_loop.setter
        def for_loop(self, value: bool) -> None: ...

    reader = threading.Thread(target=look)
    recorder.counts(origin(), "thread", 3).job(Watched())
    reader.join()
    assert read == [(1, 1)]


def test_counting_and_reading_from_many_threads_lose_nothing_and_never_fail() -> None:
    """Snapshots are taken from any thread while jobs are counted: each is whole, and the last one has all."""
    recorder, failures, over = Recorder(), [], threading.Event()
    places = [origin(number, f"pool-{number % 7}") for number in range(20)]
    each = 300

    def count(seed: int) -> None:
        for number in range(each):
            glance = Glance("network", line(seed * each + number), ())
            recorder.counts(places[(seed + number) % 20], "thread", 3).job(
                Job(outcome=f"o{number % 9}", glances=[glance])
            )
            recorder.stall(stall(function=f"f{seed}_{number}", cause="cpu"))

    def read() -> None:
        try:
            while not over.is_set():
                for found in recorder.finished_jobs().values():
                    assert sum(found.outcomes.values()) == found.wait.count == found.run.count
                assert all(tally.jobs >= sum(tally.glances.values()) for tally in recorder.tallies())
                recorder.site_stats()
                recorder.stalls()
        except Exception as error:
            failures.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        readers = [threading.Thread(target=read) for _ in range(2)]
        writers = [threading.Thread(target=count, args=(seed,)) for seed in range(3)]
        for thread in readers + writers:
            thread.start()
        for thread in writers:
            thread.join()
        over.set()
        for thread in readers:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert failures == []
    assert sum(each.jobs for each in recorder.tallies()) == 3 * each
    assert recorder.stalls()["main"]["cpu"].count == 3 * each
