"""A log reporter with a logger, a log and a clock of its own, and events with all that a reader may be told."""

from __future__ import annotations

import logging
from functools import partial

import pytest

from loopwatch.model import Event, Holder
from loopwatch.report.log import LogReporter
from loopwatch.testing import FakeClock
from tests import made_events
from tests.made_events import CHECKOUT, SEND

stall = partial(
    made_events.stall, duration=0.2, culprit=CHECKOUT, stack=(CHECKOUT,), cause="cpu", remedy="Do less.", task=None
)
backlog = partial(
    made_events.backlog, waited=0.4, duration=2.0, culprit=SEND, remedy="Use a native client.",
    holders=(Holder("database_0", SEND.site, "shop.db.send", 0.1, (SEND,)),),
)  # fmt: skip
offload = partial(made_events.offload, site="shop.db.get:5", target="shop.db.send", remedy="Go native.")

EVENTS: list[Event] = [stall(), backlog(), offload()]
EACH = pytest.mark.parametrize("event", EVENTS, ids=["stall", "backlog", "offload"])


class Log(logging.Handler):
    """The log of a reporter that tells nothing again for 60 seconds; nobody else knows of its logger."""

    def __init__(self, repeat_interval: float = 60.0) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.logger = logging.Logger("shop")
        self.logger.addHandler(self)
        self.clock = FakeClock()
        self.report = LogReporter(self.logger, repeat_interval=repeat_interval, clock=self.clock)

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def take(self) -> list[str]:
        """The messages since the last call."""
        taken = [record.getMessage() for record in self.records]
        self.records.clear()
        return taken
