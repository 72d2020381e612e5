"""Events reach the reporters, and no reporter can harm the application, another reporter or the delivery."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field

import pytest

from loopwatch.model import Event
from loopwatch.record.delivery import Delivery
from loopwatch.testing import RecordingReporter
from tests.made_deliveries import LONG, Gate, Make, begin_flush, behind, event, ids, reporter_threads

# --- the way of an event ---


def test_every_reporter_gets_every_event_in_order(make_delivery: Make) -> None:
    """The order of events is the order in which they were put, for each reporter."""
    first, second = RecordingReporter(), RecordingReporter()
    delivery = make_delivery(first, second)
    for number in range(50):
        delivery.put(event(number))
    assert delivery.flush(LONG)
    assert ids(first) == ids(second) == list(range(50))
    assert delivery.dropped == 0


def test_reporters_run_on_a_daemon_thread_of_their_own(make_delivery: Make) -> None:
    """Neither the caller's thread waits for reporters nor the end of the process."""
    threads: list[threading.Thread] = []
    delivery = make_delivery(lambda event: threads.append(threading.current_thread()))
    delivery.put(event(1))
    assert delivery.flush(LONG)
    assert [(thread.name, thread.daemon) for thread in threads] == [("loopwatch-reporter", True)]


def test_what_was_put_before_the_start_is_delivered_after_it(make_delivery: Make, events: RecordingReporter) -> None:
    """The thread starts late (in a forked worker, at its first event), and misses nothing."""
    delivery = make_delivery(events, start=False)
    delivery.put(event(1))
    assert not delivery.flush(LONG)
    delivery.start()
    assert delivery.flush(LONG)
    assert ids(events) == [1]


def test_starting_twice_starts_one_thread(make_delivery: Make, events: RecordingReporter) -> None:
    """Two threads would mix up the order."""
    delivery = make_delivery(events)
    delivery.start()
    assert len(reporter_threads()) == 1


def test_a_start_that_fails_can_be_tried_again(
    make_delivery: Make, events: RecordingReporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no thread can be started nobody waits for one, and nothing is lost."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    delivery = make_delivery(events, start=False)
    delivery.put(event(1))
    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(threading.Thread, "start", start)
        delivery.start()
    assert not delivery.flush(LONG)
    delivery.start()
    assert delivery.flush(LONG)
    assert ids(events) == [1]


def test_no_event_is_lost_between_threads(make_delivery: Make, events: RecordingReporter) -> None:
    """What many threads put at a time is given or counted as dropped, each event exactly once."""
    delivery = make_delivery(events, size=5)
    start = threading.Barrier(4)

    def put(offset: int) -> None:
        start.wait(LONG)
        for number in range(500):
            delivery.put(event(offset + number))

    threads = [threading.Thread(target=put, args=(offset,)) for offset in (0, 1000, 2000, 3000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert delivery.flush(LONG)
    assert len(set(ids(events))) == len(ids(events)) == 2000 - delivery.dropped


# --- a reporter that raises ---


def told(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "loopwatch"]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), KeyboardInterrupt()], ids=lambda each: repr(each))
def test_a_reporter_that_raises_is_named_once_and_dropped(
    make_delivery: Make, events: RecordingReporter, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    """Whatever it raises, the log says so once, with the traceback, and the other reporters go on."""
    calls: list[Event] = []

    def broken(event: Event) -> None:
        calls.append(event)
        raise error

    delivery = make_delivery(broken, events)
    for number in range(3):
        delivery.put(event(number))
    assert delivery.flush(LONG)
    assert len(calls) == 1
    assert ids(events) == [0, 1, 2]
    (record,) = told(caplog)
    assert record.levelno == logging.ERROR
    assert f"{__name__}." in record.getMessage()
    assert "broken raised and gets no more events" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error


@dataclass
class Counting:
    """Two of these are equal as long as they were called equally often, as dataclasses are."""

    fails: bool = field(compare=False)
    calls: int = 0

    def __call__(self, event: Event) -> None:
        self.calls += 1
        if self.fails:
            raise ValueError("no")


def test_only_the_reporter_that_raised_is_dropped(make_delivery: Make, caplog: pytest.LogCaptureFixture) -> None:
    """An equal one that works is not taken for it."""
    working, broken = Counting(fails=False), Counting(fails=True)
    delivery = make_delivery(working, broken)
    for number in range(3):
        delivery.put(event(number))
    assert delivery.flush(LONG)
    assert (working.calls, broken.calls) == (3, 1)


def test_a_reporter_whose_complaint_cannot_be_logged_harms_nobody(
    make_delivery: Make, events: RecordingReporter
) -> None:
    """A log handler that raises, too, ends neither the delivery nor the application."""

    class Broken(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise OSError("the disk is full")

    def broken(event: Event) -> None:
        raise ValueError("no")

    handler, log = Broken(), logging.getLogger("loopwatch")
    log.addHandler(handler)
    try:
        delivery = make_delivery(broken, events)
        for number in range(2):
            delivery.put(event(number))
        assert delivery.flush(LONG)
    finally:
        log.removeHandler(handler)
    assert ids(events) == [0, 1]


def test_without_reporters_events_are_taken_all_the_same(make_delivery: Make) -> None:
    """Nothing fills up when nobody listens, or nobody is left."""
    delivery = make_delivery(size=1)
    for number in range(3):
        delivery.put(event(number))
        assert delivery.flush(LONG)
    assert delivery.dropped == 0


# --- a reporter that is slow ---


def test_a_slow_reporter_costs_the_newest_events_and_they_are_counted(make_delivery: Make, gate: Gate) -> None:
    """The queue is bounded: what does not fit is dropped and counted; what was queued is kept, in order."""
    delivery = make_delivery(gate, size=3)
    behind(gate, delivery, 0, 1, 2, 3, 4, 5)
    assert delivery.dropped == 2
    gate.open.set()
    assert delivery.flush(LONG)
    assert ids(gate.passed) == [0, 1, 2, 3]
    delivery.put(event(6))
    assert delivery.flush(LONG)
    assert ids(gate.passed) == [0, 1, 2, 3, 6]
    assert delivery.dropped == 2


def test_put_never_waits(make_delivery: Make, gate: Gate) -> None:
    """A hanging reporter and a full queue do not hold up whoever has an event to tell."""
    delivery = make_delivery(gate, size=1)
    began = time.monotonic()
    behind(gate, delivery, *range(1000))
    assert delivery.dropped == 998
    assert time.monotonic() - began < LONG / 4


# --- flush ---


def test_flush_says_no_when_it_took_too_long(make_delivery: Make, gate: Gate) -> None:
    """It waits for as long as it may, and tells the truth."""
    delivery = make_delivery(gate)
    behind(gate, delivery, 0)
    began = time.monotonic()
    assert not delivery.flush(0.05)
    assert 0.04 < time.monotonic() - began < LONG / 4
    assert not delivery.flush(0)
    assert not delivery.flush(-1)
    gate.open.set()
    assert delivery.flush(LONG)
    assert ids(gate.passed) == [0]


def test_what_is_dropped_is_told_when_it_begins_and_when_it_is_over(
    make_delivery: Make, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """Once each, with the number by then; where nothing is dropped, nothing is told."""
    delivery = make_delivery(gate, size=2)
    behind(gate, delivery, *range(5))
    gate.open.set()
    assert delivery.flush(LONG)
    first = [record.getMessage() for record in caplog.records]
    assert len(first) == 1 and first[0].startswith("loopwatch has dropped 2 events so far")
    delivery.stop(LONG)
    assert len(caplog.records) == 1
    late = Gate()
    delivery = make_delivery(late, size=1)
    behind(late, delivery, 0, 1, 2, 3)
    caplog.clear()
    delivery.stop(0.0)
    late.open.set()
    (over,) = [record for record in caplog.records if "in all" in record.getMessage()]
    assert (over.levelname, "dropped 3 events in all" in over.getMessage()) == ("WARNING", True)


def test_flush_cannot_be_dropped(make_delivery: Make, gate: Gate) -> None:
    """It waits behind a full queue and is answered, though events are dropped before and after it."""
    delivery = make_delivery(gate, size=2)
    behind(gate, delivery, 0, 1, 2, 3)
    waiting, answers = begin_flush(delivery)
    delivery.put(event(4))
    gate.open.set()
    waiting.join(LONG)
    assert answers == [True]
    assert ids(gate.passed)[:3] == [0, 1, 2]
    assert delivery.dropped == 2


def test_flushes_that_gave_up_leave_nothing_in_the_queue(make_delivery: Make, gate: Gate) -> None:
    """A health check that flushes again and again takes no place from events while a reporter hangs."""
    delivery = make_delivery(gate, size=1)
    behind(gate, delivery, 0)
    for _ in range(20):
        assert not delivery.flush(0)
    delivery.put(event(1))
    assert delivery.dropped == 0


def test_flush_does_not_wait_for_later_events(make_delivery: Make, gate: Gate) -> None:
    """It returns once the events before it were given, however many come after."""
    second = Gate()
    delivery = make_delivery(gate, lambda event: second(event) if event.id == "1" else None)
    behind(gate, delivery, 0)
    waiting, answers = begin_flush(delivery)
    delivery.put(event(1))
    gate.open.set()
    waiting.join(LONG)
    second.open.set()
    assert answers == [True]


def test_a_reporter_may_flush(make_delivery: Make, gate: Gate) -> None:
    """It would wait for itself: it is told at once whether events still wait."""
    answers: list[bool] = []
    delivery: Delivery = make_delivery(gate, lambda event: answers.append(delivery.flush(LONG)))
    behind(gate, delivery, 0, 1)
    gate.open.set()
    began = time.monotonic()
    assert delivery.flush(LONG)
    assert answers == [False, True]
    assert time.monotonic() - began < LONG / 4


@pytest.mark.parametrize("timeout", [1e12, float("inf")])
def test_flush_takes_any_timeout(make_delivery: Make, events: RecordingReporter, gate: Gate, timeout: float) -> None:
    """Also one that is longer than a lock of the platform can wait."""
    delivery = make_delivery(gate, events)
    behind(gate, delivery, 0)
    threading.Timer(0.05, gate.open.set).start()
    assert delivery.flush(timeout)
    assert ids(events) == [0]


@pytest.mark.needs("time_machine")
def test_flush_ends_while_time_is_frozen(make_delivery: Make, gate: Gate) -> None:
    """Waiting counts in real time, also in a test that stops the clock."""
    import time_machine

    delivery = make_delivery(gate)
    behind(gate, delivery, 0)
    with time_machine.travel(0, tick=False):
        assert not delivery.flush(0.05)
