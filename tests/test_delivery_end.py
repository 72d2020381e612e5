"""The end of a delivery, by a stop or by a fork: bounded, nothing lost unnoticed, nothing given twice."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable

import pytest

from loopwatch.model import Event
from loopwatch.record.delivery import Delivery
from loopwatch.testing import RecordingReporter
from tests.made_deliveries import LONG, Gate, Make, begin_flush, behind, event, ids, reporter_threads


def in_child(work: Callable[[], None]) -> int:
    """The exit code of a forked child that does ``work``: 0 unless that raised or took too long."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what is tested
        pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(LONG))
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")


# --- stop ---


def test_stop_delivers_what_is_queued_and_ends_the_thread(make_delivery: Make, events: RecordingReporter) -> None:
    """Uninstalling loses no event; stopping again does nothing."""
    delivery = make_delivery(events)
    for number in range(20):
        delivery.put(event(number))
    delivery.stop(LONG)
    assert ids(events) == list(range(20))
    assert reporter_threads() == []
    delivery.stop(LONG)
    assert delivery.flush(LONG)
    assert delivery.dropped == 0


def test_stop_waits_no_longer_than_it_may_and_counts_the_rest(make_delivery: Make, gate: Gate) -> None:
    """A reporter that hangs costs what it did not take; it gets nothing once it was given up."""
    delivery = make_delivery(gate)
    behind(gate, delivery, 0, 1, 2)
    (thread,) = reporter_threads()
    began = time.monotonic()
    delivery.stop(0.05)
    assert time.monotonic() - began < LONG / 4
    assert delivery.dropped == 2
    gate.open.set()
    thread.join(LONG)
    assert not thread.is_alive()
    assert ids(gate.passed) == [0]


def test_after_a_stop_flush_answers_at_once(make_delivery: Make, gate: Gate) -> None:
    """Nobody is left to answer, whether the thread ended or hangs."""
    delivery = make_delivery(gate)
    behind(gate, delivery, 0)
    delivery.stop(0)
    began = time.monotonic()
    assert delivery.flush(LONG)
    delivery.put(event(1))
    assert not delivery.flush(LONG)
    assert time.monotonic() - began < LONG / 4


def test_a_stop_ends_the_waiting_of_others(make_delivery: Make, gate: Gate) -> None:
    """A flush in another thread is told that its events were not given."""
    delivery = make_delivery(gate)
    behind(gate, delivery, 0, 1)
    waiting, answers = begin_flush(delivery)
    began = time.monotonic()
    delivery.stop(0)
    waiting.join(LONG)
    assert answers == [False]
    assert time.monotonic() - began < LONG / 4


def test_a_reporter_may_stop_the_delivery(make_delivery: Make, events: RecordingReporter, gate: Gate) -> None:
    """It ends after the event at hand, which the other reporters still get."""
    delivery: Delivery = make_delivery(gate, lambda event: delivery.stop(LONG), events)
    behind(gate, delivery, 0, 1)
    (thread,) = reporter_threads()
    gate.open.set()
    thread.join(LONG)
    assert not thread.is_alive()
    assert ids(events) == [0]
    assert delivery.dropped == 1


def test_a_new_start_is_not_mixed_with_a_thread_that_hung(make_delivery: Make, gate: Gate) -> None:
    """The old thread ends when its reporter comes back; the new one is given what came after the stop."""
    delivery = make_delivery(gate)
    behind(gate, delivery, 0, 9)
    (old,) = reporter_threads()
    delivery.stop(0)
    delivery.start()
    gate.open.set()
    old.join(LONG)
    assert not old.is_alive()
    delivery.put(event(1))
    assert delivery.flush(LONG)
    assert ids(gate.passed) == [0, 1]


# --- the last word ---


class Closing(RecordingReporter):
    """Notes the end among the events, and in which thread it was told."""

    def __init__(self, error: BaseException | None = None) -> None:
        super().__init__()
        self.ends: list[tuple[list[int], str]] = []
        self.error = error

    def finish(self) -> None:
        self.ends.append((ids(self), threading.current_thread().name))
        if self.error is not None:
            raise self.error


def test_a_reporter_that_has_an_end_is_told_of_it(make_delivery: Make) -> None:
    """Once, after the last event, on the reporters' own thread; others need no such method."""
    closing = Closing()
    delivery = make_delivery(lambda event: None, closing)
    for number in range(3):
        delivery.put(event(number))
    delivery.stop(LONG)
    assert closing.ends == [([0, 1, 2], "loopwatch-reporter")]
    delivery.stop(LONG)
    assert len(closing.ends) == 1
    delivery.start()
    delivery.put(event(3))
    delivery.stop(LONG)
    assert closing.ends[1:] == [([0, 1, 2, 3], "loopwatch-reporter")]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1)], ids=lambda each: type(each).__name__)
def test_an_end_that_raises_harms_no_other(
    make_delivery: Make, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    """It is said in the log, and the next reporter is told of its own end."""
    broken, closing = Closing(error), Closing()
    delivery = make_delivery(broken, closing)
    delivery.stop(LONG)
    assert (len(broken.ends), len(closing.ends)) == (1, 1)
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [error]


def test_a_reporter_that_hangs_is_told_of_no_end(make_delivery: Make, gate: Gate) -> None:
    """It was given up, and what it did not get is counted: it has no last word when it comes back."""
    closing = Closing()
    delivery = make_delivery(gate, closing)
    behind(gate, delivery, 0)
    (thread,) = reporter_threads()
    delivery.stop(0.01)
    gate.open.set()
    thread.join(LONG)
    assert not thread.is_alive()
    assert closing.ends == []


def test_a_reporter_that_stops_the_delivery_is_told_of_its_end(make_delivery: Make) -> None:
    """After the event at hand, which it is still about to be given."""
    closing = Closing()
    delivery: Delivery = make_delivery(lambda event: delivery.stop(LONG), closing)
    (thread,) = reporter_threads()
    delivery.put(event(1))
    thread.join(LONG)
    assert not thread.is_alive()
    assert closing.ends == [([1], "loopwatch-reporter")]


def test_a_fork_is_no_end(make_delivery: Make) -> None:
    """The thread that goes on in a child has not been stopped: the parent's reporters are still at work."""
    closing = Closing()
    delivery: Delivery = make_delivery(lambda event: delivery.after_fork(), closing)
    (thread,) = reporter_threads()
    delivery.put(event(1))
    thread.join(LONG)
    assert not thread.is_alive()
    assert closing.ends == []


# --- fork ---


@needs_fork
def test_a_forked_child_delivers_its_own_events_only(make_delivery: Make, gate: Gate) -> None:
    """Nothing of the parent's is given or counted twice, whatever its reporter thread was doing."""
    delivery = make_delivery(gate, size=2)
    behind(gate, delivery, 0, 1, 2, 3)
    assert delivery.dropped == 1

    def child() -> None:
        delivery.after_fork()
        assert delivery.dropped == 0
        assert delivery.flush(LONG)
        gate.open.set()
        delivery.put(event(7))
        delivery.start()
        assert delivery.flush(LONG)
        assert ids(gate.passed) == [7]
        delivery.stop(LONG)

    assert in_child(child) == 0
    gate.open.set()
    assert delivery.flush(LONG)
    assert ids(gate.passed) == [0, 1, 2]


@needs_fork
def test_a_lock_that_was_held_at_the_fork_holds_up_nobody(make_delivery: Make, events: RecordingReporter) -> None:
    """The parent's thread that held it does not exist in the child."""
    delivery = make_delivery(events)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with delivery._changed:
            held.set()
            done.wait(LONG)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(LONG)

    def child() -> None:
        delivery.after_fork()
        delivery.start()
        delivery.put(event(1))
        assert delivery.flush(LONG)

    try:
        assert in_child(child) == 0
    finally:
        done.set()
        holder.join(LONG)


def test_a_fork_inside_a_reporter_leaves_no_second_thread(make_delivery: Make, events: RecordingReporter) -> None:
    """In the child the forking thread goes on where it was: it ends instead of taking the child's events."""

    def fork(event: Event) -> None:
        delivery.after_fork()  # what the child is told; here in the thread that would go on in it
        delivery.put(event)

    delivery = make_delivery(fork, events)
    (thread,) = reporter_threads()
    delivery.put(event(1))
    thread.join(LONG)
    assert not thread.is_alive()
    assert ids(events) == [1]
    assert not delivery.flush(LONG)
