"""Deliveries that end with the test, a reporter that hangs, and events that are numbers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from loopwatch.model import Event, Stall
from loopwatch.record.delivery import Delivery
from loopwatch.testing import RecordingReporter

LONG = 20.0
"""Seconds after which something that should happen at once will never happen."""

Make = Callable[..., Delivery]


@contextmanager
def deliveries() -> Iterator[Make]:
    """Makes deliveries, and stops them all at the end."""
    made: list[Delivery] = []

    def make(*reporters: Any, size: int = 100, start: bool = True) -> Delivery:
        delivery = Delivery(reporters, size)
        made.append(delivery)
        if start:
            delivery.start()
        return delivery

    try:
        yield make
    finally:
        for delivery in made:
            delivery.stop(LONG)


class Gate:
    """A reporter that hangs in its first call until it is opened, then lets everything pass; opens at the end."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()
        self.passed = RecordingReporter()

    def __call__(self, event: Event) -> None:
        self.entered.set()
        assert self.open.wait(LONG)
        self.passed(event)

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *error: object) -> None:
        self.open.set()


def event(number: int) -> Stall:
    return Stall(id=str(number), kind="step", duration=0.1, started_at=0.0, loop="main", thread="MainThread")


def ids(reporter: RecordingReporter) -> list[int]:
    return [int(each.id) for each in reporter.events if isinstance(each, Stall)]


def behind(gate: Gate, delivery: Delivery, *numbers: int) -> None:
    """Put events of which the first hangs in ``gate`` and the others wait."""
    delivery.put(event(numbers[0]))
    assert gate.entered.wait(LONG)
    for number in numbers[1:]:
        delivery.put(event(number))


def reporter_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "loopwatch-reporter"]


def begin_flush(delivery: Delivery) -> tuple[threading.Thread, list[bool]]:
    """A thread that waits in ``flush``, from now on for certain, and where its answer will be."""
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(delivery.flush(LONG)))
    thread.start()
    deadline = time.monotonic() + LONG
    while not delivery._changed._waiters:  # type: ignore[attr-defined]
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return thread, answers
