"""One job on its way through a pool, by a clock that stands still; and what stays of it in memory."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from itertools import count
from types import CodeType, FrameType
from typing import Any

import pytest

from loopwatch.observe.jobs import job as jobs
from loopwatch.observe.jobs.job import NOWHERE, first, here
from tests.made_jobs import reading

# --- times and outcomes ---


def test_a_job_waits_runs_and_computes_for_as_long_as_it_does(setting):
    """Wait lasts from submit to the worker's call, run from there to the end; the CPU time is that of the run."""
    job, future = setting.submit(lambda: 7)
    setting.clock.advance(0.25)
    function = job.begin()
    assert (list(setting.pool.waiting), list(setting.pool.running)) == ([], [job])
    setting.clock.advance(2.0)
    setting.cpu.advance(0.5)
    future.set_result(function())
    assert (job.submitted, job.started, job.ended, job.cpu) == (100.0, 100.25, 102.25, 0.5)
    assert (job.outcome, list(setting.finished)) == ("completed", [job])
    assert (list(setting.pool.waiting), list(setting.pool.running)) == ([], [])


def test_what_a_worker_calls_is_the_callers_own_function(setting):
    """Nothing of ours is called around it: between the two there is no frame."""
    callers = []

    def function() -> int:
        callers.append(sys._getframe(1))
        return 7

    job, future = setting.submit(function)
    assert callable(job)
    future.set_result(job())
    assert callers == [sys._getframe()] and future.result() == 7


def test_a_job_of_a_quick_lane_reads_no_cpu_clock(setting):
    """Reading the CPU clock twice is skipped where a lane says that its jobs are too short for it."""
    first_job, _ = setting.submit()
    first_job.lane.quick = True
    job, future = setting.submit()
    job.lane.quick = True
    job.begin()
    future.set_result(None)
    assert job.started is not None and job.cpu is None


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt()], ids=lambda e: type(e).__name__)
def test_a_job_that_raises_has_failed(setting, error):
    """Whatever is raised, also what is no Exception, is an outcome like any other."""
    job, future = setting.submit()
    job.begin()
    future.set_exception(error)
    assert job.outcome == "failed"


def test_a_job_that_is_cancelled_in_the_queue_never_started(setting):
    """It leaves the queue, and has an end but no start."""
    job, future = setting.submit()
    setting.clock.advance(0.5)
    assert future.cancel()
    assert (job.outcome, job.started, job.ended, job.cpu) == ("cancelled", None, 100.5, None)
    assert list(setting.pool.waiting) == [] and list(setting.finished) == [job]


def test_a_job_whose_awaiter_gave_up_is_abandoned(setting):
    """The thread still runs it, to an end that nobody wants."""
    job, future = setting.submit()
    job.begin()
    job.abandoned = True
    future.set_result(1)
    assert job.outcome == "abandoned"


def test_a_job_ends_once_however_often_it_is_told(setting):
    """Its end may be told by the worker and by the submitting thread; it is counted once."""
    job, future = setting.submit()
    job.begin()
    future.set_result(None)
    setting.clock.advance(1.0)
    job.finish(future)
    assert list(setting.finished) == [job] and job.ended == 100.0

    waiting, dropped = setting.submit()
    dropped.cancel()
    waiting.finish(dropped)
    assert list(setting.finished) == [job, waiting]


def test_cpu_time_is_known_only_where_the_worker_tells_the_end(setting):
    """Another thread's CPU clock says nothing about the worker."""
    job, future = setting.submit()
    worker = threading.Thread(target=job.begin)
    worker.start()
    worker.join()
    setting.cpu.advance(9.0)
    future.set_result(None)
    assert job.cpu is None and job.outcome == "completed"


def test_a_refused_job_leaves_nothing_and_still_runs_if_it_is_called(setting):
    """A pool that could not start a thread raises, but has queued the job: a worker may take it, unwatched."""
    job, _ = setting.submit(lambda: "ran")
    job.forget()
    assert (dict(setting.pool.waiting), dict(setting.pool.running)) == ({}, {})
    assert job() == "ran"
    assert (dict(setting.pool.waiting), dict(setting.pool.running)) == ({}, {})


def test_an_error_of_ours_lets_the_function_run(setting):
    """The worker gets the function, and the error is noted."""
    job, future = setting.submit(lambda: "ran")
    with reading(here=None):
        assert job() == "ran"
    future.set_result("ran")
    assert dict(setting.pool.waiting) == {} and list(setting.finished) == [job]
    assert [type(fault) for fault in jobs.faults] == [AttributeError]
    jobs.faults.clear()


def test_a_job_knows_the_last_end_before_its_start(setting):
    """A job that waited for a worker began after the end of another; one that found a free worker did not."""
    early, early_future = setting.submit()
    early.begin()
    late, late_future = setting.submit()
    setting.clock.advance(1.0)
    early_future.set_result(None)
    setting.clock.advance(0.5)
    late.begin()
    late_future.set_result(None)
    assert early.after < early.submitted
    assert late.submitted <= late.after == 101.0


def test_a_worker_has_its_job_for_as_long_as_it_runs(setting):
    """What the thread submits after that is no longer nested in it."""
    job, future = setting.submit()
    job.begin()
    assert here.worker.job is job
    future.set_result(None)
    assert here.worker.job is None


def test_a_job_submitted_by_a_worker_belongs_to_the_same_loop(setting):
    """Nested work is done for the loop for which the outer job works, and knows the thread that submitted it."""
    outer, _ = setting.submit()
    outer.for_loop = True
    inner, _ = setting.submit()
    inner.inherit(outer)
    assert (inner.for_loop, inner.submitter) == (True, threading.get_ident())


# --- jobs that are seen from outside ---


def test_remote_jobs_begin_first_in_first_out(setting):
    """As many as there are workers run at once; each end lets the oldest waiting job begin."""
    (a, ended), (b, _), (c, _), (d, _) = (setting.submit_remote() for _ in range(4))
    assert (list(setting.remote.running), list(setting.remote.waiting)) == ([a, b], [c, d])
    setting.clock.advance(3.0)
    ended.set_result(None)
    assert (list(setting.remote.running), list(setting.remote.waiting)) == ([b, c], [d])
    assert (a.started, a.ended, c.started, a.cpu) == (100.0, 103.0, 103.0, None)
    assert c.after >= c.submitted


def test_a_remote_job_cancelled_in_the_queue_lets_nobody_begin(setting):
    """No worker came free."""
    (a, _), (b, _), (c, dropped), (d, _) = (setting.submit_remote() for _ in range(4))
    assert dropped.cancel()
    assert (list(setting.remote.running), list(setting.remote.waiting)) == ([a, b], [d])
    assert (c.outcome, c.started) == ("cancelled", None)


def test_a_remote_job_may_end_before_its_turn(setting):
    """The order is assumed: where it was another, the job still has a start and an end."""
    (_, _), (_, _), (c, done) = (setting.submit_remote() for _ in range(3))
    setting.clock.advance(1.0)
    done.set_result(None)
    assert (c.outcome, c.started, c.ended) == ("completed", 100.0, 101.0)
    assert list(setting.remote.waiting) == []


def test_a_refused_remote_job_gives_its_place_away(setting):
    """When a submit fails, what waits behind it begins."""
    (a, _), (b, _), (c, _) = (setting.submit_remote() for _ in range(3))
    b.forget()
    assert (list(setting.remote.running), list(setting.remote.waiting)) == ([a, c], [])


def test_a_remote_job_ends_once(setting):
    """Its end may be told twice."""
    job, future = setting.submit_remote()
    future.set_result(None)
    job.finish(future)
    assert list(setting.finished) == [job]


def test_the_oldest_is_found_while_other_threads_change_the_queue():
    """No error reaches the observer, whatever happens between two of its bytecodes."""
    queue: dict[Any, None] = {}
    stop = threading.Event()

    def churn() -> None:
        for number in count():
            if stop.is_set():
                return
            queue[number] = None
            queue.pop(number - 3, None)

    churners = [threading.Thread(target=churn) for _ in range(2)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    for churner in churners:
        churner.start()
    try:
        found = [first(queue) for _ in range(20_000)]
    finally:
        stop.set()
        sys.setswitchinterval(before)
        for churner in churners:
            churner.join()
    assert any(each is not None for each in found)
    assert first({}) is None


# --- what stays in memory ---


class Payload:
    """Something of the application's that must be free to go."""

    def __call__(self) -> None: ...


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
def test_a_job_keeps_nothing_of_the_application_after_its_end(setting, end):
    """Neither function nor result is alive because of a job that is over, however it ended; lanes keep code alone."""
    function, result = Payload(), Payload()
    gone = [weakref.ref(function), weakref.ref(result)]
    job, future = setting.submit(function)
    if end == "cancelled":
        future.cancel()
    else:
        job.begin()
        future.set_result(result) if end == "completed" else future.set_exception(ValueError(result))
    del function, result, future
    gc.collect()
    assert [ref() for ref in gone] == [None, None]
    assert job.outcome == end


def test_a_remote_job_keeps_nothing_of_the_application(setting):
    """Its function is needed for its name alone."""
    function = Payload()
    gone = weakref.ref(function)
    job, _ = setting.submit_remote(function)
    del function
    assert gone() is None and job.lane.origin.target.endswith("Payload")


def test_a_lane_keeps_no_frame_and_no_function(setting):
    """Frames hold locals: only code objects, offsets and names are kept of them."""

    def submitting() -> Any:
        held = Payload()
        return setting.pool.lane(sys._getframe(), held, NOWHERE), weakref.ref(held)

    lane, gone = submitting()
    assert gone() is None
    seen: list[Any] = [lane.origin, lane.codes]
    while seen:
        each = seen.pop()
        assert not isinstance(each, FrameType)
        if isinstance(each, tuple):
            seen += each
        else:
            assert isinstance(each, (CodeType, str, int, type(None))), each


def test_a_pool_does_not_keep_its_executor(setting):
    """What watches an executor must not keep it alive."""
    gone = weakref.ref(setting.executor)
    setting.executor = None
    gc.collect()
    assert gone() is None and setting.pool.executor() is None


def test_each_thread_has_its_own_worker():
    """Ids are read once a thread."""
    seen = []
    thread = threading.Thread(target=lambda: seen.append((here.worker.ident, here.worker.native)))
    thread.start()
    thread.join()
    assert seen == [(thread.ident, thread.native_id)]
    assert here.worker.ident == threading.get_ident() and here.worker is here.worker
